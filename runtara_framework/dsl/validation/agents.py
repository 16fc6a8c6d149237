"""Rules about Agent steps: the agent, its capability, its inputs; and the need for compensation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtara_framework.dsl.conditions import eq
from runtara_framework.dsl.documents import escape
from runtara_framework.dsl.jsontext import plain_text
from runtara_framework.dsl.mapping import is_reference
from runtara_framework.dsl.models import (
    AgentStep,
    ErrorStep,
    Immediate,
    SplitStep,
    StartScenarioStep,
    WaitForSignalStep,
    WhileStep,
)
from runtara_framework.dsl.schemas import kind_of
from runtara_framework.dsl.validation.context import Context
from runtara_framework.dsl.validation.findings import did_you_mean, listed
from runtara_framework.dsl.validation.graphs import Graph
from runtara_framework.errors import DriverNotFound

if TYPE_CHECKING:
    from runtara_framework.agents.metadata import CapabilityInfo, FieldInfo

CONNECTION_INPUTS = ("_connection", "connection_id")


def calls(context: Context) -> None:
    """E020 to E024, W020."""
    for graph in context.graphs:
        for key, step in graph.steps.items():
            if not isinstance(step, AgentStep):
                continue
            pointer = graph.step_pointer(key)
            info, problem = context.agent(step.agent_id)
            if info is None:
                known = context.agents.ids()
                if isinstance(problem, DriverNotFound):
                    message = f"there is no agent {step.agent_id!r}; there are {listed(known, 20)}"
                else:
                    message = f"the agent {step.agent_id!r} cannot be used: {problem}"
                context.say("E020", f"{pointer}/agentId", message, did_you_mean(step.agent_id, known), step=key)
                continue
            capability = info.capability(step.capability_id)
            if capability is None:
                ids = [known.id for known in info.capabilities]
                message = f"the agent {info.id!r} has no capability {step.capability_id!r}; it has {listed(ids, 40)}"
                hint = did_you_mean(step.capability_id, ids)
                context.say("E021", f"{pointer}/capabilityId", message, hint, step=key)
                continue
            _inputs(context, pointer, key, step, capability)


def _inputs(context: Context, pointer: str, key: str, step: AgentStep, capability: CapabilityInfo) -> None:
    fields: dict[str, FieldInfo] = {}
    for declared in capability.inputs:
        for name in (declared.name, *declared.aliases):
            fields[name] = declared
    mapping = step.input_mapping or {}
    given: dict[str, str] = {}  # input -> the name that it was given under
    for destination, value in mapping.items():
        name, _, below = destination.partition(".")
        place = f"{pointer}/inputMapping/{escape(destination)}"
        if name in CONNECTION_INPUTS:
            continue
        if name not in fields:
            if not capability.input_schema.get("additionalProperties"):
                known = [field.name for field in capability.inputs]
                message = f"{capability.id!r} has no input {name!r}; it has {listed(known, 30)}"
                context.say("W020", place, message, did_you_mean(name, known), step=key)
            continue
        other = given.setdefault(fields[name].name, name)
        if other != name:
            message = f"{other!r} and {name!r} are two names of one input"
            context.say("E006", place, message, "give one of them", step=key)
        if isinstance(value, Immediate) and not below:
            _literal(context, f"{place}/value", key, fields[name], value.value)
    for declared in capability.inputs:
        names = (declared.name, *declared.aliases)
        if any(context.is_opaque(f"{pointer}/inputMapping/{escape(name)}") for name in names):
            continue  # it is given, and what is wrong with it was said
        if declared.required and declared.name not in given and declared.name not in CONNECTION_INPUTS:
            message = f"{capability.id!r} needs the input {declared.name!r}"
            context.say("E022", f"{pointer}/inputMapping" if step.input_mapping is not None else pointer, message,
                        f"map {declared.name!r}", step=key)  # fmt: skip


_FITS: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
    "object": (dict,), "file": (dict, str),
}  # fmt: skip


def _literal(context: Context, pointer: str, key: str, declared: FieldInfo, value: Any) -> None:
    if is_reference(value):
        return
    if value is None:
        if declared.required and not declared.nullable:
            context.say("E023", pointer, f"the input {declared.name!r} may not be null", step=key)
        return
    wanted = _FITS.get(declared.type)
    whole = declared.type == "integer" and isinstance(value, float) and value.is_integer()
    odd_bool = isinstance(value, bool) and declared.type != "boolean"
    if wanted and not whole and (odd_bool or not isinstance(value, wanted)):
        what = (
            "a file" if declared.type == "file" else f"{'an' if declared.type[0] in 'aeiou' else 'a'} {declared.type}"
        )
        context.say("E023", pointer, f"the input {declared.name!r} is {what}, not {kind_of(value)}", step=key)
    elif declared.enum and not any(eq(value, choice) for choice in declared.enum):
        shown = [plain_text(choice) for choice in declared.enum]
        message = f"the input {declared.name!r} is one of {listed(shown, 20)}, not {plain_text(value)[:60]!r}"
        context.say("E024", pointer, message, did_you_mean(plain_text(value), shown), step=key)


def compensation(context: Context) -> None:
    """W060, where there is something to undo; once for a graph: without sagas it would else be said of every step."""
    for graph in context.graphs:
        if graph.flow is None:
            continue
        found: list[str] = []
        failing = ""
        later = _failing_later(graph)
        for key, step in graph.steps.items():
            if not isinstance(step, AgentStep) or step.compensation or key not in graph.flow.reachable:
                continue
            info = context.agent(step.agent_id).info
            capability = info.capability(step.capability_id) if info else None
            if capability is None or not _has_effects(step, capability):
                continue
            if later.get(key):
                failing = failing or later[key]
                found.append(key)
        if found:
            who = f"{found[0]!r} has" if len(found) == 1 else f"{listed(found, 8)} have"
            message = f"{who} side effects and no compensation, and a later step ({failing!r}) may fail"
            context.say("W060", graph.step_pointer(found[0]), message, "add a compensation", step=found[0])


def _has_effects(step: AgentStep, capability: CapabilityInfo) -> bool:
    """May the call have side effects, as far as its literals say?"""
    if not capability.side_effects:
        return False
    for field in capability.inputs:
        harmless = capability.harmless.get(field.name)
        if not harmless:
            continue
        given = [(step.input_mapping or {}).get(name) for name in (field.name, *field.aliases)]
        value = next((mapping for mapping in given if mapping is not None), None)
        literal = field.default if value is None else value.value if isinstance(value, Immediate) else None
        if literal is not None and any(eq(literal, one) for one in harmless):
            return False
    return True


def _failing_later(graph: Graph) -> dict[str, str]:
    """For each step one that may run after it and may fail; an empty text if there is none."""
    failing = (AgentStep, ErrorStep, SplitStep, WhileStep, StartScenarioStep, WaitForSignalStep)
    assert graph.flow is not None
    found: dict[str, str] = {}
    for step_id in reversed(graph.flow.order):
        found[step_id] = ""
        for target in graph.flow.successors(step_id):
            found[step_id] = found[step_id] or (target if isinstance(graph.steps[target], failing) else found[target])
    return found
