"""`SkippingClock`: time that jumps to the next moment that anybody waits for. A month of sleep takes no time."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

_TURNS = 25
"""Turns of the event loop without a new sleeper after which everybody is taken to be waiting."""


class SkippingClock:
    """A `Clock` for programs that run in the process of a test (`memory_core`).

    While anybody sleeps and the event loop has had some turns, time jumps to the first sleeper's moment. Real I/O goes on
    beside it, so to a program that sleeps in one branch and calls a server in another, the server seems slow.
    """

    def __init__(self, now_ms: int = 1_750_000_000_000) -> None:
        self._started_ms = self._now_ms = now_ms
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()
        self._turns = 0
        self._ticking = False

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return (self._now_ms - self._started_ms) / 1000

    async def sleep_until(self, moment_ms: int) -> None:
        if moment_ms <= self._now_ms:
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._sleepers, (moment_ms, next(self._order), future))
        self._turns = 0
        if not self._ticking:
            self._ticking = True
            loop.call_soon(self._tick, loop)
        await future

    def busy(self) -> None:
        """Somebody works, in no time: whoever sleeps is not due yet."""
        self._turns = 0

    def advance_to(self, moment_ms: int) -> None:
        """Let time pass until then, if it is not over yet. Sleepers wake in the order in which they are due."""
        while (due := self._next_ms()) is not None and due <= moment_ms:
            self._now_ms = max(self._now_ms, due)
            heapq.heappop(self._sleepers)[2].set_result(None)
        self._now_ms = max(self._now_ms, moment_ms)

    def _next_ms(self) -> int | None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        due = self._next_ms()
        if due is None:
            self._ticking = False
            return
        self._turns += 1
        if self._turns >= _TURNS:
            self._turns = 0
            self.advance_to(due)
        loop.call_soon(self._tick, loop)
