"""Texts and zones to moments, and moments to ISO 8601: what all capabilities of `datetime` share."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import Field

from runtara_framework.agents import AgentError, capability, permanent

Unit = Literal["years", "months", "weeks", "days", "hours", "minutes", "seconds"]
DateText = Annotated[
    str | int,
    Field(
        description="A date: ISO 8601, RFC 2822, a Unix timestamp (milliseconds above 10¹²), or MM/DD/YYYY, DD/MM/YYYY if "
        "it can be no other, DD.MM.YYYY, each with or without a time. Without a zone it is in UTC"
    ),
]
Zone = Annotated[str | None, Field(description="A zone: UTC, +02:00 or a name such as Europe/Kyiv; none: UTC")]

DATE_INVALID: Final = permanent("DATE_INVALID", "The text is no date")
OUT_OF_RANGE: Final = permanent("DATE_OUT_OF_RANGE", "A date is before the year 1 or after 9999")
TIMEZONE_UNKNOWN: Final = permanent("TIMEZONE_UNKNOWN", "There is no such zone")

pure = partial(
    capability, side_effects=False, deterministic=True, errors=[DATE_INVALID, OUT_OF_RANGE, TIMEZONE_UNKNOWN]
)

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS_ABOVE: Final = 10**12
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)", re.ASCII)
_SHORT = re.compile(
    r"(\d{1,2})([/.])(\d{1,2})\2(\d{4}|\d\d)(?:[ T]+(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?", re.ASCII
)


def in_range(compute: Callable[[], Any]) -> Any:
    """What is computed. Raises `AgentError` DATE_OUT_OF_RANGE if Python's calendar does not reach there."""
    try:
        return compute()
    except (OverflowError, ValueError):
        raise AgentError("DATE_OUT_OF_RANGE", "the date is before the year 1 or after 9999") from None


def zone_of(name: str | None) -> tzinfo:
    """The zone of that name. Raises `AgentError` TIMEZONE_UNKNOWN."""
    text = (name or "").strip()
    if not text or text.upper() in ("UTC", "Z"):
        return UTC
    if offset := _OFFSET.fullmatch(text):
        delta = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        if int(offset[3]) < 60 and delta < timedelta(hours=24):
            return timezone(delta if offset[1] == "+" else -delta)
    else:
        try:
            return ZoneInfo(text)
        except (OSError, ValueError, LookupError):  # no such file, a path out of the database, a name that is no zone
            pass
    raise AgentError("TIMEZONE_UNKNOWN", f"there is no zone {text[:60]!r}: use UTC, +02:00 or a name like Europe/Kyiv")


def moment_of(date: str | int, zone: str | None = None) -> datetime:
    """The moment that a date names, in the zone. Raises `AgentError`."""
    where = zone_of(zone)
    found = _parsed(str(date).strip())
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    moment: datetime = in_range(lambda: found.astimezone(where))
    return moment


def from_unix(timestamp: int, *, milliseconds: bool | None) -> datetime:
    """The moment so many seconds or milliseconds (None: by size) after 1970. Raises `AgentError` DATE_OUT_OF_RANGE."""
    if milliseconds is None:
        milliseconds = abs(timestamp) > _MILLISECONDS_ABOVE
    step = timedelta(milliseconds=1) if milliseconds else timedelta(seconds=1)
    moment: datetime = in_range(lambda: EPOCH + timestamp * step)
    return moment


def to_unix(moment: datetime, step: timedelta = timedelta(seconds=1)) -> int:
    """Whole steps from 1970 to the moment, rounded down."""
    return (moment - EPOCH) // step


def iso(moment: datetime) -> str:
    """`YYYY-MM-DDTHH:MM:SS` with Z or the offset; fractions of a second are left out."""
    text = moment.replace(microsecond=0).isoformat()
    return text.removesuffix("+00:00") + "Z" if moment.utcoffset() == timedelta(0) else text


def _parsed(text: str) -> datetime:
    if re.fullmatch(r"[+-]?\d{1,20}", text, re.ASCII):
        return from_unix(int(text), milliseconds=None)
    short = _SHORT.fullmatch(text)
    try:
        if short is not None:
            return _short(short)
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        raise AgentError("DATE_INVALID", f"{text[:60]!r} is no date") from None


def _short(found: re.Match[str]) -> datetime:
    """`DD.MM.YYYY`, or with slashes American, or if there is no such month European. Raises `ValueError`."""
    first, second, year = int(found[1]), int(found[3]), int(found[4])
    if len(found[4]) == 2:
        year += 2000 if year < 69 else 1900  # as POSIX has it
    hour, minute, second_of = (int(found[i] or 0) for i in (5, 6, 7))
    micro = int((found[8] or "0")[:6].ljust(6, "0"))
    if found[2] == "." or first > 12:
        first, second = second, first
    return datetime(year, first, second, hour, minute, second_of, micro)
