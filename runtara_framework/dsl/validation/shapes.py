"""What is known of values before they exist: the shape of data, of step outputs and of roots.

A shape is open wherever nothing is declared; then nothing is said about paths into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from runtara_framework.dsl.models import (
    AgentStep,
    ConditionalStep,
    ConnectionStep,
    DelayStep,
    FilterStep,
    GroupByStep,
    LogStep,
    SchemaField,
    SplitStep,
    StartScenarioStep,
    StepBase,
    SwitchStep,
    WaitForSignalStep,
    WhileStep,
)
from runtara_framework.dsl.paths import Segment, format_path
from runtara_framework.dsl.validation.context import Context
from runtara_framework.dsl.validation.findings import did_you_mean, listed


@dataclass(frozen=True, slots=True)
class Shape:
    """The kind of a value and, where they are declared, its fields or members."""

    kind: Literal["any", "object", "array", "scalar"] = "any"
    fields: Mapping[str, Shape] | None = None
    """None: any field may be there."""
    items: Shape | None = None
    what: str = "it"


ANY = Shape()
SCALAR = Shape("scalar")


@dataclass(frozen=True, slots=True)
class Miss:
    """Where a path leaves what is declared."""

    kind: Literal["unknown", "scalar", "array"]
    depth: int
    """How many segments are fine."""
    message: str
    suggestion: str | None = None


def walk(shape: Shape, segments: tuple[Segment, ...], *, start: int = 1) -> Miss | None:
    """Follow a path through a shape; `start` is the first segment that is not the shape's own name."""
    for depth in range(start, len(segments)):
        segment = segments[depth]
        so_far = format_path(segments[:depth])
        if shape.kind == "scalar":
            return Miss("scalar", depth, f"{so_far!r} is no object or array, so {segment!r} of it is always null")
        if shape.kind == "array":
            if isinstance(segment, str):
                message = f"{so_far!r} is an array, which has no key {segment!r}"
                return Miss("array", depth, message, f"use an index, such as {so_far}[0]")
            shape = shape.items or ANY
        elif shape.kind == "object" and shape.fields is not None:
            name = str(segment)
            if name not in shape.fields:
                known = list(shape.fields)
                message = f"{so_far!r} has no field {name!r}; it has {listed(known)}"
                return Miss("unknown", depth, message, did_you_mean(name, known))
            shape = shape.fields[name]
        else:
            return None
    return None


def of_schema(schema: Mapping[str, SchemaField] | None) -> Shape:
    """The shape of an object with declared fields; open when none are."""
    if not schema:
        return ANY
    return Shape("object", {name: _of_field(declared) for name, declared in schema.items()})


def _of_field(declared: SchemaField) -> Shape:
    if declared.type == "array":
        return Shape("array", items=_of_field(declared.items) if declared.items else None)
    if declared.type == "object":
        return of_schema(declared.properties) if declared.properties else Shape("object")
    if declared.type == "file":
        return Shape("object", {"content": SCALAR, "filename": SCALAR, "mimeType": SCALAR})
    return SCALAR


def of_json_schema(schema: Mapping[str, Any], depth: int = 0, root: Mapping[str, Any] | None = None) -> Shape:
    """The shape that a JSON Schema describes, as far as it is closed and plain."""
    root = schema if root is None else root
    if depth > 16 or not isinstance(schema, Mapping):
        return ANY
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target: Any = root
        for part in reference.removeprefix("#/").split("/"):
            target = target.get(part) if isinstance(target, Mapping) else None
        return of_json_schema(target, depth + 1, root) if isinstance(target, Mapping) else ANY
    choices = [c for c in schema.get("anyOf", ()) if isinstance(c, Mapping) and c.get("type") != "null"]
    if choices:
        return of_json_schema(choices[0], depth + 1, root) if len(choices) == 1 else ANY
    kind = schema.get("type")
    if kind == "object":
        properties = schema.get("properties")
        if not isinstance(properties, Mapping) or schema.get("additionalProperties"):
            return Shape("object")
        return Shape("object", {name: of_json_schema(inner, depth + 1, root) for name, inner in properties.items()})
    if kind == "array":
        items = schema.get("items")
        return Shape("array", items=of_json_schema(items, depth + 1, root) if isinstance(items, Mapping) else None)
    return SCALAR if kind in ("string", "integer", "number", "boolean") else ANY


def _fields(*names: str) -> dict[str, Shape]:
    return dict.fromkeys(names, ANY)


def _object(**fields: Shape) -> Shape:
    return Shape("object", fields)


ERROR = Shape(
    "object",
    {
        **dict.fromkeys(
            ("code", "message", "category", "severity", "stepId", "stepName", "stepType", "retryAfterMs"), SCALAR
        ),
        **_fields("attributes", "cause"),
    },
)
LOOP = _object(index=SCALAR, outputs=ANY)
ITERATION = _object(index=SCALAR, indices=Shape("array", items=SCALAR), item=ANY)
_COUNTS = ("success", "error", "aborted", "unknown", "skipped")


@dataclass(slots=True)
class StepShapes:
    """The shapes of `steps.<id>`, computed once for each step."""

    context: Context
    known: dict[int, Shape] = field(default_factory=dict)

    def of(self, step: StepBase, *, can_fail_over: bool) -> Shape:
        """The envelope of a step; with `error` when a handler can go on after its failure."""
        if id(step) not in self.known:
            outputs, siblings = self._outputs(step)
            fields = {"stepId": SCALAR, "stepName": SCALAR, "stepType": SCALAR, "outputs": outputs, **siblings}
            if can_fail_over:
                fields["error"] = ERROR
            self.known[id(step)] = Shape("object", fields)
        return self.known[id(step)]

    def _outputs(self, step: StepBase) -> tuple[Shape, dict[str, Shape]]:
        if isinstance(step, AgentStep):
            info = self.context.agent(step.agent_id).info
            capability = info.capability(step.capability_id) if info else None
            return (of_json_schema(capability.output_schema) if capability else ANY), {}
        if isinstance(step, ConditionalStep):
            return _object(result=SCALAR), {}
        if isinstance(step, SwitchStep):
            return ANY, {"route": SCALAR}
        if isinstance(step, SplitStep):
            lists = _object(
                success=Shape("array"), error=Shape("array", items=_object(index=SCALAR, error=ERROR)),
                aborted=Shape("array", items=SCALAR), unknown=Shape("array", items=SCALAR),
                skipped=Shape("array", items=SCALAR),
            )  # fmt: skip
            stats = Shape("object", dict.fromkeys((*_COUNTS, "total"), SCALAR))
            items = of_schema(step.output_schema)
            return Shape("array", items=items), {"data": lists, "stats": stats, "hasFailures": SCALAR}
        if isinstance(step, WhileStep):
            return _object(iterations=SCALAR, outputs=ANY), {"iterations": SCALAR}
        if isinstance(step, StartScenarioStep):
            child = self.context.child_of(step)
            return (of_schema(child[1].output_schema) if child else ANY), {"childScenarioId": SCALAR}
        if isinstance(step, LogStep):
            return _object(level=SCALAR, message=SCALAR), {}
        if isinstance(step, ConnectionStep):
            return _object(parameters=ANY, integration_id=SCALAR, connection_subtype=SCALAR), {}
        if isinstance(step, FilterStep):
            return _object(items=Shape("array"), count=SCALAR), {}
        if isinstance(step, GroupByStep):
            return _object(groups=Shape("object"), counts=Shape("object"), total_groups=SCALAR), {}
        if isinstance(step, DelayStep):
            return _object(duration_ms=SCALAR), {"duration_ms": SCALAR}
        if isinstance(step, WaitForSignalStep):
            return of_schema(step.response_schema), {"signal_id": SCALAR}
        return ANY, {}
