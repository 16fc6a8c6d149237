"""The input of a Python workflow as what its annotation says, or everything that keeps it from being that.

pydantic lists every violation itself. msgspec stops at the first one, so for dataclasses and Structs the parts are looked at
one by one, but only once the whole has been refused. Paths are those that scenarios have: `lines[0].qty`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

from runtara_framework.dsl.paths import format_path

MOST = 1_000
"""Violations that are told."""
Place = tuple[str | int, ...]

_WHERE = re.compile(r" - at `\$?([^`]*)`$")


class Unfit(ValueError):
    """The input is not what the annotation says; `violations` has the path and the message of each reason."""

    def __init__(self, violations: list[dict[str, str]]) -> None:
        super().__init__("; ".join(f"{one['path'] or 'input'}: {one['message']}" for one in violations))
        self.violations = violations


def built(kind: Any, value: Any) -> Any:
    """`value` as a `kind`: a pydantic model, a dataclass or a Struct. Raises `Unfit`."""
    is_model = hasattr(kind, "model_validate")
    try:
        return kind.model_validate(value) if is_model else msgspec.convert(value, kind)
    except ValueError as error:  # pydantic's and msgspec's own are both one
        if is_model and callable(details := getattr(error, "errors", None)):
            found = [(tuple(one["loc"]), str(one["msg"])) for one in details()]
        else:
            found = list(_violations(kind, value, ()))
        told = [{"path": format_path(place) if place else "", "message": message} for place, message in found[:MOST]]
        raise Unfit(told or [{"path": "", "message": str(error)}]) from error


class _Field(NamedTuple):
    name: str
    kind: Any
    required: bool


def _violations(kind: Any, value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    try:
        msgspec.convert(value, kind)
        return
    except ValueError as error:
        text = str(error)
    inside = [found for part, member, at in _parts(kind, value) for found in _violations(part, member, (*place, at))]
    fields = _fields(kind)
    if fields and isinstance(value, Mapping):
        inside += [
            ((*place, field.name), "is required") for field in fields if field.required and field.name not in value
        ]
    if inside:
        yield from inside
    else:
        yield place, _WHERE.sub(lambda where: f", at {where[1]}" if where[1] else "", text)


def _parts(kind: Any, value: Any) -> Iterator[tuple[Any, Any, str | int]]:
    """What `value` is made of, each with the kind that it has to be and its place."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        members = [member for member in args if member is not NoneType]
        if len(members) == 1 and value is not None:
            yield from _parts(members[0], value)
    elif isinstance(value, Mapping) and (fields := _fields(kind)):
        yield from ((field.kind, value[field.name], field.name) for field in fields if field.name in value)
    elif isinstance(value, Mapping) and origin is dict:
        yield from ((args[1], member, str(key)) for key, member in value.items())
    elif isinstance(value, list) and origin in (list, set, frozenset):
        yield from ((args[0], member, index) for index, member in enumerate(value))


def _fields(kind: Any) -> list[_Field]:
    """The fields of a Struct or dataclass under the names that they have in JSON; none of anything else."""
    if hasattr(kind, "__struct_fields__"):
        return [_Field(field.encode_name, field.type, field.required) for field in msgspec.structs.fields(kind)]
    if not dataclasses.is_dataclass(kind):
        return []
    hints = get_type_hints(kind, include_extras=True)
    missing = dataclasses.MISSING
    return [
        _Field(field.name, hints[field.name], field.default is missing and field.default_factory is missing)
        for field in dataclasses.fields(kind)
        if field.init
    ]
