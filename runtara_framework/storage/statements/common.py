"""The fence and the transition: every write that depends on who asks, or that changes a status, goes through here."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from runtara_framework.errors import InstanceNotFound, InvalidState, StaleLaunch
from runtara_framework.model import Change, LaunchRef
from runtara_framework.states import TERMINAL, Reason, Status, check
from runtara_framework.storage.tx import Tx

EVENTS = {
    Status.RUNNING: "started",
    Status.SUSPENDED: "suspended",
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
}
"""The event that a transition appends. Being queued again (PENDING) is no event."""

_encode = msgspec.json.Encoder().encode


class Head(NamedTuple):
    """What a decision about an instance needs; the columns of `queries.instances.HEAD`."""

    id: int
    tenant_id: str
    status: Status
    reason: str | None
    epoch: int
    node_id: str | None
    image_id: str | None
    created_at_ms: int
    started_at_ms: int | None
    wake_at_ms: int | None
    wait_keys: str | None
    running_since_ms: int | None
    heartbeat_at_ms: int | None
    restarts: int
    restart_seq: int
    memory_peak_bytes: int | None
    cpu_usage_usec: int | None

    @property
    def claimed(self) -> bool:
        """Whether a launch of the current epoch exists."""
        return self.node_id is not None


_STATUS = {str(status): status for status in Status}


def find(tx: Tx, instance_id: str, *, lock: bool = True) -> Head | None:
    """The instance of that id, whoever's it is. Locked until the end of the transaction unless it is only read."""
    row = tx.one("instances.lock" if lock else "instances.peek", instance_id=instance_id)
    return None if row is None else Head(row[0], row[1], _STATUS[row[2]], *row[3:])


def owned(tx: Tx, tenant_id: str, instance_id: str, *, lock: bool = True) -> Head:
    """The tenant's instance. Raises `InstanceNotFound`, also for one of another tenant."""
    head = find(tx, instance_id, lock=lock)
    if head is None or head.tenant_id != tenant_id:
        raise InstanceNotFound(f"tenant {tenant_id!r} has no instance {instance_id!r}", instance_id=instance_id)
    return head


def fenced(tx: Tx, ref: LaunchRef, *, lock: bool = True) -> Head:
    """The instance of a launch that may still write. Raises `InstanceNotFound` or `StaleLaunch`."""
    head = owned(tx, ref.tenant_id, ref.instance_id, lock=lock)
    if head.epoch != ref.epoch:
        raise stale(ref, head)
    return head


def running(tx: Tx, ref: LaunchRef) -> Head:
    """As `fenced`, for what only a RUNNING instance may do. Raises `InvalidState` too."""
    head = fenced(tx, ref)
    if head.status is not Status.RUNNING:
        raise not_running(head, ref.instance_id)
    return head


def not_running(head: Head, instance_id: str) -> InvalidState:
    """The refusal of what only the program of a RUNNING instance may do."""
    return InvalidState(
        f"instance {instance_id!r} is {head.status}; its program may write only while it is running",
        instance_id=instance_id,
        status=str(head.status),
    )


def stale(ref: LaunchRef, head: Head) -> StaleLaunch:
    """The refusal of a launch that is not the current one any more."""
    return StaleLaunch(
        f"launch {ref.epoch} of instance {ref.instance_id!r} is not the current one, which is {head.epoch}; "
        "this process must exit and may not write any more",
        instance_id=ref.instance_id,
        epoch=ref.epoch,
        current_epoch=head.epoch,
    )


def ended(head: Head, instance_id: str, what: str) -> InvalidState:
    """The refusal of something that only makes sense before the end."""
    return InvalidState(
        f"instance {instance_id!r} has ended ({head.status}) and cannot be {what}",
        instance_id=instance_id,
        status=str(head.status),
    )


def move(
    tx: Tx,
    head: Head,
    instance_id: str,
    after: Status,
    *,
    reason: Reason | None = None,
    now_ms: int,
    wake_at_ms: int | None = None,
    wait_keys: str | None = None,
    new_epoch: int | None = None,
    node_id: str | None = None,
    ran_until_ms: int | None = None,
) -> Change:
    """Make the transition, with its event. Raises `InvalidState` if `states.py` does not know it or somebody else was
    faster. RUNNING ends at `ran_until_ms` (default: now) as far as the running time is concerned.

    For PENDING, `wake_at_ms` is the place in the queue; the change tells it only if it lies in the future.
    """
    check(head.status, after, instance_id=instance_id)
    changed = tx.run(
        "instances.move",
        id=head.id,
        before=head.status.value,
        for_epoch=head.epoch,
        after=after.value,
        reason=reason.value if reason is not None else None,
        new_epoch=head.epoch if new_epoch is None else new_epoch,
        new_node_id=node_id,
        # A clock may go back, or be another server's; a duration is never negative.
        new_started_at_ms=max(now_ms, head.created_at_ms) if after is Status.RUNNING else None,
        new_finished_at_ms=max(now_ms, head.started_at_ms or head.created_at_ms) if after in TERMINAL else None,
        new_wake_at_ms=wake_at_ms,
        new_wait_keys=wait_keys,
        new_running_since_ms=now_ms if after is Status.RUNNING else None,
        ran_ms=_ran(head, now_ms if ran_until_ms is None else ran_until_ms),
    )
    if changed != 1:
        raise InvalidState(f"instance {instance_id!r} was changed by somebody else", instance_id=instance_id)
    if after in EVENTS:
        facts: dict[str, Any] = {"epoch": head.epoch}
        if reason is not None:
            facts["reason"] = reason.value
        if wake_at_ms is not None:
            facts["wake_at_ms"] = wake_at_ms
        append(tx, head.id, EVENTS[after], payload=_encode(facts), now_ms=now_ms)
    return Change(
        tenant_id=head.tenant_id,
        instance_id=instance_id,
        before=head.status,
        after=after,
        reason=reason,
        wake_at_ms=wake_at_ms if wake_at_ms is not None and wake_at_ms > now_ms else None,
    )


def queue(
    tx: Tx, head: Head, instance_id: str, *, now_ms: int, wake_at_ms: int | None = None, ran_until_ms: int | None = None
) -> Change:
    """PENDING again: due now, or at `wake_at_ms`."""
    due = now_ms if wake_at_ms is None else wake_at_ms
    return move(tx, head, instance_id, Status.PENDING, now_ms=now_ms, wake_at_ms=due, ran_until_ms=ran_until_ms)


def append(
    tx: Tx,
    instance: int,
    event_type: str,
    *,
    subtype: str | None = None,
    checkpoint_id: str | None = None,
    payload: bytes = b"",
    key: str | None = None,
    now_ms: int,
) -> None:
    """Append an event, unless its key is taken."""
    tx.run(
        "events.add",
        instance=instance,
        event_type=event_type,
        subtype=subtype,
        checkpoint_id=checkpoint_id,
        payload=payload,
        key=key,
        now_ms=now_ms,
    )


def put_outcome(tx: Tx, head: Head, output: bytes | None, error: dict[str, Any] | None) -> None:
    """Keep how it ended."""
    if output is not None or error is not None:
        text = _encode(error).decode() if error is not None else None
        tx.run("instances.put_outcome", instance=head.id, output=output, error=text)


def last_sign_of_life(tx: Tx, head: Head, now_ms: int) -> int:
    """When a RUNNING instance whose end nobody saw was alive for certain: its heartbeat or its newest checkpoint."""
    newest = tx.one("checkpoints.newest", instance=head.id)
    signs = (head.running_since_ms, head.heartbeat_at_ms, newest[1] if newest else None)
    return min(now_ms, max((sign for sign in signs if sign is not None), default=now_ms))


def _ran(head: Head, until_ms: int) -> int:
    if head.running_since_ms is None:
        return 0
    return max(0, until_ms - head.running_since_ms)
