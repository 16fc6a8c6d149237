"""Capabilities of `transform` that read and build objects."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from runtara_agents_std.transform.declared import pure
from runtara_agents_std.values import lookup, property_path


class GetInput(BaseModel):
    value: Any = Field(None, description="Where to look")
    property_path: str | None = Field(None, description="What to look for; empty or `$` for the value itself")


@pure(id="get-value-by-path")
async def get_value_by_path(input: GetInput) -> Any:
    """What is at a path of a value; null if nothing is."""
    return lookup(input.value, property_path(input.property_path))


class SetInput(BaseModel):
    target: Any = Field(None, description="The object to change; anything else comes back as it is")
    property_path: str | None = Field(None, description="Where to write; empty or `$` replaces the whole target")
    value: Any = Field(None, description="What to write")


@pure(id="set-value-by-path")
async def set_value_by_path(input: SetInput) -> Any:
    """A copy of an object with a value written at a path; missing objects on the way are made. Nothing is written into
    arrays: the copy is then unchanged."""
    path = property_path(input.property_path)
    if path is None:
        return input.value
    if not isinstance(input.target, dict):
        return input.target
    keys = [str(segment) for segment in path.segments]
    changed = dict(input.target)
    inner = changed
    for key in keys[:-1]:
        below = inner.get(key)
        if below is not None and not isinstance(below, dict):
            return input.target
        inner[key] = inner = dict(below or {})
    inner[keys[-1]] = input.value
    return changed


class MapFieldsInput(BaseModel):
    source_data: Any = Field(description="Where the values come from")
    mappings: dict[str, str] | None = Field(
        None, description="Path in the source -> key of the result; without it, the source itself is the result"
    )


class MapFieldsOutput(BaseModel):
    result: Any = Field(description="The object made")
    field_count: int = Field(description="How many fields it has")


@pure(id="map-fields", input_aliases={"source": "source_data", "mapping": "mappings"})
async def map_fields(input: MapFieldsInput) -> MapFieldsOutput:
    """An object of chosen fields under new keys. What is missing or null in the source is left out; a key is taken as it
    is, with its dots."""
    if input.mappings is None:
        source = input.source_data
        return MapFieldsOutput(result=source, field_count=len(source) if isinstance(source, dict) else 0)
    result: dict[str, Any] = {}
    for path, key in input.mappings.items():
        value = lookup(input.source_data, property_path(path))
        if value is not None:
            result[key] = value
    return MapFieldsOutput(result=result, field_count=len(result))


class MergeInput(BaseModel):
    objects: list[dict[str, Any] | None] = Field(description="The objects; a later one wins; null is left out")
    deep: bool = Field(False, description="Merge objects inside of them as well, instead of replacing them")


class MergeOutput(BaseModel):
    result: dict[str, Any] = Field(description="The object made")
    field_count: int = Field(description="How many fields it has")


@pure(id="merge", input_aliases={"values": "objects"})
async def merge(input: MergeInput) -> MergeOutput:
    """One object of the fields of several."""
    result: dict[str, Any] = {}
    for one in input.objects:
        result = _merged(result, one or {}, input.deep)
    return MergeOutput(result=result, field_count=len(result))


def _merged(one: dict[str, Any], other: dict[str, Any], deep: bool) -> dict[str, Any]:
    result = dict(one)
    for key, value in other.items():
        before = result.get(key)
        if deep and isinstance(before, dict) and isinstance(value, dict):
            value = _merged(before, value, deep)
        result[key] = value
    return result
