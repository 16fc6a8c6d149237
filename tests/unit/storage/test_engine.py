"""Group commit: who shares a flush, who waits where, and how one caller's failure stays its own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runtara_framework.errors import InvalidRequest, StorageError
from runtara_framework.storage import files
from runtara_framework.storage.engine import LARGE_BYTES, LOG_WORKS, MOST_HERE, MOST_IN_A_GROUP, Engine
from runtara_framework.storage.tx import Tx

TEXTS = {"put": "INSERT INTO notes VALUES (:text)", "get": "SELECT text FROM notes ORDER BY rowid"}


def put(tx: Tx, text: str) -> str:
    """A work that writes. Answers on which thread."""
    tx.run("put", text=text)
    return threading.current_thread().name


def notes(tx: Tx) -> list[str]:
    return [row[0] for row in tx.all("get")]


class Traced:
    """Engines on a file, the statements that their writing connections ran, and a timer that stands still."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ran: list[str] = []
        self.now = 0.0
        self.pages: int | None = None
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE notes (text TEXT CHECK (text <> 'bad'))")
        connection.close()

    def connect(self, **options: Any) -> Callable[[], sqlite3.Connection]:
        def connect() -> sqlite3.Connection:
            connection = files.connect(self.path, **options)
            connection.set_trace_callback(self.ran.append)
            if self.pages is not None:
                connection.execute(f"PRAGMA max_page_count = {self.pages}")
            return connection

        return connect

    @asynccontextmanager
    async def engine(self, busy_ms: int = 5000) -> AsyncIterator[Engine]:
        engine = Engine(
            here=self.connect(busy_ms=0, log_pages=0),
            writer=self.connect(busy_ms=busy_ms),
            reader=lambda: files.connect(self.path, read_only=True),
            texts=dict(TEXTS),
            translate=lambda error: files.translate(error, self.path),
            timer=lambda: self.now,
        )
        await engine.start()
        self.ran.clear()
        try:
            yield engine
        finally:
            await engine.stop()

    def count(self, statement: str) -> int:
        return self.ran.count(statement)


@pytest.fixture
def traced(path: Path) -> Traced:
    return Traced(path)


async def write(engine: Engine, function: Callable[..., Any], *args: Any) -> Any:
    return await engine.write(function, args, {})


async def read(engine: Engine) -> list[str]:
    return list(await engine.read(notes, (), {}))


async def test_whoever_asks_in_the_same_turn_shares_one_commit(traced: Traced) -> None:
    async with traced.engine() as engine:
        await asyncio.gather(*(write(engine, put, f"{n}") for n in range(MOST_HERE)))
        assert traced.count("COMMIT") == 1
        assert await read(engine) == [f"{n}" for n in range(MOST_HERE)]


async def test_a_very_large_crowd_is_split_into_groups(traced: Traced) -> None:
    async with traced.engine() as engine:
        await asyncio.gather(*(write(engine, put, "x") for _ in range(2 * MOST_IN_A_GROUP + 1)))
        assert traced.count("COMMIT") == 3
        assert len(await read(engine)) == 2 * MOST_IN_A_GROUP + 1


async def test_small_groups_are_written_on_the_loops_thread(traced: Traced) -> None:
    async with traced.engine() as engine:
        assert await write(engine, put, "x") == threading.current_thread().name


async def test_a_large_argument_is_written_on_the_other_thread(traced: Traced) -> None:
    async with traced.engine() as engine:
        assert await write(engine, lambda tx, data: put(tx, "x"), b"x" * (LARGE_BYTES + 1)) == "runtara-writer"


async def test_a_slow_disk_moves_the_writing_to_the_other_thread_until_it_is_quick_again(traced: Traced) -> None:
    def slow(tx: Tx) -> str:
        traced.now += 0.05
        return put(tx, "slow")

    async with traced.engine() as engine:
        await write(engine, slow)
        seen = [await write(engine, put, "x") for _ in range(100)]
        assert seen[0] == "runtara-writer"
        assert seen[-1] == threading.current_thread().name


async def test_every_so_often_the_log_is_looked_after(traced: Traced) -> None:
    async with traced.engine() as engine:
        seen = [await write(engine, put, "x") for _ in range(LOG_WORKS + 1)]
        assert seen.count("runtara-writer") == 1


async def test_a_refusal_costs_the_others_nothing(traced: Traced) -> None:
    def refuse(tx: Tx) -> None:
        raise InvalidRequest("no")

    async with traced.engine() as engine:
        answers = await asyncio.gather(
            write(engine, put, "a"), write(engine, refuse), write(engine, put, "b"), return_exceptions=True
        )
        assert isinstance(answers[1], InvalidRequest)
        assert await read(engine) == ["a", "b"]
        assert traced.count("BEGIN IMMEDIATE") == traced.count("COMMIT") == 1


@pytest.mark.parametrize("how", ["refusal after a write", "constraint", "defect"])
async def test_a_failure_after_a_write_undoes_that_work_and_no_other(traced: Traced, how: str) -> None:
    def torn(tx: Tx) -> None:
        put(tx, "torn")
        if how == "constraint":
            put(tx, "bad")
        raise InvalidRequest("too late") if how == "refusal after a write" else ZeroDivisionError

    wanted = {"refusal after a write": InvalidRequest, "constraint": StorageError, "defect": ZeroDivisionError}[how]
    async with traced.engine() as engine:
        answers = await asyncio.gather(
            write(engine, put, "a"), write(engine, torn), write(engine, put, "b"), return_exceptions=True
        )
        assert isinstance(answers[1], wanted)
        assert await read(engine) == ["a", "b"]


@pytest.mark.parametrize("large", [False, True], ids=["here", "thread"])
async def test_a_full_disk_fails_what_does_not_fit_and_keeps_the_rest(traced: Traced, large: bool) -> None:
    traced.pages = 40
    async with traced.engine() as engine:
        await write(engine, put, "before")
        flood = "x" * (1 << 20)
        with pytest.raises(StorageError) as caught:
            await write(engine, lambda tx, data: put(tx, flood), b"x" * (LARGE_BYTES + 1 if large else 1))
        assert "disk is full" in caught.value.message
        assert caught.value.retryable
        await write(engine, put, "after")
        assert await read(engine) == ["before", "after"]


async def test_another_writer_is_waited_for_without_stopping_the_loop(traced: Traced) -> None:
    async with traced.engine() as engine:
        other = files.connect(traced.path)
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO notes VALUES ('first')")
        waiting = asyncio.ensure_future(write(engine, put, "second"))
        assert await read(engine) == []  # the loop goes on, and so do readers
        assert not waiting.done()
        other.execute("COMMIT")
        other.close()
        assert await waiting == "runtara-writer"
        assert await read(engine) == ["first", "second"]


async def test_a_lock_that_is_never_let_go_is_an_error_that_says_so(traced: Traced) -> None:
    async with traced.engine(busy_ms=1) as engine:
        other = files.connect(traced.path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError) as caught:
            await write(engine, put, "x")
        assert "another process writes to it" in caught.value.message
        other.execute("ROLLBACK")
        other.close()
        await write(engine, put, "y")
        assert await read(engine) == ["y"]


async def test_a_caller_that_went_away_loses_nothing_for_the_others(traced: Traced) -> None:
    async with traced.engine() as engine:
        tasks = [asyncio.ensure_future(write(engine, put, f"{n}")) for n in range(4)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[1], asyncio.CancelledError)
        assert {"0", "2", "3"} <= set(await read(engine))


async def test_stopping_finishes_what_was_asked_for(traced: Traced) -> None:
    async with traced.engine() as engine:
        asked = [asyncio.ensure_future(write(engine, put, f"{n}")) for n in range(2 * MOST_IN_A_GROUP)]
        await asyncio.sleep(0)
    assert all([await answer for answer in asked])
    connection = files.connect(traced.path)
    assert connection.execute("SELECT count(*) FROM notes").fetchone() == (2 * MOST_IN_A_GROUP,)
    connection.close()


async def test_nothing_is_asked_of_a_closed_database(traced: Traced) -> None:
    async with traced.engine() as engine:
        pass
    for call in (engine.write, engine.read, engine.look):
        with pytest.raises(StorageError):
            await call(notes, (), {})


async def test_a_look_up_sees_what_was_answered(traced: Traced) -> None:
    async with traced.engine() as engine:
        await write(engine, put, "x")
        assert await engine.look(notes, (), {}) == ["x"]
        assert engine.look(notes, (), {}).done()


async def test_a_reader_cannot_write(traced: Traced) -> None:
    async with traced.engine() as engine:
        with pytest.raises(StorageError):
            await engine.read(put, ("x",), {})
        assert await read(engine) == []
