"""Schemas: the envelope, every constraint, defaults at any depth, and every violation with its path."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara_framework.dsl.conditions import Choices, is_in
from runtara_framework.dsl.schemas import MOST_VIOLATIONS, Violation, check, check_input, check_output

from .strategies import json_values

VARIABLES = {"limit": {"type": "integer", "value": 10}, "tag": {"type": "string", "value": None}}


@pytest.mark.parametrize(
    ("raw", "data"),
    [
        ({"data": {"a": 1}}, {"a": 1}),
        ({"data": {"a": 1}, "variables": {}}, {"a": 1}),
        ({"variables": {"limit": 3}}, {}),
        ({"a": 1}, {"a": 1}),
        ({"data": {"a": 1}, "other": 2}, {"data": {"a": 1}, "other": 2}),
        ({}, {}), (None, {}), ([1], [1]), ("text", "text"), ({"data": None}, None), ({"data": [1]}, [1]),
        ({"data": {"data": 1}}, {"data": 1}),
    ],
)  # fmt: skip
def test_the_envelope_is_unwrapped_and_everything_else_is_data(raw: Any, data: Any) -> None:
    envelope, violations = check_input({}, VARIABLES, raw)
    assert (envelope.data, violations) == (data, [])


def test_variables_override_the_declared_ones() -> None:
    envelope, violations = check_input({}, VARIABLES, {"variables": {"limit": 3}})
    assert (envelope.variables, violations) == ({"limit": 3, "tag": None}, [])


@pytest.mark.parametrize(
    ("variables", "path"),
    [
        ({"_instance_id": "x"}, "variables._instance_id"),
        ({"unknown": 1}, "variables.unknown"),
        ({"limit": "3"}, "variables.limit"),
        ({"limit": None}, "variables.limit"),
        ([1], "variables"),
        ("x", "variables"),
    ],
)
def test_variables_that_may_not_be_set_are_refused(variables: Any, path: str) -> None:
    violations = check_input({}, VARIABLES, {"data": {}, "variables": variables})[1]
    assert [violation.path for violation in violations] == [path]


FILE = {"content": "aGk=", "filename": "a.txt", "mimeType": "text/plain"}


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ({"type": "string"}, ["", "x"], [1, True, [], {}]),
        ({"type": "integer"}, [0, -3, 3.0], ["3", 3.5, True, []]),
        ({"type": "number"}, [0, 3.5], ["3", True]),
        ({"type": "boolean"}, [True, False], [0, "true"]),
        ({"type": "array"}, [[], [None]], [{}, "x"]),
        ({"type": "object"}, [{}, {"a": 1}], [[], "x"]),
        ({"type": "file"}, [FILE, {"content": ""}], ["aGk=", {}, {"content": "%"}, {"content": 1}, {**FILE, "filename": 3}]),
        ({"type": "string", "enum": ["a", "b"]}, ["a"], ["c", ""]),
        ({"type": "integer", "enum": [1, 2]}, [1, 2.0], [3]),
        ({"type": "number", "min": 1, "max": 2}, [1, 2, 1.5], [0.9, 2.1]),
        ({"type": "string", "min": 2, "max": 3}, ["ab", "äöü"], ["a", "abcd"]),
        ({"type": "array", "min": 1, "max": 2}, [[1], [1, 2]], [[], [1, 2, 3]]),
        ({"type": "string", "pattern": "^[A-Z]+$"}, ["AB"], ["ab", ""]),
        ({"type": "array", "items": {"type": "integer"}}, [[1, 2]], [[1, "2"], [None]]),
        ({"type": "array", "items": {"type": "integer", "nullable": True}}, [[1, None]], [["x"]]),
        ({"type": "object", "properties": {"a": {"type": "string", "required": True}}}, [{"a": "x"}, {"a": "", "b": 1}],
         [{}, {"a": None}, {"a": 1}]),
        ({"type": "string", "required": True, "nullable": True}, [None, "x"], [1]),
        ({"type": "string"}, [None], []),
    ],
)  # fmt: skip
def test_every_constraint_holds(field: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert check({"f": field}, {"f": value})[1] == [], value
    for value in bad:
        violations = check({"f": field}, {"f": value})[1]
        assert violations and all(v.path.startswith("data.f") and v.message for v in violations), value


def test_every_violation_is_reported_with_its_path() -> None:
    schema = {
        "name": {"type": "string", "required": True},
        "lines": {"type": "array", "items": {"type": "object", "properties": {"qty": {"type": "integer", "min": 1}}}},
        "a.b": {"type": "string"},
    }
    data = {"lines": [{"qty": 1}, {"qty": 0}, {"qty": "x"}, 7], "a.b": 1}
    assert [violation.path for violation in check(schema, data)[1]] == [
        "data.name", "data.lines[1].qty", "data.lines[2].qty", "data.lines[3]", 'data["a.b"]',
    ]  # fmt: skip


def test_required_means_present_even_when_null_is_allowed() -> None:
    assert [v.path for v in check({"f": {"type": "string", "required": True, "nullable": True}}, {})[1]] == ["data.f"]


def test_defaults_apply_at_any_depth_and_never_change_the_input() -> None:
    schema = {
        "top": {"type": "integer", "default": 5},
        "list": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "integer", "default": 1}}}},
        "deep": {"type": "object", "default": {"given": True}, "properties": {
            "inner": {"type": "object", "default": {}, "properties": {"leaf": {"type": "string", "default": "leaf"}}}}},
        "kept": {"type": "string", "nullable": True, "default": "d"},
        "gone": {"type": "string"},
    }  # fmt: skip
    data = {"list": [{}, {"x": 2}], "top": None, "kept": None, "gone": None, "extra": 1}
    before, schema_before = copy.deepcopy(data), copy.deepcopy(schema)
    value, violations = check(schema, data)
    assert violations == []
    assert value == {
        "top": 5, "list": [{"x": 1}, {"x": 2}], "deep": {"given": True, "inner": {"leaf": "leaf"}}, "kept": None, "extra": 1,
    }  # fmt: skip
    value["deep"]["given"] = False
    assert (data, schema) == (before, schema_before)


@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_with_a_schema_the_data_must_be_an_object(value: Any) -> None:
    assert [v.path for v in check({"a": {"type": "string"}}, value)[1]] == ["data"]
    assert [v.path for v in check_output({"a": {"type": "string"}}, value)] == ["outputs"]
    assert check_output({}, value) == []
    envelope, violations = check_input({"a": {"type": "string", "default": "d"}}, {}, {"data": None})
    assert (envelope.data, violations) == ({"a": "d"}, [])


fields: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "file"])},
        optional={"required": st.booleans(), "nullable": st.booleans(), "default": json_values, "min": st.integers(-3, 3),
                  "max": st.integers(-3, 3), "enum": st.lists(json_values, max_size=3)},
    ),
    lambda inner: st.fixed_dictionaries(
        {"type": st.sampled_from(["array", "object"])},
        optional={"items": inner, "properties": st.dictionaries(st.text(max_size=3), inner, max_size=3)},
    ),
    max_leaves=5,
)  # fmt: skip


@pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|a)*$", "(a|aa)+$", "(.*)*b{2}$", r"^(\w+\s?)*!$", "(x+x+)+y"])
def test_no_pattern_can_hang_the_one_who_checks(pattern: str) -> None:
    for text in ("a" * 60 + "c", "x" * 100_000, "word " * 20_000):
        (violation,) = check({"f": {"type": "string", "pattern": pattern}}, {"f": text})[1]
        assert violation.path == "data.f" and pattern in violation.message


def test_a_pattern_is_searched_for_and_knows_unicode() -> None:
    for pattern, good, bad in (
        (r"\d{3}", "x123y", "12"), (r"^\p{Lu}\w+$", "Änne", "änne"), ("(?i)^yes$", "YES", "yes!"), ("^a$", "a", "a\n"),
        ("^.$", "😀", "ab"), ("a", "a", "\ud800"),
    ):  # fmt: skip
        field = {"f": {"type": "string", "pattern": pattern}}
        assert check(field, {"f": good})[1] == [] and len(check(field, {"f": bad})[1]) == 1, pattern


@given(st.lists(json_values, max_size=8), json_values)
def test_choices_agree_with_membership(members: list[Any], value: Any) -> None:
    choices = Choices(members)
    assert (value in choices) == is_in(value, members)
    assert all(member in choices for member in members)


@pytest.mark.parametrize(
    ("members", "value", "found"),
    [
        (["1", 2], 1, True), (["1", 2], "2", True), (["1"], "1.0", False), ([1], "1.0", True), ([0], "0", True),
        ([True], 1, False), ([1], True, False), ([None], "", False), ([[1, "2"]], [1, 2], True),
        ([{"a": "1"}], {"a": 1}, True),        ([[[1]]], [["1"]], True), ([10**30], str(10**30), True), (["a"], None, False),
    ],
)  # fmt: skip
def test_choices_have_the_equality_of_eq(members: list[Any], value: Any, found: bool) -> None:
    assert (value in Choices(members)) is found is is_in(value, members)


def test_thousands_of_choices_for_thousands_of_values() -> None:
    allowed = [f"c{number}" for number in range(50_000)]
    schema = {"l": {"type": "array", "items": {"type": "string", "enum": allowed}}}
    assert check(schema, {"l": [*allowed, "nope"]})[1] == [
        Violation("data.l[50000]", f"must be one of {', '.join(allowed[:20])}, …")
    ]


def test_violations_beyond_a_thousand_are_counted() -> None:
    violations = check({"l": {"type": "array", "items": {"type": "string"}}}, {"l": [0] * 5_000})[1]
    assert len(violations) == MOST_VIOLATIONS + 1
    assert violations[-1] == Violation("", "there are 4000 more violations")


def test_defaults_do_not_multiply_without_limit() -> None:
    schema = {"l": {"type": "array", "items": {"type": "object", "properties": {
        "x": {"type": "array", "default": ["y" * 1_000] * 1_000}}}}}  # fmt: skip
    assert check(schema, {"l": [{}] * 10})[1] == []
    (violation,) = check(schema, {"l": [{}] * 1_000})[1]
    assert violation.path == "data.l[16].x" and "defaults add more than" in violation.message


@given(st.dictionaries(st.text(max_size=3), fields, max_size=3), json_values)
def test_checking_never_fails_and_what_passes_passes_again(schema: dict[str, Any], data: Any) -> None:
    value, violations = check(schema, data)
    assert all(violation.to_wire()["path"].startswith("data") for violation in violations)
    if not violations:
        assert check(schema, value) == (value, [])
