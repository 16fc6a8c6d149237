"""The default variables of a compilation: values beside those that a scenario declares, and instead of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runtara_framework.dsl.fields import FieldType, Variable
from runtara_framework.dsl.jsontext import json_text
from runtara_framework.dsl.models import ExecutionGraph
from runtara_framework.dsl.schemas import check
from runtara_framework.dsl.validation.findings import Finding

_KINDS: Mapping[type, FieldType] = {
    str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object",
}  # fmt: skip


def findings(document: Any, values: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with default variables, for a document of which nothing need be right (E018, E019, E059)."""
    graph = document.get("executionGraph", document) if isinstance(document, dict) else None
    declared = graph.get("variables") if isinstance(graph, Mapping) else None
    for name, value in values.items():
        what = f"the default variable {name!r}"
        if not isinstance(name, str) or not _is_json([name, value]):
            yield Finding(code="E018", message=f"{what} is not JSON, a text and any value")
            continue
        if name.startswith("_"):
            yield Finding(code="E019", message=f"{what} begins with an underscore; such names are the system's")
        own = declared.get(name) if isinstance(declared, Mapping) else None
        if isinstance(own, Mapping):
            for violation in check({"value": {"type": own.get("type"), "nullable": True}}, {"value": value}, "")[1]:
                yield Finding(code="E059", message=f"{what} {violation.message}, as the scenario declares it")


def _is_json(value: Any) -> bool:
    try:
        json_text(value).encode()
    except (TypeError, ValueError):
        return False
    return True


def applied(graph: ExecutionGraph, values: Mapping[str, Any]) -> ExecutionGraph:
    """The graph with other values for its variables; those that it does not declare are declared."""
    if not values:
        return graph
    variables = dict(graph.variables)
    for name, value in values.items():
        declared = variables.get(name)
        variables[name] = (
            Variable(type=_KINDS.get(type(value), "object"), value=value)
            if declared is None
            else declared.model_copy(update={"value": value})
        )
    return graph.model_copy(update={"variables": variables})
