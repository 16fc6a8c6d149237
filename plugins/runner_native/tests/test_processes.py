"""Marks, start times and ends of real processes."""

# ruff: noqa: ASYNC220, ASYNC240  # real children and /proc, on purpose and at once

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from runtara_runner_native import processes

from runtara_framework.testing.processes import soon

SLEEP = ["sleep", "86400"]


def test_a_mark_is_inherited_and_found() -> None:
    mark, other = processes.new_mark(), processes.new_mark()
    with subprocess.Popen(["sh", "-c", "read line; sleep 86400 & read line"], stdin=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        processes.set_mark(parent.pid, mark)
        assert processes.get_mark(parent.pid) == mark
        parent.stdin.write(b"go\n")
        parent.stdin.flush()
        while len(found := dict(processes.marked({mark, other}))) < 2:  # until the shell has forked
            pass
        assert set(found.values()) == {mark}
        assert found.items() <= set(processes.marked())
        asyncio.run(processes.end({mark}))
        assert list(processes.marked({mark})) == []

    assert parent.returncode == -9


def test_what_a_child_had_started_before_it_was_marked_is_marked_too() -> None:
    program = "sh -c 'setsid sh -c \"setsid sleep 86400 & echo; wait\" & wait' & wait"
    with subprocess.Popen(["sh", "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        processes.set_mark(parent.pid, mark := processes.new_mark())
        # The shells of both levels, setsid's own process if it had to fork, and the innermost sleep.
        assert len(list(processes.marked({mark}))) >= 4
        asyncio.run(processes.end({mark}))
        assert list(processes.marked({mark})) == []


async def test_end_waits_for_death_but_not_for_the_funeral() -> None:
    process = subprocess.Popen(SLEEP)
    processes.set_mark(process.pid, mark := processes.new_mark())
    await soon(processes.end({mark}))

    assert Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "Z"  # nobody has waited for it yet
    await soon(processes.end({mark}))
    assert process.wait() == -9


async def test_end_of_nothing_is_nothing() -> None:
    await soon(processes.end({processes.new_mark()}))


async def test_gone_tells_the_end_and_closes_its_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))
    process = subprocess.Popen(SLEEP)
    dead, dropped = (processes.gone(os.pidfd_open(process.pid)) for _ in range(2))
    dropped.cancel()
    process.kill()
    await soon(dead)
    await asyncio.sleep(0)

    assert len(os.listdir("/proc/self/fd")) == before
    process.wait()


def test_marks_are_integers_that_json_keeps() -> None:
    marks = {processes.new_mark() for _ in range(100)}

    assert len(marks) == 100
    assert all(2**52 < mark < 2**53 for mark in marks)
    assert min(marks) / 1e6 / 3600 / 24 / 365 > 100, "years of real-time CPU, as a limit nobody meets"


def test_a_server_inside_a_launch_has_marks_of_its_own() -> None:
    program = "from runtara_runner_native import processes as p; p.check(); print(p.new_mark())"
    outer = processes.new_mark()
    with subprocess.Popen(
        ["sh", "-c", f"read line; exec {sys.executable} -c '{program}'"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        processes.set_mark(child.pid, outer)
        inner = int(child.communicate(b"go\n")[0])

    assert inner < outer


def test_a_server_with_too_low_a_limit_says_what_to_do() -> None:
    program = (
        "import resource as r; r.setrlimit(r.RLIMIT_RTTIME, (1000, 1000))\n"
        "from runtara_runner_native import processes as p; p.check()"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert "DriverUnavailable" in run.stderr
    assert "only 1000 µs; start it with `ulimit -R unlimited`" in run.stderr


def test_who_has_no_mark_or_does_not_exist_has_no_mark() -> None:
    process = subprocess.Popen(["true"])
    process.wait()

    assert processes.get_mark(process.pid) == resource.RLIM_INFINITY
    assert processes.get_mark(1) == resource.RLIM_INFINITY  # of another user, unless the tests run as root
    processes.set_mark(process.pid, processes.new_mark())  # no error: it has ended


def test_start_times_tell_processes_apart_and_zombies_have_ended() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert processes.started(process.pid) is None
    assert processes.started(process.pid, even_ended=True) is not None
    process.wait()
    assert processes.started(process.pid, even_ended=True) is None
    assert processes.started(os.getpid()) == processes.started(os.getpid())


def test_a_name_full_of_brackets_does_not_hide_the_start_time(tmp_path: Path) -> None:
    program = tmp_path / ") R 1 (x)"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "86400"]) as process:
        started, own = processes.started(process.pid), processes.started(os.getpid())
        process.kill()

    assert started is not None and own is not None
    assert started >= own


def test_memory_is_read_from_the_living() -> None:
    assert processes.memory_peak(os.getpid()) > 1024 * 1024
    process = subprocess.Popen(["true"])
    process.wait()
    assert processes.memory_peak(process.pid) == 0


@pytest.mark.parametrize(("text", "kills"), [("nr_free_pages 5\noom_kill 17\ndrop_slab 0\n", 17), ("nothing\n", None)])
def test_kills_for_want_of_memory_are_counted_where_the_kernel_says_so(
    tmp_path: Path, text: str, kills: int | None
) -> None:
    (tmp_path / "vmstat").write_text(text)

    assert processes.out_of_memory_kills(tmp_path / "vmstat") == kills
    assert processes.out_of_memory_kills(tmp_path / "missing") is None
    assert processes.out_of_memory_kills() is not None
