"""What the tests of the suite of runners stand on: the driver, its fixtures, and launches in one line."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
import pytest_asyncio

from runtara_framework.model import Exit, Image, LaunchRef
from runtara_framework.spec.runner import RUNNER_CAPABILITIES, Handle, LaunchSpec, Runner
from runtara_framework.testing.processes import image_of, made, reader, soon, started
from runtara_framework.testing.suite import Conformance

T = TypeVar("T", bound=Callable[..., Any])


def needs(*capabilities: str) -> Callable[[T], T]:
    """The test is only for drivers that declare all of these."""

    def mark(test: T) -> T:
        test.needs = frozenset(capabilities)  # type: ignore[attr-defined]  # read by __init_subclass__
        return test

    return mark


def _declared(cls: type[RunnerSuite]) -> frozenset[str]:
    driver = getattr(cls, "driver", None)
    return RUNNER_CAPABILITIES if driver is None else driver.capabilities


class RunnerSuite(Conformance):
    """Base of the suite."""

    # -- must override ------------------------------------------------------------------------------------

    driver: ClassVar[type[Runner]]

    # -- may override -------------------------------------------------------------------------------------

    settings: ClassVar[dict[str, Any]] = {}
    """The driver's table in `runtara.toml`."""

    python: ClassVar[str] = sys.executable
    """A Python interpreter that the launched programs find."""

    async def program(self, runner: Runner, code: int | None) -> Image:
        """A prepared image whose program ends with this code; None: one that runs until it is stopped. A driver without
        "processes" overrides this."""
        return await self._script(runner, "exec sleep 86400" if code is None else f"exit {code}")

    # -- the suite's own ----------------------------------------------------------------------------------

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        for name in dir(cls):
            if name.startswith("test_") and not getattr(getattr(cls, name), "needs", frozenset()) <= _declared(cls):
                setattr(cls, name, None)

    @pytest.fixture
    def data_dir(self, tmp_path: Path) -> Path:
        return made(tmp_path / "data")

    @pytest.fixture
    def workdir(self, tmp_path: Path) -> Path:
        return made(tmp_path / "workdir")

    @pytest_asyncio.fixture
    async def runner(self, data_dir: Path) -> AsyncIterator[Runner]:
        async with AsyncExitStack() as stack:
            yield await started(self.driver, self.settings, data_dir, stack)

    async def _image(self, runner: Runner, body: bytes) -> Image:
        image = image_of(body)
        await runner.prepare(image, reader(body))
        return image

    async def _script(self, runner: Runner, text: str) -> Image:
        return await self._image(runner, f"#!/bin/sh\n{text}\n".encode())

    async def _python(self, runner: Runner, text: str) -> Image:
        return await self._image(runner, f"#!{self.python}\n{text}\n".encode())

    async def _launch(
        self,
        runner: Runner,
        image: Image,
        workdir: Path,
        env: dict[str, str] | None = None,
        epoch: int = 1,
        memory: int | None = None,
    ) -> Handle:
        ref = LaunchRef(tenant_id="conformance", instance_id=workdir.name, epoch=epoch)
        return await runner.launch(
            LaunchSpec(ref=ref, image=image, env=env or {}, workdir=workdir, memory_limit_bytes=memory)
        )

    async def _run(
        self,
        runner: Runner,
        image: Image,
        workdir: Path,
        env: dict[str, str] | None = None,
        memory: int | None = None,
    ) -> Exit:
        return await soon(runner.wait(await self._launch(runner, image, workdir, env, memory=memory)))
