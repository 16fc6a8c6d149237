from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import pydantic
import pytest

from runtara_framework.sdk.failure import Failure
from runtara_framework.sdk.values import decode, encode


@dataclasses.dataclass
class Plain:
    x: float


class Struct(msgspec.Struct):
    x: float


class Model(pydantic.BaseModel):
    some_name: float = pydantic.Field(alias="someName")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, None, True, "é", 1.5]}, {"a": [1, None, True, "é", 1.5]}),
        ((1, 2), [1, 2]),
        (Plain(1.0), {"x": 1.0}),
        (Struct(1.0), {"x": 1.0}),
        (Model(someName=1.0), {"someName": 1.0}),
        ([Model(someName=1.0)], [{"someName": 1.0}]),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
        (2**80, 2**80),
    ],
)
def test_what_programs_hand_over_is_json(value: Any, expected: Any) -> None:
    assert decode(encode(value, "it")) == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("wrap", "place"),
    [
        (lambda x: x, "it is no finite"),
        (lambda x: {"a": [None, x]}, r"it\.a\[1\]"),
        (lambda x: [Plain(x)], r"it\[0\]\.x"),
        (lambda x: Struct(x), r"it\.x"),
        (lambda x: (Model(someName=x),), r"it\[0\]\.some_name"),
    ],
)
def test_no_silent_null_stands_for_what_is_no_number(wrap: Any, place: str, bad: float) -> None:
    with pytest.raises(Failure, match=place) as caught:
        encode(wrap(bad), "it")
    assert caught.value.code == "OUTPUT_INVALID"


def test_what_is_no_json_is_refused_with_the_code_of_the_caller() -> None:
    for value in (object(), {"a": {1j}}, {(1, 2): 3}):
        with pytest.raises(Failure, match="the input cannot be written as JSON") as caught:
            encode(value, "the input", code="MINE")
        assert caught.value.code == "MINE"
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Failure, match="too deep"):
        encode(deep, "it")


def test_equal_values_have_equal_bytes_if_that_is_asked_for() -> None:
    one = {"b": 1, "a": {"d": {3, 1, 2}, "c": 2}}
    two = {"a": {"c": 2, "d": {2, 3, 1}}, "b": 1}
    assert encode(one, "it", stable=True) == encode(two, "it", stable=True)
