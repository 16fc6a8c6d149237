"""Queries about checkpoints."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from runtara_framework.storage.queries.parts import BLOB, INT, TEXT, Listing, Query, insert, p
from runtara_framework.storage.schema import checkpoints, instances

c, i = checkpoints.c, instances.c
_COLUMNS = ["instance", "checkpoint_id", "created_at_ms", "state"]

LIST = Listing(
    rows=sa.select(c.checkpoint_id, c.id, sa.func.length(c.state), c.created_at_ms).where(c.instance == p("instance")),
    count=sa.select(sa.func.count()).select_from(checkpoints).where(c.instance == p("instance")),
    where={
        "checkpoint_id": c.checkpoint_id == p("checkpoint_id"),
        "created_after_ms": c.created_at_ms >= p("created_after_ms"),
        "created_before_ms": c.created_at_ms < p("created_before_ms"),
    },
    orders={"newest": (c.id.desc(),)},
)

QUERIES: Mapping[str, Query] = {
    # The hot path: fence, check of the status, write-once and "does a signal wait?" in one statement. No row comes back if
    # the id exists or the launch may not write; the caller finds out which.
    "save": insert(checkpoints)
    .from_select(
        _COLUMNS,
        sa.select(i.id, p("checkpoint_id", TEXT), p("now_ms", INT), p("state", BLOB))
        .where(
            i.instance_id == p("instance_id"),
            i.tenant_id == p("tenant_id"),
            i.epoch == p("epoch"),
            sa.text("instances.status = 'running'"),
        )
        .with_for_update(),
    )
    .on_conflict_do_nothing()
    .returning(
        c.instance,
        sa.literal_column(
            "EXISTS (SELECT 1 FROM signals WHERE signals.instance = checkpoints.instance AND signals.done_at_ms IS NULL)"
        ).label("signals_wait"),
    ),
    "add": sa.insert(checkpoints).values(
        instance=p("instance"), checkpoint_id=p("checkpoint_id"), created_at_ms=p("now_ms"), state=p("state", BLOB)
    ),
    "state": sa.select(c.state).where(c.instance == p("instance"), c.checkpoint_id == p("checkpoint_id")),
    "exists": sa.select(c.id).where(c.instance == p("instance"), c.checkpoint_id == p("checkpoint_id")),
    "get": sa.select(c.id, c.state, c.created_at_ms).where(
        c.instance == p("instance"), c.checkpoint_id == p("checkpoint_id")
    ),
    "newest": sa.select(c.id, c.created_at_ms).where(c.instance == p("instance")).order_by(c.id.desc()).limit(1),
    "after": sa.select(c.checkpoint_id, c.id, c.state, c.created_at_ms)
    .where(c.instance == p("instance"), c.id > p("after_seq"))
    .order_by(c.id),
    "list": LIST,
}
