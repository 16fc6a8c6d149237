"""The program of the fork server's process: it has imported what instances need, and forks once for each launch.

`forkserver.py` starts it as a script; it knows nothing of the package around it. It must stay a process that can be forked
at any moment: one thread, no event loop, no descriptors but its standard streams, the socket to the server and the pipe
that a signal wakes it through. A child unwinds to the end of this file and becomes there what `python -I image` would be:
the same `__main__`, arguments, path, environment, tracebacks and exit codes; then its interpreter ends as any other.

A message is its length (4 bytes, little-endian) and a msgpack array. From the server come jobs, see `Job`; it is told

    ["ready"]                                     once: from now on a launch is a fork
    ["warming", agent or ""]                      what is imported now, should the helper die of it
    ["spoiled", agent, why]                       importing the agent left what must not be forked
    ["forked", mark, pid, start time]             the start time in clock ticks since boot
    ["refused", mark, "stale" or "exec", why]     nothing was forked: another helper can do it, or none can
    ["ended", mark, wait status, CPU time in µs, peak of resident memory in bytes]

The end of a child is told after its "forked". When the server is gone, so is the helper; the children live on.
"""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any

IDLE_SECONDS = 0.25
"""More than the minimum is imported when nothing was asked of the helper for so long …"""
LONGEST_SECONDS = 2.0
"""… or when so much time has passed since the last import."""
FILES_SECONDS = 1.0
"""How often the files of what was imported are looked at. The folders that packages are installed in, at every launch."""
READ_BYTES = 256 * 1024
MINIMUM = (
    "asyncio",
    "runpy",
    "zipimport",
    "runtara_framework.sdk.bootstrap",
    "runtara_framework.transport_local.client",
)
"""What every instance imports."""

Job = tuple[int, str, list[str], dict[str, str], str, str, str, tuple[int, int] | None]
"""Mark, program, the top-level names in the archive, environment, working directory, files for stdout and stderr; the limit
of memory in bytes, if there is one: of the program, and of what every process has beside that."""
Stamp = tuple[int, int] | None

_PYTHON = sys.orig_argv[0]
_COERCED = os.environ.get("LC_CTYPE")  # what the interpreter puts into an environment without any locale (PEP 538)
_LIBRARY = os.path.dirname(os.__file__) + os.sep


class Helper:
    """Serves forks."""

    def __init__(self, control: socket.socket, skipped: set[str]) -> None:
        self._folders = {path: _stamp(path) for path in sys.path}  # before anything is imported from them
        import msgspec

        self._control = control
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Job).decode
        self._received = bytearray()
        self._skipped = skipped
        self._marks: dict[int, int] = {}  # of the children, by pid
        self._stale = ""  # why this helper forks no more
        self._files: dict[str, Stamp] = {}
        self._looked = 0.0
        self._memory = 0  # private writable memory, in bytes
        self._woken, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._steps = self._warm_up()

    def serve(self) -> Job:
        """Serve until the server is gone, and exit. Returns in the children, each with what it is to become."""
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        gc.disable()
        _import_minimum()
        _rehearse()
        self._settle()
        self._say("ready")
        warming, warmed = True, time.monotonic()
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while True:
            found = poll.poll(IDLE_SECONDS * 1000 if warming else None)
            for descriptor, _ in found:
                if descriptor == self._woken:
                    self._reap()
                elif (job := self._obey()) is not None:
                    return job
            if self._stale:
                warming = False
                if not self._marks:
                    os._exit(0)
            if warming and (not found or time.monotonic() - warmed > LONGEST_SECONDS):
                warming = next(self._steps, False)
                warmed = time.monotonic()

    def _obey(self) -> Job | None:
        """Fork for every launch that is asked for. Returns the job in a child."""
        data = self._control.recv(READ_BYTES)
        if not data:
            os._exit(0)
        self._received += data
        while len(self._received) >= 4:
            end = 4 + int.from_bytes(self._received[:4], "little")
            if len(self._received) < end:
                break
            job: Job = self._decode(bytes(self._received[4:end]))
            del self._received[:end]
            if self._launch(job):
                return job
        return None

    def _launch(self, job: Job) -> bool:
        """True in the child."""
        mark, _, names, _, workdir, *outputs, memory = job
        if self._stale or self._is_stale():
            self._say("refused", mark, "stale", self._stale)
            return False
        if shadows := [name for name in names if name in sys.modules]:
            self._say("refused", mark, "exec", f"the image has its own {shadows[0]!r}, which is imported here already")
            return False
        me, pid, opened = os.getpid(), -1, []
        try:
            os.chdir(workdir)
            for path in outputs:
                opened.append(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
            pid = os.fork()
        except OSError as error:
            self._say("refused", mark, "exec", str(error))
        if pid == 0:
            self._leave(me, mark, *opened)
            if memory is not None:
                self._limit(*memory)
            return True
        for descriptor in opened:
            os.close(descriptor)
        os.chdir("/")
        if pid > 0:
            with suppress(ProcessLookupError, PermissionError):  # before anybody can want to stop it
                resource.prlimit(pid, resource.RLIMIT_RTTIME, (mark, mark))
            self._marks[pid] = mark
            self._say("forked", mark, pid, _started(pid))
        return False

    def _leave(self, helper: int, mark: int, stdout: int, stderr: int) -> None:
        """In the child: be of the launch, and have nothing of the helper's."""
        # If the helper dies before it has told of this child, the server ends everything with the mark: then either it
        # finds this one, or this one finds that its parent is another.
        resource.setrlimit(resource.RLIMIT_RTTIME, (mark, mark))
        if os.getppid() != helper:
            os._exit(1)
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        for descriptor in (stdout, stderr, self._control.detach(), self._woken, self._wake):
            os.close(descriptor)

    def _limit(self, program: int, beside: int) -> None:
        """In the child: limit what it may allocate. What it has of the helper's counts as the runtime's."""
        limit, hard = program + max(beside, self._memory), resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)
        while self._marks and (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            pid = found.si_pid
            if pid in self._marks:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)  # its group's id is taken until we have waited for its leader
            _, status, usage = os.wait4(pid, 0)
            if (mark := self._marks.pop(pid, None)) is not None:
                cpu = round((usage.ru_utime + usage.ru_stime) * 1e6)
                self._say("ended", mark, status, cpu, usage.ru_maxrss * 1024)

    def _say(self, *message: Any) -> None:
        body = self._encode(message)
        try:
            self._control.sendall(len(body).to_bytes(4, "little") + body)
        except (BrokenPipeError, ConnectionResetError):
            os._exit(0)

    # -- what is imported ---------------------------------------------------------------------------------

    def _warm_up(self) -> Iterator[bool]:
        """Import more, a step at a time: the modules of the runtime, then each agent."""
        self._import("", _import_runtime)
        yield True
        from runtara_framework.runtime.agent import agents

        registry = agents()  # the children inherit this very one, so none of them looks for what is installed
        ids: list[str] = []
        self._import("", lambda: ids.extend(registry.ids()))
        for agent in ids:
            if agent not in self._skipped and not self._stale:
                yield True
                self._import(agent, lambda agent=agent: registry.get(agent).warm_up())  # type: ignore[misc]

    def _import(self, agent: str, work: Callable[[], object]) -> None:
        self._say("warming", agent)
        # Whatever it is: an instance that needs it will meet it again, and tell.
        with suppress(Exception, SystemExit, KeyboardInterrupt):
            work()
        if spoiled := self._settle():
            self._stale = spoiled
            self._say("spoiled", agent, spoiled)
        self._say("warming", "")

    def _settle(self) -> str:
        """Make what is imported ready to be shared by children. Returns what must not be forked, if there is something."""
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and file not in self._files and _may_change(file) and name != "__main__":
                self._files[file] = _stamp(file)
        sys.stdout.flush()
        sys.stderr.flush()
        gc.collect()
        gc.freeze()
        self._memory = _private_memory()
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        if len(os.listdir("/proc/self/task")) > 1:
            return "it started a thread"
        ours = {0, 1, 2, self._control.fileno(), self._woken, self._wake}
        if left := [name for name in os.listdir("/proc/self/fd") if int(name) not in ours and _is_open(int(name))]:
            return f"it left open: {', '.join(left)}"
        return ""

    def _is_stale(self) -> bool:
        """Whether something was installed or changed since it was imported here."""
        changed = [path for path, seen in self._folders.items() if _stamp(path) != seen]
        now = time.monotonic()
        if not changed and now - self._looked > FILES_SECONDS:
            self._looked = now
            changed = [path for path, seen in self._files.items() if _stamp(path) != seen]
        if changed:
            self._stale = f"{changed[0]} has changed"
        return bool(changed)


def _import_minimum() -> None:
    for name in MINIMUM:
        importlib.import_module(name)


def _rehearse() -> None:
    from runtara_framework.sdk.rehearsal import rehearse

    rehearse()


def _import_runtime() -> None:
    """What most instances import beyond the minimum."""
    from runtara_framework import runtime

    for module in pkgutil.iter_modules(runtime.__path__, f"{runtime.__name__}."):
        importlib.import_module(module.name)
    importlib.import_module("runtara_framework.sdk.durable")


def _may_change(file: str) -> bool:
    """Not a module of Python itself."""
    return not file.startswith(_LIBRARY) or file.startswith(_LIBRARY + "site-packages")


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:  # that of the listing itself
        return False
    return True


def _started(pid: int) -> int:
    with open(f"/proc/{pid}/stat", "rb") as file:
        text = file.read()
    return int(text[text.rindex(b")") + 2 :].split()[19])


def _private_memory() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[5]) * resource.getpagesize()


def become(job: Job) -> None:
    """What `env -i … python -I program` would be, in the working directory and with the streams that are set already."""
    _, program, _, env, *_ = job
    os.environ.clear()
    os.environ.update(env)
    if _COERCED and not any(env.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG")):
        os.environ["LC_CTYPE"] = _COERCED
    if "TZ" in env:
        time.tzset()
    sys.argv = [program]
    sys.orig_argv = [_PYTHON, "-I", program]
    sys.path.insert(0, program)
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__annotations__ = {}
    gc.enable()
    import runpy

    try:
        runpy._run_module_as_main("__main__", alter_argv=False)  # type: ignore[attr-defined]  # what the interpreter calls
    except SystemExit:
        raise
    except BaseException as error:
        if error.__traceback__ is not None:
            error.__traceback__ = error.__traceback__.tb_next  # without this file
        sys.excepthook(type(error), error, error.__traceback__)
        sys.excepthook = lambda *told: None
        raise  # the interpreter knows the exit code


if __name__ == "__main__":
    helper = Helper(socket.socket(fileno=int(sys.argv[1])), set(sys.argv[2:]))
    # Nothing of the helper is let go in a child: to count down the references to what it holds would copy its pages.
    kept = sys.modules["__main__"]
    become(helper.serve())
