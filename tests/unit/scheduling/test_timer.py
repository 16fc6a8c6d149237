"""The timer scheduler: conformance, and what is its own: one timer, and an end that waits for the call that runs."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from runtara_framework.scheduling import RETRY_MS, TimerScheduler
from runtara_framework.spec.scheduler import Scheduler
from runtara_framework.testing.clock import FakeClock
from runtara_framework.testing.scheduler import SchedulerConformance, Store


class TestTimer(SchedulerConformance):
    driver = TimerScheduler

    async def test_any_number_of_due_times_is_one_timer(
        self, scheduler: Scheduler, store: Store, stack: AsyncExitStack, clock: FakeClock
    ) -> None:
        await scheduler.run(stack, store.on_due)
        now = clock.now_ms()
        self._due(scheduler, store, [now + 1000 - moment for moment in range(500)])
        await clock.settle()

        assert clock.sleeping_until == [now + 501]

    async def test_nothing_due_is_no_timer(
        self, scheduler: Scheduler, store: Store, stack: AsyncExitStack, clock: FakeClock
    ) -> None:
        await scheduler.run(stack, store.on_due)
        await clock.settle()

        assert clock.sleeping_until == []

    async def test_it_retries_after_a_second(
        self, scheduler: Scheduler, store: Store, stack: AsyncExitStack, clock: FakeClock
    ) -> None:
        store.failures = 2
        await scheduler.run(stack, store.on_due)
        start = clock.now_ms()
        await clock.advance(10 * RETRY_MS)

        assert store.calls == [start, start + RETRY_MS, start + 2 * RETRY_MS]

    async def test_a_backlog_that_never_shrinks_does_not_starve_the_event_loop(
        self, scheduler: Scheduler, stack: AsyncExitStack, clock: FakeClock
    ) -> None:
        calls = 0

        async def always_due() -> int:
            nonlocal calls
            calls += 1
            return clock.now_ms() - 1

        await scheduler.run(stack, always_due)
        await clock.settle()

        assert calls > 1  # and this line was reached

    async def test_the_end_waits_for_a_call_that_runs(
        self, scheduler: Scheduler, store: Store, stack: AsyncExitStack, clock: FakeClock
    ) -> None:
        await scheduler.run(stack, store.on_due)
        store.gate = asyncio.Event()
        self._due(scheduler, store, [clock.now_ms()])
        await store.called(2)
        end = asyncio.create_task(stack.aclose())
        await clock.settle()
        assert not end.done()

        store.gate.set()
        await end
        assert store.running == 0
        assert len(store.calls) == 2
