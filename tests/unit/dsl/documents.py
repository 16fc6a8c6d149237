"""Short ways to write scenarios in tests, and agents for them to call."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from runtara_framework.agents.metadata import AgentInfo, CapabilityInfo, FieldInfo
from runtara_framework.dsl.validation import Agents

Json = dict[str, Any]

AGENTS = Agents(
    AgentInfo(
        id="http",
        secure=True,
        connection_types=("http_bearer",),
        capabilities=(
            CapabilityInfo(
                id="http-request",
                aliases=("request",),
                harmless={"method": ("GET",)},
                inputs=(
                    FieldInfo(name="url", type="string", required=True, aliases=("uri",)),
                    FieldInfo(name="method", type="string", enum=("GET", "POST"), default="GET", aliases=("verb",)),
                    FieldInfo(name="body", type="any"),
                    FieldInfo(name="timeout_ms", type="integer"),
                    FieldInfo(name="headers", type="object"),
                ),
                output_schema={
                    "type": "object",
                    "properties": {
                        "status_code": {"type": "integer"},
                        "body": {},
                        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
                        "page": {"$ref": "#/$defs/Page"},
                        "links": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
                    },
                    "$defs": {"Page": {"type": "object", "properties": {"next": {"type": "string"}}}},
                },
            ),
        ),
    ),
    AgentInfo(
        id="calc",
        capabilities=(
            CapabilityInfo(
                id="add",
                side_effects=False,
                deterministic=True,
                inputs=(FieldInfo(name="a", type="number"), FieldInfo(name="b", type="number", nullable=True)),
                output_schema={
                    "type": "object",
                    "additionalProperties": True,
                    "properties": {"sum": {"type": "number"}},
                },
            ),
        ),
    ),
)


def ref(path: str, **more: Any) -> Json:
    return {"valueType": "reference", "value": path, **more}


def lit(value: Any) -> Json:
    return {"valueType": "immediate", "value": value}


def tpl(text: str) -> Json:
    return {"valueType": "template", "value": text}


def comp(value: Any) -> Json:
    return {"valueType": "composite", "value": value}


def op(name: str, *arguments: Any) -> Json:
    return {"type": "operation", "op": name, "arguments": list(arguments)}


TRUE: Json = {"type": "value", "valueType": "immediate", "value": True}


def edge(start: str, end: str, label: str | None = None, **more: Any) -> Json:
    return {"fromStep": start, "toStep": end, **({"label": label} if label else {}), **more}


def chain(*ids: str) -> list[Json]:
    return [edge(a, b) for a, b in pairwise(ids)]


def fin(**mapping: Any) -> Json:
    return {"stepType": "Finish", **({"inputMapping": mapping} if mapping else {})}


def log(message: str = "hello", **context: Any) -> Json:
    return {"stepType": "Log", "message": message, **({"context": context} if context else {})}


def call(capability: str = "calc/add", **more: Any) -> Json:
    agent, _, name = capability.partition("/")
    return {"stepType": "Agent", "agentId": agent, "capabilityId": name, **more}


def get(inputs: Json | None = None, **more: Any) -> Json:
    return call("http/http-request", inputMapping={"url": lit("http://x"), **(inputs or {})}, **more)


def split(body: Json, **more: Any) -> Json:
    config = {"value": ref("data.list"), **more.pop("config", {})}
    return {"stepType": "Split", "config": config, "subgraph": body, **more}


def loop(body: Json, condition: Json = TRUE, **more: Any) -> Json:
    return {"stepType": "While", "condition": condition, "subgraph": body, **more}


def cond(condition: Json = TRUE) -> Json:
    return {"stepType": "Conditional", "condition": condition}


def graph(steps: dict[str, Json], edges: list[Json] | None = None, **more: Any) -> Json:
    """A graph; without edges its steps are a chain; the entry is the first one."""
    ids = list(steps)
    return {
        "steps": {key: {"id": key, **step} for key, step in steps.items()},
        "entryPoint": ids[0] if ids else "",
        "executionPlan": chain(*ids) if edges is None else edges,
        **more,
    }


BODY = graph({"in": fin()})
ANY_INPUT: Json = {
    "list": {"type": "array"},
    "x": {"type": "string"},
    "n": {"type": "number"},
    "o": {"type": "object", "properties": {"deep": {"type": "string"}}},
}
