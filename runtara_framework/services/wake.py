"""Wakes what is due: claims it in storage and tells the launcher. The scheduler decides when to call."""

from __future__ import annotations

from collections.abc import Callable

from runtara_framework.clock import Clock
from runtara_framework.faults import fault_point
from runtara_framework.model import Change
from runtara_framework.services.notifier import Notifier
from runtara_framework.spec.persistence import Persistence
from runtara_framework.spec.scheduler import Scheduler
from runtara_framework.states import Status

BATCH = 500


class WakeService:
    """One per server that has the role `environment`."""

    def __init__(
        self,
        *,
        persistence: Persistence,
        scheduler: Scheduler,
        clock: Clock,
        notifier: Notifier,
        poke: Callable[[], None],
    ) -> None:
        self._persistence = persistence
        self._scheduler = scheduler
        self._clock = clock
        self._notifier = notifier
        self._poke = poke
        notifier.listen(self._on_change)

    async def on_due(self) -> int | None:
        """Claim everything that is due now; answer when the next thing is. The scheduler's callback."""
        now = self._clock.now_ms()
        while True:
            changes = await self._persistence.claim_due(limit=BATCH, now_ms=now)
            if changes:
                fault_point("wake.after_claim")
            for change in changes:
                self._notifier.changed(change)
            if len(changes) < BATCH:
                break
        # A PENDING instance that waits for its restart delay is due too, and the launcher claims it by itself.
        self._poke()
        # What is overdue by now is a PENDING row that waits for a free slot; its turn comes when a launch ends.
        return await self._persistence.next_due_ms(after_ms=now)

    def _on_change(self, change: Change) -> None:
        if change.wake_at_ms is not None and change.after in (Status.SUSPENDED, Status.PENDING):
            self._scheduler.due_at(change.wake_at_ms)
