"""JSON values: property paths, equality, order and text. What several capabilities share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from runtara_framework.agents import AgentError
from runtara_framework.dsl.errors import PathSyntaxError, PathTypeError
from runtara_framework.dsl.paths import Path, parse_path, resolve

INVALID_INPUT: Final = "TRANSFORM_INVALID_INPUT"


def property_path(text: str | None) -> Path | None:
    """A property path: dots, indexes and quoted keys as in DSL.md section 4, after an optional `$`; None = the whole value.

    Raises `AgentError` TRANSFORM_INVALID_INPUT."""
    rest = text or ""
    if rest.startswith("$") and (len(rest) == 1 or rest[1] in ".["):
        rest = rest[1:].removeprefix(".")
    if not rest:
        return None
    try:
        return parse_path(rest)
    except PathSyntaxError as error:
        raise AgentError(INVALID_INPUT, f"the property path is malformed: {error.message}") from error


def lookup(value: Any, path: Path | None) -> Any:
    """What the path leads to, None if it is not there. Raises `AgentError` for a named key into an array: that is a mistake
    in the path, not a gap in the data."""
    if path is None:
        return value
    try:
        return resolve(value, path)
    except PathTypeError as error:
        raise AgentError(INVALID_INPUT, error.message) from error


def getter(text: str | None) -> Callable[[Any], Any]:
    """`lookup` for many values."""
    path = property_path(text)
    return lambda value: lookup(value, path)


def is_number(value: Any) -> bool:
    """A JSON number; a boolean is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def identity(value: Any) -> Any:
    """A hashable stand-in: equal for two values exactly if they are the same JSON (1 and 1.0 are, 1 and true are not)."""
    if isinstance(value, bool):
        return (bool, value)
    if isinstance(value, list):
        return ("array", tuple(identity(one) for one in value))
    if isinstance(value, dict):
        return ("object", frozenset((key, identity(one)) for key, one in value.items()))
    return value


def json_text(value: Any) -> str:
    """Compact JSON; equal values give equal texts."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def key_text(value: Any) -> str:
    """A value as the key of an object: a text as it is, anything else as JSON, a whole number without `.0`."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json_text(value)


def order(value: Any) -> tuple[Any, ...]:
    """A sort key over all JSON values except null.

    Texts, numbers and booleans have their natural order; values of different kinds are ordered as their JSON texts are,
    which begin with `"`, a digit, `[`, `f` or `t`, `{`."""
    if isinstance(value, str):
        return (0, value)
    if isinstance(value, bool):
        return (3, value)
    if isinstance(value, list):
        return (2, json_text(value))
    if isinstance(value, dict):
        return (4, json_text(value))
    return (1, value)
