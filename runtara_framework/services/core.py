"""What instances ask: one method an operation of the core protocol.

Each call is one storage transaction, fenced by the caller's epoch; the answer of every write carries the signals that wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from runtara_framework.clock import Clock
from runtara_framework.config import Settings
from runtara_framework.errors import InvalidRequest, PayloadTooLarge
from runtara_framework.extension.hooks import Hooks
from runtara_framework.model import Checkpoint, LaunchRef, NewEvent, Signal
from runtara_framework.protocol import messages as m
from runtara_framework.services.connections import ConnectionService
from runtara_framework.services.identity import LaunchTokens
from runtara_framework.services.notifier import Notifier, wait_set
from runtara_framework.spec.persistence import Persistence
from runtara_framework.states import REASONS, Reason, Status, reason_of

T = TypeVar("T")

MAX_HOLD_MS = 60_000
"""A long poll is answered at least this often, so that a dead connection is noticed."""


class CoreService:
    """The service behind the core protocol. `seen` is told of every sign of life; the launcher, if there is one, listens."""

    def __init__(
        self,
        *,
        persistence: Persistence,
        settings: Settings,
        clock: Clock,
        hooks: Hooks,
        notifier: Notifier,
        tokens: LaunchTokens,
        node_id: str,
        connections: ConnectionService,
    ) -> None:
        self._persistence = persistence
        self._limits = settings.limits
        self._hold_below_ms = int(settings.sleep.hold_below_seconds * 1000)
        # A third of the patience: two signs of life may be late before anybody worries.
        self._heartbeat_within_ms = max(1, int(settings.runner.heartbeat_timeout_seconds * 1000 / 3))
        self._clock = clock
        self._hooks = hooks
        self._notifier = notifier
        self._tokens = tokens
        self._node_id = node_id
        self._connections = connections
        self.seen: Callable[[LaunchRef], None] = lambda ref: None

    # -- the launch -------------------------------------------------------------------------------------

    async def claim_self(self, request: m.Register) -> LaunchRef:
        """A program that nobody launched registers: it becomes the next launch of its instance."""
        if not request.tenant_id:
            raise InvalidRequest("register: tenant_id is required for a program that no server launched")
        return await self._persistence.claim_self(
            request.tenant_id, request.instance_id, node_id=self._node_id, now_ms=self._clock.now_ms()
        )

    async def register(self, request: m.Register, ref: LaunchRef) -> m.Registered:
        now = self._clock.now_ms()
        answer = await self._persistence.register(ref, checkpoint_id=request.checkpoint_id, now_ms=now)
        self._notifier.changed(answer.change)
        instance = answer.instance
        return m.Registered(
            instance_id=ref.instance_id,
            tenant_id=ref.tenant_id,
            epoch=ref.epoch,
            token=self._tokens.make(ref),
            input=instance.input,
            checkpoints=_saved(answer.checkpoints),
            next_seq=answer.next_seq,
            signals=_infos(answer.signals),
            now_ms=now,
            started_at_ms=instance.started_at_ms or now,
            hold_below_ms=self._hold_below_ms,
            heartbeat_within_ms=self._heartbeat_within_ms,
            remaining_ms=None if instance.timeout_ms is None else max(0, instance.timeout_ms - instance.running_ms),
        )

    async def load_checkpoints(self, request: m.LoadCheckpoints, ref: LaunchRef) -> m.LoadedCheckpoints:
        page = await self._persistence.load_checkpoints(ref, after_seq=request.after_seq)
        return m.LoadedCheckpoints(checkpoints=_saved(page.checkpoints), next_seq=page.next_seq)

    async def heartbeat(self, request: m.Heartbeat, ref: LaunchRef) -> m.Done:
        await self._persistence.heartbeat(ref, now_ms=self._clock.now_ms())
        return m.Done()

    # -- results ----------------------------------------------------------------------------------------

    async def save_checkpoint(self, request: m.SaveCheckpoint, ref: LaunchRef) -> m.CheckpointSaved:
        if not request.checkpoint_id:
            raise InvalidRequest("save_checkpoint: checkpoint_id must not be empty")
        self._bound(f"checkpoint {request.checkpoint_id!r}", request.state, self._limits.checkpoint_bytes)
        saved = await self._persistence.checkpoint(
            ref, request.checkpoint_id, request.state, now_ms=self._clock.now_ms()
        )
        if saved.existing is None and self._hooks.has("runtara_checkpoint_saved"):
            await self._hooks.notify(
                "runtara_checkpoint_saved",
                ref=ref,
                checkpoint_id=request.checkpoint_id,
                size_bytes=len(request.state),
            )
        return m.CheckpointSaved(found=saved.existing is not None, state=saved.existing, signals=_infos(saved.signals))

    async def get_checkpoint(self, request: m.GetCheckpoint, ref: LaunchRef) -> m.GotCheckpoint:
        found = await self._persistence.get_checkpoint(ref.tenant_id, ref.instance_id, request.checkpoint_id)
        return m.GotCheckpoint(found=found is not None, state=found.state if found else None)

    async def append_event(self, request: m.AppendEvent, ref: LaunchRef) -> m.Done:
        if request.event_type not in ("custom", "heartbeat"):
            raise InvalidRequest(
                f"append_event: event_type is custom or heartbeat, not {request.event_type!r}; "
                "complete, fail and suspend are operations of their own"
            )
        self._bound("the event's payload", request.payload, self._limits.event_bytes)
        event = NewEvent(
            event_type=request.event_type,
            subtype=request.subtype,
            checkpoint_id=request.checkpoint_id,
            payload=request.payload,
            key=request.key,
        )
        await self._persistence.append_events(ref, [event], now_ms=self._clock.now_ms())
        return m.Done()

    async def complete(self, request: m.Complete, ref: LaunchRef) -> m.Done:
        self._bound("the output", request.output, self._limits.output_bytes)
        return await self._finish(ref, Status.COMPLETED, output=request.output)

    async def fail(self, request: m.Fail, ref: LaunchRef) -> m.Done:
        return await self._finish(ref, Status.FAILED, reason=reason_of(request.error), error=request.error)

    async def _finish(
        self,
        ref: LaunchRef,
        status: Status,
        *,
        reason: Reason | None = None,
        output: bytes | None = None,
        error: dict[str, object] | None = None,
    ) -> m.Done:
        change = await self._persistence.finish(
            ref, status, reason=reason, output=output, error=error, now_ms=self._clock.now_ms()
        )
        self._notifier.changed(change)
        return m.Done()

    async def get_status(self, request: m.GetStatus, ref: LaunchRef) -> m.GotStatus:
        instance = await self._persistence.get_instance(ref.tenant_id, request.of or ref.instance_id)
        return m.GotStatus(
            instance_id=instance.instance_id,
            status=instance.status,
            checkpoint_id=instance.checkpoint_id,
            output=instance.output,
            error=instance.error,
        )

    async def resolve_connection(self, request: m.ResolveConnection, ref: LaunchRef) -> m.ResolvedConnection:
        return await self._connections.resolve(ref.tenant_id, request.connection_id)

    # -- signals and waits ------------------------------------------------------------------------------

    async def poll_signals(self, request: m.PollSignals, ref: LaunchRef) -> m.PolledSignals:
        async def look() -> list[Signal] | None:
            signals = await self._persistence.pending_signals(ref)
            fresh = any(signal.signal_id > request.after_signal_id for signal in signals)
            return signals if fresh or request.wait_ms <= 0 else None

        found = await self._hold(ref, request.wait_ms, look)
        return m.PolledSignals(signals=_infos(found or []))

    async def acknowledge_signal(self, request: m.AcknowledgeSignal, ref: LaunchRef) -> m.Done:
        if request.signal_type not in ("cancel", "pause", "resume"):
            raise InvalidRequest(f"signal_type is cancel, pause or resume, not {request.signal_type!r}")
        change = await self._persistence.acknowledge_signal(ref, request.signal_type, now_ms=self._clock.now_ms())
        self._notifier.changed(change)
        return m.Done()

    async def take_signal(self, request: m.TakeSignal, ref: LaunchRef) -> m.SignalTaken:
        if not (request.signal_key and request.checkpoint_id):
            raise InvalidRequest("take_signal: signal_key and checkpoint_id must not be empty")

        async def look() -> m.SignalTaken | None:
            taken = await self._persistence.take_signal(
                ref, request.signal_key, request.checkpoint_id, now_ms=self._clock.now_ms()
            )
            if taken.payload is None and not taken.signals and request.wait_ms > 0:
                return None
            return m.SignalTaken(found=taken.payload is not None, payload=taken.payload, signals=_infos(taken.signals))

        return await self._hold(ref, request.wait_ms, look) or m.SignalTaken(found=False)

    async def suspend(self, request: m.Suspend, ref: LaunchRef) -> m.Suspended:
        known = REASONS[Status.SUSPENDED]
        if request.reason not in known:
            raise InvalidRequest(f"suspend: reason is one of {', '.join(sorted(known))}, not {request.reason!r}")
        change = await self._persistence.suspend(
            ref,
            Reason(request.reason),
            wake_at_ms=request.wake_at_ms,
            signal_keys=request.signal_keys,
            waits=request.waits,
            reached=request.reached,
            now_ms=self._clock.now_ms(),
        )
        self._notifier.changed(change)
        return m.Suspended(suspended=change is not None)

    async def _hold(self, ref: LaunchRef, wait_ms: int, look: Callable[[], Awaitable[T | None]]) -> T | None:
        """Ask `look` now and whenever the instance is touched, until it answers or the time is over."""
        ends = asyncio.get_running_loop().time() + min(wait_ms, MAX_HOLD_MS) / 1000
        with self._notifier.watching(ref.instance_id) as event:
            while (answer := await look()) is None:
                rest = ends - asyncio.get_running_loop().time()
                if rest <= 0 or not await wait_set(event, rest):
                    return None
                self.seen(ref)
        return answer

    @staticmethod
    def _bound(what: str, payload: bytes, limit: int) -> None:
        if len(payload) > limit:
            raise PayloadTooLarge(f"{what} has {len(payload)} bytes, the limit is {limit}", limit_bytes=limit)


def _saved(checkpoints: Iterable[Checkpoint]) -> list[m.SavedCheckpoint]:
    return [m.SavedCheckpoint(checkpoint_id=c.checkpoint_id, state=c.state) for c in checkpoints]


def _infos(signals: Iterable[Signal]) -> list[m.SignalInfo]:
    return [m.SignalInfo(signal_id=s.signal_id, signal_type=s.signal_type, payload=s.payload) for s in signals]
