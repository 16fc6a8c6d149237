"""Driver `timer`: one timer, set to the earliest due time that this server knows of. It polls nothing."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from runtara_framework.spec.driver import DriverContext, DriverSettings
from runtara_framework.spec.scheduler import OnDue, Scheduler

RETRY_MS = 1000
"""How long after a failed `on_due` it is called again."""


class TimerScheduler(Scheduler):
    """Wakes at the earliest due time.

    Only the earliest is kept: `on_due` answers with the next one from storage, so what was told before a call is covered by
    its answer, and what is told during the call is compared with it. When the stack unwinds, a call of `on_due` that runs is
    waited for, so that what it has claimed is not dropped half-way.
    """

    api = 1

    def __init__(self, settings: DriverSettings, context: DriverContext) -> None:
        super().__init__(settings, context)
        self._due_ms: int | None = None
        self._timer: asyncio.Task[None] | None = None
        self._ring = asyncio.Event()
        self._stopped = True  # and not begun

    async def run(self, stack: AsyncExitStack, on_due: OnDue) -> None:
        self._stopped = False
        await self._call(on_due)
        loop = asyncio.create_task(self._loop(on_due))

        async def stop() -> None:
            self._stopped = True
            self._set(None)
            self._ring.set()
            await loop

        stack.push_async_callback(stop)

    def due_at(self, moment_ms: int) -> None:
        if not self._stopped and (self._due_ms is None or moment_ms < self._due_ms):
            self._set(moment_ms)

    async def _loop(self, on_due: OnDue) -> None:
        while True:
            await self._ring.wait()
            if self._stopped:
                return
            await self._call(on_due)

    async def _call(self, on_due: OnDue) -> None:
        self._ring.clear()
        self._set(None)
        try:
            next_ms = await on_due()
        except Exception:
            self.context.logger.exception("looking for what is due failed; trying again in %d ms", RETRY_MS)
            next_ms = self.context.clock.now_ms() + RETRY_MS
        if next_ms is not None:
            self.due_at(next_ms)

    def _set(self, moment_ms: int | None) -> None:
        """Set the timer anew, or to nothing."""
        if self._timer is not None:
            self._timer.cancel()
        self._due_ms = moment_ms
        self._timer = None if moment_ms is None else asyncio.create_task(self._sleep(moment_ms))

    async def _sleep(self, moment_ms: int) -> None:
        await self.context.clock.sleep_until(moment_ms)
        self._ring.set()
