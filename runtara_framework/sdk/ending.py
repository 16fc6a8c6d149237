"""How a launch ends before its program has returned: at once, or, while it still replays, where the replay ends.

A cancel, or the end of the running time, interrupts a program wherever it is. But a program that still replays does not
know yet what earlier launches did, and what cleans up after it (`on_cancel`, compensations) has to know. So it first runs
to where they came and does nothing that they did not do: every branch stops at its first step that is not recorded. When
all have stopped there, or after `REPLAY_SECONDS`, the program is interrupted. A launch that is made to obey a cancel, and
one that goes on after a crash of what cleans up, come to the same place in this way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any

from runtara_framework.clock import Clock
from runtara_framework.sdk.parking import Line, Parking

REPLAY_SECONDS = 4.0
"""What a program that is to end may take to come to where earlier launches were."""


class Stop(StrEnum):
    """Why a launch ends before its program has returned."""

    SUSPENDED = "suspended"  # the server knows when to launch it again
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"  # its running time is used up
    STALE = "stale"  # a newer launch exists
    LOST = "lost"  # the server is away for too long, or refuses what it may not refuse


class Ending:
    """The end of one launch. `stop` ends the program, whatever it does; `replays`: earlier launches did something."""

    def __init__(self, parking: Parking, stop: Callable[[Stop], None], *, replays: bool) -> None:
        self.asked: Stop | None = None
        """Why the program is to end where its replay does."""
        self._parking = parking
        self._stop = stop
        self._replays = replays
        self._tasks: list[asyncio.Task[None]] = []
        self._releases: list[Callable[[], Awaitable[None]]] = []

    def interrupt(self, why: Stop) -> None:
        """End the program as soon as it may be. The first reason counts."""
        if self.asked is None:
            if self._replays and not self._parking.arrived():
                self.asked = why
                self._tasks.append(asyncio.create_task(self._stop_where_the_replay_ends(why)))
            else:
                self._stop(why)

    def interrupt_at(self, moment_ms: int, clock: Clock) -> None:
        """At that moment of the clock its running time is used up."""
        self._tasks.append(asyncio.create_task(self._time_out(moment_ms, clock)))

    async def beyond(self) -> None:
        """Before anything that no earlier launch did: here a branch's replay ends, and a program that is to end there."""
        await self._parking.beyond(stop=self.asked is not None)

    async def halt(self, branches: Iterable[asyncio.Task[Any]]) -> None:
        """Before branches are ended: let those that still replay come to where earlier launches were, and no further, so
        that what undoes their work knows of all of it."""
        lines = self._parking.lines(branches)
        for line in lines:
            line.halted = True
        await self.replayed(lines, REPLAY_SECONDS)

    async def replayed(self, lines: Sequence[Line], seconds: float) -> None:
        """Come back when what runs in these lines has come to where its replay ends, or after that time."""
        if self._replays and seconds > 0 and not self._parking.arrived(lines):
            try:
                with self._parking.hold():
                    async with asyncio.timeout(seconds):
                        await self._parking.arrive(lines)
            except TimeoutError:
                pass  # a long computation, or tasks that nobody told of: cut off where they are

    def clean_up(self) -> None:
        """The program is gone. What cleans up after it is not interrupted."""
        self.asked = None
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    async def _stop_where_the_replay_ends(self, why: Stop) -> None:
        self._parking.stay()
        try:
            async with asyncio.timeout(REPLAY_SECONDS):
                await self._parking.arrive()
        except TimeoutError:
            pass  # tasks that nobody told of, or a long computation: it is cut off where it is
        self._stop(why)

    async def _time_out(self, moment_ms: int, clock: Clock) -> None:
        await clock.sleep_until(moment_ms)
        self.interrupt(Stop.TIMED_OUT)

    # -- after the report -------------------------------------------------------------------------------------

    def at_end(self, release: Callable[[], Awaitable[None]]) -> None:
        """Call `release` when everything is reported and the process is about to go. The same function once only."""
        if release not in self._releases:
            self._releases.append(release)

    async def release(self, seconds: float) -> None:
        """Do what `at_end` was told, in that time. What fails meanwhile is nobody's concern any more."""
        if self._releases:
            releases = [asyncio.ensure_future(release()) for release in self._releases]
            _, pending = await asyncio.wait(releases, timeout=seconds)
            for task in pending:
                task.cancel()
            await asyncio.gather(*releases, return_exceptions=True)
