"""Capabilities of `text` that cut a text, or put parts together."""

from __future__ import annotations

from pydantic import BaseModel, Field

from runtara_agents_std.text.declared import TextInput, pure
from runtara_agents_std.values import key_text


def parts_of(text: str, delimiter: str) -> list[str]:
    """The parts of the text; of an empty text none; at an empty delimiter its characters."""
    if not text:
        return []
    return text.split(delimiter) if delimiter else list(text)


@pure(id="extract-first-line")
async def extract_first_line(input: TextInput) -> str:
    """The text up to the end of its first line."""
    return input.given.partition("\n")[0].removesuffix("\r")


@pure(id="extract-first-word")
async def extract_first_word(input: TextInput) -> str:
    """What comes before the first white space, after what white space there is at the beginning."""
    words = input.given.split(maxsplit=1)
    return words[0] if words else ""


class SplitInput(TextInput):
    delimiter: str = Field(",", description="What is between the parts; an empty one gives the characters")


@pure(id="split")
async def split(input: SplitInput) -> list[str]:
    """The parts of a text, as they are."""
    return parts_of(input.given, input.delimiter)


class SplitJoinInput(SplitInput):
    join_delimiter: str = Field(" ", description="What to put between them instead")


@pure(id="split-join")
async def split_join(input: SplitJoinInput) -> str:
    """The trimmed parts of a text, put together with another delimiter."""
    return input.join_delimiter.join(part.strip() for part in parts_of(input.given, input.delimiter))


class JoinInput(BaseModel):
    values: list[str | int | float | bool | None] = Field(description="The parts; null is left out")
    delimiter: str = Field(",", description="What to put between them")


@pure(id="join", input_aliases={"parts": "values"})
async def join(input: JoinInput) -> str:
    """One text of many values."""
    return input.delimiter.join(key_text(value) for value in input.values if value is not None)


class SubstringInput(TextInput):
    start_delimiter: str | None = Field(None, description="What comes before; without it the text stays whole")
    end_delimiter: str | None = Field(None, description="What comes after; without it the text stays whole")


@pure(id="substring-extraction")
async def substring_extraction(input: SubstringInput) -> str:
    """What is between the first occurrence of one delimiter and the next of another; empty if one of them is missing."""
    if input.start_delimiter is None or input.end_delimiter is None:
        return input.given
    _, start, rest = _partition(input.given, input.start_delimiter)
    inside, end, _ = _partition(rest, input.end_delimiter) if start else ("", False, "")
    return inside if end else ""


def _partition(text: str, delimiter: str) -> tuple[str, bool, str]:
    at = text.find(delimiter)
    return (text[:at], True, text[at + len(delimiter) :]) if at >= 0 else (text, False, "")
