"""Agent `csv`: comma-separated values to JSON and back. Pure; plain functions, because a large file takes a while."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, Literal

import msgspec
from pydantic import BaseModel, Field, RootModel, model_validator

from runtara_agents_std.charsets import codec_of
from runtara_agents_std.values import key_text
from runtara_framework.agents import AgentError, agent, capability, permanent
from runtara_framework.agents.files import BytesInput, to_bytes
from runtara_framework.memory import LIMIT

__agent__ = agent(id="csv", title="CSV", description="Turns comma-separated values into JSON and back")

DECODE: Final = permanent("CSV_DECODE_ERROR", "The data is no base64, or a number of it no byte")
ENCODING: Final = permanent("CSV_ENCODING_ERROR", "There is no such encoding, or the text is not of it")
PARSE: Final = permanent("CSV_PARSE_ERROR", "The rows differ in length, or a quote is not closed")

pure = partial(capability, side_effects=False, deterministic=True)


class Dialect(BaseModel):
    """How rows and fields are told apart."""

    encoding: str = Field("UTF-8", description="How the bytes spell characters")
    delimiter: str = Field(",", min_length=1, max_length=1, description="Between two fields: one character")
    quote_char: str = Field('"', min_length=1, max_length=1, description="Around a field: one character")
    escape_char: str | None = Field(
        None, min_length=1, max_length=1, description="Before a character that means itself: one character"
    )
    use_header: bool = Field(True, description="The first row has the names of the columns")

    @model_validator(mode="after")
    def _characters_differ(self) -> Dialect:
        characters = [one for one in (self.delimiter, self.quote_char, self.escape_char) if one is not None]
        if len(set(characters)) < len(characters) or any(one in "\r\n" for one in characters):
            raise ValueError("delimiter, quote_char and escape_char must be different, and no line ends")
        return self

    def options(self) -> dict[str, Any]:
        """For Python's csv."""
        return {"delimiter": self.delimiter, "quotechar": self.quote_char, "escapechar": self.escape_char}

    def codec(self) -> str:
        """Python's name of the encoding. Raises `AgentError` CSV_ENCODING_ERROR."""
        codec = codec_of(self.encoding)
        if codec is None:
            raise AgentError("CSV_ENCODING_ERROR", f"there is no encoding {self.encoding[:50]!r}")
        return codec


class CsvInput(Dialect):
    data: BytesInput = Field(description="The file: base64 text, a file, or an array of byte numbers")
    trim_whitespace: bool = Field(False, description="Take off white space around every field")


class FromCsvInput(CsvInput):
    skip_empty_lines: bool = Field(True, description="Leave out rows with nothing but white space")


@pure(id="from-csv", aliases=["parse"], errors=[DECODE, ENCODING, PARSE])
def from_csv(input: FromCsvInput) -> list[dict[str, str] | list[str]]:
    """The rows of a file: objects by the names of the columns, or arrays. All values are texts. A column without a name is
    left out; of two with one name the last counts."""
    rows = _rows(input, skip_empty=input.skip_empty_lines)
    if not input.use_header:
        return list(rows)
    names = next(rows, [])
    return [{name: value for name, value in zip(names, row, strict=True) if name} for row in rows]


Type = Literal["Integer", "Double", "Boolean", "String"]


class Columns(RootModel[dict[str, Type]]):
    """Column -> the type of its first value."""


@pure(
    id="get-header",
    errors=[DECODE, ENCODING, PARSE, permanent("CSV_EMPTY_FILE", "The file has no row to take names from")],
)
def get_header(input: CsvInput) -> Columns:
    """The columns of a file, with the type that the first value of each looks like. Without a header they are called
    `Column 1` and so on; a column without a name is called by its index from 0."""
    rows = _rows(input, skip_empty=True)
    first = next(rows, None)
    if first is None:
        raise AgentError("CSV_EMPTY_FILE", "the file is empty: there is no row to take the columns from")
    if input.use_header:
        names = [name or str(index) for index, name in enumerate(first)]
        values = next(rows, [""] * len(first))
    else:
        names, values = [f"Column {number}" for number in range(1, len(first) + 1)], first
    return Columns({name: _type(value) for name, value in zip(names, values, strict=True)})


class ToCsvInput(Dialect):
    value: Any = Field(
        description="The rows: objects, arrays or single values, all alike; one that is no array is one row"
    )


@pure(
    id="to-csv",
    aliases=["generate"],
    errors=[ENCODING, permanent("CSV_WRITE_ERROR", "The rows are not alike, or a character cannot be written")],
)
def to_csv(input: ToCsvInput) -> list[int]:
    """The bytes of a file with these rows. The columns are all keys of all objects, in the order in which they appear; what a
    row lacks is empty, and so is null. What is nested is written as JSON."""
    values = input.value if isinstance(input.value, list) else [input.value]
    names, rows = _table(values)
    out = io.StringIO(newline="")
    try:
        plain = csv.writer(out, **input.options(), lineterminator="\n")
        # Python before 3.13 leaves a lone carriage return unquoted, and every reader takes it for the end of a row.
        quoting = csv.writer(out, **input.options(), lineterminator="\n", quoting=csv.QUOTE_ALL)
        header = [names] if input.use_header and values else []
        for row in (*header, *rows):
            cells = [_cell(value) for value in row]
            (quoting if any("\r" in cell for cell in cells) else plain).writerow(cells)
    except csv.Error as error:
        raise AgentError("CSV_WRITE_ERROR", f"the rows cannot be written: {error}") from error
    try:
        return list(out.getvalue().encode(input.codec()))
    except UnicodeEncodeError as error:
        character = error.object[error.start : error.start + 1]
        raise AgentError("CSV_WRITE_ERROR", f"{input.encoding} has no character {character!r}") from None


def _rows(input: CsvInput, *, skip_empty: bool) -> Iterator[list[str]]:
    """The rows, all of one length. Raises `AgentError`."""
    csv.field_size_limit(sys.maxsize)  # the limit is that of the step's input; Python's own is 128 KiB
    reader = csv.reader(io.StringIO(_decoded(input), newline=""), **input.options(), strict=True)
    width = None
    try:
        for row in reader:
            if input.trim_whitespace:
                row = [field.strip() for field in row]
            if len(row) < 2 and not "".join(row).strip():
                if skip_empty:
                    continue
                row = row or [""]
            if width is None:
                width = len(row)
            if len(row) != width:
                raise AgentError(
                    "CSV_PARSE_ERROR",
                    f"the row that ends in line {reader.line_num} has {len(row)} fields, the first one has {width}",
                    attributes={"line": reader.line_num},
                )
            yield row
    except csv.Error as error:
        raise AgentError(
            "CSV_PARSE_ERROR", f"line {reader.line_num}: {error}", attributes={"line": reader.line_num}
        ) from error


def _decoded(input: CsvInput) -> str:
    codec = input.codec()
    try:
        content = to_bytes(input.data)
    except ValueError as error:
        raise AgentError("CSV_DECODE_ERROR", f"`data`: {error}") from error
    try:
        return content.decode(codec).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise AgentError(
            "CSV_ENCODING_ERROR", f"the bytes are no {input.encoding} text: {error.reason} at byte {error.start}"
        ) from None


def _table(values: list[Any]) -> tuple[list[str], list[list[Any]]]:
    """The names of the columns, and the rows under them. Raises `AgentError` CSV_WRITE_ERROR."""
    kind = type(values[0]) if values and isinstance(values[0], dict | list) else None
    for number, value in enumerate(values, 1):
        if (type(value) if isinstance(value, dict | list) else None) is not kind:
            raise AgentError(
                "CSV_WRITE_ERROR",
                f"row {number} is not of the kind of the first: give objects, arrays or single values",
            )
    if kind is dict:
        names = list(dict.fromkeys(name for value in values for name in value))
        return names, [[value.get(name) for name in names] for value in values]
    if kind is list:
        width = max(map(len, values))
        rows = [[*value, *[None] * (width - len(value))] for value in values]
        return [f"Column {number}" for number in range(1, width + 1)], rows
    return ["value"], [[value] for value in values]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list | float):
        with LIMIT.lifted:
            return msgspec.json.encode(value).decode()
    return key_text(value)


def _type(value: str) -> Type:
    text = value.strip()
    if text in ("true", "false"):
        return "Boolean"
    if re.fullmatch(r"-?(0|[1-9]\d*)", text, re.ASCII):
        return "Integer"
    if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", text, re.ASCII):
        return "Double"
    return "String"
