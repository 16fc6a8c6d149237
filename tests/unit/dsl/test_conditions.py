"""One evaluator: the truth tables of DSL.md 5 and 9, and laws that hold for any values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from runtara_framework.dsl import conditions as c
from runtara_framework.dsl.conditions import matches
from runtara_framework.dsl.errors import EvaluationError, UnknownOperator
from runtara_framework.dsl.literals import parse_instant, parse_number

from . import compiled, oracle
from .strategies import arguments, json_values, scopes

EQUAL = [
    (1, 1), (1, 1.0), ("1", 1), (1, "1.0"), ("1e2", 100), ("-0.5", -0.5), (None, None), (True, True), ("a", "a"),
    ([1, "2"], ["1", 2]), ({"a": [1.0]}, {"a": [1]}), ({"a": 1, "b": 2}, {"b": 2, "a": 1}), ([], []), ({}, {}),
    (2**60 + 1, 2**60 + 1),
]  # fmt: skip
UNEQUAL = [
    (1, 2), ("1", "1.0"), (True, 1), (True, "true"), (False, 0), (None, False), (None, 0), (None, ""), ("", 0),
    ("nan", "NaN"), ("inf", float(10**300)), (" 1", 1), ("1_0", 10), ([1], 1), ([1], {"0": 1}), ([1], [1, 2]),
    ({"a": 1}, {"a": 1, "b": None}), ({"a": None}, {"b": None}), ({}, []), (2**60 + 1, 2**60), ("١", 1),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), EQUAL)
def test_equal_values_are_equal_in_eq_in_and_contains(a: Any, b: Any) -> None:
    assert c.eq(a, b) and c.eq(b, a) and not c.ne(a, b)
    assert c.is_in(a, [0.5, b]) and not c.not_in(a, [0.5, b]) and c.contains([{}, a, 7], b)


@pytest.mark.parametrize(("a", "b"), UNEQUAL)
def test_unequal_values_are_unequal_in_eq_in_and_contains(a: Any, b: Any) -> None:
    assert not c.eq(a, b) and not c.eq(b, a) and c.ne(a, b)
    assert not c.is_in(a, [b]) and c.not_in(a, [b]) and not c.contains([a], b)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (1, 2), (1.5, 2), ("9", 10), (9, "10"), ("10", "9"), ("B", "a"), ("2024-01-31", "2024-02-01"),
        ("2024-01-31", "2024-01-31T00:00:01"), ("2024-01-31T10:00:00+02:00", "2024-01-31T09:00:00Z"),
        ("2024-01-31T10:00Z", "2024-01-31 10:00:00.000000001"), ("2024-01-31T23:00:00-0200", "2024-02-01T02"),
        (-1e300, 10**400),
    ],
)  # fmt: skip
def test_what_can_be_ordered_is_ordered(low: Any, high: Any) -> None:
    assert c.lt(low, high) and c.lte(low, high) and not c.gt(low, high) and not c.gte(low, high)
    assert c.gt(high, low) and c.gte(high, low)


def test_moments_are_equal_across_zones() -> None:
    assert c.gte("2024-01-31T10:00:00+02:00", "2024-01-31T08:00:00") and c.lte("2024-01-31", "2024-01-31T00:00:00Z")


@pytest.mark.parametrize(
    ("a", "b"), [(1, "a"), (True, 0), ("true", True), (None, 1), (None, None), ([1], [2]), ({}, 1), ("", 0)]
)
def test_what_cannot_be_ordered_is_false_both_ways(a: Any, b: Any) -> None:
    for operator in (c.gt, c.gte, c.lt, c.lte):
        assert not operator(a, b) and not operator(b, a)


@pytest.mark.parametrize(
    "text", ["2024-02-30", "2024-13-01", "2024-01-01T25:00", "2024-1-1", "20240101", "0000-01-01", "2024-01-01T10:61"]
)
def test_a_text_that_is_no_date_is_a_text(text: str) -> None:
    assert parse_instant(text) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("+1", 1), ("1.", 1.0), (".5", 0.5), ("-1e-2", -0.01), ("007", 7)]
    + [(text, None) for text in ("", "+", ".", "e1", "1e", "1 ", "0x1", "1,5", "NaN", "Infinity", "1e999", "9" * 500)],
)
def test_numbers_in_texts(text: str, number: float | None) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (c.starts_with("abc", "ab"), True), (c.starts_with("abc", "b"), False), (c.starts_with(12, 1), False),
        (c.ends_with("abc", "bc"), True), (c.ends_with(["c"], "c"), False),
        (c.contains("hello", "ell"), True), (c.contains("a1", 1), False), (c.contains({"a": 1}, "a"), False),
        (c.contains(None, None), False), (c.is_in("a", "abc"), False), (c.not_in("a", "abc"), True),
        (c.is_in("a", None), False), (c.not_in(1, {"1": 1}), True),
        (c.length("héé€"), 4), (c.length([1, 2]), 2), (c.length({"a": 1}), 1), (c.length(None), 0),
        (c.length(5), None), (c.length(True), None), (c.gt(c.length(5), 0), False),
        (c.is_defined(None), False), (c.is_defined(False), True),
        (c.is_empty(None), True), (c.is_empty(""), True), (c.is_empty([]), True), (c.is_empty({}), True),
        (c.is_empty(0), False), (c.is_empty(False), False), (c.is_not_empty(0), True), (c.is_not_empty(""), False),
    ],
)  # fmt: skip
def test_the_other_operators(result: Any, expected: Any) -> None:
    assert result is expected or (result == expected and type(result) is type(expected))


@pytest.mark.parametrize(
    ("value", "truth"), [(None, False), (False, False), (0, False), (0.0, False), ("", False), ([], False), ({}, False),
                         ("0", True), ("false", True), (-1, True), ([0], True), ({"a": None}, True)],
)  # fmt: skip
def test_truth(value: Any, truth: bool) -> None:
    assert c.truthy(value) is truth


@pytest.mark.parametrize(
    ("match_type", "value", "match", "expected"),
    [
        ("EQ", "a", ["b", "a"], True), ("EQ", [1], [1], False), ("EQ", [1], [[1]], True), ("NE", "c", ["b", "a"], True),
        ("NE", "a", ["a"], False), ("EQ", 1, "1", True), ("GT", 3, 2, True), ("IN", 1, [1], True),
        ("BETWEEN", 5, [1, 5], True), ("BETWEEN", 0, [1, 5], False), ("BETWEEN", 3, [1], False),
        ("BETWEEN", "2024-05-01", ["2024-01-01", "2024-12-31"], True), ("BETWEEN", 3, None, False),
        ("RANGE", 5, {"gte": 1, "lt": 6}, True), ("RANGE", 6, {"gte": 1, "lt": 6}, False), ("RANGE", 6, {}, False),
        ("RANGE", 6, 7, False), ("RANGE", 6, {"above": 1}, False), ("RANGE", None, {"gte": 1}, False),
        ("IS_DEFINED", None, None, False), ("IS_EMPTY", "", None, True), ("IS_NOT_EMPTY", "x", None, True),
        ("CONTAINS", ["x"], "x", True), ("STARTS_WITH", "xy", "x", True), ("NOT_IN", 1, 1, True),
    ],
)  # fmt: skip
def test_switch_cases_match(match_type: str, value: Any, match: Any, expected: bool) -> None:
    assert matches(match_type, value, match) is expected


def test_an_unknown_match_type_is_an_error() -> None:
    with pytest.raises(UnknownOperator):
        matches("LENGTH", 1, 1)


def op(name: str, *arguments: Any) -> dict[str, Any]:
    return {"type": "operation", "op": name, "arguments": list(arguments)}


def lit(value: Any) -> dict[str, Any]:
    return {"valueType": "immediate", "value": value}


def path(text: str, **more: Any) -> dict[str, Any]:
    return {"valueType": "reference", "value": text, **more}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (op("AND", lit(1), op("NOT", lit(0))), True),
        (op("AND", lit(0), path("data.list.boom")), False),
        (op("OR", lit("x"), path("data.list.boom")), True),
        (op("OR", lit(0), lit("")), False),
        (op("GT", op("LENGTH", path("data.list")), lit(1)), True),
        (op("LENGTH", path("data.none")), 0),
        (op("EQ", path("data.n", type="string"), lit("5")), True),
        (op("EQ", {"type": "value", **path("data.missing", default=3)}, lit(3)), True),
        ({"type": "value", **path("data.n")}, 5),
        ({"type": "value", "valueType": "reference", "value": "data.n", "valueTypeHint": "string"}, "5"),
        (op("IS_EMPTY", {"type": "value", "valueType": "composite", "value": []}), True),
        (op("EQ", {"valueType": "template", "value": "{{ data.n }}"}, lit(5)), True),
        (op("IN", lit("a"), op("IN", lit(1), lit([1]))), False),
    ],
)
def test_conditions_are_evaluated(condition: dict[str, Any], expected: Any) -> None:
    scope = {"data": {"list": [1, 2], "n": 5}}
    assert compiled.argument(condition, scope) == expected
    assert compiled.condition(condition, scope) is c.truthy(expected)


@given(arguments, scopes)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_compiled_condition_means_what_its_json_says(condition: dict[str, Any], scope: dict[str, Any]) -> None:
    assert outcome(lambda: compiled.argument(condition, scope)) == outcome(lambda: oracle.condition(condition, scope))


def outcome(evaluate: Callable[[], Any]) -> Any:
    """The value with its type, or the code of the failure."""
    try:
        result = evaluate()
    except EvaluationError as error:
        return error.code
    return type(result), result


def test_data_of_any_depth_can_be_compared() -> None:
    deep: Any = 1
    same: Any = 1.0
    for _ in range(100_000):
        deep, same = [deep], [same]
    assert c.eq(deep, same)


@given(json_values, json_values)
def test_equality_is_symmetric_and_agrees_with_membership(a: Any, b: Any) -> None:
    assert c.eq(a, a)
    assert c.eq(a, b) is c.eq(b, a) is c.is_in(a, [b]) is c.contains([a], b) is not c.ne(a, b)


@given(json_values, json_values)
def test_at_most_one_of_less_and_greater_holds(a: Any, b: Any) -> None:
    assert not (c.lt(a, b) and c.gt(a, b))
    assert c.lt(a, b) is c.gt(b, a) and c.lte(a, b) is c.gte(b, a)
    assert not c.lt(a, b) or c.lte(a, b)
    assert c.lte(a, b) is (c.lt(a, b) or (c.lte(a, b) and c.gte(a, b)))


@given(json_values, json_values)
def test_every_operator_answers_for_any_values(a: Any, b: Any) -> None:
    for name in c.BINARY:
        assert isinstance(c.BINARY[name](a, b), bool)
    for match_type in (*c.BINARY, "BETWEEN", "RANGE", "IS_EMPTY", "IS_DEFINED"):
        assert isinstance(matches(match_type, a, b), bool)
