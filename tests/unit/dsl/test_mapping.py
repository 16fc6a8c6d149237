"""One mapping resolver: coercion and default, destinations, literals; data that looks like a mapping is data."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtara_framework.dsl.errors import CoercionFailed, DestinationClash, PathTypeError
from runtara_framework.dsl.mapping import (
    MISSING,
    coerce,
    is_mapping,
    is_reference,
    nest,
    ref,
)
from runtara_framework.dsl.paths import parse_path

from . import compiled, oracle
from .strategies import json_values, literals, mappings, scopes
from .test_conditions import outcome

FAILS = object()
SCOPE: dict[str, Any] = {
    "data": {
        "n": "12",
        "text": "abc",
        "list": [1],
        "null": None,
        "marker": {"valueType": "reference", "value": "data.n"},
    },
    "variables": {"v": 2},
}


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        ("string", "x", "x"), ("string", 1, "1"), ("string", 1.0, "1.0"), ("string", True, "true"),
        ("string", None, None), ("string", {"a": [1, "é"]}, '{"a":[1,"é"]}'),
        ("integer", 3, 3), ("integer", 3.0, 3), ("integer", "3", 3), ("integer", "3.0", 3), ("integer", True, 1),
        ("integer", False, 0), ("integer", None, None), ("integer", 3.5, FAILS), ("integer", "3.5", FAILS),
        ("integer", "abc", FAILS), ("integer", "", FAILS), ("integer", [], FAILS), ("integer", {}, FAILS),
        ("integer", "12345678901234567890", 12345678901234567890),
        ("number", 3, 3), ("number", "3.5", 3.5), ("number", "1e2", 100.0), ("number", True, 1),
        ("number", "abc", FAILS), ("number", "NaN", FAILS), ("number", [1], FAILS), ("number", None, None),
        ("boolean", "true", True), ("boolean", "1", True), ("boolean", "True", False), ("boolean", "", False),
        ("boolean", 2, True), ("boolean", 0, False), ("boolean", [], False), ("boolean", [0], True),
        ("boolean", {}, False), ("boolean", None, None), ("boolean", False, False),
        ("json", "{}", "{}"), ("file", {"content": ""}, {"content": ""}), (None, "3", "3"),
    ],
)  # fmt: skip
def test_coercion(hint: str | None, value: Any, expected: Any) -> None:
    if expected is FAILS:
        with pytest.raises(CoercionFailed) as caught:
            coerce(value, hint, parse_path("data.x"))
        assert caught.value.code == "COERCION_FAILED" and "data.x" in caught.value.message
    else:
        result = coerce(value, hint)
        assert result == expected and type(result) is type(expected)


@pytest.mark.parametrize(
    ("path", "hint", "default", "expected"),
    [
        ("data.n", "integer", MISSING, 12),
        ("data.missing", None, MISSING, None),
        ("data.missing", "integer", MISSING, None),
        ("data.missing", "integer", "7", 7),
        ("data.null", None, "d", "d"),
        ("data.text", "integer", 0, 0),
        ("data.list.name", None, "d", "d"),
        ("data.list.name", None, None, None),
        ("data.text", "integer", None, None),
        ("data.list[0]", None, "d", 1),
        ("variables.v", "string", MISSING, "2"),
    ],
)
def test_a_reference_is_looked_up_coerced_and_defaulted(
    path: str, hint: str | None, default: Any, expected: Any
) -> None:
    assert ref(SCOPE, path, hint, default) == expected
    mapping = {"valueType": "reference", "value": path}
    mapping |= {"type": hint} if hint else {}
    mapping |= {"default": default} if default is not MISSING else {}
    assert compiled.value(mapping, SCOPE) == expected


def test_without_a_default_mistakes_are_loud() -> None:
    with pytest.raises(PathTypeError):
        ref(SCOPE, "data.list.name")
    with pytest.raises(CoercionFailed):
        ref(SCOPE, "data.text", "number")
    with pytest.raises(CoercionFailed):
        ref(SCOPE, "data.missing", "integer", "a default that is no number")


def test_dots_in_destination_keys_build_objects() -> None:
    assert nest([("a.b", 1), ("a.c.d", 2), ("e", {"x": 1})]) == {"a": {"b": 1, "c": {"d": 2}}, "e": {"x": 1}}


@pytest.mark.parametrize("keys", [["a", "a.b"], ["a.b", "a"], ["a.b", "a.b.c"], ["a", "a"]])
def test_destinations_that_clash_are_refused(keys: list[str]) -> None:
    for value in (1, {}, {"b": 1}, None):
        with pytest.raises(DestinationClash):
            nest([(key, value) for key in keys])


def test_nesting_never_writes_into_a_value_that_was_mapped() -> None:
    value: dict[str, Any] = {}
    with pytest.raises(DestinationClash):
        nest([("a", value), ("a.b", 1)])
    assert value == {}


def test_composites_build_objects_and_arrays_and_keep_dots_in_keys() -> None:
    mapping = {"valueType": "composite", "value": {
        "a.b": {"valueType": "immediate", "value": {"valueType": "reference", "value": "data.n"}},
        "l": {"valueType": "composite", "value": [{"valueType": "reference", "value": "data.n"}]}}}  # fmt: skip
    assert compiled.value(mapping, SCOPE) == {"a.b": {"valueType": "reference", "value": "data.n"}, "l": ["12"]}


def test_references_inside_literals_are_resolved_for_agents_only() -> None:
    literal = {
        "where": [{"valueType": "reference", "value": "data.n", "type": "integer"}],
        "as": {"valueType": "reference"},
    }
    inputs = {"q.x": {"valueType": "immediate", "value": literal},
              "r": {"valueType": "immediate", "value": {"valueType": "reference", "value": "data.text"}}}  # fmt: skip
    assert compiled.inputs(inputs, SCOPE) == {
        "q": {"x": literal},
        "r": {"valueType": "reference", "value": "data.text"},
    }
    assert compiled.inputs(inputs, SCOPE, for_agent=True) == {
        "q": {"x": {"where": [12], "as": {"valueType": "reference"}}},
        "r": "abc",
    }
    assert compiled.inputs({}, SCOPE) == {}
    deep = {"c": {"valueType": "composite", "value": [inputs["r"]]}}
    assert compiled.inputs(deep, SCOPE, for_agent=True) == {"c": ["abc"]}
    assert compiled.inputs(deep, SCOPE) == {"c": [{"valueType": "reference", "value": "data.text"}]}


def test_switch_outputs_are_resolved_at_any_depth() -> None:
    output = {"a": [{"valueType": "reference", "value": "data.n"}, {"valueType": "immediate", "value": {
        "valueType": "reference", "value": "data.n"}}], "t": {"valueType": "template", "value": "<{{ data.text }}>"},
        "c": {"valueType": "composite", "value": []}, "no": {"valueType": "immediate"}}  # fmt: skip
    assert compiled.output(output, SCOPE) == {
        "a": ["12", {"valueType": "reference", "value": "data.n"}],
        "t": "<abc>",
        "c": [],
        "no": {"valueType": "immediate"},
    }


def test_data_that_looks_like_a_mapping_passes_untouched() -> None:
    marker = SCOPE["data"]["marker"]
    inputs_marker = {"valueType": "reference", "value": "data.marker"}
    inputs = {"m": {"valueType": "reference", "value": "data.marker"},
              "n": {"valueType": "immediate", "value": {"in": inputs_marker}}}  # fmt: skip
    assert compiled.inputs(inputs, SCOPE, for_agent=True) == {"m": marker, "n": {"in": marker}}
    assert compiled.output({"valueType": "reference", "value": "data.marker"}, SCOPE) == marker


@pytest.mark.parametrize(
    ("literal", "reference", "mapping"),
    [
        ({"valueType": "reference", "value": "data.x"}, True, True),
        ({"valueType": "reference", "value": "data.x", "type": "json", "default": 1}, True, True),
        ({"valueType": "reference", "value": "data.x", "extra": 1}, False, False),
        ({"valueType": "reference", "value": 5}, False, False),
        ({"valueType": "immediate", "value": 5}, False, True),
        ({"valueType": "immediate", "value": 5, "type": "json"}, False, False),
        ({"valueType": {"un": "hashable"}, "value": 5}, False, False),
        ("data.x", False, False),
    ],
)
def test_what_counts_as_a_mapping_is_exact(literal: Any, reference: bool, mapping: bool) -> None:
    assert (is_reference(literal), is_mapping(literal)) == (reference, mapping)


@given(json_values, st.sampled_from([None, "string", "integer", "number", "boolean", "json", "file"]))
def test_coercion_gives_a_value_of_the_type_or_fails(value: Any, hint: str | None) -> None:
    try:
        result = coerce(value, hint)
    except CoercionFailed:
        assert hint in ("integer", "number")
        return
    assert coerce(result, hint) == result
    types = {"string": str, "integer": int, "number": (int, float), "boolean": bool}
    assert value is None or hint not in types or isinstance(result, types[hint])  # type: ignore[arg-type]
    json.dumps(result, allow_nan=False)


@given(json_values)
@settings(deadline=None)
def test_literals_without_mappings_are_what_they_are(value: Any) -> None:
    literal = {"valueType": "immediate", "value": value}
    assert compiled.output(value, {}) == value
    assert compiled.value(literal, {}) == value
    assert compiled.inputs({"k": literal}, {}, for_agent=True) == {"k": value}


@given(st.dictionaries(st.text("ab.", min_size=1, max_size=3), mappings, max_size=3), st.booleans(), scopes)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_compiled_mapping_means_what_its_json_says(mapping: Any, for_agent: bool, scope: dict[str, Any]) -> None:
    assert outcome(lambda: compiled.inputs(mapping, scope, for_agent=for_agent)) == outcome(
        lambda: oracle.inputs(mapping, scope, for_agent=for_agent)
    )


@given(literals, scopes)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_compiled_output_means_what_its_json_says(literal: Any, scope: dict[str, Any]) -> None:
    assert outcome(lambda: compiled.output(literal, scope)) == outcome(lambda: oracle.output(literal, scope))


@given(st.dictionaries(st.text("ab.", min_size=1, max_size=4), st.integers(), max_size=5))
def test_nesting_keeps_every_value_or_refuses(values: dict[str, int]) -> None:
    try:
        nested = nest(values.items())
    except DestinationClash:
        return
    for key, value in values.items():
        found: Any = nested
        for part in key.split("."):
            found = found[part]
        assert found == value
