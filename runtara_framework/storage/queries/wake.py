"""Queries about time: what is due, and what is due next."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from runtara_framework.storage.queries.instances import QUEUED
from runtara_framework.storage.queries.parts import INT, Query, p
from runtara_framework.storage.schema import instances

i = instances.c
_asleep = sa.text("instances.status = 'suspended' AND instances.wake_at_ms IS NOT NULL")

QUERIES: Mapping[str, Query] = {
    "due": sa.select(i.id, i.tenant_id, i.instance_id)
    .where(_asleep, i.wake_at_ms <= p("now_ms"))
    .order_by(i.wake_at_ms, i.id)
    .limit(p("limit", INT))
    .with_for_update(skip_locked=True),
    # `wake_at_ms` stays: it is the place in the queue of one that became due.
    "claim": sa.update(instances)
    .where(i.id == p("for_id"), sa.text("instances.status = 'suspended'"))
    .values(status=sa.literal_column("'pending'"), reason=sa.null(), wait_keys=sa.null(), node_id=sa.null()),
    "next_wake": sa.select(sa.func.min(i.wake_at_ms)).where(_asleep, i.wake_at_ms > p("after_ms")),
    "next_queued": sa.select(sa.func.min(i.wake_at_ms)).where(QUEUED, i.wake_at_ms > p("after_ms")),
}
