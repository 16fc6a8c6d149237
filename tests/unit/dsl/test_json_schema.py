"""The published JSON Schema accepts what people write, refuses what the models refuse, and is itself valid."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from runtara_framework.dsl.json_schema import scenario_schema
from runtara_framework.dsl.models import STEP_MODELS

from .documents import edge, fin, graph, lit, log, op, ref
from .test_validation import CLEAN

ORDER_PROCESSING = {
    "name": "Order Processing",
    "description": "Process incoming orders with validation and fulfillment",
    "steps": {
        "validate": {"stepType": "Agent", "id": "validate", "agentId": "http", "capabilityId": "request", "inputMapping": {
            "url": {"valueType": "immediate", "value": "https://api.example.com/validate"},
            "body": {"valueType": "reference", "value": "data.order"}}},
        "notify": {"stepType": "Agent", "id": "notify", "agentId": "http", "capabilityId": "request", "inputMapping": {
            "url": {"valueType": "immediate", "value": "https://api.example.com/notify"}}},
        "finish": {"stepType": "Finish", "id": "finish", "inputMapping": {
            "result": {"valueType": "reference", "value": "steps.notify.outputs"}}},
    },
    "entryPoint": "validate",
    "executionPlan": [{"fromStep": "validate", "toStep": "notify"}, {"fromStep": "notify", "toStep": "finish"}],
}  # fmt: skip
DATA_PROCESSING = {
    "name": "Data Processing",
    "steps": {
        "fetch": {"stepType": "Agent", "id": "fetch", "agentId": "http", "capabilityId": "request", "inputMapping": {
            "url": {"valueType": "reference", "value": "data.endpoint"}}},
        "transform": {"stepType": "Agent", "id": "transform", "agentId": "transform", "capabilityId": "map-fields",
                      "inputMapping": {"source": {"valueType": "reference", "value": "steps.fetch.outputs"}}},
        "finish": {"stepType": "Finish", "id": "finish", "inputMapping": {
            "result": {"valueType": "reference", "value": "steps.transform.outputs"}}},
    },
    "entryPoint": "fetch",
    "executionPlan": [{"fromStep": "fetch", "toStep": "transform"}, {"fromStep": "transform", "toStep": "finish"}],
}  # fmt: skip
SPLIT_DEMO = {
    "name": "split-demo", "entryPoint": "each",
    "variables": {"limit": {"type": "integer", "value": 10}},
    "inputSchema": {"orders": {"type": "array", "required": True}},
    "steps": {
        "each": {
            "stepType": "Split", "id": "each", "name": "Every order",
            "config": {"value": ref("data.orders"), "dontStopOnFailed": True, "variables": {"cap": ref("variables.limit")}},
            "subgraph": {
                "entryPoint": "check",
                "steps": {
                    "check": {"stepType": "Conditional", "id": "check",
                              "condition": op("LTE", ref("data.qty"), ref("variables.cap"))},
                    "ok": {"stepType": "Finish", "id": "ok",
                           "inputMapping": {"outputs.sku": ref("data.sku", type="string", default="?")}},
                    "big": {"stepType": "Finish", "id": "big", "inputMapping": {"outputs.big": lit(True)}},
                },
                "executionPlan": [edge("check", "ok", "true"), edge("check", "big", "false")],
            },
        },
        "done": {"stepType": "Finish", "id": "done", "inputMapping": {
            "results": ref("steps.each.outputs"), "stats": ref("steps.each.stats"),
            "meta": {"valueType": "composite", "value": {
                "first": ref("steps['each'].outputs[0]"), "tags": {"valueType": "composite", "value": [lit("a")]}}}}},
    },
    "executionPlan": [edge("each", "done")],
}  # fmt: skip
ROUTED_ERROR = {
    "steps": {"call": {"stepType": "Agent", "id": "call", "agentId": "http", "capabilityId": "request"},
              "retryLater": {"stepType": "Error", "id": "retryLater", "code": "LATER", "message": "again"},
              "end": {"stepType": "Finish", "id": "end"}},
    "entryPoint": "call",
    "executionPlan": [edge("call", "end"), {"fromStep": "call", "toStep": "retryLater", "label": "onError", "priority": 10,
                      "condition": op("EQ", ref("__error.category"), lit("transient"))}],
}  # fmt: skip
SCHEMA = scenario_schema()
CHECK = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_valid_itself_and_describes_every_step_type() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {model.__name__ for model in STEP_MODELS.values()} <= SCHEMA["$defs"].keys()
    json.dumps(SCHEMA)


@pytest.mark.parametrize("document", [ORDER_PROCESSING, DATA_PROCESSING, SPLIT_DEMO, ROUTED_ERROR])
def test_the_documented_examples_are_accepted(document: dict[str, Any]) -> None:
    CHECK.validate(document)
    CHECK.validate({"executionGraph": document, "memoryTier": "XL"})


@pytest.mark.parametrize("name", CLEAN)
def test_what_validation_accepts_the_schema_accepts(name: str) -> None:
    CHECK.validate(CLEAN[name])


@pytest.mark.parametrize(
    "document",
    [
        {},
        graph({"end": fin()}, surprise=1),
        graph({"s": {"stepType": "Nothing"}}),
        graph({"s": {**log(), "level": "loud"}}),
        graph({"s": {"stepType": "Log"}}),
        graph({"end": fin(r={"valueType": "reference"})}),
        graph({"end": fin(r={"valueType": "other", "value": 1})}),
        graph({"s": log(), "end": fin()}, [edge("s", "end", condition=op("LIKE", lit(1)))]),
        {"executionGraph": graph({"end": fin()}), "memoryTier": "XXL"},
    ],
)
def test_what_the_models_refuse_the_schema_refuses(document: dict[str, Any]) -> None:
    assert not CHECK.is_valid(document)
