"""Values to test with: a hypothesis strategy for any message of the protocol, found from its types."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
"""Everything that JSON can hold: integers of any size, and no NaN."""


def messages(message: type[Any]) -> st.SearchStrategy[Any]:
    """A strategy for the `msgspec.Struct` class `message`. Names (`…_id`) are never empty; they go into paths."""
    return _struct(inspect.type_info(message))


def _struct(info: inspect.Type) -> st.SearchStrategy[Any]:
    assert isinstance(info, inspect.StructType)
    return st.builds(info.cls, **{field.name: _field(field) for field in info.fields})


def _field(field: inspect.Field) -> st.SearchStrategy[Any]:
    if field.name.endswith("_id") and isinstance(field.type, inspect.StrType):
        return st.text(min_size=1, max_size=30)
    return _of(field.type)


def _of(info: inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case inspect.StructType():
            return _struct(info)
        case inspect.UnionType():
            return st.one_of([_of(part) for part in info.types])
        case inspect.ListType():
            return st.lists(_of(info.item_type), max_size=3)
        case inspect.DictType():
            return st.dictionaries(_of(info.key_type), _of(info.value_type), max_size=3)
        case inspect.EnumType():
            return st.sampled_from(list(info.cls))
        case inspect.StrType():
            return st.text(max_size=30)
        case inspect.BytesType():
            return st.binary(max_size=100)
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.integers(-(2**63), 2**63 - 1)
        case inspect.FloatType():
            return st.floats(allow_nan=False, allow_infinity=False)
        case inspect.NoneType():
            return st.none()
        case inspect.AnyType():
            return JSON_VALUES
    raise msgspec.ValidationError(f"no strategy for {info}")
