"""Runner `native`: keeps the books of the processes that it launches, from handle to exit.

One pidfd a process tells the event loop that it has ended; `wait4` on that pid, and on no other, then gives the code, the
signal and what it used, so neither asyncio's child watcher nor anybody else's `subprocess` is disturbed. No thread waits,
nothing polls for the end. When a program ends, whatever it has left running is killed before `wait` returns.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sys
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from pydantic import Field

from runtara_framework.errors import DriverUnavailable, LaunchFailed
from runtara_framework.memory import RUNTIME_BYTES
from runtara_framework.model import Exit, Image, Record
from runtara_framework.spec.driver import DriverContext, DriverSettings
from runtara_framework.spec.runner import Handle, LaunchSpec, ReadBlob, Runner
from runtara_runner_native import launching, processes
from runtara_runner_native.forkserver import Ended, ForkServer, Refused, forkable
from runtara_runner_native.images import Images, Program
from runtara_runner_native.output import Output

_FIRST_LOOK_SECONDS = 0.02
_LONGEST_LOOK_SECONDS = 0.5


class NativeSettings(DriverSettings):
    """The table `[runner.native]`."""

    python: str = Field(
        default=sys.executable,
        description="Interpreter for images that are Python zipapps. It must have runtara-framework and the agents installed",
    )
    fork_server: bool = Field(
        default=True,
        description="Start Python zipapps by a fork of a process that has imported what they need. Needs `python` as it is",
    )
    output_limit_bytes: int = Field(
        default=1024 * 1024,
        ge=64 * 1024,
        description="How much of its stdout, and of its stderr, a running process keeps on disk; older output is dropped",
    )


class _Handle(Record):
    pid: int
    started: int  # clock ticks since boot: with `machine`, no other process had or will have this pid and this time
    machine: str
    mark: int


class _How(Enum):
    """How a process came to be watched."""

    EXECUTED = auto()  # by this server: it is our child
    FORKED = auto()  # by our fork server, which tells its end
    ADOPTED = auto()  # from an earlier life of the server


@dataclass(eq=False)
class _Launch:
    """A process that this server watches."""

    pid: int
    mark: int
    output: Output
    gone: asyncio.Future[None] | asyncio.Future[Ended | None]  # the program itself; and how, if it was forked
    exit: asyncio.Future[Exit]  # when nothing that it started is left either
    how: _How
    started: int | None = field(
        default=None, kw_only=True
    )  # of one that was forked: our fork server may have waited for it
    server_memory: int  # our own peak when it was launched
    kills_seen: tuple[int | None, int | None]  # for want of memory, on this machine: before the last look, and at it
    memory_peak: int = 0
    stopped: bool = False  # we killed it
    pause: float = _FIRST_LOOK_SECONDS
    look: asyncio.TimerHandle | None = None
    result: Exit = field(default_factory=Exit)


class NativeRunner(Runner):
    """Processes on this host. See the README for what can run and what is guaranteed."""

    api = 1
    capabilities = frozenset({"processes", "adopt", "usage", "stderr", "memory"})
    Settings = NativeSettings
    settings: NativeSettings

    def __init__(self, settings: NativeSettings, context: DriverContext) -> None:
        super().__init__(settings, context)
        self._folder = Path(os.path.abspath(context.data_dir)) / "runner_native"
        self._output = self._folder / "output"
        self._images = Images(self._folder, settings.python)
        self._machine = ""
        self._forks: ForkServer | None = None
        self._launches: dict[int, _Launch] = {}  # by mark, until `wait` has told the exit
        self._ended: list[_Launch] = []  # their program has ended, what it left is not looked for yet
        self._sweeps: set[asyncio.Task[None]] = set()

    async def start(self, stack: AsyncExitStack) -> None:
        processes.check()
        if shutil.which(self.settings.python) is None:
            raise DriverUnavailable(f"[runner.native] python = {self.settings.python!r} is no executable")
        self._machine = processes.machine()
        self._output.mkdir(parents=True, exist_ok=True)
        self._images.start()
        alive = {mark for _, mark in processes.marked()}
        for file in self._output.iterdir():
            if Output.mark_of(file) not in alive:
                file.unlink()
        stack.push_async_callback(self._leave)
        if self.settings.fork_server and self.settings.python == sys.executable:
            self._forks = ForkServer(self.settings.python, self._folder, self.context.logger)
            await self._forks.start()

    async def prepare(self, image: Image, read: ReadBlob) -> None:
        await self._images.prepare(image, read)

    async def discard(self, image: Image) -> None:
        await self._images.discard(image.sha256)

    async def launch(self, spec: LaunchSpec) -> Handle:
        program = await self._images.program(spec.image.sha256)
        mark = processes.new_mark()
        output = Output.of(self._output, mark)
        try:
            pid, started = await self._fork(program, spec, output, mark) or await self._execute(
                program, spec, output, mark
            )
        except BaseException:
            output.remove()
            raise
        return {"pid": pid, "started": started, "machine": self._machine, "mark": mark}

    async def _fork(self, program: Program, spec: LaunchSpec, output: Output, mark: int) -> tuple[int, int] | None:
        """None if it cannot be forked: then exec does it, or tells why not even that can be."""
        if self._forks is None or program.modules is None or not forkable(spec.env):
            return None
        try:
            child = await self._forks.launch(
                program.command[-1],
                program.modules,
                spec.env,
                spec.workdir,
                output,
                mark,
                spec.memory_limit_bytes,
            )
        except Refused as refused:
            self.context.logger.debug("%s is started by exec: %s", spec.ref.instance_id, refused)
            return None
        launch = self._watch(child.pid, mark, output, child.gone, _How.FORKED)
        launch.started = child.started
        return child.pid, child.started

    async def _execute(self, program: Program, spec: LaunchSpec, output: Output, mark: int) -> tuple[int, int]:
        try:
            stdout, stderr = output.open()
        except OSError as error:
            raise LaunchFailed(f"cannot write the process's output to {self._output}: {error.strerror}") from error
        try:
            pid = await launching.start(program.command, spec.env, spec.workdir, stdout, stderr)
        finally:
            os.close(stdout)
            os.close(stderr)
        processes.set_mark(pid, mark)
        if spec.memory_limit_bytes is not None:
            processes.limit_memory(pid, spec.memory_limit_bytes + RUNTIME_BYTES)
        try:
            started = processes.started(pid, even_ended=True)
            self._watch(pid, mark, output, processes.gone(os.pidfd_open(pid)), _How.EXECUTED)
        except OSError as error:  # the server has no descriptor left for a pidfd
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)  # noqa: ASYNC222  # it is dying, and nothing else can tell us when it is dead
            raise LaunchFailed(f"cannot watch the process: {error.strerror}") from error
        assert started is not None, "our own child has a stat file until we have waited for it"
        return pid, started

    async def wait(self, handle: Handle) -> Exit:
        launch = self._launches.get(msgspec.convert(handle, _Handle).mark)
        if launch is None:
            return Exit()
        exit = await asyncio.shield(launch.exit)
        self._launches.pop(launch.mark, None)
        return exit

    async def stop(self, handle: Handle, grace_seconds: float) -> None:
        launch = self._launches.get(mark := msgspec.convert(handle, _Handle).mark)
        if launch is None:
            if not await self.adopt(handle):
                return
            launch = self._launches[mark]
        if not launch.gone.done():
            launch.stopped = True
            if grace_seconds > 0:
                self._signal_group(launch, signal.SIGTERM)
                await self._until_gone(launch, grace_seconds)
            self._signal_group(launch, signal.SIGKILL)
        await processes.end({mark})
        await asyncio.shield(launch.exit)

    async def adopt(self, handle: Handle) -> bool:
        known = msgspec.convert(handle, _Handle)
        if (launch := self._launches.get(known.mark)) is not None:
            return not launch.gone.done()
        output = Output.of(self._output, known.mark)
        if known.machine == self._machine and processes.started(known.pid) == known.started:
            with suppress(ProcessLookupError):
                gone = processes.gone(os.pidfd_open(known.pid))
                launch = self._watch(known.pid, known.mark, output, gone, _How.ADOPTED)
                if processes.started(known.pid) == known.started:  # the pidfd is of the right process
                    return True
                self._forget(launch)
        await processes.end({known.mark})  # the program has ended; what it left running is nobody's
        output.remove()
        return False

    # -- from launch to exit ------------------------------------------------------------------------------

    def _watch(
        self,
        pid: int,
        mark: int,
        output: Output,
        gone: asyncio.Future[None] | asyncio.Future[Ended | None],
        how: _How,
    ) -> _Launch:
        kills = processes.out_of_memory_kills()
        launch = _Launch(
            pid=pid,
            mark=mark,
            output=output,
            gone=gone,
            exit=asyncio.get_running_loop().create_future(),
            how=how,
            server_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            kills_seen=(kills, kills),
        )
        self._launches[mark] = launch
        launch.gone.add_done_callback(partial(self._on_gone, launch))
        if how is _How.ADOPTED:
            self._look(launch)
        else:
            launch.look = asyncio.get_running_loop().call_later(launch.pause, self._look, launch)
        return launch

    def _look(self, launch: _Launch) -> None:
        """Bound the output; note what is not known any more once the process has ended."""
        launch.memory_peak = max(launch.memory_peak, processes.memory_peak(launch.pid))
        launch.kills_seen = (launch.kills_seen[1], processes.out_of_memory_kills())
        try:
            floods = launch.output.trim(self.settings.output_limit_bytes)
        except OSError as error:
            self.context.logger.warning("cannot bound the output of process %d: %s", launch.pid, error)
            floods = False
        launch.pause = _FIRST_LOOK_SECONDS if floods else min(2 * launch.pause, _LONGEST_LOOK_SECONDS)
        # The loop's own timer, not the context's clock: it is the pace of a real process, whatever time the kernel is told.
        launch.look = asyncio.get_running_loop().call_later(launch.pause, self._look, launch)

    def _on_gone(self, launch: _Launch, gone: asyncio.Future[Any]) -> None:
        if launch.look is not None:
            launch.look.cancel()
        if gone.cancelled():
            return
        launch.result = self._observed(launch)
        self._ended.append(launch)
        if len(self._ended) == 1:  # all that end in this round of the loop share one pass over /proc
            asyncio.get_running_loop().call_soon(self._look_for_leftovers)

    def _look_for_leftovers(self) -> None:
        ended, self._ended = self._ended, []
        left = {mark for _, mark in processes.marked({launch.mark for launch in ended})}
        for launch in ended:
            if launch.mark in left:
                sweep = asyncio.create_task(self._sweep(launch))
                self._sweeps.add(sweep)
                sweep.add_done_callback(self._sweeps.discard)
            else:
                self._finish(launch)

    async def _sweep(self, launch: _Launch) -> None:
        await processes.end({launch.mark})
        self._finish(launch)

    def _finish(self, launch: _Launch) -> None:
        stderr = launch.output.tail()
        launch.output.remove()
        launch.exit.set_result(msgspec.structs.replace(launch.result, stderr=stderr))

    def _observed(self, launch: _Launch) -> Exit:
        """How the program itself ended. Reaps it, if it is ours to reap."""
        sampled = launch.memory_peak or None
        if launch.how is _How.ADOPTED:
            return Exit(memory_peak_bytes=sampled)
        if launch.how is _How.FORKED:
            if (ended := launch.gone.result()) is None:
                return Exit(memory_peak_bytes=sampled)
            return self._told(launch, ended.status, ended.cpu_usec, ended.memory_peak)
        with suppress(ProcessLookupError):
            os.killpg(launch.pid, signal.SIGKILL)  # its group's id is taken until we have waited for its leader
        try:
            _, status, usage = os.wait4(launch.pid, 0)
        except ChildProcessError:  # somebody in this process waits for every child
            self.context.logger.warning("process %d was reaped by others, its exit code is lost", launch.pid)
            return Exit(memory_peak_bytes=sampled)
        cpu_usec = round((usage.ru_utime + usage.ru_stime) * 1e6)
        return self._told(launch, status, cpu_usec, _peak(usage.ru_maxrss * 1024, launch.server_memory, sampled))

    def _told(self, launch: _Launch, status: int, cpu_usec: int, memory_peak: int | None) -> Exit:
        code = os.waitstatus_to_exitcode(status)
        return Exit(
            code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            out_of_memory=code == -signal.SIGKILL
            and not launch.stopped
            and (before := launch.kills_seen[0]) is not None
            and (processes.out_of_memory_kills() or 0) > before,
            cpu_usec=cpu_usec,
            memory_peak_bytes=memory_peak,
        )

    def _signal_group(self, launch: _Launch, number: signal.Signals) -> None:
        # Else the id of the group may mean another one. (The fork server has waited for its child before it tells.)
        known = launch.started is None or processes.started(launch.pid, even_ended=True) == launch.started
        if not launch.gone.done() and known:
            with suppress(ProcessLookupError):
                try:
                    os.killpg(launch.pid, number)
                except ProcessLookupError:  # it was forked this moment, and is no group yet
                    os.kill(launch.pid, number)

    async def _until_gone(self, launch: _Launch, seconds: float) -> None:
        clock = self.context.clock
        timer = asyncio.ensure_future(clock.sleep_until(clock.now_ms() + round(seconds * 1000)))
        try:
            await asyncio.wait({launch.gone, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()

    def _forget(self, launch: _Launch) -> None:
        del self._launches[launch.mark]
        launch.gone.cancel()

    async def _leave(self) -> None:
        """The server ends: leave the processes alone, and let go of them."""
        for sweep in self._sweeps:
            sweep.cancel()
        await asyncio.gather(*self._sweeps, return_exceptions=True)
        for launch in self._launches.values():
            launch.gone.cancel()
            launch.exit.cancel()
        self._launches.clear()
        if self._forks is not None:
            await self._forks.close()
        await asyncio.sleep(0)  # the callbacks that close the pidfds


def _peak(reported: int, server: int, sampled: int | None) -> int | None:
    """A process that was started with vfork is charged with the peak of its parent until exec. What is clearly above it is
    the program's own and exact; otherwise the last look at the living process is all that is known."""
    return reported if reported > server + server // 16 else sampled
