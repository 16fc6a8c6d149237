"""A finding is shown with the line that it is about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara_framework.cli.locate import WIDTH, locate

TEXT = """{
  "a": {
    "b/c": [1,
      {"x~y": null, "é": "\\u2028 and \u2028"}],
    "twice": 1,
    "twice":
      2
  },
  "": {}}"""


@pytest.mark.parametrize(
    ("pointer", "line", "shown"),
    [
        ("", 1, "{"),
        ("/a", 2, '"a": {'),
        ("/a/b~1c", 3, '"b/c": [1,'),
        ("/a/b~1c/0", 3, '"b/c": [1,'),
        ("/a/b~1c/1/x~0y", 4, '{"x~y": null, "é": "\\u2028 and \u2028"}],'),
        ("/a/b~1c/1/é", 4, '{"x~y": null, "é": "\\u2028 and \u2028"}],'),
        ("/a/b~1c/9", 3, '"b/c": [1,'),
        ("/a/b~1c/-", 3, '"b/c": [1,'),
        ("/a/missing/deep", 2, '"a": {'),
        ("/a/twice", 7, "2"),
        ("/", 9, '"": {}}'),
        ("/nothing", 1, "{"),
    ],
)
def test_a_pointer_leads_to_its_line_or_that_of_the_nearest_parent(pointer: str, line: int, shown: str) -> None:
    assert locate(TEXT, [pointer]) == {pointer: (line, shown)}


def test_of_a_long_line_the_part_around_the_place_is_shown() -> None:
    text = json.dumps({"a": "x" * 1_000, "b": {"c": "here"}, "d": "y" * 1_000})
    line, shown = locate(text, ["/b/c"])["/b/c"]
    assert line == 1 and '"here"' in shown and shown.startswith("…") and len(shown) <= WIDTH + 2


leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a/~"', max_size=2), inner, max_size=3)
)


def places(value: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    yield pointer, value
    for key, member in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from places(member, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")


@given(st.dictionaries(st.text(max_size=2), trees, max_size=4))
def test_every_value_is_found_where_it_stands(document: dict[str, Any]) -> None:
    # One value on each line: what a line shows says which value it is.
    text = json.dumps(document, indent=1)
    known = dict(places(document))
    lines = text.split("\n")
    for pointer, place in locate(text, known).items():
        line = lines[place.line - 1].strip()
        assert place.text == line[:WIDTH].rstrip()
        value = known[pointer]
        expected = json.dumps(value) if not isinstance(value, (dict, list)) else "[" if isinstance(value, list) else "{"
        assert expected in line, (pointer, line)


def test_many_pointers_are_one_pass() -> None:
    document = {f"k{number}": [number, {"x": number}] for number in range(5_000)}
    text = json.dumps(document, indent=1)
    found = locate(text, [f"/k{number}/1/x" for number in range(5_000)])
    assert [place.text for place in found.values()] == [f'"x": {number}' for number in range(5_000)]
    assert found["/k4999/1/x"].line == text.count("\n") - 2
