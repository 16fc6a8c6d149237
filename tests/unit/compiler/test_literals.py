"""The one writer of literals and the one maker of identifiers."""

from __future__ import annotations

import ast
import json
import keyword
import math
from json import loads

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara_framework.compiler.literals import Names, literal

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def same(a: object, b: object) -> bool:
    return repr(a) == repr(b)  # tells 1 from 1.0 and True, and 0.0 from -0.0


@given(values)
def test_a_literal_evaluates_to_its_value_and_to_nothing_else(value: object) -> None:
    text = literal(value)
    assert text.isascii() and "\n" not in text
    assert same(eval(text, {"__builtins__": {}}), value)  # noqa: S307  # no names at all: it is only a literal


@given(values)
def test_a_literal_contains_no_name_and_no_call(value: object) -> None:
    kinds = {type(node) for node in ast.walk(ast.parse(literal(value), mode="eval"))}
    assert kinds <= {
        ast.Expression, ast.Constant, ast.List, ast.Dict, ast.Load, ast.UnaryOp, ast.USub,
    }  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [10**5000, -(10**5000), "\ud800", "\u202e", "'''\"\\\n\r\0", -0.0, 1e308, 5e-324, {"": {"": []}}],
    ids=lambda value: type(value).__name__,
)
def test_awkward_values(value: object) -> None:
    assert eval(literal(value), {"__builtins__": {}}) == value  # noqa: S307


def test_a_deep_value_is_written_as_json_text() -> None:
    value: object = 1
    for _ in range(300):
        value = [value, {"k": "'\"\\"}]
    text = literal(value)
    assert text.startswith("loads(")
    assert json.dumps(eval(text, {"__builtins__": {}, "loads": loads})) == json.dumps(value)  # noqa: S307


@pytest.mark.parametrize("value", [math.nan, math.inf, {1: 2}, {1, 2}, object()])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        literal(value)


@given(st.lists(st.text(max_size=60), max_size=30))
def test_identifiers_are_identifiers_and_each_is_given_once(texts: list[str]) -> None:
    names = Names(frozenset({"run", "Agent"}))
    given_out = [names.constant(text) for text in texts] + [names.function(text) for text in texts]
    assert len(set(given_out)) == len(given_out)
    for name in given_out:
        assert name.isidentifier() and name.isascii() and not keyword.iskeyword(name)
        assert len(name) < 60 and name not in ("run", "Agent", "print", "None")


@pytest.mark.parametrize(
    ("text", "constant"),
    [("validate-order", "VALIDATE_ORDER"), ("fetchItems2", "FETCH_ITEMS2"), ("2nd", "S_2ND"), ("日本", "X"), ("", "X")],
)
def test_identifiers_resemble_the_text(text: str, constant: str) -> None:
    assert Names().constant(text) == constant
