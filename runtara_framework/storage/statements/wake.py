"""Time: what is due becomes PENDING, and when the next thing is due."""

from __future__ import annotations

from runtara_framework.model import Change
from runtara_framework.states import Status, check
from runtara_framework.storage.tx import Tx


def claim_due(tx: Tx, *, limit: int, now_ms: int) -> list[Change]:
    """`Persistence.claim_due`."""
    rows = tx.all("wake.due", limit=limit, now_ms=now_ms)
    changes = []
    for _, tenant_id, instance_id in rows:
        check(Status.SUSPENDED, Status.PENDING, instance_id=instance_id)
        changes.append(
            Change(tenant_id=tenant_id, instance_id=instance_id, before=Status.SUSPENDED, after=Status.PENDING)
        )
    if rows:
        tx.many("wake.claim", [{"for_id": row[0]} for row in rows])
    return changes


def next_due_ms(tx: Tx, *, after_ms: int) -> int | None:
    """`Persistence.next_due_ms`."""
    found = (tx.one("wake.next_wake", after_ms=after_ms), tx.one("wake.next_queued", after_ms=after_ms))
    return min((row[0] for row in found if row is not None and row[0] is not None), default=None)
