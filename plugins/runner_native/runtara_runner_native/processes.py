"""What the kernel of the operating system knows of our processes: who they are, which launch they belong to, their end.

How a launch is told from everything else. A process group or a session can be left (`setsid`), a parent can die, an
inherited file can be closed, and a cgroup costs 12 ms of a blocked event loop to enter. A resource limit stays: every
child inherits it, through fork and exec, and a process may lower its hard limits but never raise them. So each launch
carries a random number, its *mark*, as its limit of `RLIMIT_RTTIME`, a limit that is only looked at for processes with a
real-time scheduling policy and that is here more than a hundred years. Reading the mark of a process is one system call
of a microsecond, so "everything of this launch" is one pass over `/proc`: 0.1 ms on a host with a hundred processes.

What is guaranteed: when `end` returns, no process with one of the marks runs. The runner kills the process group as well.
So what escapes is a process that sets its own `RLIMIT_RTTIME`, that runs as another user whom we may not kill, or that has
lost its parent and left its group before the launch was marked, 0.1 ms after exec if the machine is not busy. A program that
does so on purpose is not stopped by anything but isolation, which is not the business of this runner.
"""

from __future__ import annotations

import asyncio
import os
import resource
import secrets
import signal
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from runtara_framework.errors import DriverUnavailable

_LIMIT = resource.RLIMIT_RTTIME
_TOP = 2**53
"""Marks are microseconds below this one: a handle is JSON, and some readers of JSON have no larger integers."""
_SPREAD = 2**46
"""How many marks there are. A server inside a launch has marks below its own launch's, 128 levels deep."""


def check() -> None:
    """Raise `DriverUnavailable` if this machine lacks what the runner stands on."""
    try:
        os.close(os.pidfd_open(os.getpid()))
        os.stat("/proc/self/stat")
    except (AttributeError, OSError) as error:
        raise DriverUnavailable(f"the runner native needs Linux 5.3 or later with /proc mounted: {error}") from error
    if _highest_mark() < _SPREAD:
        raise DriverUnavailable(
            f"the runner native marks its processes with a limit on real-time CPU time, and this server's own limit is "
            f"only {_highest_mark()} µs; start it with `ulimit -R unlimited`"
        )


def new_mark() -> int:
    """A number that no other launch has."""
    return _highest_mark() - 1 - secrets.randbelow(_SPREAD)


def _highest_mark() -> int:
    hard = resource.getrlimit(_LIMIT)[1]
    return _TOP if hard == resource.RLIM_INFINITY else min(hard, _TOP)


def set_mark(pid: int, mark: int) -> None:
    """Mark a new child of ours, whatever it will start, and what it has started already: on a busy machine it may have run
    for a while before we do."""
    with suppress(ProcessLookupError):  # it has ended already
        resource.prlimit(pid, _LIMIT, (mark, mark))
    for child in _children(pid):
        set_mark(child, mark)


def limit_memory(pid: int, limit: int) -> None:
    """Let allocations fail, in a new child of ours and in what it starts, beyond so many bytes of private writable memory.
    Soft: the program may lift it, and our SDK does so for what does not survive that an allocation fails."""
    with suppress(ProcessLookupError):
        hard = resource.prlimit(pid, resource.RLIMIT_DATA)[1]
        soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.prlimit(pid, resource.RLIMIT_DATA, (soft, hard))
    for child in _children(pid):
        limit_memory(child, limit)


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_bytes().split()]
    return []


def get_mark(pid: int) -> int:
    """The mark of a process; a number that is no mark if it has none or does not exist."""
    try:
        return resource.prlimit(pid, _LIMIT)[1]
    except PermissionError:  # a process of another user: only its file may be read
        with suppress(OSError, ValueError):
            for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
                if line.startswith("Max realtime timeout"):
                    return int(line.split()[4])
    except ProcessLookupError:
        pass
    return resource.RLIM_INFINITY


def marked(marks: Collection[int] | None = None) -> Iterator[tuple[int, int]]:
    """The pid and the mark of every process that runs and has one of the marks (None: any number at all)."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            mark = get_mark(pid := int(name))
            if mark != resource.RLIM_INFINITY and (marks is None or mark in marks) and started(pid) is not None:
                yield pid, mark


async def end(marks: Collection[int]) -> None:
    """Kill every process with one of the marks; return when none is left."""
    while found := list(marked(marks)):
        waiting: list[asyncio.Future[None]] = []
        for pid, mark in found:
            with suppress(ProcessLookupError):
                pidfd = os.pidfd_open(pid)
                waiting.append(gone(pidfd))
                if get_mark(pid) == mark:  # the pid names the same process still, and the pidfd holds on to it
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        await asyncio.gather(*waiting)


def gone(pidfd: int) -> asyncio.Future[None]:
    """Done when that process has ended. Owns the descriptor: closes it then, or when the future is cancelled."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def close(_: asyncio.Future[None]) -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)

    def ended() -> None:
        loop.remove_reader(pidfd)
        if not future.done():
            future.set_result(None)

    loop.add_reader(pidfd, ended)
    future.add_done_callback(close)
    return future


def machine() -> str:
    """Names this boot and this pid namespace: only within one of them does a pid with a start time mean anything."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"


def started(pid: int, *, even_ended: bool = False) -> int | None:
    """When a process started, in clock ticks since boot; None if there is none, or only its zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(b")") + 2 :].split()  # the name before it may hold anything, brackets too
    return int(fields[19]) if even_ended or fields[0] not in (b"Z", b"X") else None


def memory_peak(pid: int) -> int:
    """The peak of resident memory of a running process in bytes, so far; 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_bytes().splitlines():
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def out_of_memory_kills(source: Path = Path("/proc/vmstat")) -> int | None:
    """How many processes the kernel has killed for want of memory, in whatever cgroup, since boot; None if it is silent."""
    with suppress(OSError):
        for line in source.read_bytes().splitlines():
            if line.startswith(b"oom_kill "):
                return int(line.split()[1])
    return None
