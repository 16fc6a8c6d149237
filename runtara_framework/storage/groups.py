"""One transaction for many: runs a group of works that nobody should have to know of each other.

A work that refuses (an error before it wrote anything, which is how the statements are written) leaves the transaction as it
was, so the group simply goes on. Only if one fails after it wrote is the whole group undone and run again, this time with a
savepoint around each work: what is common costs nothing, and what is rare is right.
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


def write(connection: sqlite3.Connection, tx: SqliteTx, group: Sequence[Work], translate: Translate) -> list[Outcome]:
    """Commit the group. Raises `sqlite3.Error` if there could be no transaction or no commit; then nothing happened."""
    try:
        outcomes = _together(connection, tx, group, translate)
        return _apart(connection, tx, group, translate) if outcomes is None else outcomes
    except BaseException:
        _undo(connection)
        raise


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


def _together(
    connection: sqlite3.Connection, tx: SqliteTx, group: Sequence[Work], translate: Translate
) -> list[Outcome] | None:
    """Without savepoints. None, and nothing done, if a work failed half-way."""
    outcomes: list[Outcome] = []
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
    return outcomes


def _apart(connection: sqlite3.Connection, tx: SqliteTx, group: Sequence[Work], translate: Translate) -> list[Outcome]:
    """With a savepoint around each."""
    outcomes: list[Outcome] = []
    connection.execute("BEGIN IMMEDIATE")
    for work in group:
        connection.execute("SAVEPOINT work")
        try:
            outcomes.append(Outcome(work.future, work.run(tx), None))
        except Exception as error:
            outcomes.append(Outcome(work.future, None, translate(error)))
            # Fails, and the whole group with it, if the database has ended the transaction by itself (disk full).
            connection.execute("ROLLBACK TO work")
        connection.execute("RELEASE work")
    connection.execute("COMMIT")
    return outcomes


def _undo(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
