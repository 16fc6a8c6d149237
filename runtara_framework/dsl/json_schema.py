"""The published JSON Schema of scenarios (draft 2020-12), generated from the models."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from runtara_framework.dsl.models import ExecutionGraph, Scenario


class _Generator(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False  # "Steptype" beside "stepType" helps nobody


def scenario_schema() -> dict[str, Any]:
    """The JSON Schema of a document: a scenario, or a bare execution graph.

    What it accepts has the right shape; `validation.validate` knows the rest (references, flow, agents).
    """
    adapter: TypeAdapter[Any] = TypeAdapter(Scenario | ExecutionGraph)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Runtara scenario",
        "description": "A scenario, or a bare execution graph.",
        **adapter.json_schema(by_alias=True, mode="validation", schema_generator=_Generator),
    }
