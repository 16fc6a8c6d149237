"""Formats of dates by pattern: `EEEE, dd MMMM yyyy 'at' HH:mm ZZZ`.

A group of equal letters is a token. A word with a letter that is none (`week`, `Date`) stands for itself, as does what is
in single quotes; two single quotes are one. English names, whatever the machine's language is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip

_PIECE = re.compile(r"'((?:[^']|'')*)'|([A-Za-z]+)|([^A-Za-z']+|')")


def offset(moment: datetime, separator: str) -> str:
    """`+02:00`, with that separator."""
    delta = moment.utcoffset() or timedelta(0)
    minutes = abs(delta) // timedelta(minutes=1)
    return f"{'-' if delta < timedelta(0) else '+'}{minutes // 60:02}{separator}{minutes % 60:02}"


TOKENS: Final[dict[str, Callable[[datetime], str]]] = {
    "yyyy": lambda m: f"{m.year:04}",
    "yy": lambda m: f"{m.year % 100:02}",
    "MMMM": lambda m: MONTHS[m.month - 1],
    "MMM": lambda m: MONTHS[m.month - 1][:3],
    "MM": lambda m: f"{m.month:02}",
    "M": lambda m: str(m.month),
    "dd": lambda m: f"{m.day:02}",
    "d": lambda m: str(m.day),
    "EEEE": lambda m: DAYS[m.weekday()],
    "EEE": lambda m: DAYS[m.weekday()][:3],
    "E": lambda m: str(m.isoweekday()),
    "HH": lambda m: f"{m.hour:02}",
    "H": lambda m: str(m.hour),
    "hh": lambda m: f"{(m.hour - 1) % 12 + 1:02}",
    "h": lambda m: str((m.hour - 1) % 12 + 1),
    "mm": lambda m: f"{m.minute:02}",
    "m": lambda m: str(m.minute),
    "ss": lambda m: f"{m.second:02}",
    "s": lambda m: str(m.second),
    "SSS": lambda m: f"{m.microsecond // 1000:03}",
    "a": lambda m: "AM" if m.hour < 12 else "PM",
    "W": lambda m: str(m.isocalendar().week),
    "o": lambda m: str(m.timetuple().tm_yday),
    "Z": lambda m: str(m.tzname()),
    "ZZ": lambda m: offset(m, ""),
    "ZZZ": lambda m: offset(m, ":"),
}


def formatted(moment: datetime, pattern: str) -> str:
    """The moment as the pattern says."""

    def piece(found: re.Match[str]) -> str:
        quoted, word, other = found.groups()
        if quoted is not None:
            return quoted.replace("''", "'") or "'"
        return _word(moment, word) if word else str(other)

    return _PIECE.sub(piece, pattern)


def _word(moment: datetime, word: str) -> str:
    groups = ["".join(letters) for _, letters in groupby(word)]
    written = []
    for i, group in enumerate(groups):
        if group in TOKENS:
            written.append(TOKENS[group](moment))
        # The T between date and time, as in yyyyMMddTHHmmss.
        elif group == "T" and 0 < i < len(groups) - 1 and len(groups[i - 1]) > 1 and len(groups[i + 1]) > 1:
            written.append(group)
        else:
            return word
    return "".join(written)
