"""Capabilities of `text` with regular expressions.

They are RE2's: their time grows with the length of the text and no faster, whatever the pattern, so that a text from
outside cannot stop a workflow. The price is that there is neither look-around nor back-reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from pydantic import Field

from runtara_agents_std.text.declared import TextInput, pure
from runtara_framework.agents import AgentError, permanent

INVALID: Final = permanent("TEXT_REGEX_INVALID", "The pattern is malformed, or larger than 10 MiB when compiled")

_MAX_MEMORY = 10 * 1024 * 1024
_REFERENCE = re.compile(r"\$(?:(\$)|([0-9A-Za-z_]+)|\{([^{}]*)\})")

Match = Any  # of re2, which has no types


@lru_cache(maxsize=256)
def compiled(pattern: str, case_insensitive: bool = False) -> Any:
    """The pattern, ready. Raises `AgentError` TEXT_REGEX_INVALID."""
    import re2  # type: ignore[import-untyped]  # it ships none

    options = re2.Options()
    options.case_sensitive = not case_insensitive
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise AgentError("TEXT_REGEX_INVALID", f"the pattern {pattern[:200]!r} is malformed: {reason}") from None


def matches(pattern: str, text: str, case_insensitive: bool = False) -> Iterator[Match]:
    """Every match, from left to right, none overlapping another."""
    found: Iterator[Match] = compiled(pattern, case_insensitive).finditer(text)
    return found


class PatternInput(TextInput):
    pattern: str = Field(description="A regular expression, of RE2's syntax")
    case_insensitive: bool = Field(False, description="Take small letters and capitals for the same")


class ReplaceInput(PatternInput):
    replacement: str = Field(
        "", description="What to put in its place; $1, $name and ${name} are groups, $$ is a dollar"
    )
    global_: bool = Field(True, alias="global", description="Every match, not only the first")


@pure(id="regex-replace", errors=[INVALID])
async def regex_replace(input: ReplaceInput) -> str:
    """The text with what matches replaced."""
    text, pieces, at = input.given, [], 0
    expand = _expander(input.replacement, compiled(input.pattern, input.case_insensitive).groupindex)
    for match in matches(input.pattern, text, input.case_insensitive):
        pieces += [text[at : match.start()], expand(match)]
        at = match.end()
        if not input.global_:
            break
    return "".join([*pieces, text[at:]])


def _expander(replacement: str, names: Any) -> Callable[[Match], str]:
    """What the replacement becomes for a match. A group that does not exist, or did not take part, is empty."""

    def expand(match: Match) -> str:
        def one(reference: re.Match[str]) -> str:
            if reference[1]:
                return "$"
            name = reference[2] if reference[2] is not None else reference[3]
            number = int(name) if name.isascii() and name.isdigit() and len(name) < 6 else names.get(name, -1)
            return _group(match, number) or ""

        return _REFERENCE.sub(one, replacement)

    return expand


def _group(match: Match, number: int) -> str | None:
    return match.group(number) if 0 <= number <= match.re.groups else None


class MatchInput(PatternInput):
    capture_group: int = Field(0, ge=0, description="Which group; 0 is the whole match")
    all_matches: bool = Field(False, description="An array of all, not only the first")


@pure(id="regex-match", errors=[INVALID])
async def regex_match(input: MatchInput) -> str | list[str] | None:
    """What matches first, or null; or an array of everything that matches."""
    groups = (
        _group(match, input.capture_group) for match in matches(input.pattern, input.given, input.case_insensitive)
    )
    if input.all_matches:
        return [group for group in groups if group is not None] if input.given else []
    return next(groups, None)


@pure(id="regex-test", errors=[INVALID])
async def regex_test(input: PatternInput) -> bool:
    """Whether the pattern matches anywhere; never in an empty text."""
    return bool(input.given) and next(matches(input.pattern, input.given, input.case_insensitive), None) is not None


class RegexSplitInput(PatternInput):
    limit: int = Field(0, ge=0, description="At most so many parts, the last one with all the rest; 0: no limit")


@pure(id="regex-split", errors=[INVALID])
async def regex_split(input: RegexSplitInput) -> list[str]:
    """The parts between the matches."""
    text, at = input.given, 0
    parts: list[str] = []
    if not text:
        return []
    for match in matches(input.pattern, text, input.case_insensitive):
        if input.limit and len(parts) == input.limit - 1:
            break
        parts.append(text[at : match.start()])
        at = match.end()
    return [*parts, text[at:]]
