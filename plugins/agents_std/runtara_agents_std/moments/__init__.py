"""Agent `datetime`: read, write, shift, round and compare moments. Dates without a zone are in UTC; `timezone` is the zone in
which the answer is written and in which days, weeks, months and years are counted, by the rules of the date in question."""

from __future__ import annotations

from runtara_agents_std.moments.reading import date_to_unix, extract_date_part, get_time_between, unix_to_date
from runtara_agents_std.moments.shifting import add_to_date, round_date, subtract_from_date
from runtara_agents_std.moments.writing import format_date, get_current_date
from runtara_framework.agents import agent

__agent__ = agent(id="datetime", title="Date and time", description="Reads, writes, shifts, rounds and compares dates")

__all__ = [
    "add_to_date",
    "date_to_unix",
    "extract_date_part",
    "format_date",
    "get_current_date",
    "get_time_between",
    "round_date",
    "subtract_from_date",
    "unix_to_date",
]
