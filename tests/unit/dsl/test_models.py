"""The models accept documents as people write them, and give them back unchanged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from runtara_framework.dsl.models import AgentStep, ExecutionGraph, Reference, ReferenceTest, Scenario, WhileStep


def graph(**steps: dict[str, Any]) -> dict[str, Any]:
    return {
        "steps": {key: {"id": key, **step} for key, step in steps.items()},
        "entryPoint": next(iter(steps)),
    }


def test_defaults_are_those_of_the_dsl() -> None:
    step = ExecutionGraph.model_validate(
        graph(call={"stepType": "Agent", "agentId": "http", "capabilityId": "request"})
    ).steps["call"]
    assert isinstance(step, AgentStep)
    assert (step.max_retries, step.retry_delay, step.timeout, step.durable) == (3, 1000, None, True)
    loop = {"stepType": "While", "id": "w", "condition": {"type": "value", "valueType": "immediate", "value": 1}}
    body = graph(done={"stepType": "Finish"})
    assert WhileStep.model_validate({**loop, "subgraph": body}).config.max_iterations == 10


@pytest.mark.parametrize("change", [{"maxRetrys": 3}, {"maxRetries": "3"}, {"maxRetries": -1}, {"max_retries": 3}])
def test_unknown_keys_and_values_of_another_type_are_refused(change: dict[str, Any]) -> None:
    document = graph(call={"stepType": "Agent", "agentId": "http", "capabilityId": "request", **change})
    with pytest.raises(ValidationError):
        ExecutionGraph.model_validate(document)


def test_a_value_condition_knows_its_mapping_and_whether_a_default_was_given() -> None:
    bare = {"type": "value", "valueType": "reference", "value": "data.x", "valueTypeHint": "integer"}
    assert ReferenceTest.model_validate(bare).mapping == Reference(
        valueType="reference", value="data.x", type="integer"
    )
    assert not ReferenceTest.model_validate(bare).mapping.given("default")
    assert ReferenceTest.model_validate({**bare, "default": None}).mapping.given("default")


def test_a_document_survives_loading_and_saving_unchanged() -> None:
    document = {"executionGraph": graph(end={"stepType": "Finish", "inputMapping": {"a": {
        "valueType": "composite", "value": [{"valueType": "reference", "value": "data.x", "default": None}]}}}),
        "memoryTier": "M"}  # fmt: skip
    scenario = Scenario.model_validate(document)
    assert json.loads(scenario.model_dump_json(by_alias=True, exclude_unset=True)) == document
