"""Time as a dependency: everything that asks for the time or waits takes a `Clock`.

Tests pass `runtara_framework.testing.FakeClock`, so nothing in the test suite sleeps to wait.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What the kernel knows of time."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""
        ...

    async def sleep_until(self, moment_ms: int) -> None:
        """Return at or after `moment_ms` (milliseconds since the epoch), at once if it has passed."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep_until(self, moment_ms: int) -> None:
        # The wall clock may be set while we wait, so look again rather than trust one long timer.
        while (rest := moment_ms - time.time_ns() / 1e6) > 0:  # noqa: ASYNC110  # no event ends a wait for time
            await asyncio.sleep(min(rest / 1000, 60.0))
