"""The document is valid, complete and true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from runtara_transport_http.app import build_app
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from runtara_framework.protocol import messages as m
from runtara_framework.protocol.operations import OPERATIONS, Protocol
from runtara_framework.testing.stage import Stage


@pytest.fixture(params=list(Protocol))
async def described(request: pytest.FixtureRequest) -> tuple[Protocol, dict[str, Any]]:
    """A protocol and its document."""
    return request.param, (await ask(Stage(request.param), "/openapi.json")).json()


async def ask(stage: Stage, path: str, **extra: Any) -> httpx.Response:
    app = build_app(stage, **extra)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path)


async def test_the_document_is_valid(described: tuple[Protocol, dict[str, Any]]) -> None:
    validate(described[1])


async def test_every_operation_is_there_once(described: tuple[Protocol, dict[str, Any]]) -> None:
    protocol, document = described
    found = {
        operation["operationId"]: f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }

    assert found.pop("health") == "GET /health"
    assert found == {name: operation.http for name, operation in OPERATIONS[protocol].items()}


async def test_every_schema_is_used_and_every_reference_is_met(described: tuple[Protocol, dict[str, Any]]) -> None:
    text = json.dumps(described[1])
    schemas = described[1]["components"]["schemas"]

    assert all(f'"#/components/schemas/{name}"' in text for name in schemas)
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


async def test_fields_stand_where_they_are_taken_from() -> None:
    document = (await ask(Stage(Protocol.ENVIRONMENT), "/openapi.json")).json()
    events = document["paths"]["/api/v1/instances/{instance_id}/events"]["get"]
    upload = document["paths"]["/api/v1/images/upload"]["post"]
    start = document["components"]["schemas"]["StartInstanceFields"]

    where = {parameter["name"]: (parameter["in"], parameter.get("required")) for parameter in events["parameters"]}
    assert where["instance_id"] == ("path", True)
    assert where["limit"] == where["tenant_id"] == ("query", False)
    assert where["X-Runtara-Tenant-Id"] == ("header", None)
    assert set(upload["requestBody"]["content"]) == {"application/octet-stream", "multipart/form-data"}
    assert start["required"] == ["image_id"]
    assert start["additionalProperties"] is False


async def test_routes_of_plugins_come_after_the_operations() -> None:
    async def hello(request: Request) -> Response:
        return PlainTextResponse("hello")

    async def broken(request: Request) -> Response:
        raise ValueError("secret")

    stage = Stage(Protocol.ENVIRONMENT)
    stage.answer("list_agents", m.Agents(agents=[]))
    routes = [Route("/hello/{name:path}", hello), Route("/api/v1/agents", hello), Route("/broken", broken)]

    assert (await ask(stage, "/hello/a/b", extra_routes=routes)).text == "hello"
    assert (await ask(stage, "/api/v1/agents", extra_routes=routes)).json() == {"agents": []}
    failed = await ask(stage, "/broken", extra_routes=routes)
    assert (failed.status_code, failed.json()["code"]) == (500, "INTERNAL_ERROR")
    assert "secret" not in failed.text


def test_the_readme_names_every_setting() -> None:
    from runtara_transport_http.server import HttpSettings

    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")

    for name, setting in HttpSettings.model_fields.items():
        assert f"`{name}` ({setting.default:g})" in readme
