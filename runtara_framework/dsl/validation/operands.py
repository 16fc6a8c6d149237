"""Rules about single mappings and conditions: syntax of paths and templates, destinations, arity, match values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runtara_framework.dsl.conditions import ARITY, RANGE_BOUNDS
from runtara_framework.dsl.documents import escape
from runtara_framework.dsl.errors import PathSyntaxError, TemplateFailed
from runtara_framework.dsl.models import (
    AgentStep,
    ErrorStep,
    FinishStep,
    GroupByStep,
    InputMapping,
    LogStep,
    Operation,
    SplitStep,
    StartScenarioStep,
    StepBase,
    SwitchCase,
    SwitchStep,
    WaitForSignalStep,
    WhileStep,
)
from runtara_framework.dsl.paths import parse_path
from runtara_framework.dsl.references import places
from runtara_framework.dsl.validation.context import Context
from runtara_framework.dsl.validation.findings import did_you_mean


def syntax(context: Context) -> None:
    """E011, E061; E018 for a literal that is nearly a mapping."""
    for graph in context.graphs:
        for step_id, use, _ in graph.uses:
            if isinstance(use.problem, PathSyntaxError):
                context.say("E011", use.pointer, use.problem.message, step=step_id)
            elif isinstance(use.problem, TemplateFailed):
                context.say("E061", use.pointer, use.problem.message, step=step_id)
            elif use.problem is not None:
                context.say("E018", use.pointer, use.problem, step=step_id)
        for key, step in graph.steps.items():
            if isinstance(step, GroupByStep):
                try:
                    parse_path(step.config.key)
                except PathSyntaxError as error:
                    context.say("E011", f"{graph.step_pointer(key)}/config/key", error.message, step=key)


def calls(context: Context) -> None:
    """E062."""
    for graph in context.graphs:
        for step_id, use, _ in graph.uses:
            for kind, name in sorted(use.calls):
                known = _callable(context, kind)
                if name not in known:
                    hint = did_you_mean(name, known)
                    if hint is None and kind != "test" and context.functions is None:
                        hint = "if a product's stdlib has it, choose that one: --stdlib NAME, or RUNTARA_STDLIB_NAME"
                    context.say("E062", use.pointer, f"templates have no {kind} {name!r}", hint, step=step_id)


def _callable(context: Context, kind: str) -> frozenset[str]:
    from runtara_framework.dsl import templates  # jinja2 is loaded by the first template

    return templates.known(kind, context.functions)


def destinations(context: Context) -> None:
    """E006."""
    for graph in context.graphs:
        for key, step in graph.steps.items():
            for place, mapping in mappings(step):
                pointer = graph.step_pointer(key) + place
                full: set[str] = set()
                inner: set[str] = set()
                for name in mapping:
                    parts = name.split(".")
                    above = {".".join(parts[:count]) for count in range(1, len(parts))}
                    at = f"{pointer}/{escape(name)}"
                    if "" in parts:
                        context.say("E006", at, f"the destination {name!r} has an empty part", step=key)
                    elif name in inner or above & full:
                        other = next((known for known in full if known in above or known.startswith(f"{name}.")), name)
                        message = f"the destinations {other!r} and {name!r} want the same place"
                        context.say("E006", at, message, "rename one of them", step=key)
                    else:
                        full.add(name)
                        inner |= above


def mappings(step: StepBase) -> Iterator[tuple[str, InputMapping]]:
    """The input mappings of a step, each with its place in it."""
    found: dict[str, InputMapping | None] = {}
    if isinstance(step, (AgentStep, FinishStep, StartScenarioStep)):
        found["/inputMapping"] = step.input_mapping
    if isinstance(step, AgentStep) and step.compensation:
        found["/compensation/compensationData"] = step.compensation.compensation_data
    if isinstance(step, (LogStep, ErrorStep)):
        found["/context"] = step.context
    if isinstance(step, (SplitStep, WhileStep)):
        found["/config/variables"] = step.config.variables
    if isinstance(step, WaitForSignalStep) and step.action:
        found["/action/correlation"] = step.action.correlation
        found["/action/context"] = step.action.context
    return ((place, mapping) for place, mapping in found.items() if mapping)


def operators(context: Context) -> None:
    """E007, and E018 for match values of the wrong sort."""
    for graph in context.graphs:
        for key, step in graph.steps.items():
            base = graph.step_pointer(key)
            for place in places(step):
                _arity(context, base + place.pointer, place.value, key)
            if isinstance(step, SwitchStep):
                for index, case in enumerate(step.config.cases):
                    _match(context, f"{base}/config/cases/{index}/match", case, key)
        for placed in graph.edges:
            _arity(context, f"{placed.pointer}/condition", placed.edge.condition, placed.edge.from_step)


def _arity(context: Context, pointer: str, condition: Any, step_id: str) -> None:
    todo = [(pointer, condition)]
    while todo:
        place, value = todo.pop()
        if not isinstance(value, Operation):
            continue
        count = len(value.arguments)
        least, most = ARITY[value.op]
        if count < least or (most is not None and count > most):
            wanted = f"{least}" if least == most else f"at least {least}"
            message = f"{value.op} takes {wanted} argument{'' if least == 1 else 's'}, not {count}"
            context.say("E007", f"{place}/arguments", message, step=step_id)
        todo += [(f"{place}/arguments/{index}", argument) for index, argument in enumerate(value.arguments)][::-1]


def _match(context: Context, pointer: str, case: SwitchCase, step_id: str) -> None:
    match = case.match
    if case.match_type == "BETWEEN" and not (isinstance(match, list) and len(match) == 2):
        context.say("E007", pointer, "BETWEEN takes an array of two: [least, greatest]", step=step_id)
    elif case.match_type == "RANGE":
        if not isinstance(match, dict) or not match or not match.keys() <= RANGE_BOUNDS.keys():
            message = f"RANGE takes an object with one or more of {', '.join(RANGE_BOUNDS)}"
            context.say("E018", pointer, message, step=step_id)
    elif case.match_type in ("IN", "NOT_IN") and not isinstance(match, list):
        context.say("E018", pointer, f"{case.match_type} takes an array", step=step_id)
