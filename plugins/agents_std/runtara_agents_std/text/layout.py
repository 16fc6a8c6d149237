"""Capabilities of `text` about its length and its lines."""

from __future__ import annotations

import textwrap
from typing import Literal, assert_never

from pydantic import Field

from runtara_agents_std.text.declared import TextInput, pure

_MAX_LENGTH = 16 * 1024 * 1024  # of a step's output


class PadInput(TextInput):
    length: int | None = Field(None, ge=0, le=_MAX_LENGTH, description="How long it has to be, in characters")
    pad_char: str = Field(" ", description="What to add; its first character counts")
    direction: Literal["right", "left", "both"] = Field("right", description="Where to add it")


@pure(id="pad-text")
async def pad_text(input: PadInput) -> str:
    """The text, made longer with one character. An empty text stays empty."""
    text, fill = input.given, input.pad_char[:1]
    missing = (input.length or 0) - len(text)
    if not text or not fill or missing <= 0:
        return text
    match input.direction:
        case "right":
            return text + fill * missing
        case "left":
            return fill * missing + text
        case "both":
            return fill * (missing // 2) + text + fill * (missing - missing // 2)
        case _:
            assert_never(input.direction)


class TruncateInput(TextInput):
    max_length: int | None = Field(None, ge=0, description="How long it may be, in characters; none: as long as it is")
    suffix: str = Field("", description="What to end with if something was cut off, such as `…`; counts as well")
    word_boundary: bool = Field(False, description="Cut between words, if there is a space to cut at")


@pure(id="truncate-text")
async def truncate_text(input: TruncateInput) -> str:
    """The text, or its beginning if it is too long."""
    text, limit = input.given, input.max_length
    if limit is None or len(text) <= limit:
        return text
    room = limit - len(input.suffix)
    if room <= 0:
        return input.suffix[:limit]
    cut = text[:room]
    if input.word_boundary and not text[room].isspace():
        shorter = cut.rsplit(maxsplit=1)[0] if len(cut.split()) > 1 else cut
        cut = shorter
    return (cut.rstrip() if input.word_boundary else cut) + input.suffix


class WrapInput(TextInput):
    width: int = Field(80, ge=0, description="The longest line, in characters; 0: no limit")
    preserve_newlines: bool = Field(True, description="Keep the lines that there are, and wrap each")


@pure(id="wrap-text")
async def wrap_text(input: WrapInput) -> str:
    """The text in lines of limited length, broken at spaces where that can be."""
    if not input.width or not input.given:
        return input.given
    lines = input.given.split("\n") if input.preserve_newlines else [" ".join(input.given.split())]
    wrapper = textwrap.TextWrapper(width=input.width, break_on_hyphens=False)
    return "\n".join(part for line in lines for part in (wrapper.wrap(line) or [""]))
