"""What is the native runner's own: adoption, leftovers, exits that others could spoil, limits of the server itself."""

# ruff: noqa: ASYNC220, ASYNC222  # real children and /proc, on purpose and at once

from __future__ import annotations

import asyncio
import json
import os
import resource
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from runtara_runner_native import NativeRunner, NativeSettings, processes

from runtara_framework.errors import DriverUnavailable, LaunchFailed
from runtara_framework.extension import drivers
from runtara_framework.model import Exit
from runtara_framework.spec.runner import RUNNER, Handle
from runtara_framework.testing.clock import FakeClock
from runtara_framework.testing.processes import Go, Ready, Server, running, soon, traces

from .conftest import Start, prepared, script, spec


def token() -> str:
    return f"86400.{secrets.randbelow(10**15):015}"


UNIFIED = Path("/sys/fs/cgroup/cgroup.subtree_control")
V2 = UNIFIED.exists() and "memory" in UNIFIED.read_text()
MEMORY = Path("/sys/fs/cgroup") if V2 else Path("/sys/fs/cgroup/memory")

DAEMON = """
import os, subprocess
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        quiet = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.Popen(["sleep", "TOKEN"], cwd="/", **quiet)
    os._exit(0)
os.wait()
def sleeps(pid):
    try:
        return b"sleep\\0TOKEN" in open(f"/proc/{pid}/cmdline", "rb").read()
    except OSError:
        return False
while not any(sleeps(pid) for pid in os.listdir("/proc") if pid.isdigit()):
    pass
"""


def test_it_is_installed_under_its_name() -> None:
    assert drivers.load(RUNNER, "native") is NativeRunner


# -- nothing is left --------------------------------------------------------------------------------------


async def test_what_a_program_leaves_running_is_gone_when_its_exit_is_told(runner: NativeRunner, workdir: Path) -> None:
    name = token()
    body = f"#!{sys.executable}\n{DAEMON.replace('TOKEN', name)}os._exit(3)\n"
    handle = await runner.launch(spec(await prepared(runner, body.encode()), workdir))

    assert (await soon(runner.wait(handle))).code == 3
    assert running(name) == []


async def test_what_a_program_left_while_no_server_ran_is_gone_when_it_is_not_adopted(
    start: Start, data_dir: Path, workdir: Path
) -> None:
    name = token()
    body = f"#!{sys.executable}\n{DAEMON.replace('TOKEN', name)}open('go').readline()\n"
    with Go(workdir) as go:
        server = await Server.start("launch", NativeRunner, {}, data_dir, workdir, body.encode())
        handle = json.loads(await server.line())
        await server.kill()
        leader = processes.gone(os.pidfd_open(handle["pid"]))
        go.say()
        await soon(leader)
    assert len(running(name)) == 1

    runner = await start()
    assert not await soon(runner.adopt(handle))
    assert running(name) == []


async def test_stop_without_adopt_ends_what_an_earlier_server_launched(
    start: Start, data_dir: Path, workdir: Path
) -> None:
    name = token()
    server = await Server.start("launch", NativeRunner, {}, data_dir, workdir, f"#!/bin/sh\nsleep {name}\n".encode())
    handle = json.loads(await server.line())
    await server.kill()

    runner = await start()
    await soon(runner.stop(handle, 0))
    assert running(name) == []


async def test_a_server_that_ends_leaves_its_processes_alone(start: Start, workdir: Path) -> None:
    first = await start()
    handle = await first.launch(spec(await script(first, "sleep 86400"), workdir))
    waiting = asyncio.create_task(first.wait(handle))
    await asyncio.sleep(0)
    await first._leave()
    await asyncio.gather(waiting, return_exceptions=True)

    second = await start()
    assert await second.adopt(handle)
    await soon(second.stop(handle, 0))
    assert (await soon(second.wait(handle))).code is None
    os.waitpid(handle["pid"], 0)  # this process has lived two lives, so the child is still its own


async def test_output_of_the_dead_is_removed_at_start_and_of_the_living_kept(
    start: Start, data_dir: Path, workdir: Path
) -> None:
    folder = data_dir / "runner_native" / "output"
    server = await Server.start(
        "launch", NativeRunner, {}, data_dir, workdir, b"#!/bin/sh\necho alive >&2; sleep 86400\n"
    )
    handle = json.loads(await server.line())
    await server.kill()
    (folder / "123abc.stderr").write_text("of one that has long ended")

    runner = await start()
    assert {path.name for path in folder.iterdir()} == {f"{handle['mark']:x}.stdout", f"{handle['mark']:x}.stderr"}
    await soon(runner.stop(handle, 0))
    assert list(folder.iterdir()) == []


# -- nothing is mistaken ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lie", [{"started": 1}, {"machine": "another boot/1"}])
async def test_another_process_with_the_same_pid_is_not_mistaken(runner: NativeRunner, lie: dict[str, object]) -> None:
    with subprocess.Popen(["sleep", "86400"]) as other:
        truth: Handle = {
            "pid": other.pid,
            "started": processes.started(other.pid),
            "machine": processes.machine(),
            "mark": processes.new_mark(),
        }
        assert not await runner.adopt({**truth, **lie})
        await soon(runner.stop({**truth, **lie}, 0))
        assert other.poll() is None
        other.kill()


async def test_a_handle_that_nobody_knows_has_an_exit_that_nobody_saw(runner: NativeRunner, workdir: Path) -> None:
    handle = await runner.launch(spec(await script(runner, "exit 0"), workdir))
    await soon(runner.wait(handle))

    assert await soon(runner.wait(handle)) == Exit()


# -- exits ------------------------------------------------------------------------------------------------


async def test_others_that_run_programs_are_not_disturbed(runner: NativeRunner, workdir: Path) -> None:
    image = await script(runner, "exit 5")

    async def ours() -> int | None:
        return (await runner.wait(await runner.launch(spec(image, workdir)))).code

    async def asyncios() -> int:
        return await (await asyncio.create_subprocess_exec("sh", "-c", "exit 6")).wait()

    async def threads() -> int:
        return (await asyncio.to_thread(subprocess.run, ["sh", "-c", "exit 7"], check=False)).returncode

    codes = await soon(asyncio.gather(*(run() for _ in range(20) for run in (ours, asyncios, threads))))

    assert codes == [5, 6, 7] * 20


async def test_an_exit_that_somebody_else_took_is_unknown_and_no_error(
    runner: NativeRunner, workdir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    handle = await runner.launch(spec(await script(runner, "exit 5"), workdir))
    os.waitpid(handle["pid"], 0)
    exit = await soon(runner.wait(handle))

    assert (exit.code, exit.signal) == (None, None)
    assert "reaped by others" in caplog.text


async def test_the_grace_is_time_of_the_context(start: Start, workdir: Path) -> None:
    clock = FakeClock()
    runner = await start(clock=clock)
    ready = Ready(workdir)
    image = await script(runner, "trap '' TERM; echo ready > ready; while :; do sleep 0.01; done")
    handle = await runner.launch(spec(image, workdir))
    await ready.wait()
    stopping = asyncio.create_task(runner.stop(handle, 60))
    await clock.slept()
    await clock.advance(59_999)
    assert not stopping.done()

    await clock.advance(1)
    await soon(stopping)
    assert (await soon(runner.wait(handle))).signal == signal.SIGKILL
    assert clock.sleeping_until == []


async def test_sigkill_from_an_operator_is_not_out_of_memory(runner: NativeRunner, workdir: Path) -> None:
    handle = await runner.launch(spec(await script(runner, "sleep 86400"), workdir))
    os.kill(handle["pid"], signal.SIGKILL)
    exit = await soon(runner.wait(handle))

    assert (exit.signal, exit.out_of_memory) == (signal.SIGKILL, False)


@contextmanager
def memory_group(limit: int) -> Iterator[Path]:
    """A cgroup with little memory: the file that takes its members."""
    group = MEMORY / f"runtara-test-{secrets.token_hex(4)}"
    group.mkdir()
    try:
        (group / ("memory.max" if V2 else "memory.limit_in_bytes")).write_text(str(limit))
        yield group / "cgroup.procs"
    finally:
        group.rmdir()


if os.access(MEMORY / "cgroup.procs", os.W_OK):  # root, as a rule; elsewhere nobody can be made to run out of memory

    async def test_one_that_the_kernel_killed_for_want_of_memory_is_told(runner: NativeRunner, workdir: Path) -> None:
        body = f"#!{sys.executable}\nopen('go').readline()\nb = bytearray(b'x') * (256 << 20)\n"
        with memory_group(64 << 20) as members, Go(workdir) as go:
            handle = await runner.launch(spec(await prepared(runner, body.encode()), workdir))
            members.write_text(str(handle["pid"]))
            go.say()
            exit = await soon(runner.wait(handle))

        assert (exit.signal, exit.out_of_memory) == (signal.SIGKILL, True)


# -- limits of the server ---------------------------------------------------------------------------------


async def test_a_server_without_descriptors_launches_nothing_and_recovers(
    runner: NativeRunner, data_dir: Path, workdir: Path
) -> None:
    image = await script(runner, "exit 4")
    await soon(runner.wait(await runner.launch(spec(image, workdir))))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    filler = [os.open("/dev/null", os.O_RDONLY) for _ in range(64)]  # takes the free numbers below the highest
    before = traces(data_dir)
    try:
        for free in range(5):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(filler) + 1 + free, hard))
            with pytest.raises(LaunchFailed, match="Too many open files"):
                await runner.launch(spec(image, workdir))
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert traces(data_dir) == before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in filler:
            os.close(descriptor)

    assert (await soon(runner.wait(await runner.launch(spec(image, workdir))))).code == 4


async def test_a_process_that_cannot_be_watched_is_not_left_running(
    runner: NativeRunner, data_dir: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = token()
    image = await script(runner, f"exec sleep {name}")
    before = traces(data_dir)

    def refused(pid: int) -> int:  # only another thread that takes the last descriptor in between can bring this about
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", refused)
    with pytest.raises(LaunchFailed, match="cannot watch the process"):
        await runner.launch(spec(image, workdir))

    assert running(name) == []
    assert traces(data_dir) == before


async def test_an_interpreter_that_is_missing_is_told_at_start(start: Start) -> None:
    with pytest.raises(DriverUnavailable, match=r"\[runner\.native\] python = '/no/such/python' is no executable"):
        await start(NativeSettings(python="/no/such/python"))
