"""Capabilities of `text` that make another text of one."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Literal, assert_never

from pydantic import Field

from runtara_agents_std.text.declared import TextInput, pure
from runtara_framework.agents import AgentError, permanent


class TemplateInput(TextInput):
    text: str | None = Field(None, description="The template, in Jinja's syntax")
    context: Any = Field(description="What it may use: the fields of an object; anything else is called `value`")


@pure(
    id="render-template",
    aliases=["format"],
    input_aliases={"template": "text"},
    errors=[
        permanent("TEXT_TEMPLATE_MISSING", "There is no template"),
        permanent("TEXT_TEMPLATE_PARSE_ERROR", "The template is malformed"),
        permanent("TEXT_TEMPLATE_RENDER_ERROR", "The template goes through something missing, or grows too large"),
    ],
)
async def render_template(input: TemplateInput) -> str:
    """A template filled in, by the rules of templates in scenarios."""
    from runtara_framework.dsl.errors import TemplateFailed
    from runtara_framework.dsl.templates import references, render

    if not input.given:
        raise AgentError("TEXT_TEMPLATE_MISSING", "`text`, the template, is missing or empty")
    try:
        list(references(input.given))
    except TemplateFailed as error:
        raise AgentError("TEXT_TEMPLATE_PARSE_ERROR", error.message) from error
    try:
        return render(input.given, input.context if isinstance(input.context, dict) else {"value": input.context})
    except TemplateFailed as error:
        raise AgentError("TEXT_TEMPLATE_RENDER_ERROR", error.message) from error


@pure(id="trim-normalize")
async def trim_normalize(input: TextInput) -> str:
    """The text without white space around it, and with single spaces inside."""
    return " ".join(input.given.split())


class CaseInput(TextInput):
    format: Literal["lowercase", "uppercase", "title-case"] = Field("lowercase", description="Which letters")


@pure(id="case-conversion")
async def case_conversion(input: CaseInput) -> str:
    """The text in small letters, in capitals, or with a capital in front of every word."""
    match input.format:
        case "lowercase":
            return input.given.lower()
        case "uppercase":
            return input.given.upper()
        case "title-case":
            return " ".join(word[0].upper() + word[1:].lower() for word in input.given.split())
        case _:
            assert_never(input.format)


class ReplaceInput(TextInput):
    pattern: str | None = Field(None, description="What to look for, to the letter; without it nothing changes")
    replacement: str | None = Field(None, description="What to put in its place; without it nothing changes")


@pure(id="find-replace", aliases=["replace"])
async def find_replace(input: ReplaceInput) -> str:
    """The text with every occurrence of one text replaced by another."""
    if not input.pattern or input.replacement is None:
        return input.given
    return input.given.replace(input.pattern, input.replacement)


class RemoveInput(TextInput):
    pattern: str | None = Field(None, description="The characters to remove, one beside the other")


@pure(id="remove-characters")
async def remove_characters(input: RemoveInput) -> str:
    """The text without certain characters."""
    return input.given.translate(dict.fromkeys(map(ord, input.pattern or "")))


class LinesInput(TextInput):
    delimiter: str | None = Field(None, description="Where to begin a new line; without it all lines become one")


@pure(id="collapse-expand-lines")
async def collapse_expand_lines(input: LinesInput) -> str:
    """All lines as one, joined by spaces; or, with a delimiter, its parts as lines. Each is trimmed."""
    if input.delimiter:
        return "\n".join(part.strip() for part in input.given.split(input.delimiter))
    return " ".join(line.strip() for line in input.given.splitlines())


_LETTERS = str.maketrans({"ß": "ss", "æ": "ae", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "œ": "oe"})


@pure(id="slugify")
async def slugify(input: TextInput) -> str:
    """The text as part of a URL: small letters without accents, digits and single dashes."""
    plain = unicodedata.normalize("NFKD", input.given.lower().translate(_LETTERS))
    plain = re.sub(r"[^a-z0-9-]", "", re.sub(r"\s", "-", plain))
    return re.sub(r"-{2,}", "-", plain).strip("-")
