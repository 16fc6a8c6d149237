"""Printing: results to stdout, everything else to stderr; the last line of a failure is its error as JSON."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runtara_framework.errors import AddressInUse, DataDirInUse, ErrorKind, InvalidRequest, RuntaraError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CANCELLED = 3
EXIT_UNFINISHED = 4
EXIT_SERVER = 5


def result(value: Any) -> None:
    """A JSON value, alone on stdout: indented for people, one line for pipes."""
    indent = 2 if sys.stdout.isatty() else None
    speaks_unicode = sys.stdout.encoding.lower().replace("-", "") == "utf8"
    sys.stdout.write(visible(json.dumps(value, ensure_ascii=not speaks_unicode, indent=indent)) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """A line for people, on stderr."""
    sys.stderr.write(visible(text) + "\n")
    sys.stderr.flush()


def visible(text: str) -> str:
    """The text with every character that would not be seen, or would command the terminal, as JSON escapes it; JSON stays
    the same JSON."""
    if text.replace("\n", "").isprintable():
        return text
    return _UNUSUAL.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text)


_UNUSUAL = re.compile(r"[^\x20-\x7e\n\t]")


def fail(error: RuntaraError, code: int | None = None) -> int:
    """Say what went wrong, for people and then for programs; the exit code."""
    say(f"error: {error.message}")
    error_line(error.to_wire())
    if code is not None:
        return code
    usage = error.kind in (ErrorKind.INVALID, ErrorKind.NOT_FOUND, ErrorKind.TOO_LARGE, ErrorKind.CONFLICT)
    return EXIT_USAGE if usage and not isinstance(error, (AddressInUse, DataDirInUse)) else EXIT_SERVER


def error_line(error: dict[str, Any]) -> None:
    """A structured error as one line of JSON: the last line of stderr."""
    say(json.dumps(error, ensure_ascii=False, default=str))


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns, as wide as they need to be."""
    lines = [[str(h).upper() for h in headings], *([_cell(cell) for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    return "-" if value is None or value == "" else str(value)


def moment(ms: int | None) -> str | None:
    """A time for people: UTC, to the millisecond."""
    if ms is None:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")


def read_json(text: str | None, what: str) -> Any:
    """The value of an argument: JSON, or `@FILE` (`@-` is stdin) with JSON in it. Raises `InvalidRequest`."""
    if text is None:
        return None
    content = read_file(text[1:], what) if text.startswith("@") else text
    try:
        value = json.loads(content.removeprefix("\ufeff"), parse_constant=_no_number)
        json.dumps(value, allow_nan=False)  # 1e999 is an infinity by now
        return value
    except ValueError as error:
        where = f"the file {text[1:]}" if text.startswith("@") else f"{text[:60]!r}"
        raise InvalidRequest(
            f"{what}: {where} is no JSON: {error} (write JSON, or @FILE to read it from a file)"
        ) from None
    except RecursionError:
        raise InvalidRequest(f"{what}: the JSON is nested too deeply") from None


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def read_file(name: str, what: str) -> str:
    """The text of a file (`-` is stdin). Raises `InvalidRequest`."""
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise InvalidRequest(f"{what}: {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{what}: {name} is no UTF-8 text: {error.reason} at byte {error.start}") from None
