"""One transaction for many: runs a group of works that nobody should have to know of each other.

A work that refuses (an error before it wrote anything, which is how the statements are written) leaves the transaction as it
was, so the group simply goes on. Only if one fails after it wrote is the whole group undone and run again, each work in a
transaction of its own: what is common costs nothing, and what is rare is right. (Savepoints would not do: a full disk ends
the whole transaction.)
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from runtara_framework.storage.tx import SqliteTx

Translate = Callable[[Exception], Exception]


class Work(NamedTuple):
    """Something to do in a transaction, and who waits for it."""

    future: asyncio.Future[Any]
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def run(self, tx: SqliteTx) -> Any:
        return self.function(tx, *self.args, **self.kwargs)


class Outcome(NamedTuple):
    """What became of a work."""

    future: asyncio.Future[Any]
    value: Any
    error: Exception | None


def write_together(
    connection: sqlite3.Connection, tx: SqliteTx, group: Sequence[Work], translate: Translate
) -> list[Outcome] | None:
    """Commit the group at once. None, and nothing done, if a work failed half-way. Raises `sqlite3.Error` if there could be
    no transaction or no commit; then nothing was done either."""
    outcomes: list[Outcome] = []
    try:
        connection.execute("BEGIN IMMEDIATE")
        for work in group:
            before = connection.total_changes
            try:
                outcomes.append(Outcome(work.future, work.run(tx), None))
            except Exception as error:
                if connection.total_changes != before or not connection.in_transaction:
                    _undo(connection)
                    return None
                outcomes.append(Outcome(work.future, None, translate(error)))
        connection.execute("COMMIT")
    except BaseException:
        _undo(connection)
        raise
    return outcomes


def write_apart(connection: sqlite3.Connection, tx: SqliteTx, work: Work, translate: Translate) -> Outcome:
    """Commit one work alone."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            value = work.run(tx)
            connection.execute("COMMIT")
        except BaseException:
            _undo(connection)
            raise
    except Exception as error:
        return Outcome(work.future, None, translate(error))
    return Outcome(work.future, value, None)


def read(connection: sqlite3.Connection, tx: SqliteTx, work: Work, translate: Translate) -> Outcome:
    """Run a work that only reads, on one snapshot."""
    try:
        connection.execute("BEGIN")
        try:
            return Outcome(work.future, work.run(tx), None)
        finally:
            _undo(connection)  # there is nothing to commit
    except Exception as error:
        return Outcome(work.future, None, translate(error))


def resolve(outcomes: Sequence[Outcome]) -> None:
    """Tell whoever waits."""
    for future, value, error in outcomes:
        if future.done():  # its caller was cancelled; the others are not concerned
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)


def _undo(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
