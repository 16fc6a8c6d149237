"""Runner `mock`: every launch is a coroutine inside the server. For tests; and a template to copy when you write a runner.

A test says what a launch does with a *behaviour*, a coroutine function from the launch to how it ends:

    async def pays_and_dies(spec: LaunchSpec) -> Exit:
        await register_with_the_server(spec.env["RUNTARA_SERVER_ADDR"], spec.env["RUNTARA_TOKEN"])
        return Exit(signal=signal.SIGSEGV)

    runner.behave(pays_and_dies, image="order")  # launches of images with this name
    runner.behave(ends_well)                     # and all others

`asyncio.CancelledError` inside a behaviour is the request to end, as SIGTERM is for a process: catch it and return to end
well, catch it and go on to use up the grace. A behaviour that raises is a program that crashes with a traceback.
"""

from __future__ import annotations

import asyncio
import hashlib
import signal
import traceback
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from runtara_framework.errors import ChecksumMismatch, LaunchFailed
from runtara_framework.model import Exit, Image
from runtara_framework.spec.driver import DriverContext, DriverSettings
from runtara_framework.spec.runner import Handle, LaunchSpec, ReadBlob, Runner

Behaviour = Callable[[LaunchSpec], Awaitable[Exit]]


async def ends_well(spec: LaunchSpec) -> Exit:
    """What a launch does when the test says nothing: it ends at once with code 0, and never registers."""
    return Exit(code=0)


class MockRunner(Runner):
    """The contract, method by method; `runtara_framework/spec/runner.py` says what each promises.

    A runner of yours declares what it can in `capabilities`, and the suite `RunnerConformance` then holds it to that. This
    one declares nothing: there are no processes, and what it launches dies with the server.
    """

    api = 1  # the version of the contract that this class was written for; the kernel refuses any other
    capabilities = frozenset()

    def __init__(self, settings: DriverSettings, context: DriverContext) -> None:
        # No I/O here. A driver with settings has a class `Settings(DriverSettings)`; `settings` then is one, validated.
        super().__init__(settings, context)
        self.launched: list[LaunchSpec] = []
        """Every launch so far, for the test to look at."""
        self._behaviours: dict[str | None, Behaviour] = {None: ends_well}
        self._prepared: set[str] = set()
        self._lives: dict[str, asyncio.Task[Exit]] = {}
        self._killed: set[str] = set()

    def behave(self, behaviour: Behaviour, *, image: str | None = None) -> None:
        """From now on launches of images with this name (None: all that no other call names) do this."""
        self._behaviours[image] = behaviour

    async def start(self, stack: AsyncExitStack) -> None:
        # Whatever is acquired goes on the stack at once, so that it is released even if the next line fails.
        stack.push_async_callback(self._die)

    async def prepare(self, image: Image, read: ReadBlob) -> None:
        if image.sha256 in self._prepared:  # idempotent, and cheap when there is nothing to do
            return
        digest = hashlib.sha256()
        async for chunk in read():
            digest.update(chunk)
        if digest.hexdigest() != image.sha256:
            raise ChecksumMismatch(f"the bytes of image {image.name!r} do not have the SHA-256 {image.sha256}")
        self._prepared.add(image.sha256)  # last: a prepare that is killed half-way has not happened

    async def launch(self, spec: LaunchSpec) -> Handle:
        if spec.image.sha256 not in self._prepared:
            raise LaunchFailed(f"image {spec.image.name!r} was not prepared; the launcher must call `prepare` before")
        self.launched.append(spec)
        # A handle is stored and read again by a later server: JSON, and no two launches ever have the same.
        name = uuid.uuid4().hex
        self._lives[name] = asyncio.create_task(self._live(name, spec))
        return {"launch": name}

    async def wait(self, handle: Handle) -> Exit:
        life = self._lives[handle["launch"]]
        exit = await asyncio.shield(life)  # cancelling `wait` must not cancel the process
        self._lives.pop(handle["launch"], None)  # told: from here on nobody needs it, and a server runs for years
        return exit

    async def stop(self, handle: Handle, grace_seconds: float) -> None:
        life = self._lives.get(handle["launch"])
        if life is None:
            return
        if grace_seconds > 0 and life.cancel():
            clock = self.context.clock  # time is always the context's, so that a test decides how long a grace lasts
            grace = asyncio.ensure_future(clock.sleep_until(clock.now_ms() + round(grace_seconds * 1000)))
            await asyncio.wait({life, grace}, return_when=asyncio.FIRST_COMPLETED)
            grace.cancel()
        while not life.done():  # returns only when nothing is left, whatever the behaviour makes of it
            self._killed.add(handle["launch"])
            life.cancel()
            await asyncio.sleep(0)

    async def adopt(self, handle: Handle) -> bool:
        life = self._lives.get(handle["launch"])
        return life is not None and not life.done()  # of an earlier server nothing is left

    async def discard(self, image: Image) -> None:
        self._prepared.discard(image.sha256)

    async def _live(self, name: str, spec: LaunchSpec) -> Exit:
        behaviour = self._behaviours.get(spec.image.name, self._behaviours[None])
        try:
            exit = await behaviour(spec)
        except asyncio.CancelledError:
            exit = Exit(signal=signal.SIGTERM)
        except Exception:
            exit = Exit(code=1, stderr=traceback.format_exc()[-2000:])
        return Exit(signal=signal.SIGKILL) if name in self._killed else exit

    async def _die(self) -> None:
        for life in self._lives.values():
            life.cancel()
        await asyncio.gather(*self._lives.values(), return_exceptions=True)
