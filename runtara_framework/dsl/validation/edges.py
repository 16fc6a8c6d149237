"""Rules about edges: their ends, labels, priorities, and the merges of parallel branches."""

from __future__ import annotations

from runtara_framework.dsl.models import ON_ERROR, ConditionalStep, StepBase, SwitchStep
from runtara_framework.dsl.validation.context import Context
from runtara_framework.dsl.validation.findings import did_you_mean, listed
from runtara_framework.dsl.validation.graphs import Graph, PlacedEdge, UnknownStep

PLAIN = (None, "next")


def ends(context: Context) -> None:
    """E014, W041."""
    for graph in context.graphs:
        seen: list[tuple[PlacedEdge, object]] = []
        keys: set[object] = set()
        for placed in graph.edges:
            edge = placed.edge
            for name, target in (("fromStep", edge.from_step), ("toStep", edge.to_step)):
                if target not in graph.steps:
                    if name == "fromStep":
                        graph.lost_targets.add(edge.to_step)
                    known = list(graph.steps)
                    message = f"the edge names the step {target!r}, which does not exist; there are {listed(known)}"
                    context.say("E014", f"{placed.pointer}/{name}", message, did_you_mean(target, known))
            label = None if edge.label in PLAIN else edge.label
            key = (edge.from_step, edge.to_step, label)
            if key in keys and any(other == key and one.edge.condition == edge.condition for one, other in seen):
                message = f"there is another edge from {edge.from_step!r} to {edge.to_step!r} that says the same"
                context.say("W041", placed.pointer, message, "remove one of them", step=edge.from_step)
            keys.add(key)
            seen.append((placed, key))


def labels(context: Context) -> None:
    """E016, E072."""
    for graph in context.graphs:
        idle = set(graph.compensations) - (graph.flow.reachable if graph.flow else set(graph.steps))
        for placed in graph.known_edges:
            edge = placed.edge
            step = graph.steps[edge.from_step]
            if isinstance(step, UnknownStep):
                continue
            kind = getattr(step, "step_type", "")
            where = f"{placed.pointer}/label"
            if edge.from_step in idle:
                message = f"{step.id!r} runs only as a compensation, so nothing can come after it"
                context.say("E072", placed.pointer, message, "remove the edge", step=step.id)
            elif edge.label == ON_ERROR:
                if not step.on_error_allowed:
                    message = f"a {kind} step has no onError edge"
                    context.say("E016", where, message, "remove the edge", step=step.id)
            elif step.ends:
                message = f"a {kind} step ends its graph, so no edge can leave it"
                context.say("E072", placed.pointer, message, "remove the edge", step=step.id)
            else:
                _label(context, step, placed, where)
        for key, step in graph.steps.items():
            if isinstance(step, SwitchStep):
                _routes(context, graph, key, step)


def _label(context: Context, step: StepBase, placed: PlacedEdge, where: str) -> None:
    label = placed.edge.label
    if isinstance(step, ConditionalStep):
        allowed = ["true", "false"]
    elif isinstance(step, SwitchStep) and step.routes:
        allowed = [*step.routes, "default"]
    elif label in PLAIN:
        return
    else:
        message = f"the edge has the label {label!r}, but {step.id!r} does not choose between labels"
        context.say("E072", where, message, did_you_mean(str(label), ["onError", "next"]), step=step.id)
        return
    if label not in allowed:
        shown = "no label" if label is None else f"the label {label!r}"
        hint = did_you_mean(label, allowed) if label else f'add "label": "{allowed[-1]}" or another of them'
        message = f"an edge from {step.id!r} has {shown}; it chooses between {listed(allowed)}"
        context.say("E072", where if label is not None else placed.pointer, message, hint, step=step.id)


def _routes(context: Context, graph: Graph, key: str, step: SwitchStep) -> None:
    labels = {placed.edge.label for placed in graph.leaving.get(key, ())}
    said: set[str] = set()
    for index, case in enumerate(step.config.cases):
        if case.route is not None and case.route not in labels and case.route not in said:
            said.add(case.route)
            message = f"no edge from {key!r} has the label {case.route!r}"
            context.say("E072", f"{graph.step_pointer(key)}/config/cases/{index}/route", message,
                        did_you_mean(case.route, [label for label in labels if label]), step=key)  # fmt: skip


def choices(context: Context) -> None:
    """E070, E071."""
    for graph in context.graphs:
        groups: dict[tuple[str, str | None], list[PlacedEdge]] = {}
        for placed in graph.known_edges:
            label = None if placed.edge.label in PLAIN else placed.edge.label
            groups.setdefault((placed.edge.from_step, label), []).append(placed)
        for (step_id, label), group in groups.items():
            priorities: dict[int, PlacedEdge] = {}
            plain: list[PlacedEdge] = []
            targets: set[str] = set()
            conditioned = any(placed.edge.condition is not None for placed in group)
            for placed in group:
                edge = placed.edge
                if edge.condition is None:
                    if edge.to_step not in targets:  # the same edge twice is W041, and no choice
                        plain.append(placed)
                    targets.add(edge.to_step)
                    continue
                priority = edge.priority or 0
                if priority in priorities and edge != priorities[priority].edge:
                    other = priorities[priority].edge.to_step
                    message = f"this edge and the one to {other!r} both have the priority {priority}"
                    context.say("E070", placed.pointer, message, "give them different priorities", step=step_id)
                priorities.setdefault(priority, placed)
            if len(plain) > 1 and (conditioned or label is not None):
                what = f"{len(plain)} edges from {step_id!r} with the label {label!r}" if label else (
                    f"{len(plain)} edges from {step_id!r} beside conditioned ones")  # fmt: skip
                for placed in plain[1:]:
                    context.say("E071", placed.pointer, f"{what} have no condition; at most one may be the default",
                                "give all but one a condition", step=step_id)  # fmt: skip


def circles(context: Context) -> None:
    """E073, E074."""
    for graph in context.graphs:
        flow = graph.flow
        if flow is None:
            continue
        for edge, way in flow.cycles:
            pointer = next(placed.pointer for placed in graph.known_edges if placed.edge is edge)
            shown = " -> ".join([*map(repr, way[:12]), repr(way[0])])
            context.say("E074", pointer, f"the edges form a circle: {shown}",
                        "remove the edge; repeat steps with a While", step=edge.from_step)  # fmt: skip
        for fork in flow.forks:
            if flow.merge(fork) is None:
                heads = listed(list(flow.branches(fork)))
                context.say("E073", graph.step_pointer(fork), f"the parallel branches {heads} never meet again",
                            "lead all of them to one step", step=fork)  # fmt: skip
