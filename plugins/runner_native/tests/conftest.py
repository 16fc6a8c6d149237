"""A started runner, its folders, and images made of bytes."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from runtara_runner_native import NativeRunner, NativeSettings

from runtara_framework.clock import Clock, SystemClock
from runtara_framework.model import Image, LaunchRef
from runtara_framework.spec.driver import DriverContext
from runtara_framework.spec.runner import LaunchSpec
from runtara_framework.testing.processes import image_of, made, reader

Start = Callable[..., Awaitable[NativeRunner]]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return made(tmp_path / "data")


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    return made(tmp_path / "workdir")


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def start(data_dir: Path, stack: AsyncExitStack) -> Start:
    """Start a runner; a second one is the next life of the server."""

    async def start(settings: NativeSettings | None = None, clock: Clock | None = None) -> NativeRunner:
        context = DriverContext(
            clock=clock or SystemClock(), data_dir=data_dir, node_id="test", logger=logging.getLogger("native")
        )
        runner = NativeRunner(settings or NativeSettings(), context)
        await runner.start(stack)
        return runner

    return start


@pytest.fixture
async def runner(start: Start) -> NativeRunner:
    return await start()


async def prepared(runner: NativeRunner, body: bytes) -> Image:
    """A prepared image of these bytes; `#!/bin/sh` is put before a text."""
    image = image_of(body)
    await runner.prepare(image, reader(body))
    return image


async def script(runner: NativeRunner, text: str) -> Image:
    """A prepared shell script."""
    return await prepared(runner, f"#!/bin/sh\n{text}\n".encode())


def spec(image: Image, workdir: Path, env: dict[str, str] | None = None) -> LaunchSpec:
    """A launch."""
    ref = LaunchRef(tenant_id="tenant", instance_id="instance", epoch=1)
    return LaunchSpec(ref=ref, image=image, env=env or {}, workdir=workdir)
