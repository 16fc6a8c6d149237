"""Capabilities of `transform` about one value, and about arrays as a whole."""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic import BaseModel, Field

from runtara_agents_std.transform.declared import INVALID, pure
from runtara_agents_std.values import is_number
from runtara_framework.agents import AgentError, permanent
from runtara_framework.memory import LIMIT


class SelectFirstInput(BaseModel):
    value: list[Any] | None = Field(None, description="The candidates; null counts as none")


@pure(id="select-first")
async def select_first(input: SelectFirstInput) -> Any:
    """The first candidate that is neither null nor blank nor 0 nor false; null if there is none."""
    for one in input.value or []:
        blank = isinstance(one, str) and not one.strip()
        if not (one is None or one is False or blank or (is_number(one) and one == 0)):
            return one
    return None


class CoalesceInput(BaseModel):
    values: list[Any] = Field(description="The candidates")
    treat_empty_string_as_null: bool = Field(False, description='Pass over `""` too')
    treat_zero_as_null: bool = Field(False, description="Pass over 0 too")


@pure(id="coalesce")
async def coalesce(input: CoalesceInput) -> Any:
    """The first candidate that is not null; null if there is none."""
    for one in input.values:
        if one is None or (input.treat_empty_string_as_null and one == ""):
            continue
        if input.treat_zero_as_null and is_number(one) and one == 0:
            continue
        return one
    return None


class FromJsonInput(BaseModel):
    value: str | None = Field(None, description="JSON text")


@pure(id="from-json-string", errors=[INVALID, permanent("TRANSFORM_JSON_PARSE_ERROR", "The text is no JSON")])
async def from_json_string(input: FromJsonInput) -> Any:
    """The value that a JSON text spells; null for an empty text."""
    if not input.value:
        return None
    try:
        with LIMIT.lifted:
            return msgspec.json.decode(input.value)
    except (msgspec.DecodeError, RecursionError) as error:
        raise AgentError("TRANSFORM_JSON_PARSE_ERROR", f"the text is no JSON: {error}") from error


class ToJsonInput(BaseModel):
    value: Any = Field(description="Any value")


class JsonText(BaseModel):
    json_: str = Field(alias="json", description="Compact JSON text")
    length: int = Field(description="Its length in bytes of UTF-8")


@pure(
    id="to-json-string",
    errors=[INVALID, permanent("TRANSFORM_JSON_SERIALIZE_ERROR", "The value cannot be written as JSON")],
)
async def to_json_string(input: ToJsonInput) -> JsonText:
    """The JSON text of a value."""
    try:
        with LIMIT.lifted:
            text = msgspec.json.encode(input.value)
    except (TypeError, ValueError, RecursionError) as error:
        raise AgentError("TRANSFORM_JSON_SERIALIZE_ERROR", f"the value is no JSON: {error}") from error
    return JsonText(json=text.decode(), length=len(text))


class AppendInput(BaseModel):
    array: list[Any] = Field(description="The array to begin with")
    item: Any = Field(description="What to add at its end")


class Array(BaseModel):
    array: list[Any] = Field(description="The array")
    length: int = Field(description="How many members it has")


@pure(id="append")
async def append(input: AppendInput) -> Array:
    """An array with one more member."""
    return Array(array=[*input.array, input.item], length=len(input.array) + 1)


class AnyInput(BaseModel):
    value: Any = Field(description="Any value")


class Length(BaseModel):
    length: int = Field(description="Members of an array or object, characters of a text, else 0")
    is_array: bool = Field(description="Whether the value is an array")


@pure(id="array-length")
async def array_length(input: AnyInput) -> Length:
    """How long an array is; or an object or a text."""
    value = input.value
    length = len(value) if isinstance(value, list | dict | str) else 0
    return Length(length=length, is_array=isinstance(value, list))


class Ensured(BaseModel):
    items: list[Any] = Field(description="The value, if it is an array, else an array of it; null gives an empty one")
    count: int = Field(description="How many members it has")
    was_array: bool = Field(description="Whether it was an array already")


@pure(id="ensure-array")
async def ensure_array(input: AnyInput) -> Ensured:
    """The value as an array."""
    value = input.value
    items = value if isinstance(value, list) else [] if value is None else [value]
    return Ensured(items=items, count=len(items), was_array=isinstance(value, list))
