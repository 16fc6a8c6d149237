"""Rules about steps as a whole: ids, reachability, ends, names, sizes of numbers."""

from __future__ import annotations

import re

from runtara_framework.dsl.models import (
    AgentStep,
    ConditionalStep,
    FinishStep,
    SplitStep,
    StartScenarioStep,
    WhileStep,
)
from runtara_framework.dsl.validation.context import Context
from runtara_framework.dsl.validation.findings import listed
from runtara_framework.dsl.validation.graphs import Graph, UnknownStep

# Among the control characters are those that turn the direction of text: they make one id look like another.
_ID = re.compile(r"[^.\[\]\"'\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]{1,128}\Z")


def ids(context: Context) -> None:
    """E009."""
    for graph in context.graphs:
        for key, step in graph.steps.items():
            pointer = graph.step_pointer(key)
            if not _ID.match(key):
                reason = "1 to 128 characters, without dots, brackets, quotes and control characters"
                context.say("E009", pointer, f"{key[:140]!r} cannot be the id of a step: {reason}", step=key)
            elif not isinstance(step, UnknownStep) and step.id != key:
                message = f"the step under the key {key!r} has the id {step.id!r}"
                context.say("E009", f"{pointer}/id", message, f'write "id": "{key}"', step=key)


def reachability(context: Context) -> None:
    """E002, E003, W003."""
    for graph in context.graphs:
        flow = graph.flow
        if flow is None:
            continue
        known = set(flow.reachable)
        for lost in graph.lost_targets & flow.steps.keys():
            known.add(lost)
            known.update(step_id for step_id in flow.steps if flow.may_precede(lost, step_id))
        unreached = [step_id for step_id in graph.steps if step_id not in known and step_id not in graph.compensations]
        finishes = [step_id for step_id, step in graph.steps.items() if isinstance(step, FinishStep)]
        ends = _open_ends(graph)
        for step_id in unreached:
            context.say("E002", graph.step_pointer(step_id), f"no edge leads from the entry point to {step_id!r}",
                        "add an edge to it in executionPlan, or remove it", step=step_id)  # fmt: skip
        if finishes and not known & set(finishes):
            last = next((step_id for step_id in reversed(flow.order) if step_id in ends), flow.order[-1])
            suggestion = f"perhaps the edge from {last!r} to {finishes[0]!r} is missing"
            message = f"no Finish step can be reached: {listed(finishes)}"
            context.say("E003", f"{graph.pointer}/executionPlan", message, suggestion, step=finishes[0])
        for step_id, what in ends.items():
            context.say("W003", graph.step_pointer(step_id), f"{what}; the result of the graph is then null",
                        "lead it to a Finish step", step=step_id)  # fmt: skip


def _open_ends(graph: Graph) -> dict[str, str]:
    """Reachable steps after which a path ends without Finish or Error, outside of handlers, and how."""
    found: dict[str, str] = {}
    flow = graph.flow
    assert flow is not None
    for step_id in flow.order:
        step = graph.steps[step_id]
        if step_id not in flow.reachable or step_id in flow.handlers or step.ends:
            continue
        labels = {placed.edge.label for placed in graph.leaving.get(step_id, ())}
        if isinstance(step, ConditionalStep) and labels & {"true", "false"}:
            missing = [label for label in ("true", "false") if label not in labels]
            if missing:
                found[step_id] = f"the path ends when the condition of {step_id!r} is {missing[0]}"
        elif not labels - {"onError"}:
            found[step_id] = f"the path ends at {step_id!r}"
    return found


def names(context: Context) -> None:
    """E060."""
    first: dict[str, str] = {}
    for graph in context.graphs:
        for key, step in graph.steps.items():
            if step.name is None:
                continue
            if step.name in first:
                message = f"the name {step.name!r} is already that of the step {first[step.name]!r}"
                context.say("E060", f"{graph.step_pointer(key)}/name", message, "give each step its own name", step=key)
            first.setdefault(step.name, key)


_BOUNDS = {
    "maxRetries": ("W030", 50, "retries"),
    "retryDelay": ("W031", 3_600_000, "ms between retries"),
    "parallelism": ("W032", 100, "iterations at once"),
    "maxIterations": ("W033", 10_000, "iterations"),
    "timeout": ("W034", 3_600_000, "ms of timeout"),
}


def numbers(context: Context) -> None:
    """W030 to W034."""
    for graph in context.graphs:
        for key, step in graph.steps.items():
            pointer = graph.step_pointer(key)
            values: dict[str, int | None] = {}
            if isinstance(step, (AgentStep, StartScenarioStep)):
                values = {"maxRetries": step.max_retries, "retryDelay": step.retry_delay, "timeout": step.timeout}
            elif isinstance(step, SplitStep):
                pointer += "/config"
                values = {"maxRetries": step.config.max_retries, "retryDelay": step.config.retry_delay,
                          "timeout": step.config.timeout, "parallelism": step.config.parallelism}  # fmt: skip
            elif isinstance(step, WhileStep):
                pointer += "/config"
                values = {"timeout": step.config.timeout, "maxIterations": step.config.max_iterations}
            for name, value in values.items():
                code, most, unit = _BOUNDS[name]
                if value is not None and value > most:
                    message = f"{name} is {value}: more than {most} {unit} is seldom meant"
                    context.say(code, f"{pointer}/{name}", message, step=key)
