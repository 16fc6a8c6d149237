"""Conformance of schedulers: inherit `SchedulerConformance` and say which driver.

    class TestTimer(SchedulerConformance):
        driver = TimerScheduler

Time is a `FakeClock`. The storage is a list of due times, as the kernel's is a table: `on_due` removes what is due and
answers with the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from runtara_framework.spec.driver import DriverContext
from runtara_framework.spec.scheduler import SCHEDULER, Scheduler
from runtara_framework.testing.clock import FakeClock
from runtara_framework.testing.suite import Conformance

_PATIENCE_SECONDS = 30
_HOUR_MS = 3_600_000


class Store:
    """What is due, and a record of every call of `on_due`."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.rows: list[int] = []
        self.claimed: list[tuple[int, int]] = []  # when it was due, when it was claimed
        self.calls: list[int] = []
        self.running = 0
        self.most_at_once = 0
        self.failures = 0  # that many of the next calls fail
        self.gate: asyncio.Event | None = None  # on_due waits here after it has looked
        self._called = asyncio.Condition()

    async def on_due(self) -> int | None:
        self.calls.append(self.clock.now_ms())
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        try:
            async with self._called:
                self._called.notify_all()
            if self.failures:
                self.failures -= 1
                raise ConnectionError("the storage does not answer")
            now = self.clock.now_ms()
            self.claimed += [(row, now) for row in self.rows if row <= now]
            self.rows = [row for row in self.rows if row > now]
            answer = min(self.rows, default=None)
            if self.gate is not None:
                await self.gate.wait()
            return answer
        finally:
            self.running -= 1

    async def called(self, times: int) -> None:
        """Return once `on_due` has been called that many times."""
        async with asyncio.timeout(_PATIENCE_SECONDS), self._called:
            await self._called.wait_for(lambda: len(self.calls) >= times)


@pytest.mark.asyncio
class SchedulerConformance(Conformance):
    """Inherit it; see the module."""

    # -- must override ------------------------------------------------------------------------------------

    driver: ClassVar[type[Scheduler]]

    # -- may override -------------------------------------------------------------------------------------

    settings: ClassVar[dict[str, Any]] = {}
    """The driver's table in `runtara.toml`."""

    # -- the suite's own ----------------------------------------------------------------------------------

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def store(self, clock: FakeClock) -> Store:
        return Store(clock)

    @pytest_asyncio.fixture
    async def stack(self) -> AsyncIterator[AsyncExitStack]:
        async with AsyncExitStack() as stack:
            yield stack

    @pytest_asyncio.fixture
    async def scheduler(self, clock: FakeClock, stack: AsyncExitStack, tmp_path: Path) -> Scheduler:
        context = DriverContext(
            clock=clock, data_dir=tmp_path, node_id="conformance", logger=logging.getLogger("conformance")
        )
        scheduler = self.driver(self.driver.Settings(**self.settings), context)
        await scheduler.start(stack)
        return scheduler

    @staticmethod
    def _due(scheduler: Scheduler, store: Store, moments: Iterable[int]) -> None:
        for moment in moments:
            store.rows.append(moment)
            scheduler.due_at(moment)

    async def test_it_speaks_the_contract_of_this_kernel(self) -> None:
        assert self.driver.api == SCHEDULER.api

    async def test_run_calls_on_due_once_at_once_and_returns(
        self, scheduler: Scheduler, store: Store, stack: AsyncExitStack
    ) -> None:
        store.rows = [store.clock.now_ms() - 5]
        await scheduler.run(stack, store.on_due)

        assert len(store.calls) == 1
        assert store.running == 0
        assert len(store.claimed) == 1

    async def test_it_wakes_at_what_on_due_answered(
        self, scheduler: Scheduler, store: Store, stack: AsyncExitStack, clock: FakeClock
    ) -> None:
        due = clock.now_ms() + 5000
        store.rows = [due]  # in storage from an earlier life of the server; nobody tells
        await scheduler.run(stack, store.on_due)
        await clock.advance(4999)
        assert store.claimed == []

        await clock.advance(1)
        await store.called(2)
        assert store.claimed == [(due, due)]

    async def test_it_wakes_at_what_it_is_told_on_time_and_in_order(
        self, scheduler: Scheduler, store: Store, stack: AsyncExitStack, clock: FakeClock
    ) -> None:
        await scheduler.run(stack, store.on_due)
        now = clock.now_ms()
        moments = [now + 3000, now + 1000, now + 2000, now + 1000]
        self._due(scheduler, store, moments)
        await clock.advance(_HOUR_MS)
        await store.called(4)

        assert store.claimed == [(moment, moment) for moment in sorted(moments)]

    async def test_an_earlier_time_is_not_hidden_by_a_later_one(
        self, scheduler: Scheduler, store: Store, stack: AsyncExitStack, clock: FakeClock
    ) -> None:
        await scheduler.run(stack, store.on_due)
        now = clock.now_ms()
        self._due(scheduler, store, [now + _HOUR_MS])
        await clock.advance(1000)
        self._due(scheduler, store, [now + 2000])
        await clock.advance(1000)
        await store.called(2)

        assert store.claimed == [(now + 2000, now + 2000)]

    async def test_what_is_due_already_is_claimed_at_once(
        self, scheduler: Scheduler, store: Store, stack: AsyncExitStack, clock: FakeClock
    ) -> None:
        await scheduler.run(stack, store.on_due)
        self._due(scheduler, store, [clock.now_ms(), clock.now_ms() - _HOUR_MS])
        await store.called(2)
        await clock.settle()

        assert len(store.claimed) == 2

    async def test_what_is_told_while_on_due_runs_is_not_lost(
        self, scheduler: Scheduler, store: Store, stack: AsyncExitStack, clock: FakeClock
    ) -> None:
        await scheduler.run(stack, store.on_due)
        now = clock.now_ms()
        store.gate = asyncio.Event()
        self._due(scheduler, store, [now])
        await store.called(2)  # it has looked, and waits
        self._due(scheduler, store, [now + 500, now])
        await clock.settle()
        store.gate.set()
        await store.called(3)
        await clock.advance(500)
        await store.called(4)

        assert store.claimed == [(now, now), (now, now), (now + 500, now + 500)]
        assert store.most_at_once == 1

    async def test_on_due_never_runs_twice_at_once(
        self, scheduler: Scheduler, store: Store, stack: AsyncExitStack, clock: FakeClock
    ) -> None:
        await scheduler.run(stack, store.on_due)
        store.gate = asyncio.Event()
        now = clock.now_ms()
        for offset in range(50):
            self._due(scheduler, store, [now + offset])
            await clock.advance(1)
        store.gate.set()
        await clock.advance(_HOUR_MS)
        while store.rows:
            await store.called(len(store.calls) + 1)

        assert sorted(row for row, _ in store.claimed) == [now + offset for offset in range(50)]
        assert store.most_at_once == 1

    async def test_a_failing_on_due_is_logged_and_called_again_after_a_short_delay(
        self,
        scheduler: Scheduler,
        store: Store,
        stack: AsyncExitStack,
        clock: FakeClock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        due = clock.now_ms()
        store.rows, store.failures = [due], 3
        await scheduler.run(
            stack, store.on_due
        )  # the very first call fails as well, and the server starts all the same
        await clock.settle()
        assert len(store.calls) == 1  # not at once: the storage needs a moment
        await clock.advance(_HOUR_MS)
        await store.called(4)

        assert [row for row, _ in store.claimed] == [due]
        assert "the storage does not answer" in caplog.text
        assert len(store.calls) < 10  # and no storm

    async def test_a_wrong_time_costs_one_call_and_no_polling_follows(
        self, scheduler: Scheduler, store: Store, stack: AsyncExitStack, clock: FakeClock
    ) -> None:
        await scheduler.run(stack, store.on_due)
        scheduler.due_at(clock.now_ms() + 10)  # storage has nothing
        await clock.advance(10)
        await store.called(2)
        await clock.advance(1000 * _HOUR_MS)

        assert len(store.calls) == 2

    async def test_nothing_is_called_after_the_stack_has_unwound(
        self, scheduler: Scheduler, store: Store, stack: AsyncExitStack, clock: FakeClock
    ) -> None:
        await scheduler.run(stack, store.on_due)
        self._due(scheduler, store, [clock.now_ms() + 1000])
        await stack.aclose()
        scheduler.due_at(clock.now_ms())  # a late transition may still tell: harmless
        await clock.advance(_HOUR_MS)

        assert len(store.calls) == 1
        assert clock.sleeping_until == []
