"""A scenario as text: reading it without losing what only the text shows.

JSON lets an object have a key twice, and every parser then keeps one of them in silence: a step that was pasted a second
time would replace the first one. `read` remembers such keys, and validation tells them (E063).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

MARK = "\ufeff"
"""What some editors put before the first character."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]', re.DOTALL)
_LONG_NUMBER = re.compile(r"[0-9]{4301,}")


class Repeated(NamedTuple):
    """A key that an object has already: the pointer of the member, the lines of the first and of this one."""

    pointer: str
    first_line: int
    line: int


class Document(dict[str, Any]):
    """A JSON object that was read from text."""

    repeated: tuple[Repeated, ...] = ()


def read(text: str) -> Document:
    """The JSON object that `text` is; of keys given twice the last one counts, as everywhere.

    Raises `ValueError` for what is no JSON or no object, with the place, in words for people.
    """
    twice = False

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal twice
        found = dict(members)
        twice = twice or len(found) < len(members)
        return found

    text = text.removeprefix(MARK)
    try:
        value = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error}") from None
    except RecursionError:
        raise ValueError("is nested too deeply to be a scenario") from None
    except ValueError:  # Python reads no integers of more digits
        number = _LONG_NUMBER.search(text)
        line = text.count("\n", 0, number.start()) + 1 if number else 1
        raise ValueError(f"has a number of more than 4300 digits in line {line}") from None
    if not isinstance(value, dict):
        raise ValueError(f"holds {_kind(value)}; a scenario is a JSON object")
    document = Document(value)
    if twice:
        document.repeated = tuple(_repeated(text))
    return document


def _kind(value: Any) -> str:
    names = {str: "a text", bool: "true or false", list: "an array", type(None): "null"}
    return names.get(type(value), "a number")


def escape(key: object) -> str:
    """A key as one part of a JSON pointer (RFC 6901)."""
    return str(key).replace("~", "~0").replace("/", "~1")


class _Container:
    """An object or array that is being read: where it is, and what it has so far."""

    __slots__ = ("at_key", "index", "key", "lines", "pointer")

    def __init__(self, pointer: str, is_object: bool) -> None:
        self.pointer = pointer
        self.lines: dict[str, int] | None = {} if is_object else None  # of keys
        self.at_key = is_object
        self.key = ""
        self.index = 0

    @property
    def member(self) -> str:
        return f"{self.pointer}/{self.index if self.lines is None else escape(self.key)}"


def _repeated(text: str) -> Iterator[Repeated]:
    """Every key of valid JSON that its object has before."""
    inside: list[_Container] = []
    line, counted = 1, 0
    for token in _TOKEN.finditer(text):
        char = token.group()[0]
        here = inside[-1] if inside else None
        if char in "{[":
            inside.append(_Container(here.member if here else "", char == "{"))
        elif char in "}]":
            inside.pop()
        elif here is None or here.lines is None:
            if here is not None and char == ",":
                here.index += 1
        elif char == ",":
            here.at_key = True
        elif char == '"' and here.at_key:
            here.at_key, here.key = False, json.loads(token.group())
            line, counted = line + text.count("\n", counted, token.start()), token.start()
            if here.key in here.lines:
                yield Repeated(here.member, here.lines[here.key], line)
            else:
                here.lines[here.key] = line
