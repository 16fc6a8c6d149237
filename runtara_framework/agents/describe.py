"""From pydantic models to the metadata records: JSON Schemas and fields under the names that a scenario uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtara_framework.agents.connections import ConnectionParameters
from runtara_framework.agents.metadata import CapabilityInfo, ConnectionTypeInfo, FieldInfo

if TYPE_CHECKING:
    from pydantic import BaseModel

    from runtara_framework.agents.loading import Capability

_TYPES = {"string", "integer", "number", "boolean", "array", "object"}


def describe_capability(capability: Capability) -> CapabilityInfo:
    """The record of one capability."""
    declared = capability.declaration
    aliases: dict[str, list[str]] = {}
    for other, name in declared.input_aliases.items():
        aliases.setdefault(name, []).append(other)
    model = capability.input_model
    schema = _schema(model) if model else {"type": "object", "properties": {}}
    return CapabilityInfo(
        id=declared.id,
        title=declared.title,
        description=declared.description,
        inputs=tuple(_fields(schema, aliases)),
        input_schema=schema,
        output_schema=capability.output.json_schema(by_alias=True, mode="serialization"),
        side_effects=declared.side_effects,
        harmless={name: tuple(values) for name, values in declared.harmless.items()},
        deterministic=declared.deterministic,
        idempotent=declared.idempotent,
        rate_limited=declared.rate_limited,
        errors=declared.errors,
        aliases=declared.aliases,
    )


def describe_connection(kind: type[ConnectionParameters]) -> ConnectionTypeInfo:
    """The record of one connection type."""
    schema = _schema(kind)
    return ConnectionTypeInfo(
        integration_id=kind.integration_id,
        title=kind.title or kind.__name__,
        description=str(schema.get("description", "")),
        fields=tuple(_fields(schema, {})),
        schema=schema,
    )


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(by_alias=True, mode="validation")


def _fields(schema: dict[str, Any], aliases: dict[str, list[str]]) -> list[FieldInfo]:
    definitions = schema.get("$defs", {})
    required = set(schema.get("required", ()))
    fields = []
    for name, own in schema.get("properties", {}).items():
        options = _options(own, definitions)
        some = [option for option in options if option.get("type") != "null"]
        types = {_type(option) for option in some}
        if types == {"integer", "number"}:
            types = {"number"}
        fields.append(
            FieldInfo(
                name=name,
                type=types.pop() if len(types) == 1 else "any",
                required=name in required,
                nullable=len(some) < len(options) or any(not _constrained(option) for option in options),
                default=own.get("default"),
                enum=_enum(some),
                description=own.get("description", ""),
                aliases=tuple(aliases.get(name, ())),
                secret=any(option.get("writeOnly", False) for option in (own, *options)),
            )
        )
    return fields


def _options(schema: dict[str, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    """The alternatives that a schema allows, references resolved."""
    if "$ref" in schema:
        return _options(definitions.get(schema["$ref"].rsplit("/", 1)[-1], {}), definitions)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return [found for option in schema[union] for found in _options(option, definitions)]
    if "allOf" in schema and len(schema["allOf"]) == 1:
        return _options(schema["allOf"][0], definitions)
    return [schema]


def _constrained(schema: dict[str, Any]) -> bool:
    return bool({"type", "enum", "const"} & set(schema))


def _type(schema: dict[str, Any]) -> str:
    if schema.get("title") == "FileData":
        return "file"
    declared = schema.get("type")
    if declared in _TYPES:
        return str(declared)
    if isinstance(schema.get("const"), str):
        return "string"
    return "any"


def _enum(options: list[dict[str, Any]]) -> tuple[Any, ...]:
    """The only values allowed, if every alternative names its values."""
    values: list[Any] = []
    for option in options:
        if "enum" in option:
            values += option["enum"]
        elif "const" in option:
            values.append(option["const"])
        else:
            return ()
    return tuple(values)
