"""Agent transform, capability by capability, as a scenario calls it."""

from __future__ import annotations

import copy
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtara_agents_std.values import identity, json_text, order

from runtara_framework.agents import AgentError

Call = Callable[..., Awaitable[Any]]
CUSTOMERS = [
    {"id": 1, "name": "Ann", "address": {"city": "Kyiv"}, "tags": ["a", "b"]},
    {"id": 2, "name": "Bob", "address": {"city": "Lviv"}, "tags": []},
    {"id": 3, "name": None, "address": None},
]


@pytest.fixture
def transform(invoke: Call) -> Call:
    async def call(capability: str, /, **inputs: Any) -> Any:
        before = copy.deepcopy(inputs)
        output = await invoke("transform", capability, inputs)
        assert inputs == before
        return output

    return call


async def fails(call: Awaitable[Any]) -> AgentError:
    with pytest.raises(AgentError) as caught:
        await call
    assert caught.value.category == "permanent"
    return caught.value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("", CUSTOMERS),
        (None, CUSTOMERS),
        ("$", CUSTOMERS),
        ("0.name", "Ann"),
        ("$.0.name", "Ann"),
        ("$[0].name", "Ann"),
        ("[-1].id", 3),
        ("0.tags.1", "b"),
        ("0.tags.7", None),
        ("9.name", None),
        ("0.no.such.thing", None),
        ("2.address.city", None),
        ("0.name.first", None),
    ],
)
async def test_a_value_is_got_by_path(transform: Call, path: str | None, value: Any) -> None:
    assert await transform("get-value-by-path", value=CUSTOMERS, property_path=path) == value


async def test_keys_of_any_spelling_can_be_reached(transform: Call) -> None:
    data = {"a.b": 1, "$": 2, "$x": 3, "first name": 4, "0": 5}
    for path, value in [('["a.b"]', 1), ("$.$", 2), ("$x", 3), ("first name", 4), ("0", 5)]:
        assert await transform("get-value-by-path", value=data, property_path=path) == value
    assert await transform("get-value-by-path") is None


@pytest.mark.parametrize("path", ["a..b", "a.", ".a", "a[", "$..a"])
async def test_a_malformed_path_is_an_error(transform: Call, path: str) -> None:
    error = await fails(transform("get-value-by-path", value={}, property_path=path))
    assert error.code == "TRANSFORM_INVALID_INPUT" and "position" in error.message


async def test_a_named_key_into_an_array_is_an_error_instead_of_a_silent_null(transform: Call) -> None:
    error = await fails(transform("get-value-by-path", value={"rows": CUSTOMERS}, property_path="rows.name"))
    assert error.code == "TRANSFORM_INVALID_INPUT" and "'name'" in error.message


@pytest.mark.parametrize(
    ("target", "path", "result"),
    [
        ({}, "a", {"a": 9}),
        ({"a": 1, "b": {"c": 2}}, "b.c", {"a": 1, "b": {"c": 9}}),
        ({"a": 1}, "$.b.c.d", {"a": 1, "b": {"c": {"d": 9}}}),
        ({"a": None}, "a.b", {"a": {"b": 9}}),
        ({"a": 5}, "a.b", {"a": 5}),
        ({"a": [1]}, "a.0", {"a": [1]}),
        ({}, "0.1", {"0": {"1": 9}}),
        ([1], "0", [1]),
        (None, "a", None),
        ("text", "a", "text"),
        ({"a": 1}, "", 9),
    ],
)
async def test_a_value_is_set_by_path(transform: Call, target: Any, path: str, result: Any) -> None:
    assert await transform("set-value-by-path", target=target, property_path=path, value=9) == result


async def test_extract_keeps_null_for_what_is_missing(transform: Call) -> None:
    output = await transform("extract", value=CUSTOMERS, property_path="address.city")
    assert output == {"values": ["Kyiv", "Lviv", None], "count": 3}
    assert (await transform("extract", value=[1, [2]], property_path=""))["values"] == [1, [2]]


@pytest.mark.parametrize(
    ("flags", "kept"),
    [
        ({}, ["", " \t", None, 0, 0.0, "0", False, "x", []]),
        ({"filter_empty_strings": True}, [" \t", None, 0, 0.0, "0", False, "x", []]),
        ({"filter_blank_strings": True}, [None, 0, 0.0, "0", False, "x", []]),
        ({"filter_null_values": True}, ["", " \t", 0, 0.0, "0", False, "x", []]),
        ({"filter_zero_values": True}, ["", " \t", None, False, "x", []]),
    ],
)
async def test_nothing_is_filtered_by_its_kind(transform: Call, flags: dict[str, bool], kept: list[Any]) -> None:
    value = ["", " \t", None, 0, 0.0, "0", False, "x", []]
    output = await transform("filter-non-values", value=value, **flags)
    assert output == {"items": kept, "count": len(kept), "removed_count": 9 - len(kept)}
    assert [type(one) for one in output["items"]] == [type(one) for one in kept]


async def test_nothing_is_looked_for_at_a_path(transform: Call) -> None:
    output = await transform("filter-non-values", value=CUSTOMERS, property_path="name", filter_null_values=True)
    assert [one["id"] for one in output["items"]] == [1, 2]


@pytest.mark.parametrize(
    ("value", "first"),
    [
        ([None, "", "  ", 0, 0.0, False, "x", "y"], "x"),
        ([[], 1], []),
        ([None, {}], {}),
        ([None], None),
        ([], None),
        (None, None),
    ],
)
async def test_the_first_real_value_is_selected(transform: Call, value: Any, first: Any) -> None:
    assert await transform("select-first", value=value) == first


async def test_coalesce_passes_over_null_and_what_it_is_told(transform: Call) -> None:
    values = [None, "", 0, False]
    assert await transform("coalesce", values=values) == ""
    assert await transform("coalesce", values=values, treat_empty_string_as_null=True) == 0
    both = {"treat_empty_string_as_null": True, "treat_zero_as_null": True}
    assert await transform("coalesce", values=values, **both) is False
    assert await transform("coalesce", values=[]) is None


async def test_json_text_and_back(transform: Call) -> None:
    value = {"b": [1, 2.5, None, True], "a": "é"}
    text = await transform("to-json-string", value=value)
    assert text == {"json": '{"b":[1,2.5,null,true],"a":"é"}', "length": 32}
    assert await transform("from-json-string", value=text["json"]) == value
    assert await transform("from-json-string", value="") is None
    assert await transform("from-json-string") is None


@pytest.mark.parametrize("text", ["{", " ", "NaN", "[1,]", "{'a': 1}", "1 2", "[" * 100_000])
async def test_text_that_is_no_json_is_an_error(transform: Call, text: str) -> None:
    error = await fails(transform("from-json-string", value=text))
    assert error.code == "TRANSFORM_JSON_PARSE_ERROR"


FRUIT: list[dict[str, Any]] = [
    {"n": "apple", "tags": ["red", "sweet"], "price": 1},
    {"n": "lemon", "tags": ["yellow"], "price": 1.0},
    {"n": "plum", "tags": [], "price": "1"},
    {"n": None, "price": True},
]


@pytest.mark.parametrize(
    ("condition", "path", "match", "kept"),
    [
        ("INCLUDES", "n", "apple", [0]),
        ("INCLUDES", "n", ["apple", "plum"], [0, 2]),
        ("INCLUDES", "tags", "red", [0]),
        ("INCLUDES", "tags", ["yellow", "sweet"], [0, 1]),
        ("INCLUDES", "tags", [["yellow"]], [1]),
        ("INCLUDES", "price", 1, [0, 1]),
        ("INCLUDES", "price", "1", [2]),
        ("INCLUDES", "price", True, [3]),
        ("INCLUDES", "n", None, []),
        ("INCLUDES", "n", [], []),
        ("EXCLUDES", "n", "apple", [1, 2, 3]),
        ("EXCLUDES", "n", None, [0, 1, 2, 3]),
        ("EXCLUDES", "tags", "red", [1, 2, 3]),
        ("STARTS_WITH", "n", "app", [0]),
        ("STARTS_WITH", "n", ["le", "pl"], [1, 2]),
        ("STARTS_WITH", "price", "1", [2]),
        ("ENDS_WITH", "n", ["on"], [1]),
        ("CONTAINS", "n", "l", [0, 1, 2]),
        ("CONTAINS", "tags", "ell", [1]),
        ("CONTAINS", "price", 1, []),
        ("starts-with", "n", "app", [0]),
        ("StartsWith", "n", "app", [0]),
    ],
)
async def test_filter_matches(transform: Call, condition: str, path: str, match: Any, kept: list[int]) -> None:
    output = await transform("filter", value=FRUIT, property_path=path, match_values=match, match_condition=condition)
    assert output["items"] == [FRUIT[i] for i in kept]
    assert (output["count"], output["removed_count"]) == (len(kept), 4 - len(kept))


@pytest.mark.parametrize("path", ["", "$"])
async def test_filter_can_look_at_the_items_themselves(transform: Call, path: str) -> None:
    inputs = {"property_path": path, "match_values": [2, "x"], "match_condition": "INCLUDES"}
    assert (await transform("filter", value=[1, 2, "x", None], **inputs))["items"] == [2, "x"]
    assert await transform("filter", value=None, **inputs) == {"items": [], "count": 0, "removed_count": 0}


async def test_filter_wants_to_know_the_condition(transform: Call) -> None:
    inputs = {"value": [], "property_path": "", "match_values": 1}
    assert "match_condition" in (await fails(transform("filter", **inputs))).message
    assert "match_condition" in (await fails(transform("filter", **inputs, match_condition="LIKE"))).message


async def test_sort_is_stable_and_puts_nulls_at_the_end_of_the_large(transform: Call) -> None:
    rows = [{"k": 2, "i": 0}, {"k": None, "i": 1}, {"k": 1, "i": 2}, {"k": 2, "i": 3}, {"i": 4}, {"k": -1.5, "i": 5}]

    async def order_of(**inputs: Any) -> list[int]:
        return [row["i"] for row in (await transform("sort", value=rows, property_path="k", **inputs))["items"]]

    assert await order_of() == [5, 2, 0, 3, 1, 4]
    assert await order_of(ascending=False) == [1, 4, 0, 3, 2, 5]


async def test_sort_orders_mixed_values_as_their_json(transform: Call) -> None:
    value = [{"a": 1}, True, False, [2], [10], 3, -1, "b", "a", None, 10]
    ordered = ["a", "b", -1, 3, 10, [10], [2], False, True, {"a": 1}, None]
    output = await transform("sort", value=value)
    assert [(type(one), one) for one in output["items"]] == [(type(one), one) for one in ordered]
    assert output["count"] == 11


JSON = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(JSON, max_size=6))
def test_every_json_value_can_be_ordered(values: list[Any]) -> None:
    keys = sorted(order(one) for one in values)
    assert keys == sorted(order(one) for one in reversed(values))


@given(JSON, JSON)
def test_identity_is_equality_of_json(one: Any, other: Any) -> None:
    def normal(value: Any) -> Any:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, list):
            return [normal(member) for member in value]
        return {k: normal(v) for k, v in value.items()} if isinstance(value, dict) else value

    assert (identity(one) == identity(other)) == (json_text(normal(one)) == json_text(normal(other)))


async def test_fields_are_mapped_to_keys_taken_as_they_are(transform: Call) -> None:
    source = {"a": {"b": [1, {"c": 2}]}, "n": None, "f": False}
    output = await transform(
        "map-fields", source_data=source, mappings={"a.b.1.c": "x.y", "$.f": "flag", "n": "gone", "no": "gone"}
    )
    assert output == {"result": {"x.y": 2, "flag": False}, "field_count": 2}


@pytest.mark.parametrize("source", [{"a": 1, "b": None}, [1, 2], "text", None])
async def test_without_mappings_the_source_passes_through(transform: Call, source: Any) -> None:
    output = await transform("map-fields", source=source)
    assert output == {"result": source, "field_count": 2 if isinstance(source, dict) else 0}


async def test_documented_names_of_inputs_work(transform: Call) -> None:
    output = await transform("map-fields", source={"a": 1}, mapping={"a": "b"})
    assert output == {"result": {"b": 1}, "field_count": 1}


async def test_objects_are_merged(transform: Call) -> None:
    objects = [{"a": 1, "o": {"x": 1, "y": {"p": 1}}}, None, {"b": 2, "o": {"y": {"q": 2}}}]
    flat = await transform("merge", objects=objects)
    assert flat == {"result": {"a": 1, "o": {"y": {"q": 2}}, "b": 2}, "field_count": 3}
    deep = await transform("merge", values=objects, deep=True)
    assert deep["result"] == {"a": 1, "o": {"x": 1, "y": {"p": 1, "q": 2}}, "b": 2}


async def test_groups_come_in_the_order_in_which_they_are_met(transform: Call) -> None:
    rows = [
        {"g": {"k": key}, "i": i} for i, key in enumerate(["b", 1, None, "a", 1.0, "b", True, [1], {"z": 1, "y": 2}])
    ]
    output = await transform("group-by", value=rows, key="g.k", as_map=True)
    groups = {name: [row["i"] for row in members] for name, members in output["groups"].items()}
    assert groups == {"b": [0, 5], "1": [1, 4], "a": [3], "true": [6], "[1]": [7], '{"y":2,"z":1}': [8]}
    assert list(groups) == ["b", "1", "a", "true", "[1]", '{"y":2,"z":1}']
    assert output["group_count"] == 6
    listed = await transform("group-by", value=rows, key="g.k")
    assert listed["groups"] == list(output["groups"].values())


@pytest.mark.parametrize("value", [None, {}, "text", 5])
async def test_only_an_array_can_be_grouped(transform: Call, value: Any) -> None:
    assert (await fails(transform("group-by", value=value, key="k"))).code == "TRANSFORM_INVALID_INPUT"


async def test_append_and_flat_map(transform: Call) -> None:
    assert await transform("append", array=[1], item=[2]) == {"array": [1, [2]], "length": 2}
    assert await transform("append", array=[], item=None) == {"array": [None], "length": 1}
    rows = [{"l": [1, 2]}, {"l": "text"}, {}, {"l": []}, {"l": [[3]]}]
    assert await transform("flat-map", value=rows, property_path="l") == {"items": [1, 2, [3]], "count": 3}
    assert (await transform("flat-map", value=[[1], 2, [3]], property_path="$"))["items"] == [1, 3]
    assert "property_path" in (await fails(transform("flat-map", value=rows, property_path=""))).message


@pytest.mark.parametrize(
    ("value", "length"), [([1, None], 2), ([], 0), ({"a": 1}, 1), ("é😀", 2), (None, 0), (12, 0), (True, 0)]
)
async def test_length(transform: Call, value: Any, length: int) -> None:
    assert await transform("array-length", value=value) == {"length": length, "is_array": isinstance(value, list)}


@pytest.mark.parametrize(
    ("value", "items"), [([1], [1]), ([], []), (None, []), (0, [0]), ("", [""]), ({"a": 1}, [{"a": 1}])]
)
async def test_an_array_is_ensured(transform: Call, value: Any, items: list[Any]) -> None:
    output = await transform("ensure-array", value=value)
    assert output == {"items": items, "count": len(items), "was_array": isinstance(value, list)}


async def test_a_hundred_thousand_rows_are_no_problem(transform: Call) -> None:
    rows = [{"id": i, "group": i % 7, "text": f"row {i}"} for i in range(100_000)]
    kept = await transform("filter", value=rows, property_path="group", match_values=[1, 2], match_condition="INCLUDES")
    assert kept["count"] == 28572
    assert (await transform("sort", value=rows, property_path="text", ascending=False))["items"][0]["id"] == 99999


async def test_outputs_are_json(transform: Call) -> None:
    json.dumps(await transform("group-by", value=FRUIT, key="price", as_map=True), allow_nan=False)
