"""Starts Python images by a fork of a process that has imported what they need: a millisecond instead of 90.

The helper (`helper.py`) is a process of its own, started without anything of the server's but one end of a socket pair. It
is the parent of what it forks, so it tells how each child ended. It may die at any moment, or be replaced because something
was installed: what it has forked lives on and is watched through pidfds from then on, and only the exit code is lost.
A launch that it did not answer is undone, and started by exec. After three deaths without a launch in between, all are.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec

from runtara_framework.memory import RUNTIME_BYTES
from runtara_runner_native import processes
from runtara_runner_native.launching import PATH
from runtara_runner_native.output import Output

PATIENCE_SECONDS = 30.0
"""A helper that does not answer a launch for so long hangs."""
MOST_DEATHS = 3
LONGEST_VARIABLE = 64 * 1024
MOST_VARIABLES = 512 * 1024  # bytes

_HELPER = Path(__file__).with_name("helper.py")
_LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")
_PLAIN_LOCALES = ("", "C.UTF-8", "C.utf8")
_READ_AT_START = ("LD_", "MALLOC_", "GLIBC_", "OPENSSL_")
_READ_AT_IMPORT = "RUNTARA_FAULT"


class Ended(msgspec.Struct, frozen=True):
    """How a child ended, as the kernel told its parent. Peak memory includes what it shares with the helper."""

    status: int  # as of wait(2)
    cpu_usec: int
    memory_peak: int  # bytes


class Child(msgspec.Struct, frozen=True):
    """A process that was forked."""

    pid: int
    started: int  # clock ticks since boot
    gone: asyncio.Future[Ended | None]  # None: it has ended while nobody could know how


class Refused(Exception):
    """Not by a fork; nothing of the launch runs."""


def forkable(env: Mapping[str, str]) -> bool:
    """False if a variable means something to the loader or the interpreter at its start, or to a module that the helper has
    imported, or if it may be more than exec takes: then exec itself decides."""
    if any(env.get(name, "") not in _PLAIN_LOCALES for name in _LOCALE) or _READ_AT_IMPORT in env:
        return False
    total = 0
    for name, value in env.items():
        size = len(name) + len(value)
        total += size
        if (
            name.startswith(_READ_AT_START)
            or size > LONGEST_VARIABLE
            or "=" in name
            or not name
            or "\0" in name + value
        ):
            return False
    return total <= MOST_VARIABLES


class ForkServer:
    """The helper process and what comes of it. One per runner."""

    def __init__(self, python: str, folder: Path, logger: logging.Logger) -> None:
        self._command = [python, "-I", str(_HELPER)]
        self._stderr = folder / "fork_server.stderr"
        self._logger = logger
        self._helper: _Helper | None = None
        self._all: set[_Helper] = set()  # the current one, and those that still have children or are not buried
        self._deaths = 0  # since the last launch
        self.skipped: set[str] = set()  # agents that a helper died of, or that cannot be shared by forks
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def start(self) -> None:
        """Start the helper; it need not be ready before it is asked. Never fails: without it images are started by exec."""
        if self._helper is None and not self._closed and self._deaths < MOST_DEATHS:
            helper = self._helper = _Helper(self)
            self._all.add(helper)
            try:
                await helper.start(self._command, self._stderr)
            except OSError as error:
                helper.lose(f"cannot start it: {error.strerror or error}")

    async def launch(
        self,
        program: str,
        names: list[str],
        env: Mapping[str, str],
        workdir: Path,
        output: Output,
        mark: int,
        memory_limit_bytes: int | None,
    ) -> Child:
        """Fork. Raises `Refused`, after which nothing of this launch runs."""
        outputs = str(output.stdout), str(output.stderr)
        memory = None if memory_limit_bytes is None else (memory_limit_bytes, RUNTIME_BYTES)
        job = (mark, program, names, {"PATH": PATH, **env}, str(workdir), *outputs, memory)
        try:
            frame = _frame(job)
        except UnicodeEncodeError as error:
            raise Refused(str(error)) from error
        for _ in range(2):
            await self.start()
            if (helper := self._helper) is None:
                raise Refused("there is no fork server")
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    child = await helper.launch(mark, frame)
            except TimeoutError:
                helper.lose(f"it did not answer for {PATIENCE_SECONDS:g} s")
                await self._undo(helper, mark)
                raise Refused("the fork server hangs") from None
            except _Stale as stale:
                self._logger.info("starting a new fork server: %s", stale)
                self.retire(helper)
                continue
            except _Lost as lost:
                await self._undo(helper, mark)
                raise Refused(str(lost)) from None
            except asyncio.CancelledError:
                # A child may come to be that nobody will know of.
                helper.disown(mark)
                raise
            self._deaths = 0
            return child
        raise Refused("what is installed changes too fast")

    async def close(self) -> None:
        """End the helper; what it has forked lives on."""
        self._closed = True
        self._helper = None
        for helper in list(self._all):
            helper.lose(_LEFT)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- what helpers tell --------------------------------------------------------------------------------

    def retire(self, helper: _Helper) -> None:
        """Launch nothing more by it."""
        if self._helper is helper:
            self._helper = None

    def spoiled(self, helper: _Helper, agent: str, why: str) -> None:
        self._logger.warning("agent %r is not imported before a launch needs it: %s when it was imported", agent, why)
        self.skipped.add(agent)
        self.retire(helper)

    def died(self, helper: _Helper, why: str) -> None:
        """Unexpectedly."""
        self.retire(helper)
        if helper.warming:
            self.skipped.add(helper.warming)
            why = f"{why} while it imported agent {helper.warming!r}, which it will not import again"
        self._deaths += 1
        self._logger.warning(
            "the fork server died: %s%s%s",
            why,
            f"; the end of its stderr: {tail}" if (tail := _last_line(self._stderr)) else "",
            "; from now on every process is started by exec" if self._deaths >= MOST_DEATHS else "",
        )

    def buried(self, helper: _Helper) -> None:
        self._all.discard(helper)

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _undo(self, helper: _Helper, mark: int) -> None:
        """A child that nobody was told of is found by its mark, or finds that its parent is dead (`helper.py`)."""
        await helper.buried.wait()
        await processes.end({mark})


class _Stale(Exception):
    pass


class _Lost(Exception):
    pass


class _Helper(asyncio.Protocol):
    """One helper process, from its start to its burial."""

    def __init__(self, owner: ForkServer) -> None:
        self.warming = ""
        self.buried = asyncio.Event()
        self._owner = owner
        self._process: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._unsent: list[bytes] = []  # until there is a transport
        self._received = bytearray()
        self._waiting: dict[int, asyncio.Future[Child]] = {}  # for an answer, by mark
        self._children: dict[int, Child] = {}
        self._leaving = False  # it forks no more, and exits when it has no children left
        self._lost = ""  # why

    async def start(self, command: list[str], stderr: Path) -> None:
        """Raises `OSError`."""
        ours, theirs = socket.socketpair()
        try:
            self._process = _spawn([*command, str(theirs.fileno()), *sorted(self._owner.skipped)], theirs, stderr)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        await asyncio.get_running_loop().create_connection(lambda: self, sock=ours)

    async def launch(self, mark: int, frame: bytes) -> Child:
        """Raises `_Stale`, `Refused`; `_Lost`, after which there may be a child that nobody knows."""
        if self._lost:
            raise _Lost(self._lost)
        answer = self._waiting[mark] = asyncio.get_running_loop().create_future()
        if self._transport is None:
            self._unsent.append(frame)
        else:
            self._transport.write(frame)
        # Shielded: whether a child comes of it is decided elsewhere already.
        return await asyncio.shield(answer)

    def disown(self, mark: int) -> None:
        """Nobody wants the answer any more: end what comes of it."""
        if (answer := self._waiting.get(mark)) is not None:
            answer.add_done_callback(partial(self._end, mark))
        elif mark in self._children:
            self._end(mark)

    def _end(self, mark: int, answer: asyncio.Future[Child] | None = None) -> None:
        if answer is None or not answer.exception():
            self._owner.background(processes.end({mark}))

    def lose(self, why: str) -> None:
        """This helper is dead, or as good as that."""
        if not self._lost:
            self._lost = why
            self._owner.retire(self)
            if self._transport is not None:
                self._transport.abort()
            for answer in self._waiting.values():
                answer.set_exception(_Lost(why))
                answer.exception()  # its caller may have given up
            self._waiting.clear()
            self._owner.background(self._bury())

    async def _bury(self) -> None:
        why = self._lost
        if self._process is not None:
            self._process.kill()
            if self._process.returncode is None:  # `kill` looks, and has waited for one that had ended
                try:
                    await processes.gone(os.pidfd_open(self._process.pid))
                except OSError:  # no descriptor is left for it
                    await asyncio.to_thread(self._process.wait)
            status = self._process.wait()
            if why == _CLOSED:
                why = _LEFT if status == 0 and self._leaving else _how(status)
        if why != _LEFT:
            self._owner.died(self, why)
        # Only now have all children another parent.
        if self._lost != _LEFT:
            for child in self._children.values():
                _watch(child)
        self._children.clear()
        self._owner.buried(self)
        self.buried.set()

    # -- asyncio ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._transport.writelines(self._unsent)
        self._unsent.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lose(_CLOSED)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= 4 and not self._lost:
            end = 4 + int.from_bytes(self._received[:4], "little")
            if len(self._received) < end:
                break
            message = _decode(bytes(self._received[4:end]))
            del self._received[:end]
            self._told(*message)

    def _told(self, kind: str, *facts: Any) -> None:
        if kind == "forked":
            mark, pid, started = facts
            child = self._children[mark] = Child(pid, started, asyncio.get_running_loop().create_future())
            _answer(self._waiting.pop(mark), child)
        elif kind == "ended":
            mark, *how = facts
            gone = self._children.pop(mark).gone
            if not gone.done():
                gone.set_result(Ended(*how))
        elif kind == "refused":
            mark, what, why = facts
            self._leaving = self._leaving or what == "stale"
            _answer(self._waiting.pop(mark), _Stale(why) if what == "stale" else Refused(why))
        elif kind == "warming":
            (self.warming,) = facts
        elif kind == "spoiled":
            self._leaving = True
            self._owner.spoiled(self, *facts)


_LEFT = "it was to end"
_CLOSED = "its connection was closed"


def _spawn(command: list[str], control: socket.socket, stderr: Path) -> subprocess.Popen[bytes]:
    with open(stderr, "wb") as errors:
        return subprocess.Popen(
            command,
            env={"PATH": PATH},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            pass_fds=(control.fileno(),),
            start_new_session=True,
        )


def _frame(message: object) -> bytes:
    body = _encode(message)
    return len(body).to_bytes(4, "little") + body


def _answer(waiting: asyncio.Future[Child], answer: Child | Exception) -> None:
    if isinstance(answer, Child):
        waiting.set_result(answer)
    else:
        waiting.set_exception(answer)
        waiting.exception()  # its caller may have given up


def _watch(child: Child) -> None:
    """The helper is dead: tell the end of a child of it nevertheless."""
    if child.gone.done():
        return
    try:
        watch = processes.gone(os.pidfd_open(child.pid))
    except OSError:
        child.gone.set_result(_inherited(child.pid))
        return
    if processes.started(child.pid, even_ended=True) != child.started:
        watch.cancel()
        child.gone.set_result(None)
        return

    def ended(watch: asyncio.Future[None]) -> None:
        if not child.gone.done() and not watch.cancelled():
            child.gone.set_result(_inherited(child.pid))

    def dropped(gone: asyncio.Future[Ended | None]) -> None:
        watch.cancel()

    watch.add_done_callback(ended)
    child.gone.add_done_callback(dropped)


def _inherited(pid: int) -> Ended | None:
    """How it ended, if orphans become children of this process, as in a container that has no other init."""
    try:
        found, status, usage = os.wait4(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    if found == 0:
        return None
    return Ended(status, round((usage.ru_utime + usage.ru_stime) * 1e6), usage.ru_maxrss * 1024)


def _how(status: int) -> str:
    return f"it was killed by signal {-status}" if status < 0 else f"it exited with code {status}"


def _last_line(file: Path) -> str:
    with suppress(OSError):
        lines = file.read_text(errors="replace").strip().splitlines()
        return lines[-1][:500] if lines else ""
    return ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode
