"""Agent datetime, capability by capability, as a scenario calls it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtara_agents_std.moments.moment import iso, moment_of
from runtara_agents_std.moments.pattern import formatted
from runtara_agents_std.moments.shifting import shifted

from runtara_framework.agents import AgentError
from runtara_framework.agents.registry import AgentRegistry

Call = Callable[..., Awaitable[Any]]


@pytest.fixture
def dates(invoke: Call) -> Call:
    async def call(capability: str, /, **inputs: Any) -> Any:
        return await invoke("datetime", capability, inputs)

    return call


async def fails(call: Awaitable[Any]) -> AgentError:
    with pytest.raises(AgentError) as caught:
        await call
    assert caught.value.category == "permanent"
    return caught.value


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2024-03-05T07:08:09Z", "2024-03-05T07:08:09Z"),
        (" 2024-03-05T07:08:09.987+02:00 ", "2024-03-05T05:08:09Z"),
        ("2024-03-05T07:08:09", "2024-03-05T07:08:09Z"),
        ("2024-03-05 07:08:09.5", "2024-03-05T07:08:09Z"),
        ("2024-03-05", "2024-03-05T00:00:00Z"),
        ("Tue, 05 Mar 2024 07:08:09 +0200", "2024-03-05T05:08:09Z"),
        ("5 Mar 2024 07:08 GMT", "2024-03-05T07:08:00Z"),
        ("03/05/2024", "2024-03-05T00:00:00Z"),
        ("3/5/24 7:08", "2024-03-05T07:08:00Z"),
        ("25/03/2024 07:08:09", "2024-03-25T07:08:09Z"),
        ("05.03.2024", "2024-03-05T00:00:00Z"),
        ("5.3.69", "1969-03-05T00:00:00Z"),
        ("31.12.68 23:59:59.5", "2068-12-31T23:59:59Z"),
        ("1709622489", "2024-03-05T07:08:09Z"),
        (1709622489, "2024-03-05T07:08:09Z"),
        ("1709622489500", "2024-03-05T07:08:09Z"),
        ("-1", "1969-12-31T23:59:59Z"),
        (0, "1970-01-01T00:00:00Z"),
        ("0001-01-01", "0001-01-01T00:00:00Z"),
    ],
)
async def test_dates_are_read_in_many_forms(dates: Call, date: Any, expected: str) -> None:
    assert await dates("format-date", date=date) == expected


@pytest.mark.parametrize(
    "date",
    [
        "",
        "tomorrow",
        "2024-02-30",
        "13/13/2024",
        "32.01.2024",
        "2024-03-05T25:00:00Z",
        "5.3.2024 24:00",
        "1.2",
        "x" * 999,
    ],
)
async def test_what_is_no_date_is_an_error(dates: Call, date: str) -> None:
    assert (await fails(dates("format-date", date=date))).code == "DATE_INVALID"


@pytest.mark.parametrize("date", ["9" * 18, "-99999999999", "0001-01-01T00:00:00+05:00"])
async def test_what_is_outside_of_the_calendar_is_an_error(dates: Call, date: str) -> None:
    assert (await fails(dates("format-date", date=date))).code == "DATE_OUT_OF_RANGE"


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        (None, "2024-07-01T12:00:00Z"),
        ("utc", "2024-07-01T12:00:00Z"),
        ("Z", "2024-07-01T12:00:00Z"),
        ("+02:00", "2024-07-01T14:00:00+02:00"),
        ("-0330", "2024-07-01T08:30:00-03:30"),
        ("+00:00", "2024-07-01T12:00:00Z"),
        ("Europe/Kyiv", "2024-07-01T15:00:00+03:00"),
        ("America/New_York", "2024-07-01T08:00:00-04:00"),
    ],
)
async def test_a_zone_is_where_the_answer_is_written(dates: Call, zone: str | None, expected: str) -> None:
    assert await dates("format-date", date="2024-07-01T12:00:00Z", timezone=zone) == expected


async def test_a_zone_has_the_offset_that_it_had_then(dates: Call) -> None:
    assert (
        await dates("format-date", date="2024-01-01T12:00:00Z", timezone="Europe/Kyiv") == "2024-01-01T14:00:00+02:00"
    )


@pytest.mark.parametrize(
    "zone", ["Mars/Olympus", "+25:00", "+02:99", "../../etc/passwd", "/etc/passwd", "EST5EDT\x00", "Europe"]
)
async def test_an_unknown_zone_is_an_error(dates: Call, zone: str) -> None:
    assert (await fails(dates("format-date", date="2024-01-01", timezone=zone))).code == "TIMEZONE_UNKNOWN"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("iso8601", "2024-03-05T09:08:09+02:00"),
        ("rfc2822", "Tue, 05 Mar 2024 09:08:09 +0200"),
        ("date-only", "2024-03-05"),
        ("time-only", "09:08:09"),
        ("us-short-date", "03/05/2024"),
        ("eu-short-date", "05/03/2024"),
        ("long-date", "March 05, 2024"),
        ("date-time", "2024-03-05 09:08:09"),
        ("unix", "1709622489"),
        ("unix-ms", "1709622489987"),
    ],
)
async def test_the_usual_formats(dates: Call, name: str, expected: str) -> None:
    date = "2024-03-05T07:08:09.987Z"
    assert await dates("format-date", date=date, format=name, timezone="Europe/Kyiv") == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("yyyy yy MMMM MMM MM M dd d", "2024 24 March Mar 03 3 05 5"),
        ("EEEE EEE E W o", "Tuesday Tue 2 10 65"),
        ("HH H hh h mm m ss s SSS a", "15 15 03 3 08 8 09 9 987 PM"),
        ("Z ZZ ZZZ", "EET +0200 +02:00"),
        ("yyyyMMddTHHmmss", "20240305T150809"),
        ("dd MMMM 'at' h a", "05 March at 3 PM"),
        ("Date: dd, week W, Tag o", "Date: 05, week 10, Tag 65"),
        ("h 'o''clock'", "3 o'clock"),
        ("''yy", "'24"),
        ("'it''s' yy", "it's 24"),
        ("100% {} %Y", "100% {} %Y"),
        ("yyyyy ddd", "yyyyy ddd"),
        ("T", "T"),
    ],
)
async def test_formats_by_pattern(dates: Call, pattern: str, expected: str) -> None:
    inputs = {"date": "2024-03-05T13:08:09.987Z", "timezone": "Europe/Kyiv"}
    assert await dates("format-date", **inputs, format="custom", customFormat=pattern) == expected


@pytest.mark.parametrize(("hour", "text"), [(0, "12 AM"), (11, "11 AM"), (12, "12 PM"), (23, "11 PM")])
async def test_twelve_hours(dates: Call, hour: int, text: str) -> None:
    date = f"2024-03-05T{hour:02}:00:00Z"
    assert await dates("format-date", date=date, format="custom", customFormat="h a") == text


async def test_a_pattern_is_needed_for_one_of_your_own(dates: Call) -> None:
    assert (await fails(dates("format-date", date=0, format="custom"))).code == "DATE_FORMAT_MISSING"


@pytest.mark.parametrize(
    ("date", "amount", "unit", "zone", "expected"),
    [
        ("2024-01-31", 1, "months", None, "2024-02-29T00:00:00Z"),
        ("2024-02-29", 1, "years", None, "2025-02-28T00:00:00Z"),
        ("2024-01-31", -2, "months", None, "2023-11-30T00:00:00Z"),
        ("2024-12-15", 14, "months", None, "2026-02-15T00:00:00Z"),
        ("2024-02-28", 2, "days", None, "2024-03-01T00:00:00Z"),
        ("2024-02-28", 1, "weeks", None, "2024-03-06T00:00:00Z"),
        ("2024-02-28", 25, "hours", None, "2024-02-29T01:00:00Z"),
        ("2024-02-28", -90, "minutes", None, "2024-02-27T22:30:00Z"),
        ("2024-02-28", 86401, "seconds", None, "2024-02-29T00:00:01Z"),
        ("2024-03-30T10:00:00Z", 1, "days", "Europe/Kyiv", "2024-03-31T12:00:00+03:00"),
        ("2024-03-30T10:00:00Z", 24, "hours", "Europe/Kyiv", "2024-03-31T13:00:00+03:00"),
        ("2024-03-30T01:30:00Z", 1, "days", "Europe/Kyiv", "2024-03-31T04:30:00+03:00"),
        ("2024-10-27T00:30:00Z", 1, "hours", "Europe/Kyiv", "2024-10-27T03:30:00+02:00"),
        ("2024-03-31T22:30:00Z", 1, "months", "Europe/Kyiv", "2024-05-01T01:30:00+03:00"),
    ],
)
async def test_dates_are_shifted(
    dates: Call, date: str, amount: int, unit: str, zone: str | None, expected: str
) -> None:
    inputs = {"date": date, "unit": unit, "timezone": zone}
    assert await dates("add-to-date", **inputs, amount=amount) == expected
    assert await dates("subtract-from-date", **inputs, amount=-amount) == expected


async def test_nothing_is_added_by_default(dates: Call) -> None:
    assert await dates("add-to-date", date="2024-01-31") == "2024-01-31T00:00:00Z"


@pytest.mark.parametrize("unit", ["years", "months", "weeks", "days", "hours", "minutes", "seconds"])
@pytest.mark.parametrize("amount", [10**14, -(10**14), 10**30])
async def test_a_shift_out_of_the_calendar_is_an_error(dates: Call, unit: str, amount: int) -> None:
    error = await fails(dates("add-to-date", date="2024-01-01", amount=amount, unit=unit))
    assert error.code == "DATE_OUT_OF_RANGE"


@pytest.mark.parametrize(
    ("start", "end", "unit", "difference", "ms"),
    [
        ("2024-01-01", "2024-03-01", "days", 60, 5_184_000_000),
        ("2024-01-01", "2024-03-01", "months", 2, 5_184_000_000),
        ("2024-01-01", "2025-01-01", "years", 1, 31_622_400_000),
        ("2024-03-01", "2024-01-02", "weeks", -8, -5_097_600_000),
        ("2024-01-01T00:00:00Z", "2024-01-01T01:59:59.999Z", "hours", 1, 7_199_999),
        ("2024-01-01T00:00:59Z", "2024-01-01T00:00:00.5Z", "minutes", 0, -58_500),
        ("2024-01-01T00:00:00+02:00", "2024-01-01T00:00:00Z", "seconds", 7200, 7_200_000),
    ],
)
async def test_time_between(dates: Call, start: str, end: str, unit: str, difference: int, ms: int) -> None:
    output = await dates("get-time-between", startDate=start, endDate=end, unit=unit)
    assert output == {"difference": difference, "unit": unit, "exactMs": ms}


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("year", 2024), ("month", 12), ("week", 1), ("day", 30), ("day-of-week", 1), ("day-of-year", 365), ("hour", 7),
        ("minute", 8), ("second", 9), ("millisecond", 987), ("quarter", 4),
    ],
)  # fmt: skip
async def test_parts_are_extracted(dates: Call, part: str, value: int) -> None:
    assert await dates("extract-date-part", date="2024-12-30T07:08:09.987Z", part=part) == value


async def test_parts_are_those_in_the_zone(dates: Call) -> None:
    inputs = {"date": "2024-12-31T23:00:00Z", "timezone": "Europe/Kyiv"}
    assert await dates("extract-date-part", **inputs) == 1
    assert await dates("extract-date-part", **inputs, part="year") == 2025


@pytest.mark.parametrize(
    ("date", "unit", "floor", "nearest", "ceil"),
    [
        ("2024-07-01T00:00:00Z", "years", "2024-01-01", "2025-01-01", "2025-01-01"),
        ("2024-06-30T23:59:59Z", "years", "2024-01-01", "2024-01-01", "2025-01-01"),
        ("2024-02-16T00:00:00Z", "months", "2024-02-01", "2024-03-01", "2024-03-01"),
        ("2024-12-15T23:00:00Z", "months", "2024-12-01", "2024-12-01", "2025-01-01"),
        ("2024-03-08T00:00:00Z", "weeks", "2024-03-04", "2024-03-11", "2024-03-11"),
        ("2024-03-07T23:00:00Z", "weeks", "2024-03-04", "2024-03-04", "2024-03-11"),
        ("2024-03-05T12:00:00Z", "days", "2024-03-05", "2024-03-06", "2024-03-06"),
        ("2024-03-05T00:00:00.5Z", "days", "2024-03-05", "2024-03-05", "2024-03-05"),
        ("2024-03-05T07:30:00Z", "hours", "2024-03-05T07:00:00", "2024-03-05T08:00:00", "2024-03-05T08:00:00"),
        ("2024-03-05T07:08:29Z", "minutes", "2024-03-05T07:08:00", "2024-03-05T07:08:00", "2024-03-05T07:09:00"),
        ("2024-03-05T07:08:09.9Z", "seconds", "2024-03-05T07:08:09", "2024-03-05T07:08:09", "2024-03-05T07:08:09"),
    ],
)
async def test_dates_are_rounded(dates: Call, date: str, unit: str, floor: str, nearest: str, ceil: str) -> None:
    for mode, expected in [("floor", floor), ("round", nearest), ("ceil", ceil)]:
        expected = expected if "T" in expected else f"{expected}T00:00:00"
        assert await dates("round-date", date=date, unit=unit, mode=mode) == f"{expected}Z"


async def test_days_are_rounded_in_the_zone(dates: Call) -> None:
    inputs = {"date": "2024-03-31T10:00:00Z", "timezone": "Europe/Kyiv", "unit": "days"}  # a day of 23 hours
    assert await dates("round-date", **inputs, mode="floor") == "2024-03-31T00:00:00+02:00"
    assert await dates("round-date", **inputs, mode="ceil") == "2024-04-01T00:00:00+03:00"
    late = {"date": "9999-12-31T12:00:00Z", "unit": "days"}
    assert (await fails(dates("round-date", **late))).code == "DATE_OUT_OF_RANGE"


async def test_timestamps_there_and_back(dates: Call) -> None:
    date = "2024-03-05T07:08:09.987Z"
    assert await dates("date-to-unix", date=date) == {"timestamp": 1709622489, "isMilliseconds": False}
    ms = await dates("date-to-unix", date=date, milliseconds=True)
    assert ms == {"timestamp": 1709622489987, "isMilliseconds": True}
    assert await dates("unix-to-date", timestamp=ms["timestamp"]) == "2024-03-05T07:08:09Z"
    assert await dates("unix-to-date", timestamp=1709622489, timezone="+01:00") == "2024-03-05T08:08:09+01:00"
    assert await dates("unix-to-date", timestamp=1000, isMilliseconds=True) == "1970-01-01T00:00:01Z"
    assert await dates("unix-to-date", timestamp=-1) == "1969-12-31T23:59:59Z"
    for inputs in ({"timestamp": 10**13, "isMilliseconds": False}, {"timestamp": 10**30}):
        assert (await fails(dates("unix-to-date", **inputs))).code == "DATE_OUT_OF_RANGE"


async def test_the_current_date_is_the_current_date(dates: Call) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    now = await dates("get-current-date")
    there = await dates("get-current-date", timezone="+14:00")
    day = await dates("get-current-date", includeTime=False, timezone="+14:00")
    after = datetime.now(UTC)
    assert before <= datetime.fromisoformat(now) <= after
    assert before <= datetime.fromisoformat(there) <= after and there.endswith("+14:00")
    assert day in {(moment + timedelta(hours=14)).date().isoformat() for moment in (before, after)}


def test_only_now_is_not_pure() -> None:
    assert {one.id for one in AgentRegistry().info("datetime").capabilities if not one.pure} == {"get-current-date"}


MOMENTS = st.datetimes(
    datetime(1000, 1, 1),
    datetime(9000, 1, 1),
    timezones=st.integers(-840, 840).map(lambda m: timezone(timedelta(minutes=m))),
)


@given(MOMENTS)
def test_what_is_written_can_be_read(moment: datetime) -> None:
    whole = moment.replace(microsecond=0)
    assert moment_of(iso(moment)) == whole
    assert (
        moment_of(format_datetime(whole))
        == whole
        == parsedate_to_datetime(formatted(whole, "EEE, dd MMM yyyy HH:mm:ss ZZ"))
    )


@given(MOMENTS, st.integers(-1000, 1000), st.sampled_from(["weeks", "days", "hours", "minutes", "seconds"]))
def test_a_shift_can_be_taken_back(moment: datetime, amount: int, unit: Any) -> None:
    assert shifted(shifted(moment, amount, unit), -amount, unit) == moment


@given(st.text(max_size=40))
def test_no_text_crashes_the_reader(text: str) -> None:
    try:
        assert moment_of(text).tzinfo is not None
    except AgentError as error:
        assert error.code in {"DATE_INVALID", "DATE_OUT_OF_RANGE"}


@given(MOMENTS, st.text(max_size=30))
def test_no_pattern_crashes_the_writer(moment: datetime, pattern: str) -> None:
    assert isinstance(formatted(moment, pattern), str)
