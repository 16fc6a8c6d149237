"""What a statement function is given: one open transaction, and the queries by name.

The functions in `statements/` are synchronous and say everything through a `Tx`, so the same body runs on SQLite's own
connection (`storage.sqlite`) and on any SQLAlchemy connection (`ConnectionTx`; an asynchronous one through `run_sync`).
Rows are plain tuples in the order of the query's columns.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection

Row = tuple[Any, ...]


class Tx(ABC):
    """One open transaction. Whoever opened it commits it."""

    def __init__(self, texts: dict[str, str]) -> None:
        self._texts = texts

    @abstractmethod
    def one(self, query: str, /, **params: Any) -> Row | None:
        """The first row, or None."""

    @abstractmethod
    def all(self, query: str, /, **params: Any) -> list[Row]:
        """All rows."""

    @abstractmethod
    def stream(self, query: str, /, **params: Any) -> Iterator[Row]:
        """The rows one after the other; stop asking and the rest is never read."""

    @abstractmethod
    def run(self, query: str, /, **params: Any) -> int:
        """How many rows it changed."""

    @abstractmethod
    def many(self, query: str, rows: Sequence[Mapping[str, Any]], /) -> None:
        """The same change for each set of parameters."""

    @abstractmethod
    def lock(self, name: str) -> None:
        """Hold this name until the end of the transaction: nobody else holds it meanwhile."""

    def page(self, listing: str, where: Sequence[str], order: str, /, **params: Any) -> list[Row]:
        """A page of a listing under these conditions, in this order; `limit` and `offset` are among the parameters."""
        name = f"{listing}|{','.join(where)}|{order}"
        if name not in self._texts:
            order_by = self._texts[f"{listing}.order.{order}"]
            self._texts[name] = f"{self._under(listing, listing, where)} ORDER BY {order_by} {self._texts['page']}"
        return self.all(name, **params)

    def count(self, listing: str, where: Sequence[str], /, **params: Any) -> int:
        """How many rows a listing has under these conditions."""
        name = f"{listing}|{','.join(where)}|count"
        if name not in self._texts:
            self._texts[name] = self._under(listing, f"{listing}.count", where)
        row = self.one(name, **params)
        return int(row[0]) if row else 0

    def _under(self, listing: str, head: str, where: Sequence[str]) -> str:
        return "".join((self._texts[head], *(f" AND {self._texts[f'{listing}.where.{clause}']}" for clause in where)))


class SqliteTx(Tx):
    """On a connection of the standard library, with named parameters. For one thread."""

    def __init__(self, connection: sqlite3.Connection, texts: dict[str, str]) -> None:
        super().__init__(texts)
        self._execute = connection.execute
        self._executemany = connection.executemany

    def one(self, query: str, /, **params: Any) -> Row | None:
        row: Row | None = self._execute(self._texts[query], params).fetchone()
        return row

    def all(self, query: str, /, **params: Any) -> list[Row]:
        return self._execute(self._texts[query], params).fetchall()

    def stream(self, query: str, /, **params: Any) -> Iterator[Row]:
        yield from self._execute(self._texts[query], params)

    def run(self, query: str, /, **params: Any) -> int:
        return self._execute(self._texts[query], params).rowcount

    def many(self, query: str, rows: Sequence[Mapping[str, Any]], /) -> None:
        self._executemany(self._texts[query], rows)

    def lock(self, name: str) -> None:
        """SQLite has one writer; whoever writes holds every name."""


class ConnectionTx(Tx):
    """On a SQLAlchemy connection; `texts` are `compiled.compile_queries` of its dialect, with parameters by name."""

    def __init__(self, connection: Connection, texts: dict[str, str]) -> None:
        super().__init__(texts)
        self._connection = connection

    def one(self, query: str, /, **params: Any) -> Row | None:
        row = self._connection.exec_driver_sql(self._texts[query], params).first()
        return None if row is None else tuple(row)

    def all(self, query: str, /, **params: Any) -> list[Row]:
        return [tuple(row) for row in self._connection.exec_driver_sql(self._texts[query], params)]

    def stream(self, query: str, /, **params: Any) -> Iterator[Row]:
        options = {"stream_results": True, "yield_per": 100}
        with self._connection.exec_driver_sql(self._texts[query], params, execution_options=options) as rows:
            for row in rows:
                yield tuple(row)

    def run(self, query: str, /, **params: Any) -> int:
        return self._connection.exec_driver_sql(self._texts[query], params).rowcount

    def many(self, query: str, rows: Sequence[Mapping[str, Any]], /) -> None:
        self._connection.exec_driver_sql(self._texts[query], [dict(row) for row in rows])

    def lock(self, name: str) -> None:
        if self._connection.dialect.name == "postgresql":
            self._connection.exec_driver_sql(
                "SELECT pg_advisory_xact_lock(hashtextextended(%(name)s, 0))", {"name": f"runtara:{name}"}
            )


def read_statements(text: str) -> dict[str, str]:
    """The statements of a file in `sql/`, by name."""
    entries = (entry.split("\n", 1) for entry in text.split("\n-- ")[1:])
    return {name: statement.strip().rstrip(";") for name, statement in entries}


def sqlite_texts(name: str = "queries") -> dict[str, str]:
    """What `sql/` holds for SQLite under this name: `queries`, `core` or `environment`."""
    return read_statements(Path(__file__).with_name("sql").joinpath(f"{name}.sql").read_text(encoding="utf-8"))
