"""`InstanceClient`: the core protocol as an instance speaks it. Also known by its documented name, `RuntaraSdk`.

    sdk = RuntaraSdk.from_env()
    await sdk.register()
    if (await sdk.checkpoint("step-1", b"…")).should_exit(): …
    await sdk.completed({"ok": True})

Three things it takes off its user. It remembers the checkpoints that `register` answered, so a replay asks for none. It
says that the instance is alive when nothing else did for a while. And it outlives a restart of the server: every core
operation may be repeated, so a call whose connection broke is sent again, with backoff, until `reconnect_timeout_ms`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from runtara_framework.errors import CallTimeout, ConnectionFailed, RuntaraError, StaleLaunch
from runtara_framework.faults import fault_point
from runtara_framework.protocol import messages as m
from runtara_framework.protocol import operations as op
from runtara_framework.protocol.channel import Channel, Dial
from runtara_framework.protocol.operations import Operation
from runtara_framework.sdk.config import SdkConfig
from runtara_framework.sdk.dial import dial as dial_any
from runtara_framework.sdk.failure import Failure
from runtara_framework.sdk.values import encode

FIRST_DELAY = 0.05
LONGEST_DELAY = 2.0
APPLICATION_ERROR = "APPLICATION_ERROR"
"""The code of a failure that is reported as a mere text."""

Req = TypeVar("Req")
Res = TypeVar("Res")


class Interrupted(RuntaraError):
    """The instance has been asked to stop what it does."""

    code = "INTERRUPTED"


class Cancelled(Interrupted):
    """The instance has been cancelled: clean up, acknowledge, exit."""

    code = "CANCELLED"


class Paused(Interrupted):
    """The instance has been paused: acknowledge, exit; it is launched again when it is resumed."""

    code = "PAUSED"


class CheckpointResult(msgspec.Struct, frozen=True, kw_only=True):
    """What `checkpoint` answers. `state` is the stored value if the id existed (the one sent is ignored), else what was
    sent. `signals` wait to be acknowledged, cancel first."""

    found: bool
    state: bytes
    signals: list[m.SignalInfo] = []

    def existing_state(self) -> bytes | None:
        """The stored value if the id existed."""
        return self.state if self.found else None

    @property
    def pending_signal(self) -> m.SignalInfo | None:
        """The signal to obey first."""
        return self.signals[0] if self.signals else None

    def should_cancel(self) -> bool:
        return any(signal.signal_type == "cancel" for signal in self.signals)

    def should_pause(self) -> bool:
        return any(signal.signal_type == "pause" for signal in self.signals)

    def should_exit(self) -> bool:
        """Cancelled or paused."""
        return self.should_cancel() or self.should_pause()


class InstanceClient:
    """One launch's line to the server. Safe for concurrent calls of one event loop.

    Any call raises the server's `RuntaraError`; `StaleLaunch` means that a newer launch exists and this process must
    exit; `ConnectionFailed` or `CallTimeout` that the server was away for `reconnect_timeout_ms`.
    """

    def __init__(self, config: SdkConfig, *, dial: Dial = dial_any) -> None:
        self.config = config
        self.registered: m.Registered | None = None
        self.on_signals: Callable[[Sequence[m.SignalInfo]], None] = lambda signals: None
        """Told of the signals in every answer that carries some."""
        self.on_lost: Callable[[RuntaraError], None] = lambda error: None
        """Told when the background heartbeat finds this launch stale or the server gone."""
        self._dial = dial
        self._token = config.token
        self._channel: Channel | None = None
        self._dialing = asyncio.Lock()
        self._saved: dict[str, bytes] = {}
        self._remembering = 0
        self._signals: dict[int, m.SignalInfo] = {}
        self._polled_at: float | None = None
        self._events = 0
        self._last_call = 0.0
        self._beat: asyncio.TimerHandle | None = None
        self._beating: asyncio.Task[None] | None = None
        self._closed = False

    @staticmethod
    def from_env() -> InstanceClient:
        """See `SdkConfig.from_env`."""
        return InstanceClient(SdkConfig.from_env())

    @staticmethod
    def localhost(instance_id: str, tenant_id: str) -> InstanceClient:
        """See `SdkConfig.localhost`."""
        return InstanceClient(SdkConfig.localhost(instance_id, tenant_id))

    # -- connection -----------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Connect now rather than at the first call. One attempt: raises `ConnectionFailed` or `CallTimeout`."""
        await self._open()

    async def init(self, checkpoint_id: str | None = None) -> m.Registered:
        """`connect` and `register`."""
        await self.connect()
        return await self.register(checkpoint_id)

    async def close(self) -> None:
        """Stop the heartbeat and close the connection."""
        self._closed = True
        if self._beat is not None:
            self._beat.cancel()
        if self._beating is not None:
            self._beating.cancel()
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    @property
    def is_connected(self) -> bool:
        return self._channel is not None

    @property
    def is_registered(self) -> bool:
        return self.registered is not None

    @property
    def instance_id(self) -> str:
        return self.config.instance_id

    @property
    def tenant_id(self) -> str:
        return self.config.tenant_id

    async def _open(self) -> Channel:
        async with self._dialing:  # of many calls that find the connection broken, one mends it
            if self._closed:
                raise ConnectionFailed("this client is closed")
            if self._channel is None:
                self._channel = await self._dial(
                    self.config.server_addr, token=self._token, timeout=self.config.connect_timeout_ms / 1000
                )
            return self._channel

    async def _call(
        self, operation: Operation[Req, Res], request: Req, *, hold_ms: int = 0, relayed: bool = False
    ) -> Res:
        """The answer, however long the server is away. `relayed`: what the server says is somebody else's answer, and whether
        to ask again is the program's decision."""
        timeout = (self.config.request_timeout_ms + hold_ms) / 1000
        loop = asyncio.get_running_loop()
        self._last_call = loop.time()
        delay, gives_up = FIRST_DELAY, 0.0
        while True:
            channel = self._channel
            try:
                channel = channel or await self._open()
                return await channel.call(operation, request, timeout=timeout)
            except RuntaraError as error:
                away = isinstance(error, (ConnectionFailed, CallTimeout))
                if not error.retryable or self._closed or (relayed and not away):
                    raise
                now = loop.time()
                # Before the first answer nobody depends on this process: rather fail soon and be launched again.
                patience = self.config.reconnect_timeout_ms if self.registered else self.config.connect_timeout_ms
                gives_up = gives_up or now + patience / 1000
                if now + delay > gives_up:
                    raise
                if away:
                    await self._drop(channel)
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)

    async def _drop(self, channel: Channel | None) -> None:
        if channel is not None and self._channel is channel:
            self._channel = None
            await channel.close()

    # -- the launch -------------------------------------------------------------------------------------------

    async def register(self, checkpoint_id: str | None = None) -> m.Registered:
        """Begin: fetch the input and every checkpoint so far, and keep saying that the instance is alive."""
        fault_point("instance.before_register")
        request = m.Register(instance_id=self.instance_id, tenant_id=self.tenant_id, checkpoint_id=checkpoint_id)
        answer = await self._call(op.REGISTER, request)
        if answer.token != self._token:
            await self._drop(self._channel)  # it was opened without the token
            self._token = answer.token
        self._remember(answer.checkpoints)
        next_seq = answer.next_seq
        self.registered = msgspec.structs.replace(answer, checkpoints=[])
        while next_seq is not None:
            page = await self._call(
                op.LOAD_CHECKPOINTS, m.LoadCheckpoints(instance_id=self.instance_id, after_seq=next_seq)
            )
            self._remember(page.checkpoints)
            next_seq = page.next_seq
        self._received(answer.signals)
        if self.config.heartbeat_interval_ms:
            self._schedule_beat(self._beat_seconds)
        fault_point("instance.after_register")
        return self.registered

    def _remember(self, checkpoints: Sequence[m.SavedCheckpoint]) -> None:
        for checkpoint in checkpoints:
            self._saved[checkpoint.checkpoint_id] = checkpoint.state

    def saved(self, checkpoint_id: str) -> bytes | None:
        """What an earlier launch saved under that id. Local: no call. What this launch saves is not kept in memory, but for
        what it saves `remembering`."""
        return self._saved.get(checkpoint_id)

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """`with`: what is saved meanwhile is kept in memory."""
        self._remembering += 1
        try:
            yield
        finally:
            self._remembering -= 1

    async def heartbeat(self) -> None:
        """Say that the instance is alive. Happens by itself; every other call says so too."""
        await self._call(op.HEARTBEAT, m.Heartbeat(instance_id=self.instance_id))

    @property
    def _beat_seconds(self) -> float:
        """As configured, or more often if the server expects it."""
        expected = self.registered.heartbeat_within_ms if self.registered else None
        return min(self.config.heartbeat_interval_ms, expected or self.config.heartbeat_interval_ms) / 1000

    def _schedule_beat(self, delay: float) -> None:
        if not self._closed:
            self._beat = asyncio.get_running_loop().call_later(delay, self._consider_beat)

    def _consider_beat(self) -> None:
        interval = self._beat_seconds
        rest = self._last_call + interval - asyncio.get_running_loop().time()
        if rest > 0:
            self._schedule_beat(rest)
        else:
            self._beating = asyncio.create_task(self._send_beat(interval))

    async def _send_beat(self, interval: float) -> None:
        try:
            await self.heartbeat()
        except RuntaraError as error:
            if isinstance(error, (StaleLaunch, ConnectionFailed, CallTimeout)):
                self.on_lost(error)
                return
        self._schedule_beat(interval)

    # -- results ------------------------------------------------------------------------------------------------

    async def checkpoint(self, checkpoint_id: str, state: bytes) -> CheckpointResult:
        """Save once: the first value stored under an id is the one returned ever after. An id that an earlier launch saved
        costs no call."""
        known = self._saved.get(checkpoint_id)
        if known is not None:
            return CheckpointResult(found=True, state=known, signals=self.waiting_signals())
        fault_point("instance.before_checkpoint")
        answer = await self._call(
            op.SAVE_CHECKPOINT,
            m.SaveCheckpoint(instance_id=self.instance_id, checkpoint_id=checkpoint_id, state=state),
        )
        fault_point("instance.after_checkpoint")
        if answer.signals:
            self._received(answer.signals)
        stored = answer.state if answer.found and answer.state is not None else state
        if self._remembering:
            self._saved[checkpoint_id] = stored
        return CheckpointResult(found=answer.found, state=stored, signals=answer.signals)

    async def get_checkpoint(self, checkpoint_id: str) -> bytes | None:
        """Look a checkpoint up; writes nothing."""
        known = self._saved.get(checkpoint_id)
        if known is not None:
            return known
        request = m.GetCheckpoint(instance_id=self.instance_id, checkpoint_id=checkpoint_id)
        return (await self._call(op.GET_CHECKPOINT, request)).state

    async def custom_event(
        self, subtype: str, payload: Any = b"", *, key: str | None = None, checkpoint_id: str | None = None
    ) -> None:
        """Record what happened. `payload` is bytes, or a value that becomes JSON. A repeated `key` is dropped; without one
        every call is an event of its own, also if it has to be sent twice."""
        if key is None:
            self._events += 1
            epoch = self.registered.epoch if self.registered else 0
            key = f"#{epoch}.{self._events}"
        request = m.AppendEvent(
            instance_id=self.instance_id,
            subtype=subtype,
            payload=_payload(payload, f"the payload of event {subtype!r}"),
            key=key,
            checkpoint_id=checkpoint_id,
        )
        await self._call(op.APPEND_EVENT, request)

    async def completed(self, output: Any = None) -> None:
        """End with an output: bytes, or a value that becomes JSON. Raises `Failure` (OUTPUT_INVALID) for what is neither."""
        request = m.Complete(instance_id=self.instance_id, output=_payload(output, "the output"))
        fault_point("instance.before_complete")
        await self._call(op.COMPLETE, request)
        fault_point("instance.after_complete")

    async def failed(self, error: str | BaseException | dict[str, Any]) -> None:
        """End with an error: a text, an exception, or the structured failure of DSL.md section 6."""
        if isinstance(error, str):
            error = Failure(APPLICATION_ERROR, error)
        wire = error if isinstance(error, dict) else Failure.of(error).to_dict()
        await self._call(op.FAIL, m.Fail(instance_id=self.instance_id, error=wire))

    async def suspend(
        self,
        reason: str,
        *,
        wake_at_ms: int | None = None,
        signal_keys: Sequence[str] = (),
        waits: Sequence[str] = (),
        reached: Sequence[str] = (),
    ) -> bool:
        """Nothing to do until then. True: exit now. False: something is due already; look again. `reason` is sleeping,
        waiting_signal (if there are signal keys), paused, draining or breakpoint. `waits`: the checkpoints that the waits
        for these keys would make; `reached`: checkpoints of breakpoints, written if the instance is suspended."""
        fault_point("instance.before_suspend")
        request = m.Suspend(
            instance_id=self.instance_id,
            reason=reason,
            wake_at_ms=wake_at_ms,
            signal_keys=list(signal_keys),
            waits=list(waits),
            reached=list(reached),
        )
        answer = await self._call(op.SUSPEND, request)
        fault_point("instance.after_suspend")
        return answer.suspended

    async def get_status(self) -> m.GotStatus:
        """The server's view of this instance."""
        return await self._call(op.GET_STATUS, m.GetStatus(instance_id=self.instance_id))

    async def get_instance_status(self, instance_id: str) -> m.GotStatus:
        """Of another instance of the same tenant. Raises `InstanceNotFound`."""
        return await self._call(op.GET_STATUS, m.GetStatus(instance_id=self.instance_id, of=instance_id))

    # -- signals ------------------------------------------------------------------------------------------------

    async def take_signal(self, signal_key: str, checkpoint_id: str, *, wait_ms: int = 0) -> bytes | None:
        """Consume the custom signal of a wait key and record its payload as the checkpoint; None if it has not come within
        `wait_ms`. A checkpoint that exists is the answer again."""
        known = self._saved.get(checkpoint_id)
        if known is not None:
            return known
        request = m.TakeSignal(
            instance_id=self.instance_id, signal_key=signal_key, checkpoint_id=checkpoint_id, wait_ms=wait_ms
        )
        answer = await self._call(op.TAKE_SIGNAL, request, hold_ms=wait_ms)
        if answer.found:
            fault_point("instance.after_signal")
            if self._remembering:
                self._saved[checkpoint_id] = answer.payload or b""
        if answer.signals:
            self._received(answer.signals)
        return (answer.payload or b"") if answer.found else None

    async def resolve_connection(self, connection_id: str) -> m.ResolvedConnection:
        """A connection of this instance's tenant, with its secrets. Raises `ConnectionUnknown`, `ConnectionRateLimited`,
        `ConnectionFetchFailed`, `ConnectionServiceMissing`."""
        request = m.ResolveConnection(instance_id=self.instance_id, connection_id=connection_id)
        # The server may wait for the connection service for as long as a call may take; give the answer time to come.
        return await self._call(op.RESOLVE_CONNECTION, request, hold_ms=30_000, relayed=True)

    async def poll_signals(self, *, after_signal_id: int = 0, wait_ms: int = 0) -> list[m.SignalInfo]:
        """The signals that wait, cancel first. `wait_ms` holds the answer until there is one beyond `after_signal_id`."""
        request = m.PollSignals(instance_id=self.instance_id, after_signal_id=after_signal_id, wait_ms=wait_ms)
        answer = await self._call(op.POLL_SIGNALS, request, hold_ms=wait_ms)
        self._received(answer.signals)
        return self.waiting_signals()

    async def poll_signal(self) -> m.SignalInfo | None:
        """The signal to obey first. Asks the server at most once in `signal_poll_interval_ms`."""
        now = asyncio.get_running_loop().time()
        if self._polled_at is not None and now - self._polled_at < self.config.signal_poll_interval_ms / 1000:
            waiting = self.waiting_signals()
            return waiting[0] if waiting else None
        return await self.poll_signal_now()

    async def poll_signal_now(self) -> m.SignalInfo | None:
        """The signal to obey first, from the server."""
        self._polled_at = asyncio.get_running_loop().time()
        waiting = await self.poll_signals()
        return waiting[0] if waiting else None

    async def check_cancelled(self) -> None:
        """Raise `Cancelled` if the instance was cancelled. Does not acknowledge."""
        await self.poll_signal()
        if any(signal.signal_type == "cancel" for signal in self.waiting_signals()):
            raise Cancelled()

    async def check_paused(self) -> None:
        """Raise `Paused` if the instance was paused. Does not acknowledge."""
        await self.poll_signal()
        if any(signal.signal_type == "pause" for signal in self.waiting_signals()):
            raise Paused()

    async def acknowledge_signal(self, signal_type: str, acknowledged: bool = True) -> None:
        """The instance obeyed: cancel makes it CANCELLED, pause SUSPENDED. Not `acknowledged`: it will not; nothing is
        sent, and the signal goes on waiting."""
        if not acknowledged:
            return
        request = m.AcknowledgeSignal(instance_id=self.instance_id, signal_type=signal_type)
        await self._call(op.ACKNOWLEDGE_SIGNAL, request)
        self._signals = {i: signal for i, signal in self._signals.items() if signal.signal_type != signal_type}

    def _received(self, signals: Sequence[m.SignalInfo]) -> None:
        self._signals = {signal.signal_id: signal for signal in signals}  # every answer carries all that wait
        if signals:
            self.on_signals(signals)

    def waiting_signals(self) -> list[m.SignalInfo]:
        """The signals that the latest answer carried and that were not acknowledged, cancel first. No call."""
        return sorted(self._signals.values(), key=lambda s: (s.signal_type != "cancel", s.signal_id))


def _payload(value: Any, what: str) -> bytes:
    return value if isinstance(value, bytes) else encode(value, what)


RuntaraSdk = InstanceClient
