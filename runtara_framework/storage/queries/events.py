"""Queries about events."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from runtara_framework.storage.queries.parts import BLOB, TEXT, Listing, Query, insert, p
from runtara_framework.storage.schema import events

e = events.c

LIST = Listing(
    rows=sa.select(e.id, e.event_type, e.subtype, e.checkpoint_id, e.payload, e.created_at_ms).where(
        e.instance == p("instance")
    ),
    count=sa.select(sa.func.count()).select_from(events).where(e.instance == p("instance")),
    where={
        "event_type": e.event_type == p("event_type"),
        "subtype": e.subtype == p("subtype"),
        "after_event_id": e.id > p("after_event_id"),
        "created_after_ms": e.created_at_ms >= p("created_after_ms"),
        "created_before_ms": e.created_at_ms < p("created_before_ms"),
        "payload_contains": sa.func.runtara_contains(e.payload, p("payload_contains", TEXT), type_=sa.Boolean()),
    },
    orders={"oldest": (e.id,), "newest": (e.id.desc(),)},
)

QUERIES: Mapping[str, Query] = {
    # An event whose key the instance has already is dropped.
    "add": insert(events)
    .values(
        instance=p("instance"),
        event_type=p("event_type"),
        subtype=p("subtype"),
        checkpoint_id=p("checkpoint_id"),
        created_at_ms=p("now_ms"),
        key=p("key"),
        payload=p("payload", BLOB),
    )
    .on_conflict_do_nothing(),
    "list": LIST,
}
