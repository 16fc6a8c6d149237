"""Capabilities of `text` that find numbers, addresses and links in it."""

from __future__ import annotations

import math

from pydantic import Field

from runtara_agents_std.text.declared import TextInput, pure
from runtara_agents_std.text.regexes import matches

_EMAIL = r"[A-Za-z0-9._%+\-]*[A-Za-z0-9_%+\-]@(?:[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}"
_URL = r"(?i)\b(?:https?|ftp)://[^\s<>\"'`{}|\\^]+"


class NumbersInput(TextInput):
    include_decimals: bool = Field(True, description="Take 1.5 for one number, not for two")
    include_negative: bool = Field(False, description="Take a minus in front of a number for its sign")


@pure(id="extract-numbers")
async def extract_numbers(input: NumbersInput) -> list[float]:
    """The numbers in a text, in order."""
    number = r"\d+(?:\.\d+)?" if input.include_decimals else r"\d+"
    found = []
    for match in matches(rf"(-?)({number})", input.given):
        # A dash behind a letter or a digit is a hyphen: 2024-03-05 has no negative numbers.
        before = input.given[match.start() - 1 : match.start()]
        signed = input.include_negative and match.group(1) and not before.isalnum()
        found.append(float(f"-{match.group(2)}" if signed else match.group(2)))
    return [value for value in found if math.isfinite(value)]


@pure(id="extract-emails")
async def extract_emails(input: TextInput) -> list[str]:
    """The e-mail addresses in a text, in order."""
    return [match.group(0) for match in matches(_EMAIL, input.given)]


@pure(id="extract-urls")
async def extract_urls(input: TextInput) -> list[str]:
    """The http, https and ftp URLs in a text, in order, without the punctuation behind them."""
    return [_without_punctuation(match.group(0)) for match in matches(_URL, input.given)]


def _without_punctuation(url: str) -> str:
    while url and (url[-1] in ".,;:!?" or (url[-1] in ")]" and url.count("(["[url[-1] == "]"]) < url.count(url[-1]))):
        url = url[:-1]
    return url
