"""A scenario is read from text without losing the keys that an object has twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara_framework.dsl.documents import Document, read

from .strategies import json_values


@given(st.dictionaries(st.text(max_size=4), json_values, max_size=5), st.sampled_from([None, 1]), st.booleans())
def test_what_is_written_once_is_read_as_it_is(value: dict[str, Any], indent: int | None, escaped: bool) -> None:
    document = read(json.dumps(value, indent=indent, ensure_ascii=escaped))
    assert (document, document.repeated) == (value, ())


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ('{"a": 1,\n"a": 2}', [("/a", 1, 2)]),
        ('{"a": 1, "a": 2,\n"a": 3}', [("/a", 1, 1), ("/a", 1, 2)]),
        ('{"a": 1, "\\u0061": 2}', [("/a", 1, 1)]),
        ('{"a": {"b": 1, "b": [{}, {"c": {}, "c": "}"}]}}', [("/a/b", 1, 1), ("/a/b/1/c", 1, 1)]),
        ('{"a": [[{"k": 1}, {"k": 1}], {"k": 1, "k": 1}]}', [("/a/1/k", 1, 1)]),
        ('{"a/b~c": 1, "a/b~c": 1}', [("/a~1b~0c", 1, 1)]),
        ('{"": 1,\n\n"": 1}', [("/", 1, 3)]),
        ('{"a\\"b": "\\\\", "x": ["a", "a", "{", "}"], "a\\"b": 1}', [('/a"b', 1, 1)]),
        ('\ufeff{"a": 1,\r\n "a": NaN}', [("/a", 1, 2)]),
        ('{"a": "b", "b": "a", "c": {"a": 1, "b": 2}}', []),
    ],
)
def test_a_key_given_twice_is_remembered_with_its_lines(text: str, repeated: list[tuple[str, int, int]]) -> None:
    assert [tuple(one) for one in read(text).repeated] == repeated


@given(st.lists(st.tuples(st.text('ab/~"\\ é', max_size=2), json_values), max_size=6))
def test_every_repetition_is_found_and_the_last_value_counts(members: list[tuple[str, Any]]) -> None:
    text = "{" + ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in members) + "}"
    document = read(text)
    assert document == dict(members) and isinstance(document, Document)
    assert len(document.repeated) == len(members) - len(dict(members))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1 column 1"), ("\ufeff", "line 1"), ("{", "line 1"), ('{"a": 1,}', "line 1 column 9"),
        ("{} x", "column 4"),
        ("{'a': 1}", "line 1 column 2"), ("\n// x\n{}", "line 2"), ("[]", "holds an array"), ("null", "holds null"),
        ("true", "holds true or false"), ("3", "holds a number"), ('"x"', "holds a text"), 
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"), ('{"a":\n' + "9" * 5_000 + "}", "more than 4300 digits in line 2"),
        ('{"a": "\t"}', "line 1 column 8"), ("\0", "line 1"),
    ],
)  # fmt: skip
def test_what_is_no_scenario_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read(text)
    assert words in str(caught.value)
