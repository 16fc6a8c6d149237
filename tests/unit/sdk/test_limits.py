"""Time limits, naps, holds and halts: what is interrupted when, and what a replay does before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtara_framework.dsl.bounds import MAX_MILLIS
from runtara_framework.sdk.context import Context
from runtara_framework.sdk.failure import Failure
from runtara_framework.states import Reason, Status
from runtara_framework.testing.memory_core import MemoryCore, run_in_process

HOUR = 3_600_000


async def test_when_a_limit_is_over_nothing_new_begins_inside_it() -> None:
    calls: list[str] = []

    async def step(ctx: Context, name: str) -> None:
        if ctx.saved(name) is None:
            async with ctx.effect():
                calls.append(name)
                await ctx.checkpoint(name, b"1")

    async def main(ctx: Context) -> str:
        try:
            async with ctx.timeout("limit", 30_000):
                await step(ctx, "a")
                await ctx.sleep("nap", HOUR)
        except TimeoutError:
            return "late"
        return "in time"

    async def slower(ctx: Context) -> str:
        """The same program, a step longer: as if the first launch had been killed before that step began."""
        try:
            async with ctx.timeout("limit", 30_000):
                await step(ctx, "a")
                await step(ctx, "b")
        except TimeoutError:
            return "late"
        return "in time"

    core = MemoryCore()
    instance = core.create()
    with pytest.raises(RuntimeError, match="after 1 launches"):  # it has left, until the limit is over
        await run_in_process(main, core=core, instance=instance, max_launches=1)
    outcome = await run_in_process(slower, core=core, instance=instance)
    assert outcome.output == "late"
    assert calls == ["a"]


@pytest.mark.parametrize("branches", [False, True])
async def test_a_limit_that_was_over_before_the_launch_lets_the_replay_come_to_where_it_was(branches: bool) -> None:
    seen: list[list[str]] = []

    async def main(ctx: Context) -> str:
        done: list[str] = []

        async def work(prefix: str) -> None:
            for name in (f"{prefix}1", f"{prefix}2", f"{prefix}3"):
                await ctx.emit("said", name, key=name)  # this takes turns of the event loop, in replays too
                await ctx.checkpoint(name, b"1")
                done.append(name)
            await ctx.wait_signal(f"{prefix}-wait", "never")

        async def struck() -> None:
            seen.append(sorted(done))
            await ctx.checkpoint("undone", b"1")

        try:
            async with ctx.timeout("limit", 30_000, struck=struck):
                await (ctx.gather(work("a"), work("b")) if branches else work("a"))
        except TimeoutError:
            return "late"
        return "in time"

    outcome = await run_in_process(main, kill_at="each")
    assert outcome.output == "late"
    all_of_it = [f"{prefix}{n}" for prefix in ("ab" if branches else "a") for n in (1, 2, 3)]
    assert seen == [all_of_it, all_of_it]  # killed after `undone`, it strikes again; after `limit#timeout` it does not


async def test_a_limit_is_passed_on_to_what_it_interrupts_only() -> None:
    async def main(ctx: Context) -> list[str]:
        said: list[str] = []
        try:
            async with ctx.timeout("limit", 1_000):
                try:
                    await ctx.sleep("nap", HOUR)
                finally:
                    await ctx.checkpoint("cleaned", b"1")  # what cleans up inside may still save
                    said.append("cleaned")
        except TimeoutError:
            await ctx.checkpoint("after", b"1")
            said.append("after")
        return said

    outcome = await run_in_process(main)
    assert outcome.output == ["cleaned", "after"]


async def test_nothing_sleeps_or_waits_longer_than_ten_years() -> None:
    async def main(ctx: Context) -> list[str]:
        told = []
        for attempt in (
            lambda: ctx.sleep("a", MAX_MILLIS + 1),
            lambda: ctx.sleep("b", 10**30),
            lambda: ctx.sleep_until(10**30),
            lambda: ctx.wait_signal("c", "c", 10**30),
        ):
            with pytest.raises(ValueError, match="ten years") as caught:
                await attempt()
            told.append(str(caught.value))
        await ctx.sleep("d", MAX_MILLIS)
        return told

    outcome = await run_in_process(main)
    assert len(outcome.output) == 4
    assert outcome.launches == 2


async def test_a_nap_saves_nothing_and_keeps_the_process() -> None:
    async def main(ctx: Context) -> int:
        await ctx.nap(HOUR)
        return ctx.clock_ms() - ctx.started_at_ms

    outcome = await run_in_process(main)
    assert outcome.output == HOUR
    assert (outcome.launches, outcome.instance.checkpoints) == (1, {})
    assert outcome.instance.calls["suspend"] == 0


async def test_a_pause_does_not_wait_for_a_nap() -> None:
    core = MemoryCore()
    instance = core.create()

    async def main(ctx: Context) -> str:
        if not core.instances[instance.instance_id].signals and instance.epoch == 1:
            core.pause(instance.instance_id)
            await ctx._client.poll_signals()  # here it hears of it
        await ctx.nap(HOUR)
        return "rested"

    paused = await run_in_process(main, core=core, instance=instance)
    assert (paused.status, paused.reason) == (Status.SUSPENDED, Reason.PAUSED)
    core.resume(instance.instance_id)
    assert (await run_in_process(main, core=core, instance=instance)).output == "rested"


async def test_who_holds_the_process_waits_in_it() -> None:
    core = MemoryCore()
    instance = core.create()

    async def main(ctx: Context) -> str:
        async def people() -> None:
            await ctx.nap(20_000)
            core.send_custom_signal(instance.instance_id, "ok", 1)

        with ctx.hold():
            task = ctx.spawn(people())
            payload = await ctx.receive("ask", "ok", ctx.clock_ms() + HOUR)
            await task
        return "none" if payload is None else payload.decode()

    outcome = await run_in_process(main, core=core, instance=instance)
    assert outcome.output == "1"
    assert (outcome.launches, outcome.instance.calls["suspend"]) == (1, 0)


@pytest.mark.parametrize("early", [True, False])
async def test_what_has_come_is_received_also_when_the_moment_is_over(early: bool) -> None:
    async def main(ctx: Context) -> Any:
        payload = await ctx.receive("ask", "ok", ctx.clock_ms() - 1)
        return None if payload is None else payload.decode()

    core = MemoryCore()
    instance = core.create()
    if early:
        core.send_custom_signal(instance.instance_id, "ok", 1)
    outcome = await run_in_process(main, core=core, instance=instance)
    assert outcome.output == ("1" if early else None)
    assert set(outcome.instance.checkpoints) == ({"ask"} if early else set())


async def test_a_failure_that_a_replay_knows_already_waits_for_what_other_branches_did() -> None:
    seen: list[list[str]] = []

    async def main(ctx: Context) -> None:
        done: list[str] = []

        async def fails() -> None:
            if ctx.saved("failed") is None:
                await ctx.wait_signal("go", "go")
                await ctx.checkpoint("failed", b"1")
            raise Failure("X", "x")

        async def works() -> None:
            for name in ("a", "b"):
                await ctx.emit("said", name, key=name)
                await ctx.checkpoint(name, b"1")
                done.append(name)
            await ctx.gather(inner("c"), inner("d"))

        async def inner(name: str) -> None:
            await ctx.emit("said", name, key=name)
            await ctx.checkpoint(name, b"1")
            done.append(name)
            await ctx.wait_signal(f"{name}-wait", "never")
            done.append("never")

        try:
            await ctx.gather(fails(), works())
        except Failure:
            seen.append(sorted(done))
            raise

    core = MemoryCore()
    instance = core.create()
    await run_in_process(main, core=core, instance=instance)
    core.send_custom_signal(instance.instance_id, "go")
    outcome = await run_in_process(main, core=core, instance=instance, kill_at="each")
    assert outcome.status is Status.FAILED
    assert seen == [["a", "b", "c", "d"]]
    assert set(outcome.instance.checkpoints) == {"go", "failed", "a", "b", "c", "d"}


async def test_a_cancel_waits_for_the_branches_that_replay_and_for_no_other() -> None:
    core = MemoryCore()
    instance = core.create()
    seen: list[list[str]] = []

    async def main(ctx: Context) -> None:
        done: list[str] = []

        async def clean() -> None:
            seen.append(sorted(done))

        ctx.on_cancel = clean

        async def quick() -> None:
            await ctx.checkpoint("quick", b"1")
            done.append("quick")
            if ctx.saved("next") is None and instance.epoch > 1:
                await ctx.checkpoint("next", b"1")  # beyond the replay
                core.cancel(instance.instance_id)
                await ctx._client.poll_signals()
                await asyncio.Event().wait()  # it runs, and replays nothing any more
            await ctx.wait_signal("never", "never")

        async def slow() -> None:
            for name in ("a", "b", "c", "d", "e", "f"):
                await ctx.emit("said", name, key=name)
                await ctx.checkpoint(name, b"1")
                done.append(name)
            await ctx.wait_signal("never too", "go")

        await ctx.gather(quick(), slow())

    await run_in_process(main, core=core, instance=instance)
    core.send_custom_signal(instance.instance_id, "never")
    outcome = await run_in_process(main, core=core, instance=instance)
    assert outcome.status is Status.CANCELLED
    assert seen == [["a", "b", "c", "d", "e", "f", "quick"]]


async def test_branches_that_are_born_beyond_the_replay_are_ended_at_once() -> None:
    core = MemoryCore()
    instance = core.create()
    halted: list[bool] = []

    async def main(ctx: Context) -> str:
        await ctx.checkpoint("a", b"1")
        await ctx.checkpoint("b", b"1")  # the second launch goes beyond the first one here

        async def fails() -> None:
            raise Failure("X", "x")

        async def computes() -> None:
            await asyncio.Event().wait()

        arrive = ctx._parking.arrive

        async def told(lines: Any = None) -> None:
            halted.append(True)
            await arrive(lines)

        ctx._parking.arrive = told  # type: ignore[method-assign]
        try:
            await ctx.gather(computes(), fails())
        except Failure:
            return "failed"
        return "went on"

    outcome = await run_in_process(main, core=core, instance=instance, kill_at=1)
    assert (outcome.output, outcome.launches) == ("failed", 2)
    assert halted == []
