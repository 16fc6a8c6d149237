"""How a program ends that is cancelled or out of time: at once, or where its replay ends, and what cleans up after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from runtara_framework.errors import ConnectionFailed
from runtara_framework.protocol import messages as m
from runtara_framework.protocol import operations as op
from runtara_framework.protocol.channel import Channel
from runtara_framework.sdk import ending
from runtara_framework.sdk.bootstrap import execute
from runtara_framework.sdk.client import InstanceClient
from runtara_framework.sdk.config import SdkConfig
from runtara_framework.sdk.context import Context
from runtara_framework.sdk.durable import durable, program, workflow
from runtara_framework.states import Reason, Status
from runtara_framework.testing.clock import FakeClock
from runtara_framework.testing.memory_core import MemoryCore, MemoryInstance, run_in_process

HOUR = 3_600_000


def suspended(core: MemoryCore, instance: MemoryInstance) -> None:
    """Cancel it as a server does whose image says that there is something to do."""
    core.cancel(instance.instance_id, deliver=True)


# -- running time -----------------------------------------------------------------------------------------------------


async def test_a_program_whose_time_is_used_up_is_interrupted_cleans_up_and_fails() -> None:
    core = MemoryCore()
    instance = core.create()
    instance.remaining_ms = 5_000
    log: list[str] = []

    async def main(ctx: Context) -> str:
        async def clean() -> None:
            await ctx.checkpoint("cleaned", b"1")
            await ctx.sleep("breath", 60_000)
            log.append("cleaned")

        ctx.on_cancel = clean
        try:
            await ctx.sleep("nap", 9_000)  # short enough to stay in the process
        except Exception:
            log.append("caught")
        return "went on"

    outcome = await run_in_process(main, core=core, instance=instance)
    assert (outcome.status, outcome.reason) == (Status.FAILED, Reason.TIMEOUT)
    assert outcome.error is not None
    assert (outcome.error["code"], outcome.error["category"]) == ("EXECUTION_TIMEOUT", "timeout")
    assert log == ["cleaned"]
    assert set(outcome.checkpoints) == {"nap#deadline", "cleaned", "breath#deadline"}


async def test_a_program_that_ends_in_time_is_not_interrupted() -> None:
    core = MemoryCore()
    instance = core.create()
    instance.remaining_ms = 5_000

    async def main(ctx: Context) -> str:
        await ctx.sleep("nap", 4_999)
        return "in time"

    assert (await run_in_process(main, core=core, instance=instance)).output == "in time"


async def test_time_that_is_used_up_before_the_launch_cleans_up_after_what_was_done() -> None:
    core = MemoryCore()
    instance = core.create()
    seen: list[list[str]] = []

    async def main(ctx: Context) -> None:
        done: list[str] = []

        async def clean() -> None:
            seen.append(list(done))

        ctx.on_cancel = clean
        for name in ("a", "b", "c"):
            await ctx.checkpoint(name, b"1")
            done.append(name)

    def used_up(_: Any, operation: str, request: Any) -> None:
        if operation == "save_checkpoint":
            instance.remaining_ms = 0

    core.on_call = used_up
    outcome = await run_in_process(main, core=core, instance=instance, kill_at=2)
    assert (outcome.reason, outcome.launches) == (Reason.TIMEOUT, 2)
    assert seen == [["a", "b"]]
    assert list(outcome.checkpoints) == ["a", "b"]


# -- a cancel of what does not run ------------------------------------------------------------------------------------


async def test_a_cancelled_sleeper_runs_to_where_it_slept_and_cleans_up() -> None:
    core = MemoryCore()
    log: list[str] = []

    async def main(ctx: Context) -> None:
        done: list[str] = []

        async def clean() -> None:
            log.extend(f"undo {name}" for name in reversed(done))
            await ctx.checkpoint("cleaned", b"1")

        ctx.on_cancel = clean
        for name in ("a", "b"):
            await ctx.checkpoint(name, b"1")
            done.append(name)
        await ctx.wait_signal("wait", "approval")
        await ctx.checkpoint("never", b"1")

    asleep = await run_in_process(main, core=core)
    assert asleep.status is Status.SUSPENDED
    suspended(core, asleep.instance)
    suspended(core, asleep.instance)  # again is not twice
    assert asleep.instance.status is Status.PENDING
    outcome = await run_in_process(main, core=core, instance=asleep.instance)
    assert (outcome.status, outcome.reason, outcome.launches) == (Status.CANCELLED, Reason.CANCELLED, 1)
    assert log == ["undo b", "undo a"]
    assert list(outcome.checkpoints) == ["a", "b", "cleaned"]


async def test_a_cancelled_program_consumes_no_signal_that_it_waited_for() -> None:
    core = MemoryCore()

    async def main(ctx: Context) -> None:
        await ctx.gather(ctx.wait_signal("wait", "approval"), ctx.sleep("nap", HOUR))

    asleep = await run_in_process(main, core=core)
    instance = asleep.instance
    assert instance.reason is Reason.WAITING_SIGNAL
    suspended(core, instance)
    core.send_custom_signal(instance.instance_id, "approval", "late")
    outcome = await run_in_process(main, core=core, instance=instance)
    assert outcome.status is Status.CANCELLED
    assert instance.custom_signals == {"approval": b'"late"'}


async def test_every_branch_comes_to_where_it_was_before_the_program_is_interrupted() -> None:
    core = MemoryCore()
    seen: list[set[str]] = []

    async def main(ctx: Context) -> None:
        done: set[str] = set()

        async def clean() -> None:
            seen.append(set(done))

        async def branch(name: str, steps: int) -> None:
            for number in range(steps):
                await ctx.emit("step", f"{name}{number}", key=f"{name}{number}-said")  # a call, also in a replay
                await ctx.checkpoint(f"{name}{number}", b"1")
                done.add(f"{name}{number}")
            await ctx.wait_signal(f"wait-{name}", name)

        ctx.on_cancel = clean
        await ctx.gather(branch("a", 1), branch("b", 5), branch("c", 3))

    asleep = await run_in_process(main, core=core)
    suspended(core, asleep.instance)
    await run_in_process(main, core=core, instance=asleep.instance)
    assert seen == [{"a0", "b0", "b1", "b2", "b3", "b4", "c0", "c1", "c2"}]


@pytest.mark.parametrize("kills", [[3], [4], [5], [3, 4, 5]])
async def test_a_crash_of_what_cleans_up_goes_on_where_it_was(kills: list[int]) -> None:
    core = MemoryCore()
    undone: list[str] = []

    @durable
    async def undo(name: str) -> str:
        undone.append(name)
        return name

    async def clean(ctx: Context) -> None:
        for name in ("b", "a", "last"):
            await undo(name)

    @workflow(on_cancel=clean)
    async def flow(ctx: Context) -> None:
        await ctx.checkpoint("a", b"1")
        await ctx.checkpoint("b", b"1")
        await ctx.sleep("night", HOUR)

    main = program(flow)
    core.hold_below_ms = 0
    instance = core.create()
    at_night: list[str] = []

    def falls_asleep(_: Any, operation: str, request: Any) -> None:
        if operation == "suspend":
            at_night.append(operation)
            core.cancel(instance.instance_id)

    core.on_call = falls_asleep
    # Checkpoint 3 is the deadline of the night; 4, 5 and 6 are what is undone.
    outcome = await run_in_process(main, core=core, instance=instance, kill_at=kills)
    assert outcome.status is Status.CANCELLED
    assert outcome.launches == len(kills) + 1
    assert undone == ["b", "a", "last"]


async def test_what_was_cancelled_before_its_first_launch_does_nothing() -> None:
    core = MemoryCore()
    ran: list[str] = []

    async def main(ctx: Context) -> None:
        ran.append("main")

    instance = core.create()
    token = core.launch(instance.instance_id)
    core.cancel(instance.instance_id, deliver=True)
    config = SdkConfig(instance_id=instance.instance_id, tenant_id="test", token=token, heartbeat_interval_ms=0)
    assert await execute(main, InstanceClient(config, dial=core.dial), clock=core.clock) == "cancelled"
    assert (instance.status, ran) == (Status.CANCELLED, [])


async def test_a_program_that_was_done_when_the_cancel_came_is_cancelled() -> None:
    core = MemoryCore()
    instance = core.create()

    async def main(ctx: Context) -> str:
        await ctx.checkpoint("all", b"1")
        return "done"

    def late(_: Any, operation: str, request: Any) -> None:
        if operation == "save_checkpoint":
            core.cancel(instance.instance_id)

    core.on_call = late
    outcome = await run_in_process(main, core=core, instance=instance, kill_at=1)
    assert (outcome.status, outcome.output, outcome.launches) == (Status.CANCELLED, None, 2)


async def test_a_program_that_does_not_come_to_the_end_of_its_replay_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ending, "REPLAY_SECONDS", 0.01)
    core = MemoryCore()
    instance = core.create()
    launches = 0

    async def main(ctx: Context) -> None:
        nonlocal launches
        launches += 1
        if launches == 1:
            core.cancel(ctx.instance_id)
            await ctx.checkpoint("a", b"1")
        await asyncio.Event().wait()  # nobody is told of this

    outcome = await run_in_process(main, core=core, instance=instance, kill_at=1)
    assert (outcome.status, launches) == (Status.CANCELLED, 2)


@pytest.mark.parametrize(
    ("payload", "compensate"),
    [(b'{"compensate":true}', True), (b'{"compensate":1}', False), (b"null", False), (b"", False), (b"\xff{", False)],
)
async def test_the_cancel_says_whether_to_compensate(payload: bytes, compensate: bool) -> None:
    core = MemoryCore()
    seen: list[bool] = []

    async def main(ctx: Context) -> None:
        async def clean() -> None:
            seen.append(ctx.compensate)

        ctx.on_cancel = clean
        core.cancel(ctx.instance_id)
        instance.signals[:] = [m.SignalInfo(signal_id=1, signal_type="cancel", payload=payload)]
        await ctx.checkpoint("a", b"1")

    instance = core.create()
    await run_in_process(main, core=core, instance=instance)
    assert seen == [compensate]


# -- a lost answer ----------------------------------------------------------------------------------------------------


class _Forgetful(Channel):
    """The answer of the first call that may consume a signal is lost, and what it did happens only when it is too late."""

    def __init__(self, channel: Channel, come: Callable[[], None], state: dict[str, Any]) -> None:
        self._channel = channel
        self._come = come
        self._state = state

    async def call(self, operation: Any, request: Any, **options: Any) -> Any:
        state = self._state
        if operation is op.TAKE_SIGNAL and "lost" not in state:
            state["lost"] = request
            raise ConnectionFailed("it broke")
        if operation is op.SUSPEND and "lost" in state and "late" not in state:
            # The program looked again, in vain, and leaves. Now comes the signal, and after it the call that was lost.
            assert request.waits == ["wait"]
            self._come()
            state["late"] = await self._channel.call(op.TAKE_SIGNAL, state["lost"])
        return await self._channel.call(operation, request, **options)

    async def close(self) -> None:
        """Leave the one beneath open: its call is still under way."""


async def test_a_signal_that_a_lost_call_consumed_is_found_and_not_waited_for() -> None:
    core = MemoryCore(FakeClock(), hold_below_ms=0)
    instance = core.create()
    state: dict[str, Any] = {}

    def come() -> None:
        core.send_custom_signal(instance.instance_id, "approval", "yes")

    async def dial(address: str, *, token: str | None = None, timeout: float = 10.0) -> Channel:
        return _Forgetful(await core.dial(address, token=token), come, state)

    async def main(ctx: Context) -> str:
        return (await ctx.wait_signal("wait", "approval")).decode()

    config = SdkConfig(
        instance_id=instance.instance_id,
        tenant_id="test",
        token=core.launch(instance.instance_id),
        heartbeat_interval_ms=0,
    )
    async with asyncio.timeout(20):
        assert await execute(main, InstanceClient(config, dial=dial), clock=core.clock) == "completed"
    assert instance.output == b'"\\"yes\\""'
    assert state["late"].found
    assert instance.custom_signals == {}


# -- what is released at the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["returns", "fails", "is cancelled"])
async def test_what_a_program_holds_is_released_once_and_after_everything_is_reported(how: str) -> None:
    core = MemoryCore()
    released: list[Status] = []

    async def main(ctx: Context) -> None:
        async def release() -> None:
            released.append(core.instances[ctx.instance_id].status)

        ctx.at_end(release)
        ctx.at_end(release)
        if how == "fails":
            raise ValueError("no")
        if how == "is cancelled":
            core.cancel(ctx.instance_id)
            await ctx.checkpoint("a", b"1")

    ends = {"returns": Status.COMPLETED, "fails": Status.FAILED, "is cancelled": Status.CANCELLED}
    await run_in_process(main, core=core)
    assert released == [ends[how]]


async def test_a_release_that_hangs_or_fails_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtara_framework.sdk.bootstrap.RELEASE_SECONDS", 0.01)
    log: list[str] = []

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            log.append("cut off")

    async def fails() -> None:
        log.append("tried")
        raise OSError("gone")

    async def main(ctx: Context) -> str:
        releases: Sequence[Any] = (fails, hangs)
        for release in releases:
            ctx.at_end(release)
        return "done"

    assert (await run_in_process(main)).output == "done"
    assert log == ["tried", "cut off"]
