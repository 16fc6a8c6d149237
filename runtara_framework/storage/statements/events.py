"""Events: appended, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runtara_framework.model import Event, LaunchRef, NewEvent
from runtara_framework.spec.persistence import EventFilter
from runtara_framework.storage.statements import common
from runtara_framework.storage.tx import Tx

FILTERS = ("event_type", "subtype", "after_event_id", "created_after_ms", "created_before_ms", "payload_contains")


def append(tx: Tx, ref: LaunchRef, events: Sequence[NewEvent], *, now_ms: int) -> None:
    """`Persistence.append_events`."""
    head = common.fenced(tx, ref)
    for event in events:
        common.append(
            tx,
            head.id,
            event.event_type,
            subtype=event.subtype,
            checkpoint_id=event.checkpoint_id,
            payload=event.payload,
            key=event.key,
            now_ms=now_ms,
        )


def heartbeat(tx: Tx, ref: LaunchRef, *, now_ms: int) -> None:
    """`Persistence.heartbeat`."""
    beaten = tx.run(
        "instances.heartbeat",
        for_instance_id=ref.instance_id,
        for_tenant_id=ref.tenant_id,
        for_epoch=ref.epoch,
        now_ms=now_ms,
    )
    if not beaten:
        common.fenced(tx, ref, lock=False)


def listed(tx: Tx, query: EventFilter) -> tuple[list[Event], int]:
    """`Persistence.list_events`."""
    head = common.owned(tx, query.tenant_id, query.instance_id, lock=False)
    where = [name for name in FILTERS if getattr(query, name) is not None]
    params: dict[str, Any] = {name: getattr(query, name) for name in where}
    order = "oldest" if query.ascending else "newest"
    rows = tx.page("events.list", where, order, instance=head.id, limit=query.limit, offset=query.offset, **params)
    events = [
        Event(
            event_id=row[0],
            instance_id=query.instance_id,
            event_type=row[1],
            subtype=row[2],
            checkpoint_id=row[3],
            payload=bytes(row[4]),
            created_at_ms=row[5],
        )
        for row in rows
    ]
    return events, tx.count("events.list", where, instance=head.id, **params)
