"""Who may leave the process, and when: the coordinator behind sleeps, waits, fan-outs and pauses.

A program is one or more *branches* (tasks). A branch *runs*, or is *parked* (in a sleep or a wait), or is *idle* (it waits
for other branches). Four rules:

* **Leave.** When no branch runs and nothing that is parked is due within `hold_below_ms`, nobody needs the process: the
  server is told the earliest moment and every signal key, and the program ends. It is launched again when one of them
  is due, replays, and arrives at the same sleeps and waits. A branch that this module was not told of (a bare
  `asyncio.gather`) leaves its parent running, so the process stays: slower, never wrong.
* **No signal is lost.** A signal that was consumed no longer wakes anybody. So the process leaves only while no call
  that may consume one is under way.
* **Replay.** Branches have *lines*: a line goes *beyond* when it is about to do what no earlier launch did. Whoever has to
  know what earlier launches did (`ending`) halts lines there and waits until every branch has come to where it stops.
* **Pause.** An *effect* is work that must not be cut in two: a step with its checkpoint. Once a pause is asked for, no
  effect begins; when none is under way and some branch has come to a boundary, the pause is obeyed. What else runs is
  pure and is computed again. Effects nest: the outer one is not at work while an inner one is, or while it is parked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from contextvars import Context, ContextVar, copy_context
from typing import Any, Protocol, TypeVar

from runtara_framework.memory import LIMIT, spared_task

T = TypeVar("T")

TICKS = 8
"""Turns of the event loop that must pass without a running branch. A branch that waits for another one is woken two turns
after it; until then nobody runs although somebody is about to."""
RETRY_SECONDS = (0.1, 0.5, 2.0, 10.0)
"""When to try again after the server refused to let the program leave."""

LEAST_ROUND_MS = 1_000
LONGEST_ROUND_MS = 20_000
"""Bounds of what a poll for a signal is held; within them it is `hold_below_ms`."""
STAYING_SECONDS = 0.2
"""Between two looks for a signal while the program is being ended."""


class Port(Protocol):
    """What the coordinator needs of the rest of the program."""

    def now_ms(self) -> int: ...

    async def suspend(self, wake_at_ms: int | None, waits: dict[str, str]) -> bool:
        """Tell the server; True: the process must end. `waits`: the checkpoint of each wait, and the signal's key."""
        ...

    async def look_at_signals(self) -> None:
        """The server refused to suspend; a signal may be why."""
        ...

    async def obey_pause(self) -> bool:
        """Acknowledge the pause; False if it was withdrawn meanwhile."""
        ...

    def left(self) -> None:
        """The program is suspended: end it."""
        ...


class Spot:
    """What one parked branch waits for: a moment, a signal (which is to become that checkpoint), or both. Neither: only for
    others to end it."""

    __slots__ = ("checkpoint_id", "signal_key", "wake_at_ms")

    def __init__(
        self, wake_at_ms: int | None = None, signal_key: str | None = None, checkpoint_id: str | None = None
    ) -> None:
        self.wake_at_ms = wake_at_ms
        self.signal_key = signal_key
        self.checkpoint_id = checkpoint_id


class Line:
    """A branch and the branches that are born in it, as far as replays are concerned."""

    __slots__ = ("beyond", "halted", "outer")

    def __init__(self, outer: Line | None) -> None:
        self.outer = outer
        self.beyond: bool = outer is not None and outer.beyond
        """Has it done what no earlier launch did, itself or before it was born?"""
        self.halted = False
        """Shall it, and what is born in it, do no such thing?"""

    def within(self, lines: Sequence[Line]) -> bool:
        """Is it one of them, or born in one?"""
        line: Line | None = self
        while line is not None:
            if line in lines:
                return True
            line = line.outer
        return False

    def stops(self) -> bool:
        """Is it halted, or what it was born in?"""
        return self.halted or (self.outer is not None and self.outer.stops())


class Parking:
    """The coordinator of one launch. All methods are of one event loop."""

    def __init__(self, port: Port, *, hold_below_ms: int) -> None:
        self._port = port
        self._hold_below_ms = hold_below_ms
        self._round_ms = max(LEAST_ROUND_MS, min(hold_below_ms, LONGEST_ROUND_MS))
        self._lines: dict[asyncio.Task[Any], Line] = {}  # of all branches
        self._root = Line(None)
        self._running: dict[asyncio.Task[Any], Line] = {}  # branches that are neither parked nor idle
        self._holds = 0  # who needs the process although nobody runs
        self._parked: set[Spot] = set()
        self.deadlines: set[Spot] = set()  # time limits in force; a program that left is launched for them, too
        self._polls = 0  # calls under way that may consume a signal
        self._drained: asyncio.Event | None = None  # a round of polls is open; set at its end
        self._round_ends_ms = 0
        self._effects = 0  # effects at work
        self._refused = 0  # times in a row
        self._leaver: asyncio.Task[None] | None = None
        self._decided: asyncio.Event | None = None  # there is a leaver; set when it has decided
        self._leaving = False  # the server is being told
        self._pause: asyncio.Event | None = None  # asked for; set when withdrawn
        self._pauser: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._staying = False
        self._watchers: set[asyncio.Event] = set()  # of those who wait for branches to come to where they stop

    # -- branches -------------------------------------------------------------------------------------------

    def add_branch(self, task: asyncio.Task[Any], line: Line | None = None) -> None:
        """Count the task as a branch until it is done."""
        self._lines[task] = self._running[task] = line or self._root
        task.add_done_callback(self._branch_done)

    def _branch_done(self, task: asyncio.Task[Any]) -> None:
        self._lines.pop(task, None)
        self._running.pop(task, None)
        self._changed()

    def spawn(self, awaitable: Awaitable[T], variables: Context | None = None) -> asyncio.Task[T]:
        """Run it as a parallel branch, with these context variables. Whoever awaits the task does so inside `idle()`."""
        if LIMIT.bytes is not None:
            awaitable = spared_task(awaitable)
        coroutine = awaitable if isinstance(awaitable, Coroutine) else _awaiting(awaitable)
        line = Line(self.line())
        variables = variables or copy_context()
        variables.run(_lines.set, line)
        task: asyncio.Task[T] = asyncio.create_task(coroutine, context=variables)
        self.add_branch(task, line)
        return task

    def line(self) -> Line:
        """That of the code that runs, whatever task it is in."""
        return _lines.get(None) or self._root

    def lines(self, tasks: Iterable[asyncio.Task[Any]]) -> list[Line]:
        """The lines of branches that are not done."""
        return [self._lines[task] for task in tasks if task in self._lines]

    def unfinished(self) -> set[asyncio.Task[Any]]:
        """Every branch that is not done."""
        return {task for task in self._lines if not task.done()}

    def cancel_branches(self) -> set[asyncio.Task[Any]]:
        """Cancel every branch that is not done but for the current task, and tell which they are."""
        rest = self.unfinished() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        return rest

    def branch(self) -> _Branch:
        """`with`: the current task is a branch of its own, if it is not yet."""
        return _Branch(self)

    def idle(self) -> _Idle:
        """`with`: the current branch waits for other branches and for nothing else."""
        return _Idle(self)

    def parked(self, spot: Spot) -> _Parked:
        """`with`: the current branch waits at the spot."""
        return _Parked(self, spot)

    def polling(self) -> _Polling:
        """`with`: a call is under way that may consume a signal."""
        return _Polling(self)

    def effect(self) -> _Effect:
        """`with`: work that must not be cut in two. A task that is no branch is one meanwhile."""
        return _Effect(self)

    def _own(self) -> bool:
        return asyncio.current_task() in self._lines

    def hold(self) -> _Hold:
        """`with`: the process is needed, also if nobody runs."""
        return _Hold(self)

    # -- boundaries -------------------------------------------------------------------------------------------

    async def boundary(self) -> None:
        """Where nothing is cut in two: comes back when the program may go on."""
        if self._leaving and self._decided is not None:  # a task that nobody knew of; the decision is on its way
            await self._decided.wait()
        while self._pause is not None:
            withdrawn = self._pause
            with self.parked(Spot()):
                await withdrawn.wait()

    async def poll_ms(self) -> int:
        """For a parked branch: comes back when the process stays for now; how long it may poll for its signal then.

        Polls go in rounds that end together. Between two rounds nobody polls, so that the program can leave."""
        while True:
            if self._staying:
                # A cancel waits at the server, which answers every poll at once then.
                await asyncio.sleep(STAYING_SECONDS)
                return self._round_ms
            now_ms = self._port.now_ms()
            if self._pause is not None:
                await self._pause.wait()
            elif self._decided is not None:
                await self._decided.wait()
            elif self._drained is None:
                return self._round_ms  # it opens a round
            elif self._round_ends_ms > now_ms:
                return self._round_ends_ms - now_ms
            else:
                await self._drained.wait()

    def stay(self) -> None:
        """From now on nobody leaves and nobody pauses: the program is being ended."""
        self._staying = True
        for task in (self._leaver, self._pauser):
            if task is not None:
                task.cancel()
        self._end_decision()
        if self._retry is not None:
            self._retry.cancel()
        if self._pause is not None:
            self._pause.set()
            self._pause = None

    # -- replays ----------------------------------------------------------------------------------------------

    async def beyond(self, *, stop: bool) -> None:
        """The branch is about to do what no earlier launch did. With `stop`, or if it was halted, it never does."""
        line = self.line()
        if stop or line.stops():
            with self.parked(Spot()):
                await asyncio.Event().wait()
        line.beyond = True
        if self._watchers:
            self._changed()

    def arrived(self, lines: Sequence[Line] | None = None) -> bool:
        """Has every branch (of these lines) come to where its replay ends?"""
        return all(line.beyond or not (lines is None or line.within(lines)) for line in self._running.values())

    async def arrive(self, lines: Sequence[Line] | None = None) -> None:
        """Come back when they have."""
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            while True:
                for _ in range(TICKS):
                    await asyncio.sleep(0)
                if self.arrived(lines):
                    return
                changed.clear()
                await changed.wait()
        finally:
            self._watchers.discard(changed)

    # -- leaving ----------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        for watcher in self._watchers:
            watcher.set()
        if self._staying:
            return
        if self._pause is not None:
            if not self._effects and self._parked and self._pauser is None:
                self._pauser = asyncio.create_task(self._obey_pause())
        elif not (self._running or self._holds or self._polls) and self._parked and self._leaver is None:
            self._decided = asyncio.Event()
            self._leaver = asyncio.create_task(self._leave())

    def _may_leave(self) -> bool:
        if self._running or self._holds or self._polls or not self._parked:
            return False
        if self._pause is not None or self._staying:
            return False
        wake_at_ms = self.wake_at_ms()
        return wake_at_ms is None or wake_at_ms - self._port.now_ms() > self._hold_below_ms

    def wake_at_ms(self) -> int | None:
        """The earliest moment that a parked branch or a time limit waits for."""
        spots = self._parked | self.deadlines
        return min((spot.wake_at_ms for spot in spots if spot.wake_at_ms is not None), default=None)

    async def _leave(self) -> None:
        try:
            for _ in range(TICKS):
                await asyncio.sleep(0)
            if not self._may_leave():
                return
            self._leaving = True
            waits = {
                spot.checkpoint_id: spot.signal_key
                for spot in self._parked
                if spot.signal_key is not None and spot.checkpoint_id is not None
            }
            if await self._port.suspend(self.wake_at_ms(), waits):
                self._port.left()
                return
            await self._port.look_at_signals()
            delay = RETRY_SECONDS[min(self._refused, len(RETRY_SECONDS) - 1)]
            self._refused += 1
            self._retry = asyncio.get_running_loop().call_later(delay, self._changed)
        finally:
            self._end_decision()

    def _end_decision(self) -> None:
        self._leaver, self._leaving = None, False
        if self._decided is not None:
            self._decided.set()
            self._decided = None

    # -- pause ------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Obey at the next boundary, or now if everything at work is parked."""
        if self._pause is None and not self._staying:
            self._pause = asyncio.Event()
            self._changed()

    def resume(self) -> None:
        """The pause was withdrawn."""
        if self._pause is not None:
            self._pause.set()
            self._pause = None
            self._changed()

    async def _obey_pause(self) -> None:
        try:
            if self._effects or self._pause is None:
                return  # an effect began before this task did, or the pause was withdrawn
            if await self._port.obey_pause():
                self._port.left()
            else:
                self.resume()
        finally:
            self._pauser = None


async def _awaiting(awaitable: Awaitable[T]) -> T:
    return await awaitable


class _Region:
    """Base of the `with` blocks: plain classes, because generators cost more and these are on the hot path."""

    __slots__ = ("_parking",)

    def __init__(self, parking: Parking) -> None:
        self._parking = parking


class _Branch(_Region):
    __slots__ = ("_task",)

    def __enter__(self) -> None:
        task = asyncio.current_task()
        self._task = None if task is None or task in self._parking._lines else task
        if self._task is not None:
            line = self._parking.line()
            self._parking._lines[self._task] = self._parking._running[self._task] = line

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._parking._lines.pop(self._task, None)
            self._parking._running.pop(self._task, None)
            self._parking._changed()


class _Still(_Region):
    """Base of those in which the current branch does not run."""

    __slots__ = ("_task",)

    def stop(self) -> None:
        task = asyncio.current_task()
        # None also if it stands still already, around this: then it is that one that makes it run again.
        self._task = task if task is not None and self._parking._running.pop(task, None) is not None else None

    def go_on(self) -> None:
        if self._task is not None:
            self._parking._running[self._task] = self._parking.line()


class _Idle(_Still):
    __slots__ = ()

    def __enter__(self) -> None:
        self.stop()
        self._parking._changed()

    def __exit__(self, *_: object) -> None:
        self.go_on()


class _Hold(_Region):
    __slots__ = ()

    def __enter__(self) -> None:
        self._parking._holds += 1

    def __exit__(self, *_: object) -> None:
        self._parking._holds -= 1
        self._parking._changed()


class _Polling(_Region):
    __slots__ = ()

    def __enter__(self) -> None:
        parking = self._parking
        parking._polls += 1
        if parking._drained is None:
            parking._drained = asyncio.Event()
            parking._round_ends_ms = parking._port.now_ms() + parking._round_ms

    def __exit__(self, *_: object) -> None:
        parking = self._parking
        parking._polls -= 1
        if not parking._polls and parking._drained is not None:
            parking._drained.set()
            parking._drained = None
        parking._changed()


class _Parked(_Still):
    __slots__ = ("_effect", "_spot")

    def __init__(self, parking: Parking, spot: Spot) -> None:
        super().__init__(parking)
        self._spot = spot

    def __enter__(self) -> None:
        self._effect = _current.get()
        if self._effect is not None:
            self._effect.inner_begins()
        self._parking._parked.add(self._spot)
        self.stop()
        self._parking._changed()

    def __exit__(self, *_: object) -> None:
        self._parking._parked.discard(self._spot)
        self._parking._refused = 0
        self.go_on()
        if self._effect is not None:
            self._effect.inner_ends()


class _Effect(_Region):
    """An effect is at work while it is open and has nothing inside that is (the innermost is)."""

    __slots__ = ("_branch", "_inner", "_open", "_outer", "_token")

    def __enter__(self) -> None:
        self._outer = _current.get()
        if self._outer is not None:
            self._outer.inner_begins()
        self._inner = 0
        self._open = True
        self._parking._effects += 1
        self._token = _current.set(self)
        self._branch = _Branch(self._parking)
        self._branch.__enter__()

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
        if not self._inner:
            self._parking._effects -= 1
        self._open = False
        if self._outer is not None:
            self._outer.inner_ends()
        self._branch.__exit__()
        self._parking._changed()

    def inner_begins(self) -> None:
        if self._open:
            if not self._inner:
                self._parking._effects -= 1
            self._inner += 1

    def inner_ends(self) -> None:
        # A task that outlives the effect it was born in still carries it; it counts for nothing then.
        if self._open:
            self._inner -= 1
            if not self._inner:
                self._parking._effects += 1


_current: ContextVar[_Effect | None] = ContextVar("runtara_effect", default=None)
_lines: ContextVar[Line | None] = ContextVar("runtara_line", default=None)
