"""Scheduler: wakes the kernel when something is due. Group `runtara.schedulers`.

The scheduler never touches storage. The kernel tells it of due times (`due_at`), and it calls `on_due` at or shortly
after the earliest of them; `on_due` claims whatever is due in storage and answers with the next due time, so a forgotten
or wrong due time costs one harmless call and a lost one cannot happen after a restart (the kernel asks storage first).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from runtara_framework.spec.driver import Driver, Kind

OnDue = Callable[[], Awaitable[int | None]]
"""Claims what is due now; returns when the next thing is due (ms since the epoch), or None."""


class Scheduler(Driver, ABC):
    """Contract of a scheduler."""

    @abstractmethod
    async def run(self, stack: AsyncExitStack, on_due: OnDue) -> None:
        """Begin: call `on_due` once at once, then whenever something is due. Returns after the first call; goes on in the
        background until `stack` unwinds. `on_due` is never called twice at the same time. If it raises, the scheduler
        logs and calls it again after a short delay."""

    @abstractmethod
    def due_at(self, moment_ms: int) -> None:
        """Something is due at this moment. Cheap, never blocks; called from the event loop."""


SCHEDULER = Kind(name="scheduler", group="runtara.schedulers", base=Scheduler, api=1)  # type: ignore[type-abstract]  # mypy 4717
