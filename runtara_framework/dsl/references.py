"""Every reference that a step or an edge makes: its path, where it stands, and what is in scope there.

The one walk over mappings, conditions, templates, agents' literals and Switch outputs. It works on models, uses
no recursion, and never fails: what is malformed is part of the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from runtara_framework.dsl.documents import escape
from runtara_framework.dsl.errors import CoercionFailed, PathSyntaxError, TemplateFailed
from runtara_framework.dsl.mapping import coerce, is_mapping, is_reference
from runtara_framework.dsl.models import (
    AgentStep,
    Composite,
    CompositeTest,
    ConditionalStep,
    DelayStep,
    Edge,
    ErrorStep,
    ExecutionGraph,
    FilterStep,
    FinishStep,
    GroupByStep,
    Immediate,
    ImmediateTest,
    LogStep,
    MappingValue,
    Operation,
    Reference,
    ReferenceTest,
    SplitStep,
    StartScenarioStep,
    StepBase,
    SwitchStep,
    Template,
    TemplateTest,
    WaitForSignalStep,
    WhileStep,
)
from runtara_framework.dsl.paths import Path, parse_path

if TYPE_CHECKING:
    from runtara_framework.dsl.templates import Call

NO_ROOTS: frozenset[str] = frozenset()
ITEM = frozenset({"item"})
LOOP = frozenset({"loop"})
ERROR = frozenset({"__error", "error"})

_mapping_value: TypeAdapter[Any] = TypeAdapter(MappingValue)


class Use(NamedTuple):
    """One reference: its path, or why it has none; or what a template calls."""

    pointer: str
    """Where it stands, from the step or edge on."""
    path: Path | None
    problem: PathSyntaxError | TemplateFailed | str | None = None
    has_default: bool = False
    in_template: bool = False
    roots: frozenset[str] = NO_ROOTS
    """Roots in scope at this place beside those of the graph."""
    destination: str | None = None
    """The key of the step's input mapping that it is (part of) the value of."""
    after_step: bool = False
    """Is it resolved when the step has completed, so that it may read the step's own output?"""
    calls: frozenset[Call] = frozenset()
    """The functions, filters and tests of a template (then there is no path)."""


class Place(NamedTuple):
    """A mapping value, condition or literal inside a step, before its references are looked for."""

    pointer: str
    value: Any
    kind: str = "value"  # value | agent (a value whose literals may hold references) | output (a Switch literal)
    roots: frozenset[str] = NO_ROOTS
    destination: str | None = None
    after_step: bool = False


def of_step(step: StepBase) -> Iterator[Use]:
    """The references of a step, without those of graphs inside it and of its edges."""
    for place in places(step):
        yield from _uses(place)


def of_edge(edge: Edge) -> Iterator[Use]:
    """The references in the condition of an edge."""
    if edge.condition is not None:
        yield from _uses(Place("/condition", edge.condition, roots=ERROR if edge.is_error else NO_ROOTS))


def steps_read(uses: Iterable[Use]) -> set[str]:
    """The ids of the steps that these references name, `__error` left out."""
    return {
        str(use.path.segments[1])
        for use in uses
        if use.path and use.path.root == "steps" and len(use.path.segments) > 1 and use.path.segments[1] != "__error"
    }


def reads_of(graph: ExecutionGraph) -> dict[str, frozenset[str]]:
    """For each step the ids of the steps that it, or the condition of an edge out of it, refers to."""
    found = {step_id: steps_read(of_step(step)) for step_id, step in graph.steps.items()}
    for edge in graph.execution_plan:
        found[edge.from_step] |= steps_read(of_edge(edge))
    return {step_id: frozenset(reads) for step_id, reads in found.items()}


def places(step: StepBase) -> Iterator[Place]:
    """Where a step has mapping values, conditions and literals with mappings."""
    if isinstance(step, AgentStep):
        yield from _mapping("/inputMapping", step.input_mapping, "agent")
        if step.compensation:
            for place in _mapping("/compensation/compensationData", step.compensation.compensation_data):
                yield place._replace(after_step=True)
    elif isinstance(step, (FinishStep, StartScenarioStep)):
        yield from _mapping("/inputMapping", step.input_mapping)
    elif isinstance(step, (LogStep, ErrorStep)):
        yield from _mapping("/context", step.context)
    elif isinstance(step, ConditionalStep):
        yield Place("/condition", step.condition)
    elif isinstance(step, SwitchStep):
        yield Place("/config/value", step.config.value)
        for index, case in enumerate(step.config.cases):
            yield Place(f"/config/cases/{index}/output", case.output, "output")
        yield Place("/config/default", step.config.default, "output")
    elif isinstance(step, SplitStep):
        yield Place("/config/value", step.config.value)
        yield from _mapping("/config/variables", step.config.variables)
    elif isinstance(step, WhileStep):
        yield Place("/condition", step.condition, roots=LOOP)
        yield from _mapping("/config/variables", step.config.variables)
    elif isinstance(step, FilterStep):
        yield Place("/config/value", step.config.value)
        yield Place("/config/condition", step.config.condition, roots=ITEM)
    elif isinstance(step, GroupByStep):
        yield Place("/config/value", step.config.value)
    elif isinstance(step, DelayStep):
        yield Place("/durationMs", step.duration_ms)
    elif isinstance(step, WaitForSignalStep):
        if step.timeout_ms is not None:
            yield Place("/timeoutMs", step.timeout_ms)
        if step.action:
            yield from _mapping("/action/correlation", step.action.correlation)
            yield from _mapping("/action/context", step.action.context)


def _mapping(pointer: str, mapping: Mapping[str, Any] | None, kind: str = "value") -> Iterator[Place]:
    for key, value in (mapping or {}).items():
        yield Place(f"{pointer}/{escape(key)}", value, kind, destination=key)


def _uses(place: Place) -> Iterator[Use]:
    if place.kind == "output":
        stack = [(place.pointer, _Literal(place.value))]
    else:
        stack = [(place.pointer, place.value)]
    for_agent = place.kind == "agent"
    while stack:
        pointer, value = stack.pop()
        if isinstance(value, (Reference, ReferenceTest)):
            yield _reference(place, f"{pointer}/value", value.value, value.given("default"))
            if (problem := _default_problem(value)) is not None:
                yield Use(f"{pointer}/default", None, problem)
        elif isinstance(value, (Template, TemplateTest)):
            yield from _template(place, f"{pointer}/value", value.value)
        elif isinstance(value, Operation):
            stack += [(f"{pointer}/arguments/{i}", argument) for i, argument in enumerate(value.arguments)][::-1]
        elif isinstance(value, (Composite, CompositeTest)):
            stack += _members(f"{pointer}/value", value.value)
        elif isinstance(value, (Immediate, ImmediateTest)):
            if for_agent and isinstance(value.value, (dict, list)):
                stack.append((f"{pointer}/value", _Literal(value.value)))
        elif isinstance(value, _Literal):
            literal = value.value
            if is_reference(literal) if for_agent else is_mapping(literal):
                try:
                    model = _mapping_value.validate_python(literal)
                except ValidationError as error:
                    yield Use(pointer, None, f"it looks like a mapping value, but: {error.errors()[0]['msg']}")
                    continue
                if not isinstance(model, Immediate):
                    stack.append((pointer, model))
            elif isinstance(literal, (dict, list)):
                stack += [(at, _Literal(member)) for at, member in _members(pointer, literal)]


class _Literal(NamedTuple):
    value: Any


def _members(pointer: str, value: dict[str, Any] | list[Any]) -> list[tuple[str, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    return [(f"{pointer}/{escape(key)}", member) for key, member in pairs][::-1]


def _reference(place: Place, pointer: str, text: str, has_default: bool) -> Use:
    path: Path | None = None
    problem: PathSyntaxError | None = None
    try:
        path = parse_path(text)
    except PathSyntaxError as error:
        problem = error
    return Use(pointer, path, problem, has_default, False, place.roots, place.destination, place.after_step)


def _default_problem(value: Reference | ReferenceTest) -> str | None:
    """Why the default of a reference can never be used, if so."""
    mapping = value.mapping if isinstance(value, ReferenceTest) else value
    try:
        coerce(mapping.default, mapping.type)
    except CoercionFailed as error:
        return f"the default {error.message}"
    return None


def _template(place: Place, pointer: str, text: str) -> Iterator[Use]:
    from runtara_framework.dsl import templates  # jinja2 is loaded by the first template

    try:
        found, calls = templates.read(text)
    except TemplateFailed as error:
        yield Use(pointer, None, error, in_template=True)
        return
    if calls:
        yield Use(pointer, None, in_template=True, calls=calls)
    for segments in sorted(set(found), key=str):
        yield Use(pointer, Path(segments), None, False, True, place.roots, place.destination, place.after_step)
