"""One launch, as its server and its program see it: claim, register, suspend, finish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from runtara_framework.errors import CheckpointNotFound, InvalidState
from runtara_framework.model import Change, Launch, LaunchRef
from runtara_framework.spec.persistence import Registration
from runtara_framework.states import TERMINAL, Reason, Status
from runtara_framework.storage.statements import checkpoints, common, instances, signals
from runtara_framework.storage.statements.common import Head
from runtara_framework.storage.statements.images import image
from runtara_framework.storage.tx import Tx

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode

STOPS = (Reason.PAUSED, Reason.BREAKPOINT)
"""Somebody has to resume it: that obeys a pause, too."""
REACHED = b"true"
"""The checkpoint of a breakpoint."""

# -- claim ------------------------------------------------------------------------------------------------


def claim(tx: Tx, node_id: str, *, limit: int, now_ms: int) -> list[Launch]:
    """`Persistence.claim_launches`."""
    rows = tx.all("launches.queue", limit=limit, now_ms=now_ms)
    if not rows:
        return []
    tx.many("launches.claim", [{"for_id": row[0], "new_epoch": row[3] + 1, "node_id": node_id} for row in rows])
    tx.many(
        "launches.add",
        [{"instance": row[0], "epoch": row[3] + 1, "node_id": node_id, "now_ms": now_ms} for row in rows],
    )
    return [
        Launch(
            tenant_id=row[1],
            instance_id=row[2],
            epoch=row[3] + 1,
            node_id=node_id,
            claimed_at_ms=now_ms,
            image=image(row[9:]),
            env=_decode(row[6]) if row[6] is not None else {},
            timeout_ms=row[4],
            remaining_ms=_remaining(row[4], row[5]),
            restarts=row[7],
            cancelled=bool(row[8]),
        )
        for row in rows
    ]


def claim_self(tx: Tx, tenant_id: str, instance_id: str, *, node_id: str, now_ms: int) -> LaunchRef:
    """`Persistence.claim_self`."""
    created = tx.one(
        "instances.create_alone", instance_id=instance_id, tenant_id=tenant_id, timeout_ms=None, now_ms=now_ms
    )
    if created is not None:
        instances.put_input(tx, created[0], b"{}", {})
    head = common.find(tx, instance_id)
    if head is None or head.tenant_id != tenant_id:
        raise instances.conflict(instance_id)
    if head.image_id is not None:
        raise InvalidState(
            f"instance {instance_id!r} has an image, so the server launches it; a program that it did not launch "
            "cannot take its place",
            instance_id=instance_id,
            status=str(head.status),
        )
    if head.status in TERMINAL:
        raise common.ended(head, instance_id, "registered again")
    epoch = head.epoch + 1
    common.move(
        tx,
        head,
        instance_id,
        Status.PENDING,
        now_ms=now_ms,
        wake_at_ms=now_ms,
        new_epoch=epoch,
        node_id=node_id,
        ran_until_ms=common.last_sign_of_life(tx, head, now_ms) if head.status is Status.RUNNING else None,
    )
    return LaunchRef(tenant_id=tenant_id, instance_id=instance_id, epoch=epoch)


def started(tx: Tx, ref: LaunchRef, handle: dict[str, Any]) -> None:
    """`Persistence.launch_started`."""
    kept = tx.run(
        "launches.keep_handle",
        tenant_id=ref.tenant_id,
        instance_id=ref.instance_id,
        for_epoch=ref.epoch,
        new_handle=_encode(handle).decode(),
    )
    if not kept:  # settled by now, or never ours
        common.owned(tx, ref.tenant_id, ref.instance_id, lock=False)


def live(tx: Tx, node_id: str) -> list[Launch]:
    """`Persistence.live_launches`."""
    return [
        Launch(
            tenant_id=row[0],
            instance_id=row[1],
            epoch=row[2],
            node_id=row[3],
            claimed_at_ms=row[4],
            image=image(row[11:]),
            env=_decode(row[5]) if row[5] is not None else {},
            timeout_ms=row[6],
            remaining_ms=_remaining(row[6], row[7]),
            restarts=row[8],
            cancelled=bool(row[9]),
            handle=_decode(row[10]) if row[10] is not None else None,
        )
        for row in tx.all("launches.live", node_id=node_id)
    ]


def _remaining(timeout_ms: int | None, running_ms: int) -> int | None:
    return None if timeout_ms is None else max(0, timeout_ms - running_ms)


# -- what the program says --------------------------------------------------------------------------------


def register(tx: Tx, ref: LaunchRef, *, checkpoint_id: str | None, now_ms: int) -> Registration:
    """`Persistence.register`."""
    head = common.fenced(tx, ref)
    if head.status is Status.PENDING and not head.claimed:
        # It was settled, so its process counts as gone; what it would write now would be lost to the next launch.
        raise common.stale(ref, head)
    if checkpoint_id is not None and not checkpoints.exists(tx, head.id, checkpoint_id):
        raise CheckpointNotFound(
            f"instance {ref.instance_id!r} has no checkpoint {checkpoint_id!r} to register with",
            instance_id=ref.instance_id,
            checkpoint_id=checkpoint_id,
        )
    change = None
    if head.status is not Status.RUNNING:
        change = common.move(tx, head, ref.instance_id, Status.RUNNING, now_ms=now_ms, node_id=head.node_id)
    instance = instances.by_row_id(tx, head.id)
    page = checkpoints.page(tx, head.id, ref.instance_id, after_seq=0) if instance.checkpoint_count else None
    return Registration(
        instance=instance,
        checkpoints=page.checkpoints if page else [],
        next_seq=page.next_seq if page else None,
        signals=signals.waiting(tx, head.id),
        change=change,
    )


def finish(
    tx: Tx,
    ref: LaunchRef,
    status: Status,
    *,
    reason: Reason | None,
    output: bytes | None,
    error: dict[str, Any] | None,
    now_ms: int,
) -> Change | None:
    """`Persistence.finish`."""
    head = common.fenced(tx, ref)
    if status not in (Status.COMPLETED, Status.FAILED):
        raise InvalidState(f"an instance finishes completed or failed, not {status}", instance_id=ref.instance_id)
    if head.status is status:
        return None
    if head.status is not Status.RUNNING:
        raise common.not_running(head, ref.instance_id)
    change = common.move(tx, head, ref.instance_id, status, reason=reason, now_ms=now_ms)
    common.put_outcome(tx, head, output, error)
    return change


def suspend(
    tx: Tx,
    ref: LaunchRef,
    reason: Reason,
    *,
    wake_at_ms: int | None,
    signal_keys: Sequence[str],
    waits: Sequence[str] = (),
    reached: Sequence[str] = (),
    now_ms: int,
) -> Change | None:
    """`Persistence.suspend`."""
    head = common.fenced(tx, ref)
    if head.status is Status.SUSPENDED:
        return Change(
            tenant_id=ref.tenant_id,
            instance_id=ref.instance_id,
            before=Status.SUSPENDED,
            after=Status.SUSPENDED,
            reason=Reason(head.reason) if head.reason else None,
            wake_at_ms=head.wake_at_ms,
        )
    if head.status is Status.RUNNING and (
        _wakes_at_once(tx, head, reason, wake_at_ms, signal_keys, now_ms)
        or any(checkpoints.exists(tx, head.id, wait) for wait in waits)
    ):
        return None
    change = common.move(
        tx,
        head,
        ref.instance_id,
        Status.SUSPENDED,
        reason=reason,
        now_ms=now_ms,
        wake_at_ms=wake_at_ms,
        wait_keys=_encode(list(signal_keys)).decode() if signal_keys else None,
    )
    for checkpoint_id in reached:
        if not checkpoints.exists(tx, head.id, checkpoint_id):
            tx.run("checkpoints.add", instance=head.id, checkpoint_id=checkpoint_id, state=REACHED, now_ms=now_ms)
    if reason in STOPS:
        signals.done(tx, head.id, "pause", now_ms=now_ms)
    return change


def _wakes_at_once(
    tx: Tx, head: Head, reason: Reason, wake_at_ms: int | None, signal_keys: Sequence[str], now_ms: int
) -> bool:
    if wake_at_ms is not None and wake_at_ms <= now_ms:
        return True
    # A cancel beats a pause: a paused instance could not be told of it.
    waiting = signals.waiting_types(tx, head.id)
    if waiting and (reason not in STOPS or "cancel" in waiting):
        return True
    return any(tx.one("signals.has_custom", instance=head.id, signal_key=key) is not None for key in signal_keys)
