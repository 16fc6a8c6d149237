"""One tokenizer, one resolver: what paths mean, and that no path and no data can break them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara_framework.dsl.errors import PathSyntaxError, PathTypeError
from runtara_framework.dsl.paths import Path, format_path, parse_path, resolve

from .strategies import json_values, segments

SCOPE: dict[str, Any] = {
    "data": {
        "a.b": {"c d": 1},
        "list": [10, [20, 30], {"x": None, "0": "zero"}],
        "0": "key zero",
        "01": "key zero one",
        "-1": "key minus one",
        'it\'s "q"': "quoted",
        "back\\slash": "b",
        "text": "abc",
        "": "empty key",
        "nul": None,
    }
}


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("data", ("data",)),
        ("data.a.b", ("data", "a", "b")),
        ('data["a.b"]', ("data", "a.b")),
        ("data['a.b'].c", ("data", "a.b", "c")),
        ("steps['each'].outputs[0]", ("steps", "each", "outputs", 0)),
        ("data.list.0", ("data", "list", 0)),
        ("data.list.-1", ("data", "list", -1)),
        ("data.list[-1][0]", ("data", "list", -1, 0)),
        ("data[name]", ("data", "name")),
        ("data[a.b]", ("data", "a.b")),
        ('data["0"]', ("data", "0")),
        ("data.01", ("data", "01")),
        ("data.-0", ("data", "-0")),
        ("data.my-step_1 x", ("data", "my-step_1 x")),
        ('data["a\\"b\\\\c"]', ("data", 'a"b\\c')),
        ("data['a\\nb']", ("data", "a\\nb")),
        ('data[""]', ("data", "")),
        ("data.ключ", ("data", "ключ")),
        ("data." + "9" * 30, ("data", int("9" * 30))),
        ("data." + "9" * 301, ("data", "9" * 301)),
        ('data[" x "]', ("data", " x ")),
        ('data["\u200b"].a b', ("data", "\u200b", "a b")),
        ("data.می\u200cخواهم", ("data", "می\u200cخواهم")),
    ],
)
def test_a_path_is_cut_into_segments(text: str, segments: tuple[str | int, ...]) -> None:
    assert parse_path(text).segments == segments


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0), ("data..x", 5), (".data", 0), ("data.", 5), ("data[", 5), ("data[]", 5), ("data[0", 4),
        ("data['a]", 5), ('data["a"', 4), ("data['a'x]", 4), ("data[0]x", 7), ("data.[0]", 5), ("data]", 4),
        ("da'ta", 2), ("data[ 0 ]", 5), ("data[a[0]]", 4), ("data\n", 4), ("data. ", 5), (" data", 0), ("data .x", 0),
        ("data.x ", 5), ("data.x\u00a0", 5), ("data.x\u200b", 6), ("data.\u202ex", 5),
        ("data[\ufeffx]", 5), ("data.x\x85", 6),
    ],
)  # fmt: skip
def test_a_malformed_path_says_where_it_is_wrong(text: str, position: int) -> None:
    with pytest.raises(PathSyntaxError) as caught:
        parse_path(text)
    assert caught.value.details["position"] == position
    assert caught.value.code == "PATH_SYNTAX_ERROR"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ('data["a.b"]["c d"]', 1),
        ("data.a.b", None),
        ("data.list[0]", 10),
        ("data.list.-1.0", "zero"),
        ("data.list[-2].-1", 30),
        ("data.list[3]", None),
        ("data.list[-4]", None),
        ("data.list[999999999999999999]", None),
        ("data.list." + "9" * 40, None),
        ("data.list.-" + "9" * 40, None),
        ("data.0", "key zero"),
        ("data[0]", "key zero"),
        ("data.01", "key zero one"),
        ("data[-1]", "key minus one"),
        ('data["it\'s \\"q\\""]', "quoted"),
        ('data["back\\\\slash"]', "b"),
        ('data[""]', "empty key"),
        ("data.text.length", None),
        ("data.text[0]", None),
        ("data.nul.x.y", None),
        ("nowhere.x", None),
    ],
)
def test_a_path_resolves_to_what_is_there_or_null(path: str, value: Any) -> None:
    assert resolve(SCOPE, parse_path(path)) == value


@pytest.mark.parametrize("path", ["data.list.x", 'data.list["0"]', "data.list.01", "data.list[1].length"])
def test_a_named_key_into_an_array_fails_loudly(path: str) -> None:
    with pytest.raises(PathTypeError) as caught:
        resolve(SCOPE, parse_path(path))
    assert caught.value.code == "PATH_TYPE_ERROR" and path.split(".")[0] in caught.value.message


@given(st.lists(segments, min_size=1, max_size=6).map(tuple))
def test_formatting_and_parsing_are_inverse(parts: tuple[str | int, ...]) -> None:
    # An integer and the key of the same unquoted spelling are one segment; quoting keeps a key a key.
    assert parse_path(format_path(parts)).segments == parts


@given(st.text(max_size=20) | st.text("data.[]'\"\\-01 x", max_size=20))
def test_any_text_is_a_path_or_a_syntax_error(text: str) -> None:
    try:
        path = parse_path(text)
    except PathSyntaxError as error:
        assert 0 <= error.details["position"] <= len(text)
    else:
        assert parse_path(str(path)) == path


@given(st.lists(segments, min_size=1, max_size=5).map(tuple), json_values)
def test_resolving_gives_a_value_or_a_path_type_error(parts: tuple[str | int, ...], data: Any) -> None:
    path = Path(("data", *parts))
    try:
        resolve({"data": data}, path)
    except PathTypeError as error:
        assert error.details["path"] == str(path)


@given(json_values)
def test_every_value_is_found_under_the_path_that_leads_to_it(data: Any) -> None:
    stack: list[tuple[tuple[str | int, ...], Any]] = [(("data",), data)]
    while stack:
        place, value = stack.pop()
        assert resolve({"data": data}, parse_path(format_path(place))) is value
        if isinstance(value, dict):
            stack.extend(((*place, key), member) for key, member in value.items())
        elif isinstance(value, list):
            stack.extend(((*place, index), member) for index, member in enumerate(value))
