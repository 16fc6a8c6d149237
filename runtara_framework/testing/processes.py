"""What the suite of runners stands on: a server that can be killed, programs, and a look at the machine from outside."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import json
import logging
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from runtara_framework.clock import SystemClock
from runtara_framework.model import Image, LaunchRef
from runtara_framework.spec.driver import DriverContext
from runtara_framework.spec.runner import LaunchSpec, ReadBlob, Runner

PATIENCE_SECONDS = 60

T = TypeVar("T")


class Server:
    """Another process that runs the driver, to be killed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(
        cls, action: str, driver: type[Runner], settings: dict[str, Any], data_dir: Path, workdir: Path, body: bytes
    ) -> Server:
        """Prepare an image and launch it, printing the handle; or, for the action "prepare", stop in the middle and print
        "half"."""
        program = data_dir.parent / "body"
        program.write_bytes(body)
        what = {
            "action": action,
            "driver": [driver.__module__, driver.__qualname__],
            "settings": settings,
            "data_dir": str(data_dir),
            "workdir": str(workdir),
            "body": str(program),
        }
        code = f"import {__name__} as server; server.serve_until_killed()"
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", code, json.dumps(what), stdout=asyncio.subprocess.PIPE
            )
        )

    async def line(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        return (await soon(self._process.stdout.readline())).decode().strip()

    async def kill(self) -> None:
        """SIGKILL, as a crash or the out-of-memory killer would."""
        self._process.kill()
        await self._process.wait()


def serve_until_killed() -> None:
    what = json.loads(sys.argv[1])
    module, name = what["driver"]
    driver: type[Runner] = getattr(importlib.import_module(module), name)
    body = Path(what["body"]).read_bytes()

    async def half() -> AsyncIterator[bytes]:
        yield body[: len(body) // 2]
        print("half", flush=True)
        await asyncio.Event().wait()

    async def serve() -> None:
        runner = await started(driver, what["settings"], Path(what["data_dir"]), AsyncExitStack())
        image = image_of(body)
        await runner.prepare(image, half if what["action"] == "prepare" else reader(body))
        ref = LaunchRef(tenant_id="conformance", instance_id="killed", epoch=1)
        handle = await runner.launch(LaunchSpec(ref=ref, image=image, env={}, workdir=Path(what["workdir"])))
        print(json.dumps(handle), flush=True)
        await runner.wait(handle)
        await asyncio.Event().wait()

    asyncio.run(serve())


class Ready:
    """A pipe in the working directory, `ready`, that the program writes a line to when it is."""

    def __init__(self, workdir: Path) -> None:
        os.mkfifo(workdir / "ready")
        # Opened for both: so neither side waits for the other to open it.
        self._descriptor = os.open(workdir / "ready", os.O_RDWR | os.O_NONBLOCK)

    async def wait(self) -> None:
        loop = asyncio.get_running_loop()
        readable: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._descriptor, lambda: None if readable.done() else readable.set_result(None))
        try:
            await soon(readable)
        finally:
            loop.remove_reader(self._descriptor)
            os.close(self._descriptor)


class Go:
    """A pipe in the working directory, `go`, that the program reads a line from before it goes on."""

    def __init__(self, workdir: Path) -> None:
        os.mkfifo(workdir / "go")
        self._descriptor = os.open(workdir / "go", os.O_RDWR)  # for both, as above

    def __enter__(self) -> Go:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._descriptor)

    def say(self) -> None:
        """Let it go on."""
        os.write(self._descriptor, b"go\n")


FAMILY = """
import os, subprocess, sys, time
quiet = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
subprocess.Popen(["sleep", "{token}"])
subprocess.Popen(["sleep", "{token}"], start_new_session=True)
if os.fork() == 0:  # a daemon, by the book: it has another session, parent, directory, and no file of ours
    os.setsid()
    if os.fork() == 0:
        os.chdir("/")
        subprocess.Popen(["sleep", "{token}"], **quiet)
    os._exit(0)
os.wait()
def sleeps(pid):
    try:
        return b"{token}" in open(f"/proc/{{pid}}/cmdline", "rb").read()
    except OSError:
        return False
while sum(sleeps(pid) for pid in os.listdir("/proc") if pid.isdigit()) < 3:
    time.sleep(0.005)
open("ready", "w").write("ready\\n")
time.sleep(86400)
"""

FLOOD = """
import os, sys, time
for _ in range(100):
    os.write(2, b"a flood of words\\n" * 61681)
os.write(2, b"the end")
for _ in range(1000):
    if os.fstat(2).st_blocks * 512 < 16 << 20:
        sys.exit(0)
    time.sleep(0.01)
sys.exit(1)
"""


async def started(driver: type[Runner], settings: dict[str, Any], data_dir: Path, stack: AsyncExitStack) -> Runner:
    context = DriverContext(
        clock=SystemClock(), data_dir=data_dir, node_id="conformance", logger=logging.getLogger("conformance")
    )
    runner = driver(driver.Settings(**settings), context)
    await runner.start(stack)
    return runner


async def soon(work: Awaitable[T]) -> T:
    """Fail rather than hang."""
    return await asyncio.wait_for(work, PATIENCE_SECONDS)


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def image_of(body: bytes) -> Image:
    digest = hashlib.sha256(body).hexdigest()
    return Image(
        image_id=f"image-{digest[:12]}",
        tenant_id="conformance",
        name=f"image-{digest[:12]}",
        runner_type="conformance",
        sha256=digest,
        size_bytes=len(body),
        created_at_ms=0,
    )


def reader(body: bytes) -> ReadBlob:
    async def read() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 64 * 1024):
            yield body[start : start + 64 * 1024]

    return read


def running(token: str) -> list[int]:
    """The processes of this machine that have the token as an argument."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                arguments = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if token.encode() in arguments:
                found.append(int(name))
    return found


def traces(data_dir: Path) -> tuple[set[str], int, int]:
    """What a leak would add to: files, our open descriptors, our zombies."""
    files = {str(path.relative_to(data_dir)) for path in data_dir.rglob("*")}
    zombies = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path("/proc", name, "stat").read_text(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            zombies += bool(re.search(rf"\) Z {os.getpid()} ", stat))
    return files, len(os.listdir("/proc/self/fd")), zombies


def allocated(folder: Path) -> int:
    """Bytes on disk, whatever the files' sizes say."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
