"""FakeClock: time moves only when told, and wakes sleepers in order."""

from __future__ import annotations

import asyncio

from runtara_framework.clock import Clock
from runtara_framework.testing.clock import FakeClock


async def test_time_moves_only_when_told() -> None:
    clock: Clock = (fake := FakeClock(1_000_000))

    assert (clock.now_ms(), clock.monotonic()) == (1_000_000, 0.0)
    await fake.settle()
    assert clock.now_ms() == 1_000_000
    await fake.advance(1500)
    assert (clock.now_ms(), clock.monotonic()) == (1_001_500, 1.5)


async def test_sleepers_wake_in_the_order_of_their_moments_and_see_them() -> None:
    clock = FakeClock(0)
    seen: list[tuple[str, int]] = []

    async def sleeper(name: str, moment: int) -> None:
        await clock.sleep_until(moment)
        seen.append((name, clock.now_ms()))

    tasks = [asyncio.create_task(sleeper(*who)) for who in (("c", 30), ("a", 10), ("b", 20), ("a2", 10), ("d", 31))]
    await clock.slept(5)
    assert clock.sleeping_until == [10, 10, 20, 30, 31]
    await clock.advance(30)

    assert seen == [("a", 10), ("a2", 10), ("b", 20), ("c", 30)]
    await clock.advance(1)
    await asyncio.gather(*tasks)


async def test_a_loop_of_sleeps_runs_through_one_advance() -> None:
    clock = FakeClock(0)
    ticks: list[int] = []

    async def tick() -> None:
        for _ in range(4):
            await clock.sleep_until(clock.now_ms() + 10)
            ticks.append(clock.now_ms())

    task = asyncio.create_task(tick())
    await clock.advance(35)
    assert ticks == [10, 20, 30]
    await clock.advance(5)
    await task
    assert ticks[-1] == 40


async def test_a_moment_that_has_passed_is_no_sleep() -> None:
    clock = FakeClock(100)

    await clock.sleep_until(100)
    await clock.sleep_until(-1)
    assert clock.sleeping_until == []


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = FakeClock(0)
    task = asyncio.create_task(clock.sleep_until(10))
    await clock.slept()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert clock.sleeping_until == []
    await clock.advance(20)
    assert clock.now_ms() == 20


async def test_slept_waits_for_sleepers_behind_real_work() -> None:
    clock = FakeClock(0)

    async def work() -> None:
        await asyncio.to_thread(lambda: None)
        await clock.sleep_until(10)

    task = asyncio.create_task(work())
    await clock.slept()
    await clock.advance(10)
    await task
