"""Texts that are numbers or moments: the one reading that conditions and coercion share (DSL.md 9)."""

from __future__ import annotations

import math
import re
from datetime import date

_NUMERIC = re.compile(r"[+-]?(?:[0-9]+(\.[0-9]*)?|(\.[0-9]+))([eE][+-]?[0-9]+)?")
_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    r"(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2})?)?)?"
)
_MAX_DIGITS = 400  # more than any float has; keeps int() away from its own limit
_NS = 1_000_000_000


def parse_number(text: str) -> int | float | None:
    """The number that `text` spells in decimal, else None. Nothing around it, no infinity, no NaN."""
    if len(text) > _MAX_DIGITS:
        return None
    match = _NUMERIC.fullmatch(text)
    if match is None:
        return None
    if match.group(1) is None and match.group(2) is None and match.group(3) is None:
        return int(text)
    value = float(text)
    return value if math.isfinite(value) else None


def parse_instant(text: str) -> int | None:
    """Nanoseconds since year 1 (UTC) of an ISO 8601 date or date and time, else None. No zone means UTC."""
    if len(text) < 10 or text[4] != "-":
        return None
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, zone_hour, zone_minute = match.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal()
    except ValueError:
        return None
    hours, minutes, seconds = int(hour or 0), int(minute or 0), int(second or 0)
    offset_hours, offset_minutes = int(zone_hour or 0), int(zone_minute or 0)
    if hours > 23 or minutes > 59 or seconds > 59 or offset_hours > 23 or offset_minutes > 59:
        return None
    offset = (offset_hours * 60 + offset_minutes) * (-1 if sign == "-" else 1)
    total = days * 86_400 + hours * 3_600 + (minutes - offset) * 60 + seconds
    return total * _NS + (int(fraction.ljust(9, "0")) if fraction else 0)
