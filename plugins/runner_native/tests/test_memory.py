"""The limit of memory: the same for what is executed and what is forked, and only where one was asked for."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from runtara_runner_native import NativeRunner, NativeSettings, forkserver, processes

from runtara_framework.memory import MIB, RUNTIME_BYTES, TIERS
from runtara_framework.model import Exit
from runtara_framework.packaging import write_zipapp
from runtara_framework.testing.processes import soon

from .conftest import Start, prepared, spec

LOOK = """
import json, resource, subprocess, sys
look = "import resource; print(*resource.getrlimit(resource.RLIMIT_DATA))"
child = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True).stdout.split()
facts = {"own": resource.getrlimit(resource.RLIMIT_DATA), "child": [int(number) for number in child]}
open("facts", "w").write(json.dumps(facts))
"""
WAYS = pytest.mark.parametrize("fork_server", [True, False], ids=["fork server", "exec"])


async def run(runner: NativeRunner, source: str, workdir: Path, limit: int | None) -> Exit:
    image = await prepared(runner, write_zipapp({"__main__.py": source.encode()}, {}))
    launch = msgspec.structs.replace(spec(image, workdir), memory_limit_bytes=limit)
    return await soon(runner.wait(await runner.launch(launch)))


async def seen(runner: NativeRunner, workdir: Path, limit: int | None) -> dict[str, Any]:
    exit = await run(runner, LOOK, workdir, limit)
    assert exit.code == 0, exit.stderr
    facts: dict[str, Any] = json.loads((workdir / "facts").read_text())
    return facts


@WAYS
async def test_a_process_has_its_tier_and_what_is_the_runtimes_and_may_lift_it(
    start: Start, workdir: Path, fork_server: bool
) -> None:
    runner = await start(NativeSettings(fork_server=fork_server))
    for size in TIERS.values():
        facts = await seen(runner, workdir, size)
        assert facts["own"] == facts["child"] == [size + RUNTIME_BYTES, resource.RLIM_INFINITY]


@WAYS
async def test_without_a_limit_a_process_has_that_of_the_server(start: Start, workdir: Path, fork_server: bool) -> None:
    runner = await start(NativeSettings(fork_server=fork_server))
    await seen(runner, workdir, TIERS["S"])
    facts = await seen(runner, workdir, None)
    assert facts["own"] == facts["child"] == list(resource.getrlimit(resource.RLIMIT_DATA))


def heavy_helper(folder: Path) -> Path:
    """The program of a fork server that has imported agents of 200 MiB."""
    head, main = forkserver._HELPER.read_text().split('if __name__ == "__main__":\n')
    heavy = folder / "heavy_helper.py"
    heavy.write_text(f'{head}if __name__ == "__main__":\n    agents = bytearray(b"x") * (200 << 20)\n{main}')
    return heavy


async def test_what_the_fork_server_has_is_not_the_programs(
    start: Start, workdir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(forkserver, "_HELPER", heavy_helper(tmp_path))
    runner = await start(NativeSettings())
    facts = await seen(runner, workdir, TIERS["S"])

    assert facts["own"][0] > TIERS["S"] + 200 * MIB
    assert (await run(runner, "bytearray(48 << 20)", workdir, TIERS["S"])).code == 0
    assert (await run(runner, "bytearray(128 << 20)", workdir, TIERS["S"])).code == 1


async def test_a_child_that_is_there_already_is_limited_too() -> None:
    child = "print(1, flush=True); input(); bytearray(200 << 20)"
    source = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    parent = subprocess.Popen(  # noqa: ASYNC220  # a real child, at once
        [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"1\n"
    processes.limit_memory(parent.pid, 100 * MIB)
    _, stderr = parent.communicate(b"\n", 60)

    assert stderr.strip().endswith(b"MemoryError")


def test_a_process_that_has_ended_is_no_error() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    processes.limit_memory(ended.pid, MIB)


@WAYS
async def test_a_kill_for_another_reason_is_not_out_of_memory(start: Start, workdir: Path, fork_server: bool) -> None:
    runner = await start(NativeSettings(fork_server=fork_server))
    exit = await run(runner, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", workdir, TIERS["S"])
    assert (exit.code, exit.signal, exit.out_of_memory) == (None, 11, False)
