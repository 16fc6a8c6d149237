"""Core in memory: run a program in the process of the test, kill it at any checkpoint, and let it replay.

    outcome = await run_in_process(main, {"orderId": 7})
    assert outcome.output == {"ok": True}

    again = await run_in_process(main, {"orderId": 7}, kill_at="each")   # dies after every checkpoint it makes
    assert again.output == outcome.output

`run_in_process` is the launcher: it launches, relaunches what was killed, moves the clock to the moment that a suspended
instance waits for, and comes back when the instance has ended or waits for something that only the test can do (send it a
signal with the core's methods, and run it again). `MemoryCore` answers the core protocol with the semantics of
`spec.persistence`, fenced by the launch's token; nothing in it is durable.

With real I/O in the program, `clock=SystemClock()` keeps time honest; the default clock skips whatever is slept.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast

import msgspec

from runtara_framework.clock import Clock
from runtara_framework.errors import (
    CheckpointNotFound,
    ConnectionFailed,
    ConnectionServiceMissing,
    ConnectionUnknown,
    InstanceNotFound,
    InvalidRequest,
    InvalidState,
    PayloadTooLarge,
    StaleLaunch,
    Unauthenticated,
)
from runtara_framework.protocol import messages as m
from runtara_framework.protocol.channel import Body, Channel
from runtara_framework.protocol.operations import Operation
from runtara_framework.sdk import bootstrap
from runtara_framework.sdk.client import InstanceClient
from runtara_framework.sdk.config import SdkConfig
from runtara_framework.states import ACTIVE, REASONS, TERMINAL, Reason, Status, check, reason_of
from runtara_framework.testing.skipping import SkippingClock

Req = TypeVar("Req")
Res = TypeVar("Res")

MAX_BYTES = 16 * 2**20
"""Of an output, a checkpoint or an event, as a server's default has it."""
PAGE_BYTES = 8 * 2**20
"""Of checkpoints in one answer."""


@dataclass
class MemoryEvent:
    """An event as it was recorded."""

    event_type: str
    subtype: str | None
    payload: bytes

    @property
    def value(self) -> Any:
        """The payload as JSON; its text if it is none."""
        return _json(self.payload)


@dataclass
class MemoryInstance:
    """All that the core knows of one instance. Tests may read everything."""

    instance_id: str
    tenant_id: str
    input: bytes
    status: Status = Status.PENDING
    reason: Reason | None = None
    epoch: int = 0
    claimed: bool = False  # PENDING, and a launch is under way
    started_at_ms: int | None = None
    wake_at_ms: int | None = None
    signal_keys: frozenset[str] = frozenset()
    checkpoints: dict[str, bytes] = field(default_factory=dict)  # in order of creation
    signals: list[m.SignalInfo] = field(default_factory=list)
    custom_signals: dict[str, bytes] = field(default_factory=dict)
    events: list[MemoryEvent] = field(default_factory=list)
    output: bytes | None = None
    error: dict[str, Any] | None = None
    calls: Counter[str] = field(default_factory=Counter)  # by operation, over all launches
    event_keys: set[str] = field(default_factory=set)
    remaining_ms: int | None = None  # running time that is left; the test takes from it
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def move(self, status: Status, reason: Reason | None = None) -> None:
        check(self.status, status, instance_id=self.instance_id)
        self.status, self.reason, self.claimed = status, reason, False
        if status is not Status.SUSPENDED:
            self.wake_at_ms, self.signal_keys = None, frozenset()
        self.touch()

    def touch(self) -> None:
        """Wake whoever holds an answer."""
        self.changed.set()
        self.changed = asyncio.Event()

    def waiting(self) -> list[m.SignalInfo]:
        return sorted(self.signals, key=lambda signal: (signal.signal_type != "cancel", signal.signal_id))


class MemoryCore:
    """The core protocol in memory, for any number of instances."""

    def __init__(self, clock: Clock | None = None, *, hold_below_ms: int = 10_000) -> None:
        self.clock: Clock = clock or SkippingClock()
        self.hold_below_ms = hold_below_ms
        self.instances: dict[str, MemoryInstance] = {}
        self.on_call: Callable[[MemoryInstance, str, Any], None] = lambda instance, operation, request: None
        """Called before each operation is served, with its name and request. What it raises is the answer."""
        self.connections: dict[tuple[str, str], m.ResolvedConnection] = {}
        """What `resolve_connection` answers, by tenant and connection id."""
        self._signal_ids = 0

    # -- what a product or the launcher does --------------------------------------------------------------------

    def create(self, input: Any = None, *, instance_id: str | None = None, tenant_id: str = "test") -> MemoryInstance:
        """A new instance, PENDING. `input` is a JSON value, or bytes as they are."""
        data = input if isinstance(input, bytes) else msgspec.json.encode({} if input is None else input)
        instance = MemoryInstance(instance_id or str(uuid.uuid4()), tenant_id, data)
        self.instances[instance.instance_id] = instance
        return instance

    def launch(self, instance_id: str) -> str:
        """Claim the next epoch; the token of the launch. A RUNNING instance counts as crashed. Raises `InvalidState` for a
        SUSPENDED or ended one."""
        instance = self.instances[instance_id]
        if instance.status is not Status.PENDING:
            instance.move(Status.PENDING)
        instance.epoch += 1
        instance.claimed = True
        return f"{instance_id}:{instance.epoch}"

    def wake(self, instance_id: str) -> bool:
        """Make it PENDING if it is SUSPENDED and due."""
        instance = self.instances[instance_id]
        due = instance.wake_at_ms is not None and instance.wake_at_ms <= self.clock.now_ms()
        if instance.status is Status.SUSPENDED and due:
            instance.move(Status.PENDING)
        return instance.status is Status.PENDING

    def cancel(self, instance_id: str, *, deliver: bool = False, compensate: bool = False) -> None:
        """As the signal of that name. `deliver`: the program does something when it is cancelled, so an instance that has run
        is launched to obey. `compensate`: that includes its manual compensations."""
        instance = self._active(instance_id)
        payload = msgspec.json.encode({"compensate": True}) if compensate else b""
        if instance.status is Status.SUSPENDED or (instance.status is Status.PENDING and not instance.claimed):
            if not deliver or instance.started_at_ms is None:
                instance.move(Status.CANCELLED, Reason.CANCELLED)
                return
            if instance.status is Status.SUSPENDED:
                instance.move(Status.PENDING)
        self._signal(instance, "cancel", payload)

    def pause(self, instance_id: str) -> None:
        """As the signal of that name."""
        instance = self._active(instance_id)
        if instance.status is not Status.SUSPENDED:
            self._signal(instance, "pause")
        elif instance.reason is not Reason.PAUSED:
            instance.move(Status.SUSPENDED, Reason.PAUSED)
            instance.wake_at_ms, instance.signal_keys = None, frozenset()

    def resume(self, instance_id: str) -> None:
        """As the signal of that name."""
        instance = self._active(instance_id)
        if instance.status is Status.SUSPENDED:
            instance.move(Status.PENDING)
        elif any(signal.signal_type == "pause" for signal in instance.signals):
            instance.signals = [signal for signal in instance.signals if signal.signal_type != "pause"]
        else:
            raise InvalidState(f"instance {instance_id!r} is {instance.status} and cannot be resumed")

    def send_custom_signal(self, instance_id: str, signal_key: str, payload: Any = None) -> None:
        """A payload (a JSON value, or bytes as they are) for a wait key."""
        instance = self._active(instance_id)
        instance.custom_signals[signal_key] = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        if instance.status is Status.SUSPENDED and signal_key in instance.signal_keys:
            instance.move(Status.PENDING)
        instance.touch()

    def _active(self, instance_id: str) -> MemoryInstance:
        instance = self.instances[instance_id]
        if instance.status not in ACTIVE:
            raise InvalidState(f"instance {instance_id!r} has ended: it is {instance.status}")
        return instance

    def _signal(self, instance: MemoryInstance, signal_type: str, payload: bytes = b"") -> None:
        if all(signal.signal_type != signal_type for signal in instance.signals):
            self._signal_ids += 1
            instance.signals.append(m.SignalInfo(signal_id=self._signal_ids, signal_type=signal_type, payload=payload))
            instance.touch()

    # -- what an instance asks ----------------------------------------------------------------------------------

    async def dial(self, address: str, *, token: str | None = None, timeout: float = 10.0) -> Channel:
        """A `protocol.channel.Dial`; the address is not looked at."""
        return MemoryChannel(self, token)

    def fenced(self, token: str | None, instance_id: str) -> MemoryInstance:
        """The instance, if the token is that of its current launch."""
        owner, _, epoch = (token or "").rpartition(":")
        if owner != instance_id:
            raise Unauthenticated(f"the token is not one of instance {instance_id!r}")
        instance = self.instances.get(instance_id)
        if instance is None:
            raise InstanceNotFound(f"there is no instance {instance_id!r}")
        if int(epoch) != instance.epoch:
            raise StaleLaunch(
                f"launch {epoch} of instance {instance_id!r} is over; the current one is {instance.epoch}"
            )
        return instance

    async def register(self, instance: MemoryInstance, request: m.Register) -> m.Registered:
        if request.checkpoint_id is not None and request.checkpoint_id not in instance.checkpoints:
            raise CheckpointNotFound(f"there is no checkpoint {request.checkpoint_id!r}")
        if instance.status is Status.PENDING:
            instance.move(Status.RUNNING)
            instance.started_at_ms = instance.started_at_ms or self.clock.now_ms()
        _running(instance)
        page, next_seq = _page(instance, 0)
        return m.Registered(
            instance_id=instance.instance_id,
            tenant_id=instance.tenant_id,
            epoch=instance.epoch,
            token=f"{instance.instance_id}:{instance.epoch}",
            input=instance.input,
            checkpoints=page,
            next_seq=next_seq,
            signals=instance.waiting(),
            now_ms=self.clock.now_ms(),
            started_at_ms=instance.started_at_ms or self.clock.now_ms(),
            hold_below_ms=self.hold_below_ms,
            remaining_ms=instance.remaining_ms,
        )

    async def load_checkpoints(self, instance: MemoryInstance, request: m.LoadCheckpoints) -> m.LoadedCheckpoints:
        page, next_seq = _page(instance, request.after_seq)
        return m.LoadedCheckpoints(checkpoints=page, next_seq=next_seq)

    async def save_checkpoint(self, instance: MemoryInstance, request: m.SaveCheckpoint) -> m.CheckpointSaved:
        if not request.checkpoint_id:
            raise InvalidRequest("save_checkpoint: checkpoint_id must not be empty")
        _bounded(f"checkpoint {request.checkpoint_id!r}", request.state)
        _running(instance)
        stored = instance.checkpoints.get(request.checkpoint_id)
        if stored is None:
            instance.checkpoints[request.checkpoint_id] = request.state
        return m.CheckpointSaved(found=stored is not None, state=stored, signals=instance.waiting())

    async def get_checkpoint(self, instance: MemoryInstance, request: m.GetCheckpoint) -> m.GotCheckpoint:
        state = instance.checkpoints.get(request.checkpoint_id)
        return m.GotCheckpoint(found=state is not None, state=state)

    async def take_signal(self, instance: MemoryInstance, request: m.TakeSignal) -> m.SignalTaken:
        ends_ms = self.clock.now_ms() + request.wait_ms
        epoch = instance.epoch
        while True:
            if epoch != instance.epoch:
                raise StaleLaunch(f"launch {epoch} of instance {instance.instance_id!r} is over")
            _running(instance)
            payload = instance.checkpoints.get(request.checkpoint_id)
            if payload is None and request.signal_key in instance.custom_signals:
                payload = instance.custom_signals.pop(request.signal_key)
                instance.checkpoints[request.checkpoint_id] = payload
            signals = instance.waiting()
            if payload is not None or signals or self.clock.now_ms() >= ends_ms:
                return m.SignalTaken(found=payload is not None, payload=payload, signals=signals)
            await _first(instance.changed.wait(), self.clock.sleep_until(ends_ms))

    async def suspend(self, instance: MemoryInstance, request: m.Suspend) -> m.Suspended:
        reason = Reason(request.reason)
        if reason not in REASONS[Status.SUSPENDED]:
            raise InvalidRequest(f"suspend: {reason} is no reason for that")
        if instance.status is Status.SUSPENDED:
            return m.Suspended(suspended=True)
        _running(instance)
        due = request.wake_at_ms is not None and request.wake_at_ms <= self.clock.now_ms()
        come = any(key in instance.custom_signals for key in request.signal_keys)
        come = come or any(wait in instance.checkpoints for wait in request.waits)
        waiting = {signal.signal_type for signal in instance.signals}
        stops = reason in (Reason.PAUSED, Reason.BREAKPOINT)
        if due or come or "cancel" in waiting or (waiting and not stops):
            return m.Suspended(suspended=False)
        if stops:
            instance.signals.clear()
        for checkpoint_id in request.reached:
            instance.checkpoints.setdefault(checkpoint_id, b"true")
        instance.move(Status.SUSPENDED, reason)
        instance.wake_at_ms, instance.signal_keys = request.wake_at_ms, frozenset(request.signal_keys)
        return m.Suspended(suspended=True)

    async def append_event(self, instance: MemoryInstance, request: m.AppendEvent) -> m.Done:
        _bounded("the event's payload", request.payload)
        if request.key is None or request.key not in instance.event_keys:
            instance.events.append(MemoryEvent(request.event_type, request.subtype, request.payload))
            if request.key is not None:
                instance.event_keys.add(request.key)
        return m.Done()

    async def resolve_connection(self, instance: MemoryInstance, request: m.ResolveConnection) -> m.ResolvedConnection:
        found = self.connections.get((instance.tenant_id, request.connection_id))
        if not self.connections:
            raise ConnectionServiceMissing
        if found is None:
            raise ConnectionUnknown(f"there is no connection {request.connection_id!r}")
        return found

    async def heartbeat(self, instance: MemoryInstance, request: m.Heartbeat) -> m.Done:
        return m.Done()

    async def complete(self, instance: MemoryInstance, request: m.Complete) -> m.Done:
        _bounded("the output", request.output)
        if instance.status is not Status.COMPLETED:
            instance.move(Status.COMPLETED)
            instance.output = request.output
        return m.Done()

    async def fail(self, instance: MemoryInstance, request: m.Fail) -> m.Done:
        if instance.status is not Status.FAILED:
            instance.move(Status.FAILED, reason_of(request.error))
            instance.error = request.error
        return m.Done()

    async def get_status(self, instance: MemoryInstance, request: m.GetStatus) -> m.GotStatus:
        other = self.instances.get(request.of or instance.instance_id)
        if other is None or other.tenant_id != instance.tenant_id:
            raise InstanceNotFound(f"there is no instance {request.of!r}")
        return m.GotStatus(
            instance_id=other.instance_id,
            status=other.status,
            checkpoint_id=next(reversed(other.checkpoints), None),
            output=other.output,
            error=other.error,
        )

    async def poll_signals(self, instance: MemoryInstance, request: m.PollSignals) -> m.PolledSignals:
        # Held until there is something to tell: with a clock that skips, a limit would be over at once.
        while request.wait_ms and all(s.signal_id <= request.after_signal_id for s in instance.signals):
            await instance.changed.wait()
        return m.PolledSignals(signals=instance.waiting())

    async def acknowledge_signal(self, instance: MemoryInstance, request: m.AcknowledgeSignal) -> m.Done:
        waited = any(signal.signal_type == request.signal_type for signal in instance.signals)
        cancelled = any(signal.signal_type == "cancel" for signal in instance.signals)
        instance.signals = [signal for signal in instance.signals if signal.signal_type != request.signal_type]
        if waited and instance.status is Status.RUNNING:
            if request.signal_type == "cancel":
                instance.move(Status.CANCELLED, Reason.CANCELLED)
            elif cancelled:  # it came after the pause was delivered: the next launch obeys it
                instance.move(Status.PENDING)
            elif request.signal_type == "pause":
                instance.move(Status.SUSPENDED, Reason.PAUSED)
        return m.Done()


class MemoryChannel(Channel):
    """A connection to a `MemoryCore`. Values pass through the wire's codec, so that what a test sends could be sent."""

    def __init__(self, core: MemoryCore, token: str | None) -> None:
        self._core = core
        self._token = token
        self._closed = asyncio.Event()

    async def call(
        self, operation: Operation[Req, Res], request: Req, *, body: Body | None = None, timeout: float | None = None
    ) -> Res:
        if self._closed.is_set():
            raise ConnectionFailed("the connection is closed")
        await asyncio.sleep(0)  # as over a wire, others run meanwhile
        if isinstance(self._core.clock, SkippingClock):
            self._core.clock.busy()
        sent = msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=operation.request)
        instance = self._core.fenced(self._token, cast(Any, sent).instance_id)
        instance.calls[operation.name] += 1
        self._core.on_call(instance, operation.name, sent)
        answer = await getattr(self._core, operation.name)(instance, sent)
        await asyncio.sleep(0)
        return msgspec.msgpack.decode(msgspec.msgpack.encode(answer), type=operation.response)

    async def close(self) -> None:
        self._closed.set()


# -- the launcher -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What became of an instance. `output` is the JSON value; `instance` has the rest."""

    status: Status
    reason: Reason | None
    output: Any
    error: dict[str, Any] | None
    launches: int
    instance: MemoryInstance

    @property
    def checkpoints(self) -> Mapping[str, Any]:
        """Id to value (JSON, or text where the state is none), in order of creation."""
        return {key: _json(state) for key, state in self.instance.checkpoints.items()}

    def events(self, subtype: str | None = None) -> list[Any]:
        """The payloads of the custom events, or of those of one subtype."""
        chosen = (event for event in self.instance.events if subtype is None or event.subtype == subtype)
        return [event.value for event in chosen]


async def run_in_process(
    main: bootstrap.Program,
    input: Any = None,
    *,
    core: MemoryCore | None = None,
    instance: MemoryInstance | None = None,
    tenant_id: str = "test",
    kill_at: int | Collection[int] | Literal["each"] = (),
    kill_before: Collection[int] = (),
    max_launches: int = 1_000,
) -> Outcome:
    """Run a program until it ends, or until it waits for a signal that has not been sent.

    `instance`: go on with this one of `core` instead of creating one. `kill_at`: the launch dies right after the n-th
    checkpoint of the instance's life (from 1; a taken signal counts) was stored, before the program hears of it; "each":
    after every one. `kill_before`: right before it is stored. Raises `RuntimeError` after `max_launches` launches.
    """
    core = core or MemoryCore()
    instance = instance or core.create(input, tenant_id=tenant_id)
    each = kill_at == "each"
    after = {kill_at} if isinstance(kill_at, int) else set() if isinstance(kill_at, str) else set(kill_at)
    fate = _Fate(each=each, after=after, before=set(kill_before))
    launches = 0
    while instance.status not in TERMINAL:
        if instance.status is Status.SUSPENDED:
            if instance.wake_at_ms is None:
                break
            if isinstance(core.clock, SkippingClock):
                core.clock.advance_to(instance.wake_at_ms)
            else:
                await core.clock.sleep_until(instance.wake_at_ms)
            core.wake(instance.instance_id)
        if launches == max_launches:
            raise RuntimeError(f"the program has not ended after {launches} launches")
        launches += 1
        await _launch(main, core, instance, fate)
    output = None if instance.output is None else _json(instance.output)
    return Outcome(instance.status, instance.reason, output, instance.error, launches, instance)


async def _launch(main: bootstrap.Program, core: MemoryCore, instance: MemoryInstance, fate: _Fate) -> None:
    """One launch, until it ends or dies as of SIGKILL: at once, with nothing said. Then it counts as crashed."""
    killed = asyncio.Event()

    async def dial(address: str, *, token: str | None = None, timeout: float = 10.0) -> Channel:
        return _MortalChannel(await core.dial(address, token=token, timeout=timeout), instance, fate, killed)

    config = SdkConfig(
        instance_id=instance.instance_id,
        tenant_id=instance.tenant_id,
        token=core.launch(instance.instance_id),
        heartbeat_interval_ms=0,
    )
    execution = asyncio.create_task(bootstrap.execute(main, InstanceClient(config, dial=dial), clock=core.clock))
    try:
        await _first(killed.wait(), asyncio.shield(execution))
    finally:
        if not execution.done():
            execution.cancel()
            await asyncio.wait((execution,))
    if not killed.is_set():
        execution.result()


@dataclass
class _Fate:
    """When launches die."""

    each: bool
    after: set[int]
    before: set[int]


class _MortalChannel(Channel):
    """A channel of a process that dies when its fate says so; from then on nothing comes through it."""

    def __init__(self, channel: Channel, instance: MemoryInstance, fate: _Fate, killed: asyncio.Event) -> None:
        self._channel = channel
        self._instance = instance
        self._fate = fate
        self._killed = killed

    async def call(
        self, operation: Operation[Req, Res], request: Req, *, body: Body | None = None, timeout: float | None = None
    ) -> Res:
        stored = len(self._instance.checkpoints)
        ids = [request.checkpoint_id] if isinstance(request, m.SaveCheckpoint) else getattr(request, "reached", [])
        new = any(checkpoint_id not in self._instance.checkpoints for checkpoint_id in ids)
        if new and stored + 1 in self._fate.before:
            self._fate.before.discard(stored + 1)
            self._killed.set()
        if not self._killed.is_set():
            answer = await self._channel.call(operation, request, body=body, timeout=timeout)
            made = range(stored + 1, len(self._instance.checkpoints) + 1)
            if made and (self._fate.each or self._fate.after.intersection(made)):
                self._killed.set()
            if not self._killed.is_set():
                return answer
        nothing: asyncio.Future[Res] = asyncio.get_running_loop().create_future()
        return await nothing

    async def close(self) -> None:
        await self._channel.close()


async def _first(*awaitables: Awaitable[Any]) -> None:
    """Come back when the first of them does; cancel the others."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _running(instance: MemoryInstance) -> None:
    if instance.status is not Status.RUNNING:
        raise InvalidState(f"instance {instance.instance_id!r} is {instance.status}, not running")


def _bounded(what: str, data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise PayloadTooLarge(f"{what} has {len(data)} bytes, the limit is {MAX_BYTES}", limit_bytes=MAX_BYTES)


def _page(instance: MemoryInstance, after_seq: int) -> tuple[list[m.SavedCheckpoint], int | None]:
    page: list[m.SavedCheckpoint] = []
    size = 0
    for seq, (key, state) in enumerate(instance.checkpoints.items(), start=1):
        if seq > after_seq:
            if page and size + len(state) > PAGE_BYTES:
                return page, seq - 1
            page.append(m.SavedCheckpoint(checkpoint_id=key, state=state))
            size += len(state)
    return page, None


def _json(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return data.decode(errors="replace")
