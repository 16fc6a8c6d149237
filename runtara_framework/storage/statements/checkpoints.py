"""Checkpoints: written once, read in order."""

from __future__ import annotations

from typing import Any

from runtara_framework.faults import fault_point
from runtara_framework.model import Checkpoint, CheckpointSummary, LaunchRef
from runtara_framework.spec.persistence import CheckpointFilter, CheckpointPage, SavedState, TakenSignal
from runtara_framework.storage.statements import common, signals
from runtara_framework.storage.tx import Tx

PAGE_BYTES = 8 * 2**20
"""A page of a replay ends with the checkpoint that fills it."""

FILTERS = ("checkpoint_id", "created_after_ms", "created_before_ms")


def save(tx: Tx, ref: LaunchRef, checkpoint_id: str, state: bytes, *, now_ms: int) -> SavedState:
    """`Persistence.checkpoint`."""
    row = tx.one(
        "checkpoints.save",
        tenant_id=ref.tenant_id,
        instance_id=ref.instance_id,
        epoch=ref.epoch,
        checkpoint_id=checkpoint_id,
        state=state,
        now_ms=now_ms,
    )
    if row is None:
        return _saved_before(tx, ref, checkpoint_id)
    fault_point("checkpoint.before_commit")
    return SavedState(existing=None, signals=signals.waiting(tx, row[0]) if row[1] else [])


def _saved_before(tx: Tx, ref: LaunchRef, checkpoint_id: str) -> SavedState:
    head = common.running(tx, ref)
    found = tx.one("checkpoints.state", instance=head.id, checkpoint_id=checkpoint_id)
    # Allowed to write, and not written: so it exists.
    return SavedState(existing=bytes(found[0]) if found else b"", signals=signals.waiting(tx, head.id))


def take_signal(tx: Tx, ref: LaunchRef, signal_key: str, checkpoint_id: str, *, now_ms: int) -> TakenSignal:
    """`Persistence.take_signal`."""
    head = common.running(tx, ref)
    waiting = signals.waiting(tx, head.id)
    found = tx.one("checkpoints.state", instance=head.id, checkpoint_id=checkpoint_id)
    if found is None:
        found = tx.one("signals.take_custom", instance=head.id, signal_key=signal_key)
        if found is None:
            return TakenSignal(payload=None, signals=waiting)
        tx.run("checkpoints.add", instance=head.id, checkpoint_id=checkpoint_id, state=found[0], now_ms=now_ms)
        fault_point("checkpoint.before_commit")
    return TakenSignal(payload=bytes(found[0]), signals=waiting)


def exists(tx: Tx, instance: int, checkpoint_id: str) -> bool:
    """Whether it was written."""
    return tx.one("checkpoints.exists", instance=instance, checkpoint_id=checkpoint_id) is not None


def load(tx: Tx, ref: LaunchRef, *, after_seq: int) -> CheckpointPage:
    """`Persistence.load_checkpoints`."""
    head = common.fenced(tx, ref, lock=False)
    return page(tx, head.id, ref.instance_id, after_seq=after_seq)


def page(tx: Tx, instance: int, instance_id: str, *, after_seq: int) -> CheckpointPage:
    """The checkpoints after `after_seq`, as many as fill a page."""
    loaded: list[Checkpoint] = []
    size = 0
    for checkpoint_id, seq, state, created_at_ms in tx.stream(
        "checkpoints.after", instance=instance, after_seq=after_seq
    ):
        if size >= PAGE_BYTES:
            return CheckpointPage(checkpoints=loaded, next_seq=loaded[-1].seq)
        loaded.append(
            Checkpoint(
                instance_id=instance_id,
                checkpoint_id=checkpoint_id,
                seq=seq,
                state=bytes(state),
                created_at_ms=created_at_ms,
            )
        )
        size += len(state)
    return CheckpointPage(checkpoints=loaded, next_seq=None)


def get(tx: Tx, tenant_id: str, instance_id: str, checkpoint_id: str) -> Checkpoint | None:
    """`Persistence.get_checkpoint`."""
    head = common.owned(tx, tenant_id, instance_id, lock=False)
    row = tx.one("checkpoints.get", instance=head.id, checkpoint_id=checkpoint_id)
    if row is None:
        return None
    return Checkpoint(
        instance_id=instance_id, checkpoint_id=checkpoint_id, seq=row[0], state=bytes(row[1]), created_at_ms=row[2]
    )


def listed(tx: Tx, query: CheckpointFilter) -> tuple[list[CheckpointSummary], int]:
    """`Persistence.list_checkpoints`."""
    head = common.owned(tx, query.tenant_id, query.instance_id, lock=False)
    where = [name for name in FILTERS if getattr(query, name) is not None]
    params: dict[str, Any] = {name: getattr(query, name) for name in where}
    rows = tx.page(
        "checkpoints.list", where, "newest", instance=head.id, limit=query.limit, offset=query.offset, **params
    )
    summaries = [
        CheckpointSummary(
            instance_id=query.instance_id, checkpoint_id=row[0], seq=row[1], size_bytes=row[2], created_at_ms=row[3]
        )
        for row in rows
    ]
    return summaries, tx.count("checkpoints.list", where, instance=head.id, **params)
