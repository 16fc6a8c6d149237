"""The mock runner keeps the contract, and does what a test tells it to."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from runtara_runner_mock import MockRunner

from runtara_framework.errors import ChecksumMismatch, LaunchFailed
from runtara_framework.extension import drivers
from runtara_framework.model import Exit, Image, LaunchRef
from runtara_framework.spec.driver import DriverContext, NoSettings
from runtara_framework.spec.runner import RUNNER, Handle, LaunchSpec, Runner
from runtara_framework.testing.clock import FakeClock
from runtara_framework.testing.processes import reader
from runtara_framework.testing.runner import RunnerConformance


def image_of(name: str) -> Image:
    return Image(
        image_id=name,
        tenant_id="tenant",
        name=name,
        runner_type="mock",
        sha256=hashlib.sha256(name.encode()).hexdigest(),
        size_bytes=len(name),
        created_at_ms=0,
    )


class TestMock(RunnerConformance):
    driver = MockRunner

    async def program(self, runner: Runner, code: int | None) -> Image:
        assert isinstance(runner, MockRunner)

        async def program(spec: LaunchSpec) -> Exit:
            if code is None:
                await asyncio.Event().wait()
            return Exit(code=code)

        image = image_of(f"program {code}")
        runner.behave(program, image=image.name)
        await runner.prepare(image, reader(image.name.encode()))
        return image


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def runner(clock: FakeClock, tmp_path: Path) -> AsyncIterator[MockRunner]:
    context = DriverContext(clock=clock, data_dir=tmp_path, node_id="test", logger=logging.getLogger("mock"))
    async with AsyncExitStack() as stack:
        runner = MockRunner(NoSettings(), context)
        await runner.start(stack)
        yield runner


def spec_of(name: str) -> LaunchSpec:
    ref = LaunchRef(tenant_id="tenant", instance_id="instance", epoch=1)
    return LaunchSpec(ref=ref, image=image_of(name), env={"A": "b"}, workdir=Path("/"))


async def launched(runner: MockRunner, name: str = "order") -> Handle:
    await runner.prepare(image_of(name), reader(name.encode()))
    return await runner.launch(spec_of(name))


def test_it_is_installed_under_its_name() -> None:
    assert drivers.load(RUNNER, "mock") is MockRunner


async def test_a_behaviour_sees_the_launch_and_says_how_it_ends(runner: MockRunner) -> None:
    seen: list[LaunchSpec] = []

    async def order(spec: LaunchSpec) -> Exit:
        seen.append(spec)
        return Exit(code=3, stderr="why", cpu_usec=5)

    runner.behave(order, image="order")

    assert await runner.wait(await launched(runner)) == Exit(code=3, stderr="why", cpu_usec=5)
    assert await runner.wait(await launched(runner, "other")) == Exit(code=0)
    assert seen == [spec_of("order")]
    assert runner.launched == [spec_of("order"), spec_of("other")]


async def test_a_behaviour_that_raises_is_a_program_that_crashes(runner: MockRunner) -> None:
    async def broken(spec: LaunchSpec) -> Exit:
        raise LookupError("no such order")

    runner.behave(broken)
    exit = await runner.wait(await launched(runner))

    assert exit.code == 1
    assert exit.stderr.endswith("LookupError: no such order\n")


async def test_a_behaviour_may_end_by_itself_when_it_is_asked_to(runner: MockRunner) -> None:
    async def tidy(spec: LaunchSpec) -> Exit:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return Exit(code=7)
        raise AssertionError

    runner.behave(tidy)
    handle = await launched(runner)
    await asyncio.sleep(0)
    await runner.stop(handle, 5)

    assert await runner.wait(handle) == Exit(code=7)


async def test_a_behaviour_that_does_not_care_is_killed_after_the_grace(runner: MockRunner, clock: FakeClock) -> None:
    async def deaf(spec: LaunchSpec) -> Exit:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()
        raise AssertionError

    runner.behave(deaf)
    handle = await launched(runner)
    await asyncio.sleep(0)
    stopping = asyncio.create_task(runner.stop(handle, 60))
    await clock.slept()
    await clock.advance(59_999)
    assert not stopping.done()

    await clock.advance(1)
    await stopping
    assert await runner.wait(handle) == Exit(signal=signal.SIGKILL)


async def test_stop_without_grace_kills_whatever_it_would_rather_do(runner: MockRunner) -> None:
    async def tidy(spec: LaunchSpec) -> Exit:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return Exit(code=7)
        raise AssertionError

    runner.behave(tidy)
    handle = await launched(runner)
    await asyncio.sleep(0)
    await runner.stop(handle, 0)

    assert await runner.wait(handle) == Exit(signal=signal.SIGKILL)


async def test_an_image_that_was_not_prepared_is_not_launched(runner: MockRunner) -> None:
    with pytest.raises(LaunchFailed, match="'order' was not prepared"):
        await runner.launch(spec_of("order"))
    with pytest.raises(ChecksumMismatch):
        await runner.prepare(image_of("order"), reader(b"other bytes"))
    with pytest.raises(LaunchFailed):
        await runner.launch(spec_of("order"))


async def test_what_an_earlier_server_launched_is_not_adopted(runner: MockRunner) -> None:
    assert not await runner.adopt({"launch": "of an earlier life"})
    await runner.stop({"launch": "of an earlier life"}, 0)


async def test_launches_end_with_the_server(clock: FakeClock, tmp_path: Path) -> None:
    ended: list[str] = []

    async def lasting(spec: LaunchSpec) -> Exit:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(spec.image.name)
        raise AssertionError

    context = DriverContext(clock=clock, data_dir=tmp_path, node_id="test", logger=logging.getLogger("mock"))
    async with AsyncExitStack() as stack:
        runner = MockRunner(NoSettings(), context)
        await runner.start(stack)
        runner.behave(lasting)
        await launched(runner)
        await asyncio.sleep(0)

    assert ended == ["order"]
