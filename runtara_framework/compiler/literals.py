"""The one writer of literals and the one maker of identifiers: no text of a scenario reaches the program in another way.

A literal is ASCII Python that evaluates to the JSON value and to nothing else. An identifier is made of ASCII letters,
digits and underscores, is no keyword and no builtin, and is given to one thing only.
"""

from __future__ import annotations

import builtins
import json
import keyword
import re
from typing import Any

MAX_DEPTH = 16
"""Deeper values are written as JSON text: Python's own parser has limits, and a reader gains nothing."""

_BORING = re.compile(r"[^a-z0-9]+")
_RESERVED = frozenset(keyword.kwlist) | frozenset(keyword.softkwlist) | frozenset(dir(builtins))


def literal(value: Any) -> str:
    """Python source of a JSON value. Raises `TypeError` for anything else, infinities and NaN among it."""
    if _depth(value) > MAX_DEPTH:
        return f"loads({json.dumps(value, allow_nan=False)!a})"
    return _write(value)


def _write(value: Any) -> str:
    kind = type(value)
    if value is None or kind is bool:
        return repr(value)
    if kind is str:
        return ascii(value)
    if kind is int:
        # Python refuses to read or write very long decimals, but not hexadecimals.
        return repr(value) if value.bit_length() < 4096 else hex(value)
    if kind is float:
        if value != value or value in (float("inf"), float("-inf")):
            raise TypeError(f"{value!r} is not JSON")
        return repr(value)
    if kind is list or kind is tuple:
        items = [_write(item) for item in value]
        if kind is tuple:
            return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
        return f"[{', '.join(items)}]"
    if kind is dict:
        if not all(type(key) is str for key in value):
            raise TypeError("the keys of an object are texts")
        return "{" + ", ".join(f"{key!a}: {_write(item)}" for key, item in value.items()) + "}"
    raise TypeError(f"{kind.__name__} is not JSON")


def _depth(value: Any) -> int:
    depth, layer = 0, [value]
    while layer:
        below: list[Any] = []
        for item in layer:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if below:
            depth += 1
            if depth > MAX_DEPTH:
                return depth
        layer = below
    return depth


class Names:
    """Gives out identifiers, each once. `taken` are those that the program uses already."""

    def __init__(self, taken: frozenset[str] = frozenset()) -> None:
        self._taken = set(taken) | _RESERVED
        self._next: dict[str, int] = {}

    def function(self, text: str, prefix: str = "") -> str:
        """A lower-case identifier that resembles `text`."""
        return self._unique(prefix + _slug(text))

    def constant(self, text: str) -> str:
        """An upper-case identifier that resembles `text`."""
        return self._unique(_slug(text).upper())

    def _unique(self, wanted: str) -> str:
        if not wanted[0].isalpha():
            wanted = f"S_{wanted}" if wanted.isupper() or not wanted.islower() else f"s_{wanted}"
        name = wanted
        while name in self._taken:
            number = self._next[wanted] = self._next.get(wanted, 1) + 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name


def _slug(text: str) -> str:
    # Words of camelCase ids stay words; what is not ASCII is dropped rather than guessed.
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text[:200])
    return _BORING.sub("_", spaced.lower().encode("ascii", "ignore").decode()).strip("_")[:40].rstrip("_") or "x"
