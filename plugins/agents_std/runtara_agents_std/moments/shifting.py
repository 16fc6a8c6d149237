"""Capabilities of `datetime` that move dates.

Years, months, weeks and days are those of the calendar in the zone: a day later it is the same time on the clock, even
if summer time began in between. Hours, minutes and seconds are exact.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, assert_never

from pydantic import BaseModel, Field

from runtara_agents_std.moments.moment import DateText, Unit, Zone, in_range, iso, moment_of, pure

_EXACT: Final[dict[str, timedelta]] = {
    "hours": timedelta(hours=1),
    "minutes": timedelta(minutes=1),
    "seconds": timedelta(seconds=1),
}


class ShiftInput(BaseModel):
    date: DateText
    amount: int = Field(0, description="How many units; negative ones go the other way")
    unit: Unit = Field("days", description="Of what; a month later than the last of a month is the last of the next")
    timezone: Zone = None


@pure(id="add-to-date")
async def add_to_date(input: ShiftInput) -> str:
    """A date some time later."""
    return iso(shifted(moment_of(input.date, input.timezone), input.amount, input.unit))


@pure(id="subtract-from-date")
async def subtract_from_date(input: ShiftInput) -> str:
    """A date some time earlier."""
    return iso(shifted(moment_of(input.date, input.timezone), -input.amount, input.unit))


def shifted(moment: datetime, amount: int, unit: Unit) -> datetime:
    """The moment so many units later, in its zone. Raises `AgentError` DATE_OUT_OF_RANGE."""
    found: datetime = in_range(lambda: _shifted(moment, amount, unit))
    return found


def _shifted(moment: datetime, amount: int, unit: Unit) -> datetime:
    match unit:
        case "hours" | "minutes" | "seconds":
            return (moment.astimezone(UTC) + amount * _EXACT[unit]).astimezone(moment.tzinfo)
        case "days" | "weeks":
            return _real(moment + timedelta(days=amount * (7 if unit == "weeks" else 1)))
        case "months" | "years":
            year, month = divmod(moment.year * 12 + moment.month - 1 + amount * (12 if unit == "years" else 1), 12)
            last = monthrange(year, month + 1)[1]
            return _real(moment.replace(year=year, month=month + 1, day=min(moment.day, last)))
        case _:
            assert_never(unit)


def _real(moment: datetime) -> datetime:
    """A time that the clock of the zone really shows: in the hour that summer time leaves out, one later."""
    return moment.astimezone(UTC).astimezone(moment.tzinfo)


class RoundInput(BaseModel):
    date: DateText
    unit: Unit = Field(
        "days", description="To the beginning of a year, month, week (Monday), day, hour, minute or second"
    )
    mode: Literal["round", "floor", "ceil"] = Field("round", description="The nearest, the one before or the one after")
    timezone: Zone = None


@pure(id="round-date")
async def round_date(input: RoundInput) -> str:
    """A date rounded to a unit. The second half of a year begins in July, of a month on the 16th, of a week on Friday."""
    moment = moment_of(input.date, input.timezone).replace(microsecond=0)
    start: datetime = in_range(lambda: _start(moment, input.unit))
    up = input.mode == "ceil" and start != moment
    if input.mode == "round":
        up = _second_half(moment, input.unit)
    return iso(shifted(start, 1, input.unit) if up else start)


def _start(moment: datetime, unit: Unit) -> datetime:
    if unit == "seconds":
        return moment
    if unit == "minutes":
        return moment.replace(second=0)
    if unit == "hours":
        return moment.replace(second=0, minute=0)
    day = moment.replace(second=0, minute=0, hour=0, fold=0)
    match unit:
        case "days":
            return _real(day)
        case "weeks":
            return _real(day - timedelta(days=day.weekday()))
        case "months":
            return _real(day.replace(day=1))
        case "years":
            return _real(day.replace(day=1, month=1))
        case _:
            assert_never(unit)


def _second_half(moment: datetime, unit: Unit) -> bool:
    match unit:
        case "years":
            return moment.month >= 7
        case "months":
            return moment.day >= 16
        case "weeks":
            return moment.isoweekday() >= 5
        case "days":
            return moment.hour >= 12
        case "hours":
            return moment.minute >= 30
        case "minutes":
            return moment.second >= 30
        case "seconds":
            return False
        case _:
            assert_never(unit)
