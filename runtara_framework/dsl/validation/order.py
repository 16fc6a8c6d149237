"""Rules about references to steps: they exist, and can have run."""

from __future__ import annotations

from runtara_framework.dsl.references import Use
from runtara_framework.dsl.validation.context import Context
from runtara_framework.dsl.validation.findings import did_you_mean, listed
from runtara_framework.dsl.validation.graphs import Graph


def steps(context: Context) -> None:
    """E010, E012, W050."""
    for graph in context.graphs:
        waits: list[tuple[str, str, Use]] = []
        for reader, use, placed in graph.uses:
            path = use.path
            if path is None or path.root != "steps":
                continue
            if (
                len(path.segments) < 2
            ):  # all of them, or one that only the run would know: nobody could say when it is there
                context.say("E010", use.pointer, "a reference names the step that it reads: steps.<id>", step=reader)
                continue
            read = str(path.segments[1])
            if read == "__error":
                continue
            if read not in graph.steps:
                _unknown(context, graph, reader, read, use)
            elif read == reader:
                if placed is None and not use.after_step:
                    message = f"{reader!r} refers to itself: its own output is not there while it runs"
                    context.say("W050", use.pointer, message, step=reader)
            elif _concurrent(graph, read, reader):
                waits.append((read, reader, use))
            elif not _may_have_run(graph, read, reader):
                message = f"{reader!r} refers to {read!r}, which cannot have run before it"
                context.say("E012", use.pointer, message, "add an edge that leads from one to the other", step=reader)
        if waits and graph.flow is not None:
            core = graph.flow.knots((read, reader) for read, reader, _ in waits)
            for read, reader, use in waits:
                if read in core and reader in core:
                    message = f"{reader!r} waits for {read!r} in a parallel branch, which waits for {reader!r}"
                    context.say("E012", use.pointer, message, "break the circle of references", step=reader)
        for step_id, compensated in graph.compensations.items():
            if step_id not in graph.steps:
                for owner in compensated:
                    pointer = f"{graph.step_pointer(owner)}/compensation/compensationStep"
                    message = f"the compensation step {step_id!r} does not exist"
                    context.say("E010", pointer, message, did_you_mean(step_id, graph.steps), step=owner)


def _unknown(context: Context, graph: Graph, reader: str, read: str, use: Use) -> None:
    if any(read in outer.steps for outer in graph.outer()):
        message = f"{read!r} is a step of an outer graph, which is not visible in here"
        context.say("E010", use.pointer, message, "pass it in through config.variables", step=reader)
        return
    known = list(graph.steps)
    message = f"there is no step {read!r}; there are {listed(known)}"
    context.say("E010", use.pointer, message, did_you_mean(read, known), step=reader)


def _concurrent(graph: Graph, read: str, reader: str) -> bool:
    return graph.flow is not None and graph.flow.concurrent(read, reader)


def _may_have_run(graph: Graph, read: str, reader: str) -> bool:
    flow = graph.flow
    if flow is None or (reader not in flow.reachable and reader not in graph.compensations):
        return True  # E001 and E002 say what is wrong
    if flow.may_precede(read, reader):
        return True
    compensated = graph.compensations.get(reader, ())
    return any(read == step_id or flow.may_precede(read, step_id) for step_id in compensated)
