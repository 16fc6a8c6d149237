"""The persistence contract over SQL: each method hands its statement function to a transaction.

A driver of one database subclasses this and says how a transaction is opened (`_write`, `_read`) and how the schema is
brought up to date. What happens inside a transaction is in `statements/` and is the same for all.
"""

from __future__ import annotations

import asyncio
import hashlib
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from runtara_framework.errors import ImageNotFound, PayloadTooLarge
from runtara_framework.faults import fault_point
from runtara_framework.model import (
    Change,
    Checkpoint,
    CheckpointSummary,
    Event,
    Exit,
    Image,
    Instance,
    Launch,
    LaunchRef,
    NewEvent,
    NewInstance,
    Signal,
)
from runtara_framework.spec.persistence import (
    CheckpointFilter,
    CheckpointPage,
    Created,
    EventFilter,
    InstanceFilter,
    Page,
    Persistence,
    Registration,
    SavedState,
    SignalSent,
    TakenSignal,
    Verdict,
)
from runtara_framework.states import Reason, Status
from runtara_framework.storage.statements import checkpoints, images, instances, launches, settlement, signals, wake
from runtara_framework.storage.statements import events as log
from runtara_framework.storage.tx import Tx

P = ParamSpec("P")
R = TypeVar("R")

CHUNK_BYTES = 2**20
"""One row of a blob, and one transaction of its upload."""


class SqlPersistence(Persistence):
    """Base of the SQL drivers."""

    api = 1

    @abstractmethod
    def _write(self, work: Callable[Concatenate[Tx, P], R], *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        """Run `work` in a transaction that is committed when the answer comes, and undone if it raises."""

    @abstractmethod
    def _read(self, work: Callable[Concatenate[Tx, P], R], *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        """Run `work`, which only reads, on one snapshot that has everything that was answered before."""

    def _look(self, work: Callable[Concatenate[Tx, P], R], *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        """As `_read`, for what finds its few rows by key; a driver may have a shorter way for these."""
        return self._read(work, *args, **kwargs)

    # -- instances ----------------------------------------------------------------------------------------

    async def secret(self, name: str, candidate: bytes) -> bytes:
        return await self._write(instances.secret, name, candidate)

    async def create_instance(self, new: NewInstance, *, max_pending: int, now_ms: int) -> Created:
        created = await self._write(instances.create, new, max_pending=max_pending, now_ms=now_ms)
        fault_point("create.after_commit")
        return created

    async def get_instance(self, tenant_id: str, instance_id: str) -> Instance:
        return await self._look(instances.get, tenant_id, instance_id)

    async def list_instances(self, query: InstanceFilter) -> Page:
        return await self._read(instances.listed, query)

    async def count_active(self) -> int:
        return await self._read(instances.count_active)

    async def send_signal(
        self, tenant_id: str, instance_id: str, signal_type: str, payload: bytes, *, deliver: bool = False, now_ms: int
    ) -> SignalSent:
        return await self._write(
            signals.send, tenant_id, instance_id, signal_type, payload, deliver=deliver, now_ms=now_ms
        )

    async def send_custom_signal(
        self, tenant_id: str, instance_id: str, signal_key: str, payload: bytes, *, now_ms: int
    ) -> Change | None:
        return await self._write(signals.send_custom, tenant_id, instance_id, signal_key, payload, now_ms=now_ms)

    async def stop_instance(self, tenant_id: str, instance_id: str, *, now_ms: int) -> Change:
        return await self._write(instances.stop, tenant_id, instance_id, now_ms=now_ms)

    # -- one launch ---------------------------------------------------------------------------------------

    async def claim_launches(self, node_id: str, *, limit: int, now_ms: int) -> list[Launch]:
        return await self._write(launches.claim, node_id, limit=limit, now_ms=now_ms)

    async def claim_self(self, tenant_id: str, instance_id: str, *, node_id: str, now_ms: int) -> LaunchRef:
        return await self._write(launches.claim_self, tenant_id, instance_id, node_id=node_id, now_ms=now_ms)

    async def launch_started(self, ref: LaunchRef, handle: dict[str, Any]) -> None:
        await self._write(launches.started, ref, handle)

    async def live_launches(self, node_id: str) -> list[Launch]:
        return await self._read(launches.live, node_id)

    async def settle_launch(
        self, ref: LaunchRef, exit: Exit | None, verdict: Verdict, *, deliver: bool = False, now_ms: int
    ) -> Change | None:
        change = await self._write(settlement.settle, ref, exit, verdict, deliver=deliver, now_ms=now_ms)
        fault_point("settle.after_commit")
        return change

    async def register(self, ref: LaunchRef, *, checkpoint_id: str | None, now_ms: int) -> Registration:
        return await self._write(launches.register, ref, checkpoint_id=checkpoint_id, now_ms=now_ms)

    async def load_checkpoints(self, ref: LaunchRef, *, after_seq: int) -> CheckpointPage:
        return await self._read(checkpoints.load, ref, after_seq=after_seq)

    async def checkpoint(self, ref: LaunchRef, checkpoint_id: str, state: bytes, *, now_ms: int) -> SavedState:
        saved = await self._write(checkpoints.save, ref, checkpoint_id, state, now_ms=now_ms)
        fault_point("checkpoint.after_commit")
        return saved

    async def take_signal(self, ref: LaunchRef, signal_key: str, checkpoint_id: str, *, now_ms: int) -> TakenSignal:
        taken = await self._write(checkpoints.take_signal, ref, signal_key, checkpoint_id, now_ms=now_ms)
        fault_point("checkpoint.after_commit")
        return taken

    async def suspend(
        self,
        ref: LaunchRef,
        reason: Reason,
        *,
        wake_at_ms: int | None,
        signal_keys: Sequence[str],
        waits: Sequence[str] = (),
        reached: Sequence[str] = (),
        now_ms: int,
    ) -> Change | None:
        return await self._write(
            launches.suspend,
            ref,
            reason,
            wake_at_ms=wake_at_ms,
            signal_keys=signal_keys,
            waits=waits,
            reached=reached,
            now_ms=now_ms,
        )

    async def finish(
        self,
        ref: LaunchRef,
        status: Status,
        *,
        reason: Reason | None,
        output: bytes | None,
        error: dict[str, Any] | None,
        now_ms: int,
    ) -> Change | None:
        change = await self._write(
            launches.finish, ref, status, reason=reason, output=output, error=error, now_ms=now_ms
        )
        fault_point("finish.after_commit")
        return change

    async def acknowledge_signal(self, ref: LaunchRef, signal_type: str, *, now_ms: int) -> Change | None:
        return await self._write(signals.acknowledge, ref, signal_type, now_ms=now_ms)

    async def pending_signals(self, ref: LaunchRef) -> list[Signal]:
        return await self._look(signals.pending, ref)

    async def heartbeat(self, ref: LaunchRef, *, now_ms: int) -> None:
        await self._write(log.heartbeat, ref, now_ms=now_ms)

    # -- wake -----------------------------------------------------------------------------------------------

    async def claim_due(self, *, limit: int, now_ms: int) -> list[Change]:
        return await self._write(wake.claim_due, limit=limit, now_ms=now_ms)

    async def next_due_ms(self, *, after_ms: int) -> int | None:
        return await self._look(wake.next_due_ms, after_ms=after_ms)

    # -- checkpoints and events -----------------------------------------------------------------------------

    async def get_checkpoint(self, tenant_id: str, instance_id: str, checkpoint_id: str) -> Checkpoint | None:
        return await self._look(checkpoints.get, tenant_id, instance_id, checkpoint_id)

    async def list_checkpoints(self, query: CheckpointFilter) -> tuple[list[CheckpointSummary], int]:
        return await self._read(checkpoints.listed, query)

    async def append_events(self, ref: LaunchRef, events: Sequence[NewEvent], *, now_ms: int) -> None:
        await self._write(log.append, ref, events, now_ms=now_ms)

    async def list_events(self, query: EventFilter) -> tuple[list[Event], int]:
        return await self._read(log.listed, query)

    # -- images -----------------------------------------------------------------------------------------------

    async def write_blob(self, chunks: AsyncIterator[bytes], *, max_bytes: int, now_ms: int) -> tuple[str, int]:
        blob = await self._write(images.begin_blob, node_id=self.context.node_id, now_ms=now_ms)
        try:
            digest, size = await self._fill(blob, chunks, max_bytes)
            kept = await self._write(images.finish_blob, blob, digest, size)
        except BaseException:
            await self._drop(blob)
            raise
        if not kept:
            await self._drop(blob)
        return digest, size

    async def _fill(self, blob: int, chunks: AsyncIterator[bytes], max_bytes: int) -> tuple[str, int]:
        digest = hashlib.sha256()
        size = number = 0
        async for data in _even(chunks):
            size += len(data)
            if size > max_bytes:
                raise PayloadTooLarge(f"the image has more than {max_bytes} bytes, the limit", limit_bytes=max_bytes)
            # The hash of a chunk is made beside its transaction; both let go of the interpreter.
            hashed = asyncio.get_running_loop().run_in_executor(None, digest.update, data)
            try:
                await self._write(images.add_chunk, blob, number, data)
            finally:
                await hashed
            number += 1
            fault_point("blob.between_chunks")
        return digest.hexdigest(), size

    async def _drop(self, blob: int) -> None:
        """Remove what nobody can read, in small transactions, so that others write in between."""
        while await self._write(images.drop_some, blob):
            pass

    async def _sweep(self) -> None:
        """Remove what an earlier life of this node left behind."""
        for blob in await self._write(images.leftovers, self.context.node_id):
            await self._drop(blob)

    async def read_blob(self, sha256: str) -> AsyncIterator[bytes]:
        blob = await self._look(images.find_blob, sha256)
        number = 0
        while (data := await self._read(images.read_chunk, blob, number)) is not None:
            yield data
            number += 1
        if await self._look(images.find_blob, sha256) != blob:
            raise ImageNotFound(f"the bytes {sha256} were removed while they were read", sha256=sha256)

    async def put_image(self, image: Image) -> tuple[Image, bool]:
        return await self._write(images.put, image)

    async def get_image(self, tenant_id: str, image_id: str) -> Image:
        return await self._look(images.get, tenant_id, image_id)

    async def list_images(
        self, tenant_id: str, *, name: str | None, limit: int, offset: int
    ) -> tuple[list[Image], int]:
        return await self._read(images.listed, tenant_id, name=name, limit=limit, offset=offset)

    async def delete_image(self, tenant_id: str, image_id: str) -> tuple[Image, bool]:
        image, blob = await self._write(images.delete, tenant_id, image_id, node_id=self.context.node_id)
        if blob is not None:
            await self._drop(blob)
        return image, blob is not None


async def _even(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in chunks of `CHUNK_BYTES`, and a rest."""
    buffer = bytearray()
    async for data in chunks:
        view = memoryview(data)
        while len(view) > 0:
            take = min(len(view), CHUNK_BYTES - len(buffer))
            buffer += view[:take]
            view = view[take:]
            if len(buffer) == CHUNK_BYTES:
                yield bytes(buffer)
                buffer.clear()
    if buffer:
        yield bytes(buffer)
