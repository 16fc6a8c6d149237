"""Finds the lines of a JSON document that JSON pointers (RFC 6901) are about, all in one pass."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import NamedTuple

WIDTH = 160
"""Characters of a line that are shown."""
_BEFORE = 60  # of what stands before the place, where the line is longer

_decode_at = json.JSONDecoder().raw_decode
_SPACE = re.compile(r"[ \t\r\n]*")


class Place(NamedTuple):
    """A line, counted from 1, and what is to be shown of it."""

    line: int
    text: str


class _Node:
    """A place that somebody asks for, or that leads to one."""

    __slots__ = ("children", "position")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.position: int | None = None


def locate(text: str, pointers: Iterable[str]) -> dict[str, Place]:
    """Where the values begin that the pointers name; where one leads nowhere, its nearest parent. Of a key that an object
    has twice the last is meant, as in the value that the text is read as."""
    root = _Node()
    ways = {pointer: _parts(pointer) for pointer in pointers}
    for parts in ways.values():
        node = root
        for part in parts:
            node = node.children.setdefault(part, _Node())
    root.position = _skip(text, 0)
    try:
        _scan(text, root.position, root)
    except (RecursionError, ValueError):
        pass  # what was found so far is near enough
    positions = {pointer: _nearest(root, parts) for pointer, parts in ways.items()}
    lines: dict[int, int] = {}
    line, counted = 1, 0
    for position in sorted(set(positions.values())):
        line, counted = line + text.count("\n", counted, position), position
        lines[position] = line
    return {pointer: Place(lines[position], _shown(text, position)) for pointer, position in positions.items()}


def _parts(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _nearest(root: _Node, parts: list[str]) -> int:
    found, node = root.position or 0, root
    for part in parts:
        node = node.children[part]
        if node.position is None:
            break
        found = node.position
    return found


def _scan(text: str, position: int, node: _Node) -> int:
    """Give positions to what is below `node`, whose container begins at `position`; answers where that ends."""
    is_object = text[position] == "{"
    position, index = _skip(text, position + 1), 0
    while text[position] not in "}]":
        name = str(index)
        if is_object:
            name, position = _decode_at(text, position)
            position = _skip(text, _skip(text, position) + 1)
        child = node.children.get(name)
        if child is not None:
            child.position = position
            _forget(child)
        if child is not None and child.children and text[position] in "{[":
            position = _scan(text, position, child)
        else:
            _, position = _decode_at(text, position)
        position = _skip(text, position)
        if text[position] == ",":
            position = _skip(text, position + 1)
        index += 1
    return position + 1


def _forget(node: _Node) -> None:
    for child in node.children.values():
        child.position = None
        _forget(child)


def _shown(text: str, position: int) -> str:
    """The line around `position`, or of a long one what is near."""
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    end = len(text) if end < 0 else end
    while start < position and text[start] in " \t\r":
        start += 1
    if position - start > WIDTH - _BEFORE:
        start = position - _BEFORE
        return f"… {text[start : min(end, start + WIDTH)]}".rstrip()
    return text[start : min(end, start + WIDTH)].rstrip()


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position
