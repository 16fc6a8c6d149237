"""What the property tests of the DSL draw from."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from runtara_framework.dsl.conditions import BINARY, UNARY

scalars = (
    st.none() | st.booleans() | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
    | st.sampled_from(["1", "1.0", "-3e2", "2024-01-31", "2024-01-31T10:00:00Z", "true", "abc", ""])
)  # fmt: skip
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
segments = st.text(max_size=6) | st.integers(-(10**18) + 1, 10**18 - 1)


_paths = st.sampled_from(
    ["data", "data.a", "data.a.b", "data.list", "data.list[0]", "data.list[-1].a", "data.list.name", 'data["a.b"]', "data.0",
     "variables.v", "variables", "data.text", "data.missing.deep", "steps.s.outputs"]
)  # fmt: skip
_hints = st.sampled_from(["string", "integer", "number", "boolean", "json", "file"])


def _reference(path: str, hint: str | None, default: Any) -> dict[str, Any]:
    given = {"valueType": "reference", "value": path, **({"type": hint} if hint else {})}
    return given if default is _NO_DEFAULT else {**given, "default": default}


_NO_DEFAULT = object()
references = st.builds(_reference, _paths, st.none() | _hints, st.just(_NO_DEFAULT) | scalars)
templates = st.sampled_from(
    ["{{ data.a }}", "x", "", "{{ data.missing.deep }}", "{{ data.list | length }}", "{{ variables.v ~ data.text }}"]
).map(lambda text: {"valueType": "template", "value": text})
literals: st.SearchStrategy[Any] = st.recursive(
    scalars | references | templates
    | st.sampled_from([{"valueType": "reference"}, {"valueType": "reference", "value": "data.a", "extra": 1},
                       {"valueType": "immediate", "value": {"valueType": "reference", "value": "data.a"}},
                       {"valueType": "composite", "value": [{"valueType": "reference", "value": "data.a"}]}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.", max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
mappings: st.SearchStrategy[dict[str, Any]] = st.recursive(
    references | templates | literals.map(lambda value: {"valueType": "immediate", "value": value}),
    lambda inner: (st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.", max_size=2), inner, max_size=3)).map(
        lambda members: {"valueType": "composite", "value": members}
    ),
    max_leaves=20,
)
"""Mapping values, with literals that look like some."""


def _test(mapping: dict[str, Any]) -> dict[str, Any]:
    given = {("valueTypeHint" if key == "type" else key): value for key, value in mapping.items()}
    return {"type": "value", **given}


def _operations(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    counts = {
        "AND": (1, 3),
        "OR": (1, 3),
        "NOT": (1, 1),
        **dict.fromkeys(UNARY, (1, 1)),
        **dict.fromkeys(BINARY, (2, 2)),
    }
    return st.sampled_from(sorted(counts)).flatmap(
        lambda op: st.lists(inner, min_size=counts[op][0], max_size=counts[op][1]).map(
            lambda arguments: {"type": "operation", "op": op, "arguments": arguments}
        )
    )


arguments: st.SearchStrategy[dict[str, Any]] = _operations(
    st.recursive(mappings | mappings.map(_test), _operations, max_leaves=25)
)
"""Operations, over conditions and mapping values."""
scopes: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "data": st.fixed_dictionaries(
            {}, optional={"a": json_values, "list": st.lists(json_values, max_size=3), "text": st.text(max_size=3),
                          "a.b": scalars, "0": scalars}
        ),
        "variables": st.fixed_dictionaries({"v": scalars}),
        "steps": st.just({"s": {"outputs": {"valueType": "reference", "value": "data.a"}}}),
    }
)  # fmt: skip
