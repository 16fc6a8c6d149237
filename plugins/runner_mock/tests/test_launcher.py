"""The launcher's deadlines and restarts, on a whole kernel whose clock the test moves and whose processes are behaviours."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from runtara_runner_mock import Behaviour, MockRunner, ends_well

from runtara_framework.errors import InvalidRequest, StaleLaunch
from runtara_framework.kernel import Kernel
from runtara_framework.management import ManagementSdk
from runtara_framework.model import Exit
from runtara_framework.packaging import write_zipapp
from runtara_framework.protocol import messages as m
from runtara_framework.protocol import operations as ops
from runtara_framework.protocol.channel import Channel
from runtara_framework.sdk.dial import dial
from runtara_framework.spec.runner import LaunchSpec
from runtara_framework.testing.clock import FakeClock
from runtara_framework.testing.kernel import running_kernel

RUNNER = {
    "default": "mock",
    "timeout_seconds": 300,
    "register_timeout_seconds": 30,
    "heartbeat_timeout_seconds": 120,
    "cancel_grace_seconds": 20,
    "max_restarts": 2,
    "restart_delays_ms": [1000, 5000],
}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def kernel(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Kernel]:
    async with running_kernel(tmp_path, clock=clock, runner=RUNNER) as kernel:
        yield kernel


@pytest.fixture
async def sdk(kernel: Kernel) -> AsyncIterator[ManagementSdk]:
    async with ManagementSdk(kernel.addresses["environment"][0], tenant_id="t") as sdk:
        yield sdk


def runner_of(kernel: Kernel) -> MockRunner:
    assert kernel.launcher is not None
    runner = kernel.launcher.runners["mock"]
    assert isinstance(runner, MockRunner)
    return runner


async def start(
    kernel: Kernel, sdk: ManagementSdk, behaviour: Behaviour, *, image: bytes = b"bytes", **options: Any
) -> str:
    """Start an instance that does this; its id."""
    runner_of(kernel).behave(behaviour)
    registered = await sdk.register_image(name="any", binary=image)
    return (await sdk.start_instance(image_id=registered.image_id, **options)).instance_id


async def until(sdk: ManagementSdk, instance_id: str, *statuses: str) -> m.InstanceInfo:
    async with asyncio.timeout(20):
        info = await sdk.get_instance_status(instance_id)
        while info.status not in statuses:
            info = await sdk.get_instance_status(instance_id, wait_ms=5000, unless_status=info.status)
    return info


async def look_again() -> None:
    """Let everything else run before the next look."""
    await asyncio.sleep(0)


async def once(sdk: ManagementSdk, instance_id: str, true: Callable[[m.InstanceInfo], Any]) -> m.InstanceInfo:
    """The instance, once this is true of it."""
    async with asyncio.timeout(20):
        while not true(info := await sdk.get_instance_status(instance_id)):
            await look_again()
    return info


async def wake(clock: FakeClock, info: m.InstanceInfo) -> None:
    """Let its due time come, once the scheduler sleeps until then."""
    async with asyncio.timeout(20):
        while info.wake_at_ms not in clock.sleeping_until:
            await look_again()
    await clock.advance((info.wake_at_ms or 0) - clock.now_ms())


async def registered(spec: LaunchSpec) -> Channel:
    """What every good program does first."""
    channel = await dial(spec.env["RUNTARA_SERVER_ADDR"], token=spec.env["RUNTARA_TOKEN"])
    await channel.call(ops.REGISTER, m.Register(instance_id=spec.ref.instance_id))
    return channel


async def hangs(spec: LaunchSpec) -> Exit:
    """It registers and is never heard of again."""
    channel = await registered(spec)
    try:
        await asyncio.Event().wait()
    finally:
        await channel.close()
    raise AssertionError("unreachable")


async def test_a_silent_instance_fails_when_its_heartbeat_is_due(
    kernel: Kernel, sdk: ManagementSdk, clock: FakeClock
) -> None:
    instance_id = await start(kernel, sdk, hangs)
    await until(sdk, instance_id, "running")
    await clock.slept()
    await clock.advance(119_000)
    assert (await sdk.get_instance_status(instance_id)).status == "running"
    await clock.advance(2_000)
    info = await until(sdk, instance_id, "failed")
    assert (info.reason, info.error["code"]) == ("heartbeat_timeout", "HEARTBEAT_TIMEOUT")


async def test_an_instance_that_runs_too_long_fails_although_it_is_alive(
    kernel: Kernel, sdk: ManagementSdk, clock: FakeClock
) -> None:
    beat = asyncio.Event()

    async def lives_long(spec: LaunchSpec) -> Exit:
        channel = await registered(spec)
        try:
            while True:
                await beat.wait()
                beat.clear()
                await channel.call(ops.HEARTBEAT, m.Heartbeat(instance_id=spec.ref.instance_id))
        finally:
            await channel.close()

    instance_id = await start(kernel, sdk, lives_long, timeout_seconds=250.0)
    await until(sdk, instance_id, "running")
    for _ in range(2):
        await clock.slept()
        await clock.advance(100_000)
        beat.set()
        await once(sdk, instance_id, lambda info: info.heartbeat_at_ms == clock.now_ms())
    await clock.slept()
    await clock.advance(60_000)
    info = await until(sdk, instance_id, "failed")
    assert (info.reason, info.error["code"]) == ("timeout", "EXECUTION_TIMEOUT")
    assert "250 s" in info.error["message"]


async def test_a_program_that_never_registers_fails_after_its_time(
    kernel: Kernel, sdk: ManagementSdk, clock: FakeClock
) -> None:
    async def does_nothing(spec: LaunchSpec) -> Exit:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    instance_id = await start(kernel, sdk, does_nothing)
    while not runner_of(kernel).launched:
        await look_again()
    await clock.slept()
    await clock.advance(31_000)
    info = await until(sdk, instance_id, "failed")
    assert (info.reason, info.error["code"]) == ("launch_failed", "NEVER_REGISTERED")


async def test_a_cancel_that_is_not_obeyed_is_enforced(kernel: Kernel, sdk: ManagementSdk, clock: FakeClock) -> None:
    instance_id = await start(kernel, sdk, hangs)
    await until(sdk, instance_id, "running")
    await sdk.cancel_instance(instance_id)
    assert (await sdk.get_instance_status(instance_id)).status == "running"
    await clock.slept()
    await clock.advance(21_000)
    info = await until(sdk, instance_id, "cancelled")
    assert info.reason == "cancelled"


async def test_a_crash_is_restarted_after_growing_delays_and_then_final(
    kernel: Kernel, sdk: ManagementSdk, clock: FakeClock
) -> None:
    async def crashes(spec: LaunchSpec) -> Exit:
        await (await registered(spec)).close()
        return Exit(signal=signal.SIGSEGV, stderr="segmentation fault")

    began = clock.now_ms()
    instance_id = await start(kernel, sdk, crashes)
    due = []
    for restarts in (1, 2):
        info = await once(sdk, instance_id, lambda info: info.restarts == restarts)  # noqa: B023  # asked at once
        assert info.wake_at_ms is not None
        due.append(info.wake_at_ms - clock.now_ms())
        await wake(clock, info)
    info = await until(sdk, instance_id, "failed")
    assert due == [1000, 5000]
    assert (info.reason, info.launches, info.finished_at_ms) == ("crashed", 3, began + 6000)
    assert "was killed by SIGSEGV" in info.error["message"]
    assert info.stderr == "segmentation fault"


async def test_progress_between_crashes_sets_the_count_back(
    kernel: Kernel, sdk: ManagementSdk, clock: FakeClock
) -> None:
    async def crashes_with_progress(spec: LaunchSpec) -> Exit:
        channel = await registered(spec)
        saved = m.SaveCheckpoint(instance_id=spec.ref.instance_id, checkpoint_id=f"step-{spec.ref.epoch}", state=b"1")
        await channel.call(ops.SAVE_CHECKPOINT, saved)
        if spec.ref.epoch == 6:
            await channel.call(ops.COMPLETE, m.Complete(instance_id=spec.ref.instance_id, output=b'"done"'))
        await channel.close()
        return Exit(code=0 if spec.ref.epoch == 6 else 1)

    instance_id = await start(kernel, sdk, crashes_with_progress)
    for epoch in range(1, 6):
        info = await once(
            sdk,
            instance_id,
            lambda info: info.launches == epoch and (info.wake_at_ms or 0) > clock.now_ms(),  # noqa: B023  # asked at once
        )
        assert (info.status, info.restarts) == ("pending", 1), info.stderr
        await wake(clock, info)
    assert (await until(sdk, instance_id, "completed")).output == "done"


async def test_a_stopped_instance_can_write_no_more(kernel: Kernel, sdk: ManagementSdk) -> None:
    refused = asyncio.get_running_loop().create_future()

    async def clings_on(spec: LaunchSpec) -> Exit:
        channel = await registered(spec)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            output = m.Complete(instance_id=spec.ref.instance_id, output=b'"too late"')
            try:
                await channel.call(ops.COMPLETE, output)
            except StaleLaunch as error:
                refused.set_result(error)
        await channel.close()
        return Exit(code=0)

    instance_id = await start(kernel, sdk, clings_on)
    await until(sdk, instance_id, "running")
    await sdk.stop_instance(instance_id, grace_period_seconds=5)
    assert refused.done()
    info = await sdk.get_instance_status(instance_id)
    assert (info.status, info.reason, info.output) == ("cancelled", "stopped", None)


async def test_a_hook_that_fails_before_the_launch_fails_the_instance_with_its_words(
    tmp_path: Path, clock: FakeClock
) -> None:
    from runtara_framework.extension.hooks import Hooks
    from runtara_framework.spec.lifecycle import hookimpl

    class Quota:
        @hookimpl
        async def runtara_prepare_launch(self, spec: LaunchSpec) -> None:
            raise RuntimeError("the tenant has used its quota")

    hooks = Hooks()
    hooks.register(Quota(), "quota")
    async with AsyncExitStack() as stack:
        kernel = await stack.enter_async_context(running_kernel(tmp_path, clock=clock, hooks=hooks, runner=RUNNER))
        sdk = await stack.enter_async_context(ManagementSdk(kernel.addresses["environment"][0], tenant_id="t"))
        info = await until(sdk, await start(kernel, sdk, hangs), "failed")
    assert info.reason == "launch_failed"
    assert "the tenant has used its quota" in info.error["message"]


# -- the limit of memory ----------------------------------------------------------------------------------

TIERED = write_zipapp({"__main__.py": b""}, {"memoryTier": "M"})
LIMIT = "RUNTARA_MEMORY_LIMIT_BYTES"


async def test_the_launch_carries_the_tier_of_the_image_and_promises_nothing_that_the_runner_cannot_do(
    kernel: Kernel, sdk: ManagementSdk, caplog: pytest.LogCaptureFixture
) -> None:
    await until(sdk, await start(kernel, sdk, ends_well, image=TIERED), "failed")
    await until(sdk, await start(kernel, sdk, ends_well), "failed")
    tiered, plain = runner_of(kernel).launched

    assert (tiered.memory_limit_bytes, plain.memory_limit_bytes) == (128 * 2**20, None)
    assert LIMIT not in tiered.env, "the program would believe that it is limited"
    assert "memoryTier M, and its runner does not limit memory" in caplog.text


async def test_a_program_is_told_its_limit_by_a_runner_that_sees_to_it(
    kernel: Kernel, sdk: ManagementSdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MockRunner, "capabilities", frozenset({"memory"}))
    await until(sdk, await start(kernel, sdk, ends_well, image=TIERED), "failed")
    await until(sdk, await start(kernel, sdk, ends_well), "failed")
    tiered, plain = runner_of(kernel).launched

    assert tiered.env[LIMIT] == str(128 * 2**20)
    assert LIMIT not in plain.env


async def test_a_start_cannot_set_the_limit(kernel: Kernel, sdk: ManagementSdk) -> None:
    with pytest.raises(InvalidRequest, match=LIMIT):
        await start(kernel, sdk, ends_well, env={LIMIT: "1"})


async def test_a_hook_may_change_the_limit_and_the_verdict_knows(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtara_framework.extension.hooks import Hooks
    from runtara_framework.spec.lifecycle import hookimpl

    class Quota:
        @hookimpl
        async def runtara_prepare_launch(self, spec: LaunchSpec) -> LaunchSpec:
            return msgspec.structs.replace(spec, memory_limit_bytes=100 * 2**20, env={LIMIT: "1", "QUOTA": "yes"})

    async def is_killed(spec: LaunchSpec) -> Exit:
        return Exit(signal=signal.SIGKILL, out_of_memory=True)

    monkeypatch.setattr(MockRunner, "capabilities", frozenset({"memory"}))
    hooks = Hooks()
    hooks.register(Quota(), "quota")
    async with AsyncExitStack() as stack:
        kernel = await stack.enter_async_context(running_kernel(tmp_path, clock=clock, hooks=hooks, runner=RUNNER))
        sdk = await stack.enter_async_context(ManagementSdk(kernel.addresses["environment"][0], tenant_id="t"))
        info = await until(sdk, await start(kernel, sdk, is_killed, image=TIERED), "failed")
        (spec,) = runner_of(kernel).launched

    assert (info.reason, info.error["code"]) == ("out_of_memory", "OUT_OF_MEMORY")
    assert "needed more memory than 100 MiB; choose a larger memoryTier (M: 128 MiB)" in info.error["message"]
    assert spec.memory_limit_bytes == 100 * 2**20
    assert (spec.env[LIMIT], spec.env["QUOTA"]) == (str(100 * 2**20), "yes")
    assert spec.env["RUNTARA_INSTANCE_ID"] == info.instance_id


# -- programs that clean up -----------------------------------------------------------------------------------------------

CLEANS_UP = write_zipapp({"__main__.py": b""}, {"onCancel": True})
"""An image that says that its program does something when it is cancelled or out of time."""


async def beating(kernel: Kernel, clock: FakeClock, seconds: float, step: float = 50) -> None:
    """Let that time pass while the program keeps saying that it is alive."""
    ref = runner_of(kernel).launched[-1].ref
    while seconds > 0:
        await clock.slept()
        await clock.advance(int(min(step, seconds) * 1000))
        seconds -= step
        assert kernel.launcher is not None
        kernel.launcher.seen(ref)


@pytest.mark.parametrize(("image", "margin"), [(b"bytes", 10), (CLEANS_UP, 40)], ids=["plain", "with onCancel"])
async def test_a_program_that_does_not_end_by_itself_gets_a_margin_and_is_stopped(
    kernel: Kernel, sdk: ManagementSdk, clock: FakeClock, image: bytes, margin: int
) -> None:
    instance_id = await start(kernel, sdk, hangs, image=image, timeout_seconds=200.0)
    await until(sdk, instance_id, "running")
    await beating(kernel, clock, 200 + margin - 1)
    assert (await sdk.get_instance_status(instance_id)).status == "running"
    await clock.slept()
    await clock.advance(2_000)
    info = await until(sdk, instance_id, "failed")
    assert (info.reason, info.error["code"]) == ("timeout", "EXECUTION_TIMEOUT")


async def test_a_program_is_told_what_is_left_of_its_running_time(
    kernel: Kernel, sdk: ManagementSdk, clock: FakeClock
) -> None:
    told: list[int | None] = []

    async def works(spec: LaunchSpec) -> Exit:
        channel = await dial(spec.env["RUNTARA_SERVER_ADDR"], token=spec.env["RUNTARA_TOKEN"])
        answer = await channel.call(ops.REGISTER, m.Register(instance_id=spec.ref.instance_id))
        told.append(answer.remaining_ms)
        await clock.advance(7_000)
        if spec.ref.epoch == 1:
            wake_at = clock.now_ms() + 60_000
            asleep = m.Suspend(instance_id=spec.ref.instance_id, reason="sleeping", wake_at_ms=wake_at)
            await channel.call(ops.SUSPEND, asleep)
        else:
            await channel.call(ops.COMPLETE, m.Complete(instance_id=spec.ref.instance_id, output=b"1"))
        await channel.close()
        return Exit(code=0)

    instance_id = await start(kernel, sdk, works, timeout_seconds=30.0)
    await wake(clock, await until(sdk, instance_id, "suspended"))
    await until(sdk, instance_id, "completed")
    assert told == [30_000, 23_000]


async def test_a_cancel_leaves_a_program_that_cleans_up_the_time_for_it(
    kernel: Kernel, sdk: ManagementSdk, clock: FakeClock
) -> None:
    instance_id = await start(kernel, sdk, hangs, image=CLEANS_UP)
    await until(sdk, instance_id, "running")
    await sdk.cancel_instance(instance_id)
    await beating(kernel, clock, 39)
    assert (await sdk.get_instance_status(instance_id)).status == "running"
    await clock.slept()
    await clock.advance(2_000)
    assert (await until(sdk, instance_id, "cancelled")).reason == "cancelled"


async def test_a_launch_that_is_made_to_obey_a_cancel_must_obey_it_in_time(
    kernel: Kernel, sdk: ManagementSdk, clock: FakeClock
) -> None:
    async def sleeps_then_hangs(spec: LaunchSpec) -> Exit:
        if spec.ref.epoch > 1:
            return await hangs(spec)
        channel = await registered(spec)
        asleep = m.Suspend(instance_id=spec.ref.instance_id, reason="sleeping", wake_at_ms=clock.now_ms() + 10**9)
        await channel.call(ops.SUSPEND, asleep)
        await channel.close()
        return Exit(code=0)

    instance_id = await start(kernel, sdk, sleeps_then_hangs, image=CLEANS_UP)
    await until(sdk, instance_id, "suspended")
    await sdk.cancel_instance(instance_id)
    assert (await until(sdk, instance_id, "running")).launches == 2
    await beating(kernel, clock, 39)
    assert (await sdk.get_instance_status(instance_id)).status == "running"
    await clock.slept()
    await clock.advance(2_000)
    assert (await until(sdk, instance_id, "cancelled")).reason == "cancelled"


async def test_a_program_that_keeps_crashing_while_it_obeys_ends_cancelled(
    kernel: Kernel, sdk: ManagementSdk, clock: FakeClock
) -> None:
    crash = asyncio.Event()

    async def crashes(spec: LaunchSpec) -> Exit:
        channel = await registered(spec)
        if spec.ref.epoch == 1:
            await crash.wait()
        await channel.close()
        return Exit(signal=signal.SIGSEGV)

    instance_id = await start(kernel, sdk, crashes, image=CLEANS_UP)
    await until(sdk, instance_id, "running")
    await sdk.cancel_instance(instance_id)
    crash.set()
    for restarts in (1, 2):
        await wake(clock, await once(sdk, instance_id, lambda info: info.restarts == restarts))  # noqa: B023  # asked at once
    info = await until(sdk, instance_id, "cancelled", "failed")
    assert (info.status, info.reason, info.launches, info.error) == ("cancelled", "cancelled", 3, None)
