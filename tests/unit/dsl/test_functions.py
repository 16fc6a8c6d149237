"""A product's functions in templates: JSON in, JSON out, nothing of the engine in reach, and no exception escapes."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from runtara_framework.dsl import writing
from runtara_framework.dsl.calls import guarded
from runtara_framework.dsl.errors import TemplateFailed
from runtara_framework.dsl.functions import Functions
from runtara_framework.dsl.mapping import render
from runtara_framework.dsl.templates import Call, read

from .strategies import json_values

SCOPE: dict[str, Any] = {"data": {"n": 3, "s": "x", "list": [3, 1, 2], "rows": [{"g": "a"}, {"g": "b"}]}}


def with_function(function: Callable[..., Any], name: str = "own") -> Functions:
    return Functions("my_product", {name: function})


def seen(template: str) -> Any:
    """What a function is given."""
    found: list[Any] = []

    def own(*args: Any, **named: Any) -> str:
        found.append((list(args), named))
        return ""

    render(SCOPE, template, with_function(own))
    return found[-1]


@pytest.mark.parametrize(
    ("template", "args", "named"),
    [
        ("{{ own(data.n, 'x', most=1.5) }}", [3, "x"], {"most": 1.5}),
        ("{{ data | own(none) }}", [SCOPE["data"], None], {}),
        ("{{ own(data.list | sort, data.list | map('string'), range(2)) }}", [[1, 2, 3], ["3", "1", "2"], [0, 1]], {}),
        ("{{ data.rows[0].items() | own }}{{ own(data.rows[0].keys()) }}", [["g"]], {}),
        ("{{ own(data.rows | groupby('g')) }}", [[["a", [{"g": "a"}]], ["b", [{"g": "b"}]]]], {}),
        ("{{ own(data.missing | default(7), **{'a': data.n}) }}", [7], {"a": 3}),
    ],
)
def test_a_function_is_given_plain_json(template: str, args: list[Any], named: dict[str, Any]) -> None:
    assert seen(template) == (args, named)


@given(json_values)
def test_every_json_value_goes_through_and_is_a_copy(value: Any) -> None:
    scope = {"data": {"v": value}}
    kept: list[Any] = []
    functions = with_function(lambda v: kept.append(v) or v)
    assert render(scope, "{{ own(data.v) | tojson }}", functions) == render(scope, "{{ data.v | tojson }}")
    assert kept[-1] == value
    assert kept[-1] is not value or not isinstance(value, (dict, list))


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ own(data.missing) }}", "own() is given something that is missing"),
        ("{{ own([data.missing]) }}", "own() is given something that is missing"),
        ("{{ own(own) }}", "own() is given a Python function"),
        ("{{ own(namespace(a=1)) }}", "own() is given a Python Namespace"),
        ("{% for i in data.list %}{{ own(loop) }}{% endfor %}", "own() is given a Python LoopContext"),
        ("{{ own({1: 2}) }}", "own() is given an object with the key 1"),
        ("{% macro m() %}{% endmacro %}{{ own(m) }}", "own() is given a Python Macro"),
        ("{{ own.__globals__ }}", "asks for '__globals__' of something that is no JSON value"),
        ("{{ own.__wrapped__ }}", "asks for '__wrapped__'"),
        ("{{ own }}", "not JSON serializable"),
    ],
)
def test_a_template_can_do_nothing_but_call_it(template: str, message: str) -> None:
    with pytest.raises(TemplateFailed) as caught:
        render(SCOPE, template, with_function(lambda *args: "called"))
    assert message in caught.value.message


def test_a_function_cannot_ask_for_the_engine() -> None:
    def own(*args: Any) -> int:
        return len(args)

    for mark in ("context", "environment", "eval_context"):
        own.__dict__["jinja_pass_arg"] = mark
        assert render(SCOPE, "{{ own() }}{{ 1 | own }}", with_function(own)) == "01"


class Rude(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def raising(error: BaseException) -> Callable[..., Any]:
    def own(*args: Any) -> Any:
        raise error

    return own


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("no such rate"), "ValueError: no such rate"),
        (KeyError(), "KeyError"),
        (SystemExit(3), "SystemExit: 3"),
        (StopIteration(), "StopIteration"),
        (Rude(), "Rude"),
        (ValueError("x" * 5000), "ValueError: " + "x" * 988),
    ],
)
@pytest.mark.parametrize("template", ["{{ own(data.n) }}", "{{ data.n | own }}", "{{ data.list | map('own') | list }}"])
def test_an_exception_is_a_template_error_that_names_the_function(
    template: str, error: BaseException, message: str
) -> None:
    with pytest.raises(TemplateFailed) as caught:
        render(SCOPE, template, with_function(raising(error)))
    assert caught.value.message == f"the function 'own' of my_product fails: {message}"
    assert caught.value.to_wire() == {
        "code": "TEMPLATE_ERROR",
        "message": caught.value.message,
        "retryable": False,
        "details": {"function": "own", "stdlib": "my_product"},
    }


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(5000):
        value = [value]
    return value


def circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({1}, "a Python set, which is no JSON value"),
        (b"x", "a Python bytes"),
        ([datetime.date(2024, 1, 1)], "a Python date"),
        (lambda: 1, "a Python function"),
        (float("nan"), "nan, which is no JSON value"),
        ({"a": float("inf")}, "inf, which is no JSON value"),
        ({None: 1}, "an object with the key None, which is no text"),
        (1 << 5000, "a number that is too large"),
        (["x" * (writing.MAX_OUTPUT // 2)] * 3, "more than 16777216 characters and members"),
        (deep(), "a value that is nested too deeply"),
        (circular(), "a value that is nested too deeply"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_a_result_that_is_no_json_or_too_large_is_refused(result: Any, message: str) -> None:
    with pytest.raises(TemplateFailed) as caught:
        render(SCOPE, "{{ own(data.n) | tojson }}", with_function(lambda *args: result))
    assert message in caught.value.message
    assert caught.value.message.startswith("the function 'own' of my_product gives ")


def test_what_never_ends_is_cut_off() -> None:
    own = guarded(with_function(lambda: iter(int, 1)), limit=1000)["own"]
    with pytest.raises(TemplateFailed, match="gives more than 1000 characters and members"):
        own()


def test_two_stdlibs_in_one_process_do_not_see_each_other() -> None:
    one, other = with_function(lambda: 1), with_function(lambda: 2)
    assert [render(SCOPE, "{{ own() }}", functions) for functions in (one, other, one)] == ["1", "2", "1"]
    with pytest.raises(TemplateFailed, match="'own' is undefined"):
        render(SCOPE, "{{ own() }}")


@pytest.mark.parametrize(
    ("template", "calls", "references"),
    [
        ("{{ own(data.a, b=data.b) | other }}", {("function", "own"), ("filter", "other")}, {"a", "b"}),
        ("{{ own(*data.a, **data.b) }}{{ data.s.upper() }}", {("function", "own")}, {"a", "b", "s"}),
        ("{{ data.s.split(*data.a) }}", set(), {"s", "a"}),
        ("{% macro m(x) %}{{ x }}{% endmacro %}{{ m(data.a) }}", set(), {"a"}),
        ("{% set f = 1 %}{% for i in data.a recursive %}{{ loop(i) }}{% endfor %}", set(), {"a"}),
        ("{% if data.a is own(data.b) %}{% endif %}", {("test", "own")}, {"a", "b"}),
        ("{% filter own %}{{ data.a }}{% endfilter %}", {("filter", "own")}, {"a"}),
        ("{{ data.a | select('own') | map('other') | map(attribute='b') }}",
         {("filter", "select"), ("test", "own"), ("filter", "map"), ("filter", "other")}, {"a"}),
    ],
)  # fmt: skip
def test_what_a_template_calls_and_reads_is_known(template: str, calls: set[Any], references: set[str]) -> None:
    found = read(template)
    assert found.calls == {Call(*call) for call in calls}
    assert {segments[1] for segments in found.references} == references
