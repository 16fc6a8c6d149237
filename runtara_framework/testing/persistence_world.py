"""What the conformance suite of persistence stands on: images and instances in any state, on a clock that is set by hand."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest

from runtara_framework.errors import RuntaraError
from runtara_framework.model import (
    Change,
    Event,
    Exit,
    Image,
    Instance,
    Launch,
    LaunchRef,
    NewEvent,
    NewInstance,
)
from runtara_framework.spec.persistence import (
    Created,
    EventFilter,
    Fail,
    Persistence,
    Requeue,
    Restart,
    Verdict,
)
from runtara_framework.states import REASONS, TERMINAL, Reason, Status

TENANT = "acme"
NODE = "node-1"
MUCH = 1_000_000
DAY_MS = 86_400_000

Snapshot = Callable[[], Awaitable[Any]]
"""Everything that is stored, in a form that can be compared."""

STATES = (
    "pending",
    "claimed",
    "running",
    "sleeping",
    "waiting",
    "paused",
    "completed",
    "failed",
    "cancelled",
    "stopped",
)
"""Every way to stand in a status that behaves differently from another. `waiting` waits for the key `approval`."""


class Connect(Protocol):
    """Opens a handle on the database of this test: started and migrated, as the node of that name."""

    def __call__(self, node_id: str = NODE) -> Awaitable[Persistence]: ...


@dataclass
class Clock:
    """Two servers in one world share it."""

    now: int = 1_750_000_000_000


@dataclass
class World:
    """One handle and a clock. Every method that acts moves the clock on a little, so that order is never a tie."""

    persistence: Persistence
    clock: Clock = field(default_factory=Clock)
    images: dict[tuple[str, str], Image] = field(default_factory=dict)
    _count: int = 0

    @property
    def now(self) -> int:
        """The time of the latest act."""
        return self.clock.now

    def tick(self, ms: int = 10) -> int:
        """The time, after `ms` milliseconds have passed."""
        self.clock.now += ms
        return self.clock.now

    def fresh(self, what: str = "instance") -> str:
        """A name that nobody has."""
        self._count += 1
        return f"{what}-{self._count}"

    # -- images -----------------------------------------------------------------------------------------

    async def blob(self, data: bytes, *, max_bytes: int = MUCH) -> str:
        """Store bytes; answer their hash."""
        digest, size = await self.persistence.write_blob(once(data), max_bytes=max_bytes, now_ms=self.tick())
        assert (digest, size) == (hashlib.sha256(data).hexdigest(), len(data))
        return digest

    async def image(self, name: str = "order", tenant: str = TENANT, **fields: Any) -> Image:
        """An image that exists: the one of this name, or, if `fields` are given, a new one with them."""
        known = self.images.get((tenant, name))
        if known is not None and not fields:
            return known
        data = fields.pop("data", f"#!/bin/sh\n# {tenant} {name}\n".encode())
        record = Image(
            **{
                "image_id": self.fresh("image"),
                "tenant_id": tenant,
                "name": name,
                "runner_type": "mock",
                "sha256": await self.blob(data),
                "size_bytes": len(data),
                "created_at_ms": self.tick(),
                **fields,
            }
        )
        stored, _ = await self.persistence.put_image(record)
        self.images[tenant, name] = stored
        return stored

    # -- instances --------------------------------------------------------------------------------------

    async def create(
        self,
        instance_id: str | None = None,
        *,
        tenant: str = TENANT,
        image: Image | None = None,
        max_pending: int = MUCH,
        input: bytes = b'{"orderId":7}',
        env: dict[str, str] | None = None,
        timeout_ms: int | None = None,
    ) -> Created:
        """A new instance of the tenant's image."""
        image = image or await self.image(tenant=tenant)
        new = NewInstance(
            tenant_id=tenant,
            instance_id=instance_id or self.fresh(),
            image_id=image.image_id,
            input=input,
            env=env or {},
            timeout_ms=timeout_ms,
        )
        return await self.persistence.create_instance(new, max_pending=max_pending, now_ms=self.tick())

    async def claim(self, *, limit: int = 1, node: str = NODE) -> list[Launch]:
        """What is next in the queue."""
        return await self.persistence.claim_launches(node, limit=limit, now_ms=self.tick())

    async def claimed(self, instance_id: str | None = None, **fields: Any) -> LaunchRef:
        """A new instance with its first launch claimed. Nothing else may be in the queue."""
        created = await self.create(instance_id, **fields)
        (launch,) = await self.claim()
        assert launch.instance_id == created.instance.instance_id
        return launch.ref

    async def relaunch(self, ref: LaunchRef) -> LaunchRef:
        """The next launch of an instance that is in the queue alone, registered."""
        (launch,) = await self.claim()
        assert (launch.instance_id, launch.epoch) == (ref.instance_id, ref.epoch + 1)
        await self.register(launch.ref)
        return launch.ref

    async def register(self, ref: LaunchRef) -> Change | None:
        """The launch begins."""
        return (await self.persistence.register(ref, checkpoint_id=None, now_ms=self.tick())).change

    async def running(self, instance_id: str | None = None, **fields: Any) -> LaunchRef:
        """A new instance that runs."""
        ref = await self.claimed(instance_id, **fields)
        await self.register(ref)
        return ref

    async def save(self, ref: LaunchRef, checkpoint_id: str, state: bytes = b"1") -> bytes | None:
        """Save a checkpoint; answer what was there before."""
        return (await self.persistence.checkpoint(ref, checkpoint_id, state, now_ms=self.tick())).existing

    async def suspend(
        self,
        ref: LaunchRef,
        reason: Reason = Reason.SLEEPING,
        wake_in_ms: int | None = None,
        keys: tuple[str, ...] = (),
        *,
        waits: tuple[str, ...] = (),
        reached: tuple[str, ...] = (),
    ) -> Change | None:
        """The program leaves its process."""
        now = self.tick()
        return await self.persistence.suspend(
            ref,
            reason,
            wake_at_ms=None if wake_in_ms is None else now + wake_in_ms,
            signal_keys=keys,
            waits=waits,
            reached=reached,
            now_ms=now,
        )

    async def finish(
        self, ref: LaunchRef, status: Status = Status.COMPLETED, *, output: bytes | None = None
    ) -> Change | None:
        """The program reports its end."""
        failed = status is Status.FAILED
        return await self.persistence.finish(
            ref,
            status,
            reason=Reason.APPLICATION_ERROR if failed else None,
            output=b"{}" if output is None and not failed else output,
            error={"code": "NO_STOCK", "message": "sold out"} if failed else None,
            now_ms=self.tick(),
        )

    async def settle(
        self,
        ref: LaunchRef,
        verdict: Verdict | None = None,
        exit: Exit | None = None,
        *,
        deliver: bool = False,
    ) -> Change | None:
        """The process is gone; unless told otherwise, it exited with 0 and nothing is wrong."""
        return await self.persistence.settle_launch(
            ref, exit or Exit(code=0), verdict or Requeue(), deliver=deliver, now_ms=self.tick()
        )

    async def send(self, ref: LaunchRef, signal_type: str, payload: bytes = b"", *, deliver: bool = False) -> Any:
        """A product sends a signal."""
        return await self.persistence.send_signal(
            ref.tenant_id, ref.instance_id, signal_type, payload, deliver=deliver, now_ms=self.tick()
        )

    async def send_custom(self, ref: LaunchRef, key: str, payload: bytes = b'"yes"') -> Change | None:
        """A product sends a custom signal."""
        return await self.persistence.send_custom_signal(
            ref.tenant_id, ref.instance_id, key, payload, now_ms=self.tick()
        )

    async def take(self, ref: LaunchRef, key: str, checkpoint_id: str = "wait") -> bytes | None:
        """The program looks for a custom signal."""
        return (await self.persistence.take_signal(ref, key, checkpoint_id, now_ms=self.tick())).payload

    async def acknowledge(self, ref: LaunchRef, signal_type: str) -> Change | None:
        """The program obeyed."""
        return await self.persistence.acknowledge_signal(ref, signal_type, now_ms=self.tick())

    async def stop(self, ref: LaunchRef) -> Change:
        """A product stops the instance."""
        return await self.persistence.stop_instance(ref.tenant_id, ref.instance_id, now_ms=self.tick())

    async def emit(self, ref: LaunchRef, *events: NewEvent) -> None:
        """The program appends events."""
        await self.persistence.append_events(ref, events, now_ms=self.tick())

    async def in_state(self, state: str) -> LaunchRef:
        """A new instance that stands so (one of `STATES`), and the ref of its latest launch."""
        if state == "pending":
            created = await self.create()
            return LaunchRef(tenant_id=TENANT, instance_id=created.instance.instance_id, epoch=0)
        if state == "claimed":
            return await self.claimed()
        ref = await self.running()
        match state:
            case "sleeping":
                assert await self.suspend(ref, Reason.SLEEPING, DAY_MS)
            case "waiting":
                assert await self.suspend(ref, Reason.WAITING_SIGNAL, DAY_MS, ("approval",))
            case "paused":
                assert await self.suspend(ref, Reason.PAUSED)
            case "completed":
                await self.finish(ref)
            case "failed":
                await self.finish(ref, Status.FAILED)
            case "cancelled":
                await self.send(ref, "cancel")
                await self.acknowledge(ref, "cancel")
            case "stopped":
                await self.stop(ref)
            case _:
                assert state == "running"
        return ref

    # -- looking ----------------------------------------------------------------------------------------

    async def look(self, ref: LaunchRef) -> Instance:
        """The instance as it is stored, and sane."""
        instance = await self.persistence.get_instance(ref.tenant_id, ref.instance_id)
        sane(instance)
        return instance

    async def status(self, ref: LaunchRef) -> tuple[Status, Reason | None]:
        """Where it stands, and why."""
        instance = await self.look(ref)
        return instance.status, instance.reason

    async def events(self, ref: LaunchRef, **query: Any) -> list[Event]:
        """Its events, oldest first."""
        found, _ = await self.persistence.list_events(
            EventFilter(tenant_id=ref.tenant_id, instance_id=ref.instance_id, **{"ascending": True, **query})
        )
        return found

    async def history(self, ref: LaunchRef) -> list[str]:
        """The types of its events, oldest first."""
        return [event.event_type for event in await self.events(ref)]

    async def waiting(self, ref: LaunchRef) -> list[str]:
        """The types of the signals that wait, in the order of delivery."""
        return [signal.signal_type for signal in await self.persistence.pending_signals(ref)]


def sane(instance: Instance) -> None:
    """What holds for every instance at every moment."""
    assert (instance.finished_at_ms is not None) == (instance.status in TERMINAL)
    assert instance.reason in REASONS[instance.status] if REASONS[instance.status] else instance.reason is None
    assert instance.running_ms >= 0
    assert instance.restarts >= 0
    assert instance.started_at_ms is None or instance.started_at_ms >= instance.created_at_ms
    assert instance.finished_at_ms is None or instance.finished_at_ms >= (
        instance.started_at_ms or instance.created_at_ms
    )
    if instance.status in (Status.RUNNING, *TERMINAL):
        assert instance.wake_at_ms is None
    if instance.status is Status.RUNNING:
        assert instance.started_at_ms is not None
        assert instance.epoch >= 1


async def once(data: bytes) -> AsyncIterator[bytes]:
    """A stream of one chunk."""
    yield data


@asynccontextmanager
async def refused(error: type[RuntaraError], snapshot: Snapshot) -> AsyncIterator[None]:
    """What is inside raises this, and changes nothing that is stored."""
    before = await snapshot()
    with pytest.raises(error):
        yield
    assert await snapshot() == before


def change(ref: LaunchRef, before: Status | None, after: Status, reason: Reason | None = None) -> Change:
    """The change as it should be, due now or never."""
    return Change(tenant_id=ref.tenant_id, instance_id=ref.instance_id, before=before, after=after, reason=reason)


def same(got: Change | None, wanted: Change | None) -> bool:
    """Equal, but for the moment of waking, which is compared where it matters."""
    if got is None or wanted is None:
        return got is wanted
    return (got.tenant_id, got.instance_id, got.before, got.after, got.reason) == (
        wanted.tenant_id,
        wanted.instance_id,
        wanted.before,
        wanted.after,
        wanted.reason,
    )


RESTART = Restart(
    max_restarts=2, delays_ms=(100, 500), reason=Reason.CRASHED, error={"code": "CRASHED", "message": "it crashed"}
)
FAIL = Fail(reason=Reason.TIMEOUT, error={"code": "EXECUTION_TIMEOUT", "message": "too long"})
CRASH = Exit(code=1, stderr="Traceback …\n")
