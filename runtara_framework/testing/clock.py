"""FakeClock: time that moves only when the test says so, and wakes sleepers in the order of their moments."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

_ROUNDS = 50
"""Turns of the event loop that the woken get before time goes on: a chain of that many awaits runs to its end."""


class FakeClock:
    """A `Clock` for tests.

        clock = FakeClock()
        task = asyncio.create_task(server.run_until_due())
        await clock.slept()        # it sleeps now
        await clock.advance(5_000)  # five seconds later, and everything that was due in between has run

    Time stands still between calls of `advance`, so what a test reads as a time is exact. What was woken runs until it
    waits for something else than the event loop; if that is a thread or a socket, the test waits for the effect itself.
    """

    def __init__(self, now_ms: int = 1_750_000_000_000) -> None:
        self._now_ms = now_ms
        self._started_ms = now_ms
        self._order = count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrival = asyncio.Event()

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return (self._now_ms - self._started_ms) / 1000

    async def sleep_until(self, moment_ms: int) -> None:
        if moment_ms <= self._now_ms:
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (moment_ms, next(self._order), future))
        self._arrival.set()
        await future

    @property
    def sleeping_until(self) -> list[int]:
        """The moments that somebody sleeps until now, earliest first."""
        return sorted(moment for moment, _, future in self._sleepers if not future.done())

    async def slept(self, sleepers: int = 1) -> None:
        """Return when at least that many sleep: the way to wait for code that does real work before it sleeps."""
        while len(self.sleeping_until) < sleepers:
            self._arrival.clear()
            await self._arrival.wait()

    async def advance(self, milliseconds: int) -> None:
        """Move on by that much. Stops at the moment of every sleeper, wakes it, and lets it run before going on; whoever
        begins to sleep meanwhile, until a moment within this span, is woken in this call too."""
        await self.settle()
        target = self._now_ms + milliseconds
        while self._sleepers and self._sleepers[0][0] <= target:
            moment, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                self._now_ms = max(self._now_ms, moment)
                future.set_result(None)
                await self.settle()
        self._now_ms = target
        await self.settle()

    async def settle(self) -> None:
        """Let everything run that can run now, without moving the time."""
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
