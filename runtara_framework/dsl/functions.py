"""Functions that a product adds to templates: `@function` marks them, `Functions` is what one stdlib offers.

A function is plain Python on JSON values: what it is given is a copy, what it returns must be JSON, and it gives the same
for the same arguments at every replay (no clock, no randomness, no I/O). In a template it is a function and a filter:
`{{ vat(data.price, 7) }}`, `{{ data.price | vat(7) }}`. This module imports no jinja2: instances load it before they know
whether they will render anything.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

FILTERS = frozenset(
    {"abs", "batch", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "format",
     "groupby", "indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max", "min", "reject",
     "rejectattr", "replace", "reverse", "round", "select", "selectattr", "slice", "sort", "string", "sum", "title",
     "tojson", "trim", "truncate", "unique", "upper", "urlencode", "wordcount", "wordwrap"}
)  # fmt: skip
"""What every template can filter with,"""
GLOBALS = frozenset({"cycler", "dict", "joiner", "namespace", "range"})
"""and call."""
RESERVED = frozenset(
    {"data", "variables", "steps", "scenario", "item", "loop", "iteration", "error",  # roots of references
     "self", "super", "caller", "varargs", "kwargs", "true", "false", "none"}
)  # fmt: skip
"""Names that mean something else in a template."""

_MARK = "__template_function__"


def function(function: F) -> F:
    """Mark a function of a stdlib's module as one that templates can call; the function itself stays as it is.

    Raises `TypeError` for what a template cannot call: anything but a plain function, `async def`, a generator.
    """
    if not inspect.isfunction(function):
        raise TypeError(f"@function marks plain functions, not {function!r}")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"@function {function.__name__}: a template cannot await; write `def`, without I/O")
    if inspect.isgeneratorfunction(function):
        raise TypeError(f"@function {function.__name__} is a generator; return a list")
    function.__dict__[_MARK] = True
    return function


def is_function(value: object) -> bool:
    """Is it marked with `@function`?"""
    return inspect.isfunction(value) and _MARK in value.__dict__


class Functions:
    """The functions of one stdlib. `owner` says whose they are, in error messages. Equal only to itself."""

    __slots__ = ("by_name", "owner")

    def __init__(self, owner: str, by_name: Mapping[str, Callable[..., Any]]) -> None:
        """Raises `ValueError` for a name that templates use already."""
        for name in by_name:
            if name in FILTERS | GLOBALS:
                raise ValueError(f"templates have a built-in {name!r}; give the function another name")
            if name in RESERVED or not name.isidentifier() or name.startswith("_"):
                raise ValueError(f"a template cannot call {name!r}; give the function another name")
        self.owner = owner
        self.by_name = dict(by_name)
