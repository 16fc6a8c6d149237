"""The one mapping resolver: references with coercion and default, literals, composites, templates (DSL.md 3, 9).

Compiled programs call `ref`, `render`, `coerce` and `nest`; the compiler and the validator ask `is_reference` and
`is_mapping` about literals. A scope is a mapping from root names (`data`, `variables`, `steps`, …) to JSON values. Only what
the scenario itself writes is ever looked at for mapping objects; data that looks like a mapping passes through untouched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from runtara_framework.dsl.errors import (
    CoercionFailed,
    DestinationClash,
    PathTypeError,
)
from runtara_framework.dsl.jsontext import plain_text
from runtara_framework.dsl.literals import parse_number
from runtara_framework.dsl.paths import Path, parse_path, resolve

if TYPE_CHECKING:
    from runtara_framework.dsl.functions import Functions

Scope = Mapping[str, Any]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""A default that was not given; null is a default like any other."""

_REFERENCE_KEYS = frozenset({"valueType", "value", "type", "default"})
_MAPPING_KEYS = frozenset({"valueType", "value"})
_VALUE_TYPES = ("immediate", "composite", "template")


def ref(scope: Scope, path: str | Path, hint: str | None = None, default: Any = MISSING) -> Any:
    """The value at `path`, as the type `hint`.

    A missing or null value gives the default, and so does one that cannot be coerced or a named key into an
    array; the default is coerced too. Without a default, missing and null give null. Raises `PathTypeError`,
    `CoercionFailed`, and for a malformed text `PathSyntaxError`.
    """
    parsed = parse_path(path) if isinstance(path, str) else path
    try:
        value = coerce(resolve(scope, parsed), hint, parsed)
    except (PathTypeError, CoercionFailed):
        if default is MISSING:
            raise
        value = None
    if value is None and default is not MISSING:
        return coerce(default, hint, parsed)
    return value


def coerce(value: Any, hint: str | None, where: object = None) -> Any:
    """`value` as the type that a hint names; null stays null, and json and file change nothing.

    string: numbers and booleans as JSON writes them, arrays and objects as compact JSON. integer: whole
    numbers, whole numeric texts, booleans as 1 and 0. number: the same with fractions. boolean: a text is
    true when it is "true" or "1", a number when it is not 0, an array or object when it has members.
    Raises `CoercionFailed`, naming `where`.
    """
    if hint is None or value is None or hint in ("json", "file"):
        return value
    if hint == "string":
        return plain_text(value)
    if hint == "boolean":
        return value in ("true", "1") if isinstance(value, str) else bool(value)
    if hint in ("integer", "number"):
        number = _number(value)
        if hint == "integer" and isinstance(number, float):
            number = int(number) if number.is_integer() else None
        if number is not None:
            return number
    place = "" if where is None else f" at {str(where)!r}"
    raise CoercionFailed(f"{_shown(value)}{place} cannot be read as {hint}", hint=hint, path=str(where or ""))


def _number(value: Any) -> int | float | None:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (int, float)):
        return value
    return parse_number(value) if isinstance(value, str) else None


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an array" if isinstance(value, list) else "an object"
    text = plain_text(value)
    kind = "the text " if isinstance(value, str) else ""
    return f"{kind}{text[:60]!r}" if kind else text


def render(scope: Scope, text: str, functions: Functions | None = None) -> str:
    """The template `text` rendered over `scope`, with the functions of a stdlib. Raises `TemplateFailed`."""
    from runtara_framework.dsl import templates  # jinja2 is loaded by the first template, not by every instance

    return templates.render(text, scope, functions)


def nest(values: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """An object from destination keys and values: a key with dots builds nested objects.

    Raises `DestinationClash` when a key wants a place that another has taken; validation finds that before (E006).
    """
    root: dict[str, Any] = {}
    made: set[int] = {id(root)}  # the objects that dots made, which alone may be extended
    for key, value in values:
        *parents, last = key.split(".")
        target = root
        for name in parents:
            if name not in target:
                target[name] = {}
                made.add(id(target[name]))
            target = target[name]
            if id(target) not in made:
                raise DestinationClash(f"the destination {key!r} goes through {name!r}, which has a value", key=key)
        if last in target:
            raise DestinationClash(f"the destination {key!r} is given twice", key=key)
        target[last] = value
    return root


def is_reference(value: Any) -> bool:
    """Is this literal exactly a reference mapping, as agent inputs may have it at any depth?"""
    return (
        isinstance(value, dict)
        and value.get("valueType") == "reference"
        and isinstance(value.get("value"), str)
        and value.keys() <= _REFERENCE_KEYS
    )


def is_mapping(value: Any) -> bool:
    """Is this literal exactly a mapping value, as Switch outputs may have it at any depth?"""
    if not isinstance(value, dict) or value.get("valueType") not in _VALUE_TYPES:
        return is_reference(value)
    return value.keys() == _MAPPING_KEYS
