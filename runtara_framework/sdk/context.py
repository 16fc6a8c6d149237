"""`Context`: what a program gets. Everything in it survives the death of the process.

A program runs from the top in every launch and finds what it did before: a checkpoint that exists is returned, not made
again. So whatever has an effect outside, or differs from run to run, goes through here, each under a key of its own that
is the same in every launch. Keys are `Key`s; a text is the step of that name.

Signals: a cancel interrupts the program at once (by `asyncio.CancelledError`, which no `except Exception` catches), and so
does the end of the instance's running time; a pause waits for the next boundary. Long sleeps and waits leave the process;
`parking` says when.

A program that still replays is interrupted where its replay ends; `ending` says why.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from contextvars import ContextVar, copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, overload

from runtara_framework.clock import Clock, SystemClock
from runtara_framework.dsl.bounds import MAX_MILLIS
from runtara_framework.errors import (
    ConnectionFetchFailed,
    ConnectionRateLimited,
    ConnectionServiceMissing,
    ConnectionUnknown,
    InvalidRequest,
    PayloadTooLarge,
    RuntaraError,
    StaleLaunch,
)
from runtara_framework.protocol.messages import ResolvedConnection, SignalInfo
from runtara_framework.sdk.client import InstanceClient
from runtara_framework.sdk.ending import REPLAY_SECONDS, Ending, Stop
from runtara_framework.sdk.failure import INPUT_INVALID, OUTPUT_TOO_LARGE, Failure, WaitTimeout
from runtara_framework.sdk.keys import Key
from runtara_framework.sdk.limit import Limit, overdue
from runtara_framework.sdk.parking import Line, Parking, Spot
from runtara_framework.sdk.port import ContextPort
from runtara_framework.sdk.scope import Scope, scope
from runtara_framework.sdk.scope import enter as enter_scope
from runtara_framework.sdk.values import decode

if TYPE_CHECKING:
    from random import Random

T = TypeVar("T")

WATCH_AFTER_SECONDS = 0.02
"""Runs that are shorter than this are not listened for signals beside the answers of their checkpoints."""
WATCH_HOLD_MS = 20_000


class Context:
    """One launch of one instance, as its program sees it."""

    def __init__(self, client: InstanceClient, clock: Clock | None = None) -> None:
        """For `bootstrap`; `client` has registered."""
        registered = client.registered
        if registered is None:
            raise ValueError("register the client before making a context of it")
        self.instance_id = registered.instance_id
        self.tenant_id = registered.tenant_id
        self.started_at_ms = registered.started_at_ms
        """When the instance first ran, ms since the epoch: the same in every launch."""
        self.input: Any = _parse(registered.input)
        """The JSON value that the instance was started with; None if there was none."""
        self.on_cancel: Callable[[], Awaitable[Any]] | None = None
        """Called when the instance is cancelled or its running time is used up, before that is reported; has 30 seconds. May
        use this context. A launch that is made to obey a cancel runs up to where the program was, then calls it."""
        self.compensate = False
        """Whether the cancel asks for compensations that run only when somebody asks for them (DSL.md 9, `manual`)."""
        self.shared: dict[Key, asyncio.Future[Any]] = {}
        """Steps of this launch that several calls share, for `durable`."""
        self.stopped: Stop | None = None
        self.lost: RuntaraError | None = None
        """Why the server is lost, if `stopped` is LOST."""
        self._client = client
        self._clock: Clock = clock or SystemClock()
        # The server decides what time it is: an instance may run on another machine.
        self._offset_ms = registered.now_ms - self._clock.now_ms()
        self._parking = Parking(ContextPort(self), hold_below_ms=registered.hold_below_ms)
        self._main: asyncio.Task[Any] | None = None
        self._ending = asyncio.Event()
        self._over: set[asyncio.Task[Any]] = set()  # of a program that took no notice of its end
        self._watch: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None
        self._seen_signal = 0
        self._reached: list[str] = []  # breakpoints at which the program stands
        self._remaining_ms = registered.remaining_ms
        self._end = Ending(self._parking, self.stop, replays=registered.epoch > 1)

    # -- checkpoints ------------------------------------------------------------------------------------------

    def saved(self, key: Key | str) -> bytes | None:
        """What an earlier launch saved under the key; None if it did not come that far. No I/O.

        What this launch saves is not kept: `checkpoint` returns it."""
        return self._client.saved(str(Key.of(key)))

    async def checkpoint(self, key: Key | str, state: bytes) -> bytes:
        """Save `state` under the key unless something is saved there; return what is. A boundary: a pause stops here.

        Raises `Failure` OUTPUT_TOO_LARGE if the server takes no state of that size."""
        self._check()
        checkpoint_id = str(Key.of(key))
        known = self._client.saved(checkpoint_id)
        if known is None:
            await self._beyond()
            with self._parking.effect():
                try:
                    known = (await self._client.checkpoint(checkpoint_id, state)).state
                except PayloadTooLarge as error:
                    raise Failure(OUTPUT_TOO_LARGE, error.message, attributes=error.details) from error
                except RuntaraError as error:
                    self._give_up(error)
            self._check()
        await self._parking.boundary()
        return known

    def effect(self) -> AbstractAsyncContextManager[None]:
        """`async with`: work that must not be cut in two by a pause, or by leaving the process: a step together with the
        checkpoint of its result. Entering it is a boundary."""
        return _EffectBlock(self)

    # -- time ---------------------------------------------------------------------------------------------------

    async def sleep(self, key: Key | str, ms: int) -> None:
        """Sleep until `ms` milliseconds after the first time that any launch came here. Long sleeps leave the process."""
        if ms <= 0:
            self._check()
            return
        await self.sleep_until(await self.deadline(key, ms))

    async def sleep_until(self, moment_ms: int) -> None:
        """Sleep until that moment, ms since the epoch, which must be the same in every launch. Writes nothing. Raises
        `ValueError` if that is more than ten years away."""
        self._check()
        _bounded(moment_ms - self.clock_ms())
        if moment_ms > self.clock_ms():
            await self._beyond()
            with self._parking.parked(Spot(moment_ms)):
                await self._clock.sleep_until(moment_ms - self._offset_ms)
            self._check()
        await self._parking.boundary()

    async def nap(self, ms: int) -> None:
        """Sleep in the process. Nothing is saved: every launch sleeps anew, but for one that is only to come to where
        earlier ones were. A pause does not wait for it."""
        self._check()
        if ms > 0 and self._end.asked is None:
            with self.hold(), self._parking.parked(Spot()):
                await self._clock.sleep_until(self._clock.now_ms() + ms)
            self._check()
        await self._parking.boundary()

    async def deadline(self, key: Key | str, ms: int) -> int:
        """The moment `ms` milliseconds after the first time that any launch came here, in ms since the epoch: saved then,
        never computed again. Raises `ValueError` for more than ten years."""
        _bounded(ms)
        stored = await self.checkpoint(Key.of(key).deadline(), b"%d" % (self.clock_ms() + ms))
        return int(stored)

    async def now_ms(self, key: Key | str) -> int:
        """Milliseconds since the epoch when any launch first came here."""
        return int(await self.checkpoint(Key.of(key), b"%d" % self.clock_ms()))

    @asynccontextmanager
    async def timeout(
        self, key: Key | str, ms: int, *, struck: Callable[[], Awaitable[Any]] | None = None
    ) -> AsyncIterator[None]:
        """`async with`: what runs inside is interrupted, and `TimeoutError` raised, `ms` milliseconds after any launch first
        came here. Durable: the limit goes on while the process is away, and that it struck is remembered.

        `struck` is called before that is remembered. If the process dies meanwhile, the next launch goes on inside to where
        the last one was, is interrupted there, and calls it again."""
        key = Key.of(key)
        if self.saved(key.timeout()) is not None:
            raise TimeoutError(f"{key} took longer than {ms} ms")
        limit = Limit(await self.deadline(key, ms), self._parking)
        try:
            async with asyncio.timeout(None) as alarm:
                striking = asyncio.create_task(self._strike(limit, alarm, self._parking.line()))
                try:
                    yield
                finally:
                    striking.cancel()
        except TimeoutError:
            if alarm.expired():
                limit.over()
                if struck is not None:
                    await struck()
                await self.checkpoint(key.timeout(), b"true")
            raise
        finally:
            limit.over()

    async def _strike(self, limit: Limit, alarm: asyncio.Timeout, line: Line) -> None:
        since = time.monotonic()
        await self._clock.sleep_until(limit.deadline_ms - self._offset_ms)
        # Not in the middle of a replay: what undoes the work inside has to know of all of it.
        await self._end.replayed((line,), REPLAY_SECONDS + since - time.monotonic())
        limit.struck = True
        alarm.reschedule(asyncio.get_running_loop().time())

    async def _beyond(self) -> None:
        """Before anything that no earlier launch did. A branch whose time is over does nothing more: it is about to be
        interrupted."""
        if overdue(self.clock_ms()):
            with self._parking.parked(Spot()):
                await asyncio.Event().wait()
        await self._end.beyond()

    def clock_ms(self) -> int:
        """The server's time now, ms since the epoch: another one in every launch. `now_ms` is the one for programs."""
        return self._clock.now_ms() + self._offset_ms

    # -- signals ------------------------------------------------------------------------------------------------

    async def wait_signal(self, key: Key | str, signal_key: str, timeout_ms: int | None = None) -> bytes:
        """The payload of the custom signal `signal_key`, which may have come before. Consumed once, and remembered under
        `key`. Raises `WaitTimeout` (WAIT_TIMEOUT) `timeout_ms` after any launch first came here; that, too, is remembered.
        Long waits leave the process."""
        self._check()
        key = Key.of(key)
        payload = self.saved(key)
        if payload is None and self.saved(key.timeout()) is None:
            until_ms = None if timeout_ms is None else await self.deadline(key, timeout_ms)
            payload = await self.receive(key, signal_key, until_ms)
            if payload is None:
                await self.checkpoint(key.timeout(), b"true")
        if payload is None:
            raise _wait_timeout(signal_key, timeout_ms)
        return payload

    async def receive(self, key: Key | str, signal_key: str, until_ms: int | None = None) -> bytes | None:
        """The payload of the custom signal, remembered under `key`; None if none has come by that moment, ms since the
        epoch, which only the caller remembers. What has come already is found also when the moment is over."""
        self._check()
        key = Key.of(key)
        payload = self.saved(key)
        if payload is not None:
            return payload
        await self._beyond()
        spot = Spot(until_ms, signal_key, str(key))
        payload = await self._take(key, signal_key, 0)
        with self._parking.parked(spot):
            while payload is None:
                wait_ms = await self._parking.poll_ms()
                if until_ms is not None:
                    wait_ms = min(wait_ms, until_ms - self.clock_ms())
                    if wait_ms <= 0:
                        break
                payload = await self._take(key, signal_key, wait_ms)
        self._check()
        await self._parking.boundary()
        return payload

    async def _take(self, key: Key, signal_key: str, wait_ms: int) -> bytes | None:
        with self._parking.polling():
            try:
                return await self._client.take_signal(signal_key, str(key), wait_ms=wait_ms)
            except RuntaraError as error:
                self._give_up(error)

    # -- events -------------------------------------------------------------------------------------------------

    async def emit(self, subtype: str, payload: Any, key: Key | str | None = None) -> None:
        """Record a `custom` event; `payload` is bytes, or a value that becomes JSON. With a key it is recorded once in the
        instance's life, however often it is replayed."""
        self._check()
        try:
            await self._client.custom_event(subtype, payload, key=None if key is None else str(Key.of(key)))
        except PayloadTooLarge as error:
            raise Failure(error.code, error.message, attributes=error.details) from error
        except RuntaraError as error:
            self._give_up(error)
        self._check()

    # -- connections --------------------------------------------------------------------------------------------

    async def resolve_connection(self, connection_id: str) -> ResolvedConnection:
        """A connection of this instance's tenant: `integration_id`, `parameters` (secret: keep them out of checkpoints and
        events), how long they may be kept. Raises the errors of `InstanceClient.resolve_connection`."""
        self._check()
        try:
            return await self._client.resolve_connection(connection_id)
        except (ConnectionUnknown, ConnectionRateLimited, ConnectionFetchFailed, ConnectionServiceMissing):
            raise
        except RuntaraError as error:
            self._give_up(error)

    # -- replay-stable values -----------------------------------------------------------------------------------

    def random(self, key: Key | str) -> Random:
        """A generator of its own, which gives the same numbers in every launch. Not for secrets."""
        from random import Random

        return Random(f"{self.tenant_id}/{self.instance_id}/{Key.of(key)}")  # repeatable on purpose

    def uuid(self, key: Key | str) -> str:
        """A UUID (version 8, RFC 9562) that is the same in every launch and different everywhere else."""
        from hashlib import sha256

        digest = bytearray(sha256(f"{self.tenant_id}/{self.instance_id}/{Key.of(key)}".encode()).digest()[:16])
        digest[6] = digest[6] & 0x0F | 0x80
        digest[8] = digest[8] & 0x3F | 0x80
        text = digest.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    # -- for debugging ------------------------------------------------------------------------------------------

    async def breakpoint(self, key: Key | str) -> None:
        """Suspend the instance here until it is resumed, once in its life. As for a pause, effects that are under way in
        other branches come to their end first."""
        self._check()
        if self.saved(key) is None:
            await self._beyond()
            # The checkpoint is written together with the suspension, so that no kill skips the stop.
            self._reached.append(str(Key.of(key)))
            self._parking.pause()
            await self._parking.boundary()

    # -- branches -----------------------------------------------------------------------------------------------

    @overload
    async def gather(self, *awaitables: Awaitable[T], return_exceptions: Literal[False] = False) -> list[T]: ...
    @overload
    async def gather(self, *awaitables: Awaitable[T], return_exceptions: Literal[True]) -> list[T | BaseException]: ...

    async def gather(self, *awaitables: Awaitable[Any], return_exceptions: bool = False) -> list[Any]:
        """Run them as parallel branches; the results in order. The first failure cancels the others, waits for them and
        is raised; with `return_exceptions` all run to their end and failures are among the results. Unlike
        `asyncio.gather`, it lets the process go when every branch sleeps or waits."""
        self._check(*awaitables)
        if not awaitables:
            return []
        place = scope().branches()
        tasks = [self._spawn(item, place and place.index(number)) for number, item in enumerate(awaitables)]
        when = asyncio.ALL_COMPLETED if return_exceptions else asyncio.FIRST_EXCEPTION
        try:
            with self.idle():
                done, pending = await asyncio.wait(tasks, return_when=when)
                failed = [task for task in tasks if task in done and not _succeeded(task)]
                if pending:
                    await self._end.halt(pending)
                    await _end(pending)
        except asyncio.CancelledError:
            await _end(tasks)
            raise
        if failed and not return_exceptions:
            failed[0].result()  # raises
        return [task.result() if (error := task.exception()) is None else error for task in tasks]

    def spawn(self, awaitable: Awaitable[T]) -> asyncio.Task[T]:
        """Start a parallel branch. Await it inside `with ctx.idle()`; whoever spawned it ends it."""
        self._check(awaitable)
        return self._spawn(awaitable, scope().branches())

    def _spawn(self, awaitable: Awaitable[T], place: Key | None) -> asyncio.Task[T]:
        if place is None:
            return self._parking.spawn(awaitable)
        inner = Scope(place, scope().attempts)
        variables = copy_context()
        variables.run(enter_scope, inner)
        inner.owner = task = self._parking.spawn(awaitable, variables)
        return task

    def branch(self) -> AbstractContextManager[None]:
        """`with`: the current task, which somebody else created, is a parallel branch."""
        return self._parking.branch()

    def idle(self) -> AbstractContextManager[None]:
        """`with`: this branch waits for other branches of the program and for nothing else."""
        return self._parking.idle()

    def hold(self) -> AbstractContextManager[None]:
        """`with`: the process is not let go, also if every branch sleeps or waits."""
        return self._parking.hold()

    def remembering(self) -> AbstractContextManager[None]:
        """`with`: `saved` finds what is saved meanwhile, in this launch already: for what may have to begin again in it."""
        return self._client.remembering()

    # -- for bootstrap ------------------------------------------------------------------------------------------

    def begin(self, main: asyncio.Task[Any]) -> None:
        """`main` is the program. Listen for signals from now on."""
        self._main = main
        self._parking.add_branch(main)
        main.add_done_callback(lambda task: self._ending.set())
        self._client.on_signals = self._deliver
        self._client.on_lost = self._lose
        if self._remaining_ms is not None:
            self._end.interrupt_at(self._clock.now_ms() + self._remaining_ms, self._clock)
        self._deliver(self._client.waiting_signals())
        if self.stopped is None:
            self._watch = asyncio.get_running_loop().call_later(WATCH_AFTER_SECONDS, self._begin_watching)

    async def ended(self) -> None:
        """Comes back when the program has returned or was stopped."""
        await self._ending.wait()
        if self._end.asked is not None:
            self.stop(self._end.asked)  # it returned from what earlier launches did; it is to end as it was told

    def stop(self, why: Stop) -> None:
        """End the program, whatever it does."""
        if self.stopped is None:
            self.stopped = why
            self._parking.stay()
            self._ending.set()
            if self._main is not None:
                self._main.cancel()

    def reopen(self) -> None:
        """The interrupted program is gone, or had its time; let its `on_cancel` use the context, and nothing else."""
        self._over = self._parking.unfinished()
        self.stopped = None
        self._end.clean_up()
        self._client.on_signals = lambda signals: None

    def close(self) -> set[asyncio.Task[Any]]:
        """Stop listening, and cancel the branches that the program left behind; the caller waits for them."""
        self._parking.stay()
        self._end.clean_up()
        if self._watch is not None:
            self._watch.cancel()
        if self._watching is not None:
            self._watching.cancel()
        return self._parking.cancel_branches()

    def at_end(self, release: Callable[[], Awaitable[None]]) -> None:
        """Call `release` when everything is reported and the process is about to go. The same function once only."""
        self._end.at_end(release)

    async def release(self, seconds: float) -> None:
        """Do what `at_end` was told, in that time."""
        await self._end.release(seconds)

    def _check(self, *unused: Any) -> None:
        """Nothing happens in a program that is being ended, not even in its `finally` blocks."""
        if self.stopped is not None or (self._over and asyncio.current_task() in self._over):
            for awaitable in unused:
                if isinstance(awaitable, Coroutine):
                    awaitable.close()
            raise asyncio.CancelledError(f"the instance is {self.stopped or 'over'}")

    def _give_up(self, error: RuntaraError) -> NoReturn:
        """A call failed in a way that the program cannot mend: end it, so that no handler takes it for its own failure."""
        if isinstance(error, InvalidRequest):
            raise error
        self._lose(error)
        raise asyncio.CancelledError(error.message) from error

    def _lose(self, error: RuntaraError) -> None:
        self.lost = self.lost or error
        self.stop(Stop.STALE if isinstance(error, StaleLaunch) else Stop.LOST)

    # -- signals of the instance ------------------------------------------------------------------------------------

    def _deliver(self, signals: Sequence[SignalInfo]) -> None:
        kinds = {signal.signal_type for signal in signals}
        self._seen_signal = max((self._seen_signal, *(signal.signal_id for signal in signals)))
        if "cancel" in kinds:
            if self.stopped is None and self._end.asked is None:
                self.compensate = any(_asks_to_compensate(s) for s in signals if s.signal_type == "cancel")
                self._end.interrupt(Stop.CANCELLED)
        elif "pause" in kinds:
            self._parking.pause()

    def _begin_watching(self) -> None:
        self._watching = asyncio.create_task(self._watch_signals())

    async def _watch_signals(self) -> None:
        while self.stopped is None:
            try:
                await self._client.poll_signals(after_signal_id=self._seen_signal, wait_ms=WATCH_HOLD_MS)
            except RuntaraError as error:
                self._lose(error)


class _EffectBlock:
    __slots__ = ("_context", "_effect")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._effect = context._parking.effect()

    async def __aenter__(self) -> None:
        self._context._check()
        await self._context._beyond()
        await self._context._parking.boundary()
        self._effect.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._effect.__exit__()


_current: ContextVar[Context] = ContextVar("runtara_context")


def current() -> Context:
    """The context of the program that runs. Raises `LookupError` outside of one."""
    try:
        return _current.get()
    except LookupError:
        raise LookupError("there is no workflow here: this works only inside a program that Runtara runs") from None


def enter(context: Context) -> None:
    """Make it the one that `current` answers, in this task and those that it creates."""
    _current.set(context)


def _parse(data: bytes) -> Any:
    if not data:
        return None
    try:
        return decode(data)
    except ValueError as error:
        raise Failure(INPUT_INVALID, f"the input is no JSON: {error}") from error


def _bounded(ms: int) -> None:
    if ms > MAX_MILLIS:
        raise ValueError(f"nothing sleeps or waits for more than ten years ({MAX_MILLIS} ms); this is {ms} ms")


def _asks_to_compensate(cancel: SignalInfo) -> bool:
    """The payload is its sender's; `{"compensate": true}` means us."""
    try:
        payload = decode(cancel.payload) if cancel.payload else None
    except ValueError:
        return False
    return isinstance(payload, dict) and payload.get("compensate") is True


def _wait_timeout(signal_key: str, timeout_ms: int | None) -> WaitTimeout:
    return WaitTimeout(f"no signal {signal_key!r} came within {timeout_ms} ms", attributes={"signalKey": signal_key})


def _succeeded(task: asyncio.Task[Any]) -> bool:
    return not task.cancelled() and task.exception() is None


async def _end(tasks: Sequence[asyncio.Task[Any]] | set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # seen: the first failure is the one that is raised
