"""Group commit for a SQLite file: when which transaction runs, and on which thread.

Writes. Callers on the event loop await a future each. What they ask for during one turn of the loop becomes one group: one
transaction, one flush to the disk, whoever asked. So a lone caller pays one flush, and thirty-two callers share one.

Where. A group can run right here, on the loop's thread, or on the writer's. Handing it over costs two thread switches and two
fights for the interpreter lock, together more than the flush itself on a good disk; running it here makes everybody else
wait for the flush. So it runs here as long as groups take well under a millisecond (a moving average tells), are small and
nobody else holds the file's lock, and on the thread otherwise; while the thread works, the next group gathers. Every so
often one goes to the thread in any case: only the thread's connection copies the write-ahead log back into the file,
because that takes a while.

Reads. A look-up by key runs here too, under the same condition. Everything else (listings, bytes of images) goes to the
reading threads. All readers see whatever was answered before.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

from runtara_framework.errors import StorageError
from runtara_framework.storage import groups
from runtara_framework.storage.groups import Outcome, Translate, Work
from runtara_framework.storage.threads import Reader, Worker, Writer
from runtara_framework.storage.tx import SqliteTx

MOST_IN_A_GROUP = 256
MOST_HERE = 64
"""Larger groups go to the thread."""
LARGE_BYTES = 64 * 1024
"""So does a work with so large an argument."""
QUICK_SECONDS = 0.001
"""How long a group may take on the loop's thread, on average."""
WEIGHT = 0.1
"""Of the latest group in that average."""
LOG_WORKS = 1000
"""After so many works here the thread gets a group, to look after the write-ahead log."""
READERS = 2

Connect = Callable[[], sqlite3.Connection]


class Engine:
    """The connections of one file. Everything here is called on one event loop."""

    def __init__(
        self,
        *,
        here: Connect,
        writer: Connect,
        reader: Connect,
        texts: dict[str, str],
        translate: Translate,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connect_here = here
        self._texts = texts
        self._translate = translate
        self._timer = timer
        self._groups: queue.SimpleQueue[Sequence[Work] | None] = queue.SimpleQueue()
        self._reads: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._writer = Writer("runtara-writer", writer, texts, translate, self._groups, self._written)
        self._readers = [
            Reader(f"runtara-reader-{number}", reader, texts, translate, self._reads, groups.resolve)
            for number in range(READERS)
        ]
        self._waiting: list[Work] = []
        self._scheduled = False
        self._handed_over: float | None = None  # when the thread got the group that it works on; None: it is idle
        self._average = 0.0
        self._since_log = 0
        self._open = False
        self._idle = asyncio.Event()

    # -- life -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open all connections, the writer's first. Raises what `translate` makes of a failure."""
        try:
            for worker in self._workers():
                await worker.start()
            self._here = self._connect_here()
        except Exception as error:
            await self._end_threads()
            raise self._translate(error) from error.__cause__
        self._tx = SqliteTx(self._here, self._texts)
        self._open = True

    async def stop(self) -> None:
        """Finish what was asked for, then close the connections."""
        self._open = False
        while self._waiting or self._handed_over is not None:
            self._idle.clear()
            await self._idle.wait()
        await self._end_threads()
        self._here.close()

    def _workers(self) -> list[Worker[Any]]:
        return [self._writer, *self._readers]

    async def _end_threads(self) -> None:
        self._groups.put(None)
        for _ in self._readers:
            self._reads.put(None)
        for worker in self._workers():
            await asyncio.to_thread(worker.join)

    # -- reads ------------------------------------------------------------------------------------------

    def look(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> asyncio.Future[Any]:
        """Run a read that finds its few rows by key."""
        work = self._work(function, args, kwargs)
        if self._open:
            outcome = None
            if self._average < QUICK_SECONDS:
                outcome = groups.read(self._here, self._tx, work, self._translate)
            if outcome is None or isinstance(outcome.error, StorageError):  # a lock, perhaps: the thread can wait
                self._reads.put(work)
            else:
                groups.resolve([outcome])
        return work.future

    def read(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> asyncio.Future[Any]:
        """Run any other read."""
        work = self._work(function, args, kwargs)
        if self._open:
            self._reads.put(work)
        return work.future

    # -- writes -----------------------------------------------------------------------------------------

    def write(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> asyncio.Future[Any]:
        """Run a write. The future is done when it is committed, or when it is refused and nothing of it happened."""
        work = self._work(function, args, kwargs)
        if self._open:
            self._waiting.append(work)
            self._schedule()
        return work.future

    def _work(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Work:
        future = self._loop.create_future()
        if not self._open:
            future.set_exception(StorageError("the database is closed; the server has not started or has stopped"))
        return Work(future, function, args, kwargs)

    def _schedule(self) -> None:
        if not self._scheduled and self._handed_over is None:
            self._scheduled = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._scheduled = False
        group, self._waiting = self._waiting[:MOST_IN_A_GROUP], self._waiting[MOST_IN_A_GROUP:]
        if not self._fits_here(group) or not self._run_here(group):
            self._handed_over = self._timer()
            self._since_log = 0
            self._groups.put(group)
        elif self._waiting:
            self._schedule()
        else:
            self._idle.set()

    def _fits_here(self, group: Sequence[Work]) -> bool:
        self._since_log += len(group)
        return (
            self._average < QUICK_SECONDS
            and len(group) <= MOST_HERE
            and self._since_log <= LOG_WORKS
            and not any(_large(work) for work in group)
        )

    def _run_here(self, group: Sequence[Work]) -> bool:
        """False, and nothing done, if the file is locked or a work failed half-way; the thread will see to it."""
        began = self._timer()
        try:
            outcomes = groups.write_together(self._here, self._tx, group, self._translate)
        except sqlite3.Error:
            outcomes = None
        if outcomes is None:
            return False
        self._took(self._timer() - began)
        groups.resolve(outcomes)
        return True

    def _written(self, outcomes: Sequence[Outcome]) -> None:
        if self._handed_over is not None:
            self._took(self._timer() - self._handed_over)
        self._handed_over = None
        groups.resolve(outcomes)
        if self._waiting:
            self._schedule()
        else:
            self._idle.set()

    def _took(self, seconds: float) -> None:
        self._average += WEIGHT * (seconds - self._average)


def _large(work: Work) -> bool:
    return any(type(value) is bytes and len(value) > LARGE_BYTES for value in (*work.args, *work.kwargs.values()))
