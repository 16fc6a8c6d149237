"""Capabilities of `datetime` that take dates apart, measure between them, and turn them to timestamps and back."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, assert_never

from pydantic import BaseModel, ConfigDict, Field

from runtara_agents_std.moments.moment import (
    DateText,
    Unit,
    Zone,
    from_unix,
    in_range,
    iso,
    moment_of,
    pure,
    to_unix,
    zone_of,
)

_MS = timedelta(milliseconds=1)
_STEPS: dict[Unit, timedelta] = {
    "years": timedelta(days=365),
    "months": timedelta(days=30),
    "weeks": timedelta(weeks=1),
    "days": timedelta(days=1),
    "hours": timedelta(hours=1),
    "minutes": timedelta(minutes=1),
    "seconds": timedelta(seconds=1),
}


class BetweenInput(BaseModel):
    start_date: DateText = Field(alias="startDate")
    end_date: DateText = Field(alias="endDate")
    unit: Unit = Field("days", description="In what to count; a month is 30 days, a year 365")


class Between(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    difference: int = Field(description="Whole units from start to end; negative if the end is earlier")
    unit: str = Field(description="The unit")
    exact_ms: int = Field(alias="exactMs", description="The same in milliseconds")


@pure(id="get-time-between")
async def get_time_between(input: BetweenInput) -> Between:
    """How long it is from one date to another."""
    delta = moment_of(input.end_date) - moment_of(input.start_date)
    whole = abs(delta) // _STEPS[input.unit]
    exact = abs(delta) // _MS
    sign = -1 if delta < timedelta(0) else 1
    return Between(difference=sign * whole, unit=input.unit, exact_ms=sign * exact)


Part = Literal[
    "year", "month", "week", "day", "day-of-week", "day-of-year", "hour", "minute", "second", "millisecond", "quarter"
]


class PartInput(BaseModel):
    date: DateText
    part: Part = Field("day", description="Which part; weeks are those of ISO 8601, and Monday is 1")
    timezone: Zone = None


@pure(id="extract-date-part")
async def extract_date_part(input: PartInput) -> int:
    """One part of a date, as a number."""
    moment = moment_of(input.date, input.timezone)
    match input.part:
        case "year" | "month" | "day" | "hour" | "minute" | "second":
            return int(getattr(moment, input.part))
        case "week":
            return moment.isocalendar().week
        case "day-of-week":
            return moment.isoweekday()
        case "day-of-year":
            return moment.timetuple().tm_yday
        case "millisecond":
            return moment.microsecond // 1000
        case "quarter":
            return (moment.month + 2) // 3
        case _:
            assert_never(input.part)


class ToUnixInput(BaseModel):
    date: DateText
    milliseconds: bool = Field(False, description="Milliseconds instead of seconds")


class Unix(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    timestamp: int = Field(description="Time since 1970-01-01T00:00:00Z")
    is_milliseconds: bool = Field(alias="isMilliseconds", description="Whether it is in milliseconds, not seconds")


@pure(id="date-to-unix")
async def date_to_unix(input: ToUnixInput) -> Unix:
    """The Unix timestamp of a date."""
    step = _MS if input.milliseconds else timedelta(seconds=1)
    return Unix(timestamp=to_unix(moment_of(input.date), step), is_milliseconds=input.milliseconds)


class FromUnixInput(BaseModel):
    timestamp: int = Field(description="Time since 1970-01-01T00:00:00Z")
    is_milliseconds: bool | None = Field(
        None, alias="isMilliseconds", description="Whether it is in milliseconds; none: if it is above 10¹²"
    )
    timezone: Zone = None


@pure(id="unix-to-date")
async def unix_to_date(input: FromUnixInput) -> str:
    """The date of a Unix timestamp."""
    moment = from_unix(input.timestamp, milliseconds=input.is_milliseconds)
    zone = zone_of(input.timezone)
    return iso(in_range(lambda: moment.astimezone(zone)))
