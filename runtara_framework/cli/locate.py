"""Finds the line of a JSON document that a JSON pointer (RFC 6901) is about."""

from __future__ import annotations

import json
import re

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")


def line_of(text: str, pointer: str) -> int:
    """The 1-based line where the pointed value begins; where the pointer leads nowhere, that of its nearest parent."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    position = _skip(text, 0)
    for part in parts:
        inner = _child(text, position, part)
        if inner is None:
            break
        position = inner
    return text.count("\n", 0, position) + 1


def _child(text: str, position: int, part: str) -> int | None:
    """Where the member or element `part` of the container at `position` begins."""
    if text[position : position + 1] == "{":
        return _member(text, position, part)
    if text[position : position + 1] == "[" and part.isdigit():
        return _element(text, position, int(part))
    return None


def _member(text: str, position: int, key: str) -> int | None:
    position = _skip(text, position + 1)
    while text[position : position + 1] == '"':
        name, position = _DECODER.raw_decode(text, position)
        position = _skip(text, _skip(text, position) + 1)
        if name == key:
            return position
        position = _next(text, position)
    return None


def _element(text: str, position: int, index: int) -> int | None:
    position = _skip(text, position + 1)
    for _ in range(index):
        if text[position : position + 1] in ("]", ""):
            return None
        position = _next(text, position)
    return None if text[position : position + 1] in ("]", "") else position


def _next(text: str, position: int) -> int:
    """The position after the value at `position` and its comma."""
    _, end = _DECODER.raw_decode(text, position)
    end = _skip(text, end)
    return _skip(text, end + 1) if text[end : end + 1] == "," else end


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position
