"""The one tokenizer and the one resolver of reference paths (DSL.md 4).

`steps.fetch.outputs.items[-1]["a.b"]` is the segments `steps`, `fetch`, `outputs`, `items`, -1, `a.b`. A text
segment is a key. A number is an index of an array (negative from the end), and the key of the same spelling of
an object. Numbers are written in one way only (no leading zeros, no plus), so that a path and its text are
one to one; anything else, for example `01`, is a key. Inside quotes a backslash escapes a quote or a backslash; spaces around
a name and invisible characters have to be quoted, because elsewhere they are mistakes that nobody sees.

The resolver answers null for what is not there: a missing key, an index out of range, a way through null or a
scalar. It fails only when a named key meets an array, because that is a mistake in the path, not a gap in the
data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from runtara_framework.dsl.errors import PathSyntaxError, PathTypeError

Segment = str | int

_NUMBER = re.compile(r"(?:0|-?[1-9][0-9]{0,299})\Z")
# Control characters, and what nobody would see: it has to be quoted where it is meant.
_UNSEEN = r"\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff"
_NAME = re.compile(rf"[^.\[\]\"'{_UNSEEN}]+")
_BRACKETED = re.compile(rf"[^\[\]\"'{_UNSEEN}]+")


class Path(NamedTuple):
    """A parsed path: its segments, the root first."""

    segments: tuple[Segment, ...]

    @property
    def root(self) -> str:
        """The first segment as text."""
        return str(self.segments[0])

    def __str__(self) -> str:
        return format_path(self.segments)


def _segment(text: str) -> Segment:
    return int(text) if _NUMBER.match(text) else text


@lru_cache(maxsize=8192)
def parse_path(text: str) -> Path:
    """The path that `text` spells. Raises `PathSyntaxError` with the position of the first thing wrong."""
    segments: list[Segment] = []
    at, end = 0, len(text)
    if not text:
        raise PathSyntaxError("a path is empty", text, 0)
    after_dot = False
    while True:
        if text.startswith("[", at) and not after_dot:
            segment, at = _bracket(text, at)
        else:
            name = _NAME.match(text, at)
            if name is None:
                raise PathSyntaxError(_why_no_name(text, at), text, at)
            if name.group() != name.group().strip():
                raise PathSyntaxError("spaces around a name: remove them, or quote it in brackets", text, at)
            segment, at = _segment(name.group()), name.end()
        segments.append(segment)
        if at == end:
            return Path(tuple(segments))
        after_dot = text[at] == "."
        if after_dot:
            at += 1
        elif text[at] != "[":
            raise PathSyntaxError(f"expected '.' or '[' instead of {text[at]!r}", text, at)


def _why_no_name(text: str, at: int) -> str:
    if at == len(text):
        return "a path may not end with a dot"
    if text[at] in ".[":
        return "an empty segment"
    return f"{text[at]!r} may not stand in an unquoted name"


def _bracket(text: str, start: int) -> tuple[Segment, int]:
    """The segment of the bracket that opens at `start`, and the position behind it."""
    at = start + 1
    quote = text[at : at + 1]
    if quote in ('"', "'"):
        key, at = _quoted(text, at)
        segment: Segment = key
    else:
        body = _BRACKETED.match(text, at)
        if body is None or body.group() != body.group().strip():
            raise PathSyntaxError("expected an index, a name or a quoted key in the bracket", text, at)
        segment, at = _segment(body.group()), body.end()
    if not text.startswith("]", at):
        raise PathSyntaxError("a bracket is not closed", text, start)
    return segment, at + 1


def _quoted(text: str, start: int) -> tuple[str, int]:
    quote, at, end = text[start], start + 1, len(text)
    parts: list[str] = []
    while at < end:
        char = text[at]
        if char == quote:
            return "".join(parts), at + 1
        if char == "\\" and text[at + 1 : at + 2] in ("\\", '"', "'"):
            at += 1
            char = text[at]
        parts.append(char)
        at += 1
    raise PathSyntaxError("a quote is not closed", text, start)


def format_path(segments: tuple[Segment, ...]) -> str:
    """The shortest text that `parse_path` turns into `segments` again."""
    parts: list[str] = []
    for segment in segments:
        if isinstance(segment, int):
            parts.append(f"[{segment}]")
        elif _NAME.fullmatch(segment) and segment == segment.strip() and not _NUMBER.match(segment):
            parts.append(f".{segment}" if parts else segment)
        else:
            escaped = segment.replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'["{escaped}"]')
    return "".join(parts)


def resolve(scope: Mapping[str, Any], path: Path) -> Any:
    """The value at `path`, None when there is none. Raises `PathTypeError` for a named key into an array."""
    value: Any = scope
    for segment in path.segments:
        if isinstance(value, dict):
            value = value.get(segment if segment.__class__ is str else str(segment))
        elif isinstance(value, list):
            if segment.__class__ is str:
                raise PathTypeError(
                    f"{str(path)!r} asks an array for the key {segment!r}; "
                    f"use an index such as [0], a Split or a Filter, or give a default",
                    path=str(path),
                    key=segment,
                )
            try:
                value = value[segment]  # type: ignore[index]  # not a str, as just seen
            except IndexError:
                return None
        elif isinstance(value, Mapping):  # the scope itself need not be a dict
            value = value.get(str(segment))
        else:
            return None
    return value
