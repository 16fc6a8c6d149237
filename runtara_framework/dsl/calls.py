"""The guard around a product's functions in templates: JSON goes in, JSON comes out, and no exception escapes.

The function gets copies, so it cannot change what the scenario sees; it never gets anything of jinja's or of the engine's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from jinja2 import Undefined
from jinja2.runtime import LoopContext

from runtara_framework.dsl.errors import TemplateFailed
from runtara_framework.dsl.functions import Functions
from runtara_framework.dsl.writing import LAZY

_MOST_BITS = 4096
_MESSAGE_CHARACTERS = 1000


def guarded(functions: Functions, limit: int) -> dict[str, Callable[..., Any]]:
    """The functions as templates may call them; what one gives is no larger than `limit` characters and members."""
    return {name: _guarded(functions.owner, name, function, limit) for name, function in functions.by_name.items()}


def _guarded(owner: str, name: str, function: Callable[..., Any], limit: int) -> Callable[..., Any]:
    # Not functools.wraps: it would copy jinja's marks, which ask for the environment as the first argument.
    def call(*args: Any, **kwargs: Any) -> Any:
        given = [_json(arg, f"{name}() is given", limit) for arg in args]
        named = {key: _json(arg, f"{name}() is given", limit) for key, arg in kwargs.items()}
        try:
            result = function(*given, **named)
        except (Exception, SystemExit) as error:  # a product's function may raise anything: this is the boundary
            raise TemplateFailed(
                f"the function {name!r} of {owner} fails: {_said(error)}", function=name, stdlib=owner
            ) from error
        return _json(result, f"the function {name!r} of {owner} gives", limit)

    return call


def _said(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # even the text of an exception is the product's code
        text = ""
    return f"{type(error).__name__}: {text}"[:_MESSAGE_CHARACTERS] if text else type(error).__name__


def _json(value: Any, what: str, limit: int) -> Any:
    """A copy of `value` as plain JSON. Raises `TemplateFailed`, which begins with `what`."""
    size = 0

    def copied(value: Any) -> Any:
        nonlocal size
        kind = type(value)
        size += len(value) if kind is str else 1
        if size > limit:
            raise TemplateFailed(f"{what} more than {limit} characters and members")
        if value is None or kind is str or kind is bool:
            return value
        if kind is int:
            if value.bit_length() > _MOST_BITS:
                raise TemplateFailed(f"{what} a number that is too large")
            return value
        if kind is float:
            if not math.isfinite(value):
                raise TemplateFailed(f"{what} {value}, which is no JSON value")
            return value
        if kind is dict:
            for key in value:
                if type(key) is not str:
                    raise TemplateFailed(f"{what} an object with the key {key!r}, which is no text")
                size += len(key)
            return {key: copied(member) for key, member in value.items()}
        if isinstance(value, Undefined):
            raise TemplateFailed(f"{what} something that is missing; say what it shall be then: `| default(…)`")
        if isinstance(value, (list, tuple)) or (isinstance(value, LAZY) and not isinstance(value, LoopContext)):
            return [copied(member) for member in value]
        raise TemplateFailed(f"{what} a Python {kind.__name__}, which is no JSON value")

    try:
        return copied(value)
    except RecursionError:
        raise TemplateFailed(f"{what} a value that is nested too deeply") from None
