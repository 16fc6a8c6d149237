"""Threads that own a connection: one that writes groups, and some that read."""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from runtara_framework.storage import groups
from runtara_framework.storage.groups import Outcome, Translate, Work
from runtara_framework.storage.tx import SqliteTx

logger = logging.getLogger(__name__)

J = TypeVar("J")


class Worker(ABC, Generic[J]):
    """A thread that does one job after the other and tells the event loop about each."""

    def __init__(
        self,
        name: str,
        connect: Callable[[], sqlite3.Connection],
        texts: dict[str, str],
        translate: Translate,
        inbox: queue.SimpleQueue[J | None],
        told: Callable[[Sequence[Outcome]], None],
    ) -> None:
        self._connect = connect
        self._texts = texts
        self._translate = translate
        self._inbox = inbox
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    async def start(self) -> None:
        """Open the connection. Raises what `translate` makes of a failure."""
        self._thread.start()
        await self._ready

    def join(self) -> None:
        """Wait for the thread to end; something must have put None into its inbox."""
        if self._thread.ident is not None:
            self._thread.join()

    def _main(self) -> None:
        try:
            connection = self._connect()
        except Exception as error:
            self._tell(groups.resolve, [Outcome(self._ready, None, self._translate(error))])
            return
        self._tell(groups.resolve, [Outcome(self._ready, None, None)])
        try:
            tx = SqliteTx(connection, self._texts)
            while (job := self._inbox.get()) is not None:
                self._tell(self._told, self._do(connection, tx, job))
        finally:
            connection.close()

    @abstractmethod
    def _do(self, connection: sqlite3.Connection, tx: SqliteTx, job: J) -> Sequence[Outcome]: ...

    def _tell(self, told: Callable[[Sequence[Outcome]], None], outcomes: Sequence[Outcome]) -> None:
        try:
            self._loop.call_soon_threadsafe(told, outcomes)
        except RuntimeError:  # the loop is closed: nobody waits any more
            logger.warning("%d database answers came after the event loop was closed", len(outcomes))


class Writer(Worker[Sequence[Work]]):
    """A job is a group: one transaction, one commit, one call to the loop."""

    def _do(self, connection: sqlite3.Connection, tx: SqliteTx, job: Sequence[Work]) -> Sequence[Outcome]:
        try:
            together = groups.write_together(connection, tx, job, self._translate)
        except Exception as error:
            reason = self._translate(error)
            return [Outcome(work.future, None, reason) for work in job]
        if together is not None:
            return together
        return [groups.write_apart(connection, tx, work, self._translate) for work in job]


class Reader(Worker[Work]):
    """A job is one work."""

    def _do(self, connection: sqlite3.Connection, tx: SqliteTx, job: Work) -> Sequence[Outcome]:
        return [groups.read(connection, tx, job, self._translate)]
