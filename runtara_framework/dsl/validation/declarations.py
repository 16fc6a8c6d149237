"""Rules about variables and schemas: names that may be declared, and declarations that contradict themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from runtara_framework.dsl.documents import escape
from runtara_framework.dsl.jsontext import plain_text
from runtara_framework.dsl.models import AgentStep, Scenario, SchemaField, SplitStep, WaitForSignalStep
from runtara_framework.dsl.patterns import matcher
from runtara_framework.dsl.schemas import check
from runtara_framework.dsl.validation.context import Context
from runtara_framework.dsl.validation.graphs import Graph
from runtara_framework.dsl.validation.operands import mappings

ONLY_OUTSIDE = {
    "input_schema": "inputSchema", "output_schema": "outputSchema", "on_cancel": "onCancel",
    "execution_timeout_seconds": "executionTimeoutSeconds", "rate_limit_budget_ms": "rateLimitBudgetMs",
}  # fmt: skip
_BELONGS = {
    "items": ("array",), "properties": ("object",), "pattern": ("string",),
    "min": ("integer", "number", "string", "array"), "max": ("integer", "number", "string", "array"),
}  # fmt: skip


def names(context: Context) -> None:
    """E019."""
    for graph in context.graphs:
        for name in graph.model.variables:
            _reserved(context, f"{graph.pointer}/variables/{escape(name)}", name, None)
        for key, step in graph.steps.items():
            for place, mapping in mappings(step):
                if place == "/config/variables":
                    for name in mapping:
                        _reserved(context, f"{graph.step_pointer(key)}{place}/{escape(name)}", name, key)


def _reserved(context: Context, pointer: str, name: str, step: str | None) -> None:
    if name.startswith("_"):
        message = f"the variable {name!r} begins with an underscore; such names are the system's"
        context.say("E019", pointer, message, f"call it {name.lstrip('_') or 'value'!r}", step=step)


def values(context: Context) -> None:
    """E059."""
    for graph in context.graphs:
        for name, variable in graph.model.variables.items():
            pointer = f"{graph.pointer}/variables/{escape(name)}/value"
            declared = {"value": {"type": variable.type, "nullable": True}}
            for violation in check(declared, {"value": variable.value}, "")[1]:
                context.say("E059", pointer, f"the value of the variable {name!r} {violation.message}")
        for pointer, step_id, schema in _schemas(graph):
            for place, field in _fields(pointer, schema):
                for problem in _contradictions(field):
                    context.say("E059", place, problem, step=step_id)


def _schemas(graph: Graph) -> Iterator[tuple[str, str | None, Mapping[str, SchemaField]]]:
    yield f"{graph.pointer}/inputSchema", None, graph.model.input_schema
    yield f"{graph.pointer}/outputSchema", None, graph.model.output_schema
    for key, step in graph.steps.items():
        base = graph.step_pointer(key)
        if isinstance(step, SplitStep):
            yield f"{base}/inputSchema", key, step.input_schema
            yield f"{base}/outputSchema", key, step.output_schema
        elif isinstance(step, WaitForSignalStep):
            yield f"{base}/responseSchema", key, step.response_schema or {}


def _fields(pointer: str, schema: Mapping[str, SchemaField]) -> Iterator[tuple[str, SchemaField]]:
    todo = [(f"{pointer}/{escape(name)}", field) for name, field in schema.items()][::-1]
    while todo:
        place, field = todo.pop()
        yield place, field
        if field.items:
            todo.append((f"{place}/items", field.items))
        for name, inner in (field.properties or {}).items():
            todo.append((f"{place}/properties/{escape(name)}", inner))


def _contradictions(field: SchemaField) -> Iterator[str]:
    if field.min is not None and field.max is not None and field.min > field.max:
        yield f"min {field.min:g} is greater than max {field.max:g}"
    if field.enum is not None and not field.enum:
        yield "enum allows no value at all"
    if field.pattern is not None:
        try:
            matcher(field.pattern)
        except ValueError as error:
            yield f"the pattern cannot be used: {error}"
            return
    for name, wanted in _BELONGS.items():
        if getattr(field, name) is not None and field.type not in wanted:
            yield f"{name} belongs to the type {' or '.join(wanted)}, not {field.type}"
    declared = field.model_dump(by_alias=True, exclude_unset=True, exclude={"default"})
    if field.default is not None:
        for violation in check({"default": declared}, {"default": field.default}, "its")[1]:
            yield f"{violation.path.replace('its.', 'its ', 1)} {violation.message}"
    for choice in field.enum or ():
        if choice is None:
            continue  # as good as leaving the field out
        for violation in check({"enum": {**declared, "required": True}}, {"enum": choice}, "its")[1][:1]:
            yield f"its enum has {plain_text(choice)[:60]}, which {violation.message}"


def idle(context: Context) -> None:
    """W081, of nested graphs and of steps that only undo others."""
    for graph in context.graphs:
        reachable = graph.flow.reachable if graph.flow else graph.steps.keys()
        for key in graph.compensations.keys() - reachable:
            step = graph.steps.get(key)
            if isinstance(step, AgentStep) and step.compensation is not None:
                context.say("W081", f"{graph.step_pointer(key)}/compensation",
                            f"{key!r} undoes a step, and what undoes is not undone itself", step=key)  # fmt: skip
        if graph.parent is None:
            continue
        for name, alias in ONLY_OUTSIDE.items():
            if graph.model.given(name) and getattr(graph.model, name):
                place = "on the step" if graph.kind == "Split" and "schema" in name else "on the outermost graph"
                context.say("W081", f"{graph.pointer}/{alias}", f"{alias} has no effect in a nested graph",
                            f"declare it {place}", step=graph.owner_key)  # fmt: skip


def idle_in_child(context: Context, child: Scenario) -> None:
    """W081, of a scenario that another one starts: what belongs to the instance is said by the outermost scenario."""
    graph = context.graphs[0]
    limit = "set `timeout` on the step that starts it"
    above = "declare it on the scenario that starts it"
    for alias, value, hint in (
        (f"{graph.pointer}/executionTimeoutSeconds", graph.model.execution_timeout_seconds, limit),
        ("/memoryTier", child.memory_tier, above),
        ("/debugMode", child.debug_mode, above),
    ):
        if value:
            context.say("W081", alias, f"{alias.rpartition('/')[2]} has no effect in a child scenario", hint)
