"""Capabilities of `datetime` that write dates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal, assert_never

from pydantic import BaseModel, Field

from runtara_agents_std.moments.moment import (
    DATE_INVALID,
    OUT_OF_RANGE,
    TIMEZONE_UNKNOWN,
    DateText,
    Zone,
    iso,
    moment_of,
    pure,
    to_unix,
    zone_of,
)
from runtara_agents_std.moments.pattern import formatted
from runtara_framework.agents import AgentError, capability, permanent

Format = Literal[
    "iso8601",
    "rfc2822",
    "date-only",
    "time-only",
    "us-short-date",
    "eu-short-date",
    "long-date",
    "date-time",
    "unix",
    "unix-ms",
    "custom",
]


class CurrentInput(BaseModel):
    include_time: bool = Field(True, alias="includeTime", description="The time too, not only the date")
    timezone: Zone = None


@capability(id="get-current-date", side_effects=False, errors=[TIMEZONE_UNKNOWN])
async def get_current_date(input: CurrentInput) -> str:
    """Now."""
    now = datetime.now(UTC).astimezone(zone_of(input.timezone))
    return iso(now) if input.include_time else now.date().isoformat()


class FormatInput(BaseModel):
    date: DateText
    format: Format = Field("iso8601", description="A usual format, or `custom`")
    custom_format: str | None = Field(
        None,
        alias="customFormat",
        description="For `custom`: yyyy yy MMMM MMM MM M dd d EEEE EEE E HH H hh h mm m ss s SSS a W o Z ZZ ZZZ; words that "
        "are none of these, and what is in single quotes, stand for themselves",
    )
    timezone: Zone = None


@pure(
    id="format-date",
    errors=[
        DATE_INVALID,
        OUT_OF_RANGE,
        TIMEZONE_UNKNOWN,
        permanent("DATE_FORMAT_MISSING", "The format is custom, but there is no customFormat"),
    ],
)
async def format_date(input: FormatInput) -> str:
    """A date in another format."""
    moment = moment_of(input.date, input.timezone)
    match input.format:
        case "iso8601":
            return iso(moment)
        case "rfc2822":
            return formatted(moment, "EEE, dd MMM yyyy HH:mm:ss ZZ")
        case "date-only":
            return formatted(moment, "yyyy-MM-dd")
        case "time-only":
            return formatted(moment, "HH:mm:ss")
        case "us-short-date":
            return formatted(moment, "MM/dd/yyyy")
        case "eu-short-date":
            return formatted(moment, "dd/MM/yyyy")
        case "long-date":
            return formatted(moment, "MMMM dd, yyyy")
        case "date-time":
            return formatted(moment, "yyyy-MM-dd HH:mm:ss")
        case "unix":
            return str(to_unix(moment))
        case "unix-ms":
            return str(to_unix(moment, timedelta(milliseconds=1)))
        case "custom":
            if not input.custom_format:
                raise AgentError(
                    "DATE_FORMAT_MISSING", "`format` is custom: give `customFormat`, such as 'dd MMM yyyy'"
                )
            return formatted(moment, input.custom_format)
        case _:
            assert_never(input.format)
