"""Turns the queries and the tables into the text of one dialect.

For SQLite the text is kept in the package (`sql/`), so that a server starts without importing SQLAlchemy; a test proves
that it is what this module would write. After a change of a query or a table:

    python -m runtara_framework.storage.compiled
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from runtara_framework.storage import schema
from runtara_framework.storage.queries import QUERIES, Listing

FOLDER = Path(__file__).with_name("sql")
SEPARATOR = "-- "


def compile_queries(dialect: sa.Dialect) -> dict[str, str]:
    """The text of every query, by name. A listing becomes its parts: `x`, `x.count`, `x.where.…`, `x.order.…`."""
    texts = {"page": _text(sa.text("LIMIT :limit OFFSET :offset"), dialect)}
    for name, query in QUERIES.items():
        if isinstance(query, Listing):
            texts[name] = _text(query.rows, dialect)
            texts[f"{name}.count"] = _text(query.count, dialect)
            texts.update((f"{name}.where.{key}", _text(clause, dialect)) for key, clause in query.where.items())
            texts.update(
                (f"{name}.order.{key}", ", ".join(_text(column, dialect) for column in columns))
                for key, columns in query.orders.items()
            )
        else:
            texts[name] = _text(query, dialect)
    return texts


def create_statements(dialect: sa.Dialect, tables: Mapping[str, sa.Table] | None = None) -> Iterator[tuple[str, str]]:
    """What makes the tables and their indexes, each with its name, in an order that works."""
    wanted = schema.metadata.sorted_tables if tables is None else tables.values()
    for table in wanted:
        yield table.name, _text(CreateTable(table), dialect)
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield str(index.name), _text(CreateIndex(index), dialect)


def sqlite_dialect() -> sa.Dialect:
    """SQLite with the parameters that `storage.sqlite` binds by name."""
    return sqlite.dialect(paramstyle="named")


def files() -> dict[str, str]:
    """The files of `sql/` as they should be."""
    dialect = sqlite_dialect()
    core = {table.name: table for table in schema.metadata.sorted_tables if table in schema.CORE}
    environment = {table.name: table for table in schema.metadata.sorted_tables if table in schema.ENVIRONMENT}
    return {
        "queries.sql": _file(compile_queries(dialect).items()),
        "core.sql": _file(create_statements(dialect, core)),
        "environment.sql": _file(create_statements(dialect, environment)),
    }


def _text(element: Any, dialect: sa.Dialect) -> str:
    compiled = element.compile(dialect=dialect)
    # One line each, without the space that the compiler leaves at the ends of lines.
    text = " ".join(str(compiled).split())
    for name, value in (compiled.params or {}).items():
        if value is not None:  # a number of our own (LIMIT 1), not a parameter
            text = re.sub(re.escape(compiled.bindtemplate % {"name": name}) + r"\b", str(int(value)), text)
    return text


def _file(entries: Iterable[tuple[str, str]]) -> str:
    head = f"{SEPARATOR}Generated from the queries and tables; see runtara_framework/storage/compiled.py.\n"
    return head + "".join(f"\n{SEPARATOR}{name}\n{text};\n" for name, text in entries)


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
