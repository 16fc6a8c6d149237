from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import pydantic
import pytest

from runtara_framework.sdk.failure import Failure
from runtara_framework.sdk.values import MESSAGE_CHARACTERS, decode, encode, plain, shortened


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


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_whatever_is_told_of_a_failure_has_a_json_form() -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    given = {
        "nan": math.nan,
        "set": {7},
        "type": int,
        "half": "\ud83d",
        "\ud83d": 1,
        "tuple": (1, math.inf),
        "rude": Rude(),
        "big": 10**5_000,
        "moment": datetime(2026, 1, 2, tzinfo=UTC),
        3: None,
    }
    told = plain(given)
    assert decode(encode(told, "it")) == told
    assert told == {
        "nan": "nan",
        "set": [7],
        "type": "<class 'int'>",
        "half": "\\ud83d",
        "\\ud83d": 1,
        "tuple": [1, "inf"],
        "rude": "<Rude>",
        "big": "<int>",
        "moment": "2026-01-02T00:00:00Z",
        "3": None,
    }
    assert isinstance(encode(plain(ring), "it"), bytes)
    assert plain({"as": ["it", {"is": 1.5}]}) == {"as": ["it", {"is": 1.5}]}


def test_a_large_failure_keeps_what_it_is_and_its_causes() -> None:
    inner = Failure("IN", "i" * 10_000, step_id="a", attributes={"x": "y" * 100})
    outer = Failure("OUT", "o", category="transient", step_id="b", retry_after_ms=3, cause=inner)
    told = Failure.from_dict(shortened(outer.to_dict()))
    assert (told.code, told.message, told.category, told.step_id, told.retry_after_ms) == (
        "OUT",
        "o",
        "transient",
        "b",
        3,
    )
    assert told.attributes == {"_truncated": True, "_original_size": 2}
    assert told.cause is not None
    assert (told.cause.code, told.cause.step_id, len(told.cause.message)) == ("IN", "a", MESSAGE_CHARACTERS)
    assert told.cause.attributes == {"_truncated": True, "_original_size": 108}
