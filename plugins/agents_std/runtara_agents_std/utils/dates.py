"""Capabilities of `utils` about dates: the current one, and ISO 8601 texts."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Final

from pydantic import BaseModel, Field

from runtara_framework.agents import AgentError, capability, permanent

TOKENS: Final = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_TOKEN = re.compile("|".join(TOKENS))
_FORMAT: Final = "yyyy, yy, MM, dd, HH, mm and ss stand for the parts of the date; everything else for itself"
_DATE: Final = "ISO 8601: a date, or a date and a time, with or without fraction and zone (none: UTC)"

_invalid = permanent("DATE_INVALID", "The text is no ISO 8601 date")


def formatted(moment: datetime, pattern: str) -> str:
    """The moment with each token of the pattern replaced once."""
    return _TOKEN.sub(lambda token: _part(moment, token.group()), pattern)


def _part(moment: datetime, token: str) -> str:
    # strftime does not pad years before 1000 on every platform.
    return f"{moment.year:04}" if token == "yyyy" else moment.strftime(TOKENS[token])


def parsed(text: str) -> datetime:
    """The moment that an ISO 8601 text names. Raises `AgentError` DATE_INVALID."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise AgentError("DATE_INVALID", f"`iso_date` is no ISO 8601 date: {error}") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class FormatDateInput(BaseModel):
    iso_date: str = Field(description=_DATE)
    target_format: str = Field(description=_FORMAT)


@capability(id="format-date-from-iso", side_effects=False, deterministic=True, errors=[_invalid])
async def format_date_from_iso(input: FormatDateInput) -> str:
    """A date in another format, in its own zone."""
    return formatted(parsed(input.iso_date), input.target_format)


class IsoInput(BaseModel):
    iso_date: str = Field(description=_DATE)


@capability(id="iso-to-unix-timestamp", side_effects=False, deterministic=True, errors=[_invalid])
async def iso_to_unix_timestamp(input: IsoInput) -> int:
    """Whole seconds from 1970-01-01T00:00:00Z to a date."""
    return int(parsed(input.iso_date).timestamp() // 1)


@capability(id="get-current-unix-timestamp", side_effects=False)
async def get_current_unix_timestamp() -> int:
    """Whole seconds from 1970-01-01T00:00:00Z to now."""
    return int(time.time())


@capability(id="get-current-iso-datetime", side_effects=False)
async def get_current_iso_datetime() -> str:
    """Now, as RFC 3339 has it, in UTC and to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class CurrentInput(BaseModel):
    format: str = Field(description=_FORMAT)


@capability(id="get-current-formatted-datetime", side_effects=False)
async def get_current_formatted_datetime(input: CurrentInput) -> str:
    """Now, in UTC, in a format of your own."""
    return formatted(datetime.now(UTC), input.format)
