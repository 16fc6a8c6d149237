"""The OpenAPI 3.1 document of an endpoint, from the table of operations alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import structs

from runtara_framework import __version__
from runtara_framework.protocol.operations import Access
from runtara_transport_http.binding import STREAM, TENANT, TENANT_HEADER, Binding

_REF = "#/components/schemas/{name}"
_ERROR = {
    "title": "Error",
    "description": "What went wrong. `code` is stable; `retryable` says whether the same call may succeed later.",
    "type": "object",
    "required": ["error", "code", "message", "success", "retryable"],
    "properties": {
        "error": {"type": "string", "description": "The same as `message`."},
        "code": {"type": "string", "examples": ["INVALID_REQUEST"]},
        "message": {"type": "string"},
        "success": {"const": False},
        "retryable": {"type": "boolean"},
        "details": {"type": "object"},
    },
}


def document(bindings: Sequence[Binding[Any, Any]]) -> dict[str, Any]:
    """The document, as a JSON value."""
    types = [part for binding in bindings for part in (binding.rest, binding.operation.response)]
    _, schemas = msgspec.json.schema_components(types, ref_template=_REF)
    schemas["Error"] = _ERROR
    for binding in bindings:
        _say_where_the_tenant_comes_from(schemas[binding.rest.__name__])
    paths: dict[str, dict[str, Any]] = {"/health": {"get": _HEALTH}}
    for binding in bindings:
        path = paths.setdefault(binding.template, {})
        path[binding.method.lower()] = _operation(binding, schemas[binding.rest.__name__])
    used = {binding.rest.__name__ for binding in bindings if binding.in_query}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Runtara", "version": __version__, "license": {"name": "AGPL-3.0-or-later"}},
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in schemas.items() if name not in used},
            "responses": {
                "Error": {"description": "The call failed.", "content": _json({"$ref": _REF.format(name="Error")})}
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


_HEALTH = {
    "operationId": "health",
    "summary": "Does the server answer?",
    "security": [],
    "responses": {"200": {"description": "It does."}},
}


def _operation(binding: Binding[Any, Any], rest: dict[str, Any]) -> dict[str, Any]:
    operation = binding.operation
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.protocol.value],
        "parameters": [*_path(binding), *(_query(binding, rest) if binding.in_query else [])],
        "responses": {
            "200": {
                "description": operation.response.__doc__ or "The answer.",
                "content": _json({"$ref": _REF.format(name=operation.response.__name__)}),
            },
            "default": {"$ref": "#/components/responses/Error"},
        },
        "security": [] if operation.access is Access.PUBLIC else [{"token": []}, {}],
    }
    if TENANT in rest["properties"]:
        described["parameters"].append(
            {
                "name": TENANT_HEADER,
                "in": "header",
                "description": f"The tenant, if `{TENANT}` is not given.",
                "schema": {"type": "string"},
            }
        )
    if (body := _body(binding, rest)) is not None:
        described["requestBody"] = body
    return described


def _path(binding: Binding[Any, Any]) -> list[dict[str, Any]]:
    types = {field.name: field.type for field in structs.fields(binding.operation.request)}
    return [
        {"name": name, "in": "path", "required": True, "schema": msgspec.json.schema(types[name])}
        for name in binding.path_fields
    ]


def _query(binding: Binding[Any, Any], rest: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "query",
            # In a form these are parts, so that the query cannot be asked for.
            "required": name in rest["required"] and not binding.operation.upload,
            **({"content": _json(schema)} if schema.get("type") in ("object", "array") else {"schema": schema}),
        }
        for name, schema in rest["properties"].items()
    ]


def _body(binding: Binding[Any, Any], rest: dict[str, Any]) -> dict[str, Any] | None:
    if binding.operation.upload:
        form = {
            **rest,
            "properties": {**rest["properties"], STREAM: {"contentMediaType": "application/octet-stream"}},
            "required": [*rest["required"], STREAM],
            "description": f"The parts of text, then the file `{STREAM}`, which must be the last part.",
        }
        return {
            "required": True,
            "content": {"application/octet-stream": {"schema": {}}, "multipart/form-data": {"schema": form}},
        }
    if binding.in_query:
        return None
    return {"required": bool(rest["required"]), "content": _json({"$ref": _REF.format(name=binding.rest.__name__)})}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _say_where_the_tenant_comes_from(schema: dict[str, Any]) -> None:
    if (tenant := schema["properties"].get(TENANT)) is not None:
        schema["properties"][TENANT] = {**tenant, "description": f"Or the header {TENANT_HEADER}."}
