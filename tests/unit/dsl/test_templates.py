"""Templates render JSON values as JSON does, fail through null, reach nothing outside, and end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara_framework.dsl.errors import TemplateFailed
from runtara_framework.dsl.mapping import render
from runtara_framework.dsl.templates import references

from .strategies import json_values

SCOPE: dict[str, Any] = {
    "data": {
        "n": 1, "f": 1.5, "yes": True, "null": None, "s": "hi <b>", "list": [1, True, None, {"k": "é"}],
        "items": [{"n": 1, "g": "x"}, {"n": 2, "g": "y"}], "0": "zero", "big": 10**30,
    }
}  # fmt: skip

DOUBLED = "{% set ns = namespace(x=[1]) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
"""Small in memory, and longer than the universe as text."""


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Hello {{ data.s }}", "Hello hi <b>"),
        ("{{ data.n }} {{ data.f }} {{ data.yes }} {{ data.big }}", f"1 1.5 true {10**30}"),
        ("[{{ data.null }}{{ data.missing }}]", "[]"),
        ("{{ data.list }}", '[1,true,null,{"k":"é"}]'),
        (
            "{{ data.list | tojson }}{{ data.s | tojson }}{{ data.missing | tojson }}",
            '[1,true,null,{"k":"é"}]"hi <b>"null',
        ),
        ('{{ {"b": 1, "a": none} | tojson }}', '{"b":1,"a":null}'),
        ("{{ data.list[-1].k }}{{ data.list.0 }}{{ data['items'][1].n }}{{ data[0] }}", "é12zero"),
        ("{{ data.list[9] }}{{ data.s.nothing }}", ""),
        ("{% for i in data.items %}{{ loop.index }}{{ i.g }}{{ ',' if not loop.last }}{% endfor %}", "1x,2y"),
        ("{% for k, v in data.items[0].items() %}{{ k }}={{ v }};{% endfor %}", "n=1;g=x;"),
        ("{{ data.s.upper() }}{{ data.s | length }}{{ data.s[0:2] }}", "HI <B>6hi"),
        ("{{ 'a' ~ true ~ none ~ data.list[3] }}", 'atrue{"k":"é"}'),
        ("{{ data.items | map(attribute='n') | sum }}{{ data.items | map(attribute='g') | join('-') }}", "3x-y"),
        ("{% for g in data.items | groupby('g') %}{{ g.grouper }}{{ g.list | length }}{% endfor %}", "x1y1"),
        (
            "{% set ns = namespace(t=0) %}{% for i in data.items %}{% set ns.t = ns.t + i.n %}{% endfor %}{{ ns.t }}",
            "3",
        ),
        ("{{ data.missing | default('d') }}{{ data.missing is defined }}{{ 'x' if data.null else 'y' }}", "dfalsey"),
        ("{{ '%.2f' | format(data.f) }}{{ 3.14159 | round(2) }}{{ 123456 | round(1) }}", "1.503.14123456"),
        ("{{ range(3) }}{{ data.items | map(attribute='n') }}", "[0,1,2][1,2]"),
        ("{{ data.s | e }}", "hi &lt;b&gt;"),
        ("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(data.n) }}", "<1>"),
        # Filters on texts are given what would be written, never what Python calls it.
        ("[{{ data.null | upper }}{{ data.missing | trim }}{{ data.null | replace('N', 'x') }}]", "[]"),
        ("{{ data.yes | capitalize }}{{ data.list | lower }}", 'True[1,true,null,{"k":"é"}]'),
        ("{{ data.list | replace('1', '2') }}{{ data.yes | truncate(3, true, '', 0) }}", '[2,true,null,{"k":"é"}]tru'),
        (
            "{{ '%s|%s|%s|%5s|%-3s|' | format(data.yes, data.null, data.list, 'a', 'b') }}",
            'true||[1,true,null,{"k":"é"}]|    a|b  |',
        ),
        (
            "{{ '%s and %d%%' % (data.yes, 7) }}{{ '%(a)s' % {'a': data.yes} }}{{ '%s' % {'a': none} }}",
            'true and 7%true{"a":null}',
        ),
        ("{{ '%05.1f %x %+d' | format(data.f, 255, 3) }}", "001.5 ff +3"),
        ("{{ data.null | indent(2) }}{{ 'a\nb' | indent(2) }}{{ 'a b' | wordwrap(1) }}", "a\n  ba\nb"),
        ("{{ data.yes | urlencode }}{{ 'ä/ b' | urlencode }}{{ {'a': 'b c'} | urlencode }}", "true%C3%A4/%20ba=b+c"),
        ("{{ [1, 2] | sum }}{{ [[1], [2]] | sum(start=[]) }}{{ data.items | sum('n') }}", "3[1,2]3"),
        (
            "{{ 'aaa' | replace('a', 'b', 2) }}{{ 'aaa'.replace('a', 'b', 1) }}{{ 'ab' | replace('', '-') }}",
            "bbabaa-a-b-",
        ),
        ("{% set x %}{% for i in [1, none] %}<{{ i }}>{% endfor %}{% endset %}{{ x }}", "<1><>"),
        ("{% for i in data.list recursive %}{% if i %}{{ i }}{% endif %}{% endfor %}", '1true{"k":"é"}'),
        ("{% for i in [[1, [2]], 3] recursive %}{{ loop(i) if i is sequence else i }},{% endfor %}", "1,2,,,3,"),
        ("{{ '{:>5}' }}{% raw %}{{ x }}{% endraw %}", "{:>5}{{ x }}"),
        ("", ""),
    ],
)
def test_templates_render(template: str, text: str) -> None:
    assert render(SCOPE, template) == text


@pytest.mark.parametrize(
    "template",
    [
        "{{ data.missing.x }}", "{{ data.null.x }}", "{{ data.null[0] }}", "{{ nowhere.x }}", "{{ data.list.name }}",
        "{{ data.missing | default({}) }}{{ data.missing.x | default('d') }}", "{{ data.list[9].x }}",
        "{{", "{% for %}", "{{ data | nosuchfilter }}", "{{ 1 / 0 }}", "{{ 'a' + 1 }}",
        "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}", "{% block a %}{% endblock %}",
        "{{ ''.__class__.__mro__ }}", "{{ data.__class__.x }}", "{{ data['__class__'].x }}", "{{ (1).real.x }}",
        "{{ data.s.format(1) }}", "{{ data.s | attr('upper') }}", "{{ range.__self__.x }}", "{{ data.items.append(1) }}",
        "{{ namespace(a=1).__class__.x }}", "{{ lipsum() }}", "{{ data.list | random }}", "{{ data.s.upper }}",
        "{{ 'a' * 100000000 }}", "{{ [0] * 100000000 }}", "{{ 10 ** 100000 }}", "{{ '%999999d' | format(1) }}",
        "{{ '%*d' | format(9, 1) }}", "{{ 'a' | indent(99999999) }}", "{{ [] | batch(99999999, 0) | list }}",
        "{% for i in range(200000) %}{% endfor %}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% set a = 'x' * 9000000 %}{{ a ~ a }}", "{% set a = 'x' * 9000000 %}{{ a + a }}",
        "{% set a = 'x' * 9000000 %}{{ a }}{{ a }}", "{% set a = 'x' * 9000000 %}{{ [a, a] | join }}",
        "{{ '%999999999d' % 1 }}", "{{ '%.999999999f' % 1 }}", "{{ '%*d' % (9, 1) }}", "{{ '%(a)9999d' * 9000 % {'a': 1} }}",
        "{{ '%r' % 'a' }}", "{{ '%s %s' % 'a' }}", "{{ '%s' % ('a', 'b') }}", "{{ '%(b)s' % {'a': 1} }}", "{{ '%d' % 'a' }}",
        "{{ '100%' % 1 }}", "{{ ('%s' * 9000) % (('x' * 9000,) * 9000) }}",
        f"{DOUBLED}{{{{ ns.x }}}}", f"{DOUBLED}{{{{ ns.x | tojson }}}}", f"{DOUBLED}{{{{ ns.x | tojson(2) }}}}",
        f"{DOUBLED}{{{{ ns.x ~ 'a' }}}}", f"{DOUBLED}{{{{ [ns.x] | join }}}}", f"{DOUBLED}{{{{ ns.x | upper }}}}",
        f"{DOUBLED}{{{{ '%s' % [ns.x] }}}}",
        "{% set ns = namespace(x=[]) %}{% for i in range(5000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
        "{{ ('a' * 1000000) | replace('a', 'b' * 1000) | length }}",
        "{{ ('a' * 1000000).replace('a', 'b' * 1000) | length }}",
        "{{ ('a\n' * 1000000) | indent(10000) | length }}",
        "{{ ('a ' * 1000000) | wordwrap(1, true, 'b' * 10000) | length }}",
        "{{ ([['x'] * 1000000] * 1000) | sum(start=[]) | length }}", "{{ (['a' * 1000000] * 1000) | tojson | length }}",
        "{% set x %}{% for i in range(1000) %}{{ 'x' * 100000 }}{% endfor %}{% endset %}",
        "{% macro m() %}{% for i in range(1000) %}{{ 'x' * 100000 }}{% endfor %}{% endmacro %}{{ m() | length }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(9999) %}{% for j in [1] * 9999 | map('abs') %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(24) }}",
        f"{DOUBLED}{{% for a in ns.x recursive %}}{{{{ loop(a) if a is sequence }}}}{{% endfor %}}",
        "{% for i in data.null %}{% endfor %}", "{% for i in [1] %}{{ loop }}{% endfor %}",
        "{{ range }}", "{{ namespace(a=1) }}",
        "{% autoescape true %}{{ '<' }}{% endautoescape %}",
        "{{ [1] | sum(start='a') }}", "{{ 1e308 * 10 }}", "{{ (-8) ** 0.5 }}",
        "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    ],
)  # fmt: skip
def test_templates_fail_with_their_code_and_nothing_else(template: str) -> None:
    with pytest.raises(TemplateFailed) as caught:
        render(SCOPE, template)
    assert caught.value.code == "TEMPLATE_ERROR"


def test_a_template_sees_nothing_but_its_scope_and_helpers() -> None:
    for name in ("self", "config", "request", "os", "now", "environment", "__builtins__", "lipsum"):
        with pytest.raises(TemplateFailed):
            render({}, "{{ " + name + ".x }}")


@pytest.mark.parametrize(
    ("template", "paths"),
    [
        ("{{ data.a.b }} {{ data.a }}", {("data", "a", "b"), ("data", "a")}),
        ("{{ data['a.b'][0].c }}", {("data", "a.b", 0, "c")}),
        ("{{ data.list[data.i].x }}", {("data", "list"), ("data", "i")}),
        ("{{ steps.x.outputs.items() }}{{ variables.s.upper() }}", {("steps", "x", "outputs"), ("variables", "s")}),
        ("{% for i in data.l %}{{ i.x }}{{ loop.index }}{% endfor %}", {("data", "l")}),
        ("{% set t = data.a %}{{ t.b }}{{ range(data.n) }}", {("data", "a"), ("data", "n")}),
        ("{% if loop.index > 0 %}{{ item | tojson }}{% endif %}", {("loop", "index"), ("item",)}),
        ("{{ data.s.replace(data.a, variables.b) }}", {("data", "s"), ("data", "a"), ("variables", "b")}),
        ("no references", set()),
    ],
)
def test_the_paths_that_a_template_reads_are_found(template: str, paths: set[tuple[str | int, ...]]) -> None:
    assert set(references(template)) == paths


def test_each_rendering_has_an_allowance_of_its_own() -> None:
    template = "{% for i in range(1000) %}{% for j in range(900) %}{% endfor %}{% endfor %}done"
    assert [render(SCOPE, template) for _ in range(2)] == ["done", "done"]


@given(json_values)
def test_any_value_renders_as_its_json_and_survives_tojson(value: Any) -> None:
    import json

    text = render({"data": value}, "{{ data | tojson }}")
    assert json.loads(text) == value
    assert render({"data": value}, "{{ data }}") == ("" if value is None else value if isinstance(value, str) else text)


@given(st.text("{}%. |()[]'\"dat+-*~_x01", max_size=25))
def test_any_text_renders_or_fails_with_its_code(template: str) -> None:
    try:
        render({"data": {"a": [1]}}, template)
    except TemplateFailed:
        pass
