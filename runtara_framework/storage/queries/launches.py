"""Queries about launches: the queue, and the processes that a node holds."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from runtara_framework.storage.queries.instances import QUEUED
from runtara_framework.storage.queries.parts import INT, Query, p
from runtara_framework.storage.schema import checkpoints, images, inputs, instances, launches, signals

i, n, m = instances.c, launches.c, images.c

IMAGE = (
    # The order of `statements.images.image`.
    m.image_id,
    m.tenant_id,
    m.name,
    m.runner_type,
    m.sha256,
    m.size_bytes,
    m.created_at_ms,
    m.description,
    m.manifest,
    m.metadata,
)
# Asked only if there were crashes: a new checkpoint since the last one forgives them.
_forgiven = sa.exists().where(checkpoints.c.instance == i.id, checkpoints.c.id > i.restart_seq)
_restarts = sa.case((i.restarts == 0, sa.literal_column("0")), (_forgiven, sa.literal_column("0")), else_=i.restarts)
_cancelled = sa.exists().where(
    signals.c.instance == i.id,
    signals.c.signal_type == sa.literal_column("'cancel'"),
    sa.text("signals.done_at_ms IS NULL"),
)

QUERIES: Mapping[str, Query] = {
    "queue": sa.select(
        i.id,
        i.tenant_id,
        i.instance_id,
        i.epoch,
        i.timeout_ms,
        i.running_ms,
        inputs.c.env,
        _restarts,
        _cancelled,
        *IMAGE,
    )
    .select_from(instances.join(images, m.image_id == i.image_id).join(inputs, inputs.c.instance == i.id))
    .where(QUEUED, i.wake_at_ms <= p("now_ms"))
    .order_by(i.wake_at_ms, i.id)
    .limit(p("limit", INT))
    .with_for_update(skip_locked=True, of=instances),
    "claim": sa.update(instances)
    .where(i.id == p("for_id"), i.epoch == p("new_epoch") - 1)
    .values(epoch=p("new_epoch"), node_id=p("node_id")),
    "add": sa.insert(launches).values(
        instance=p("instance"), epoch=p("epoch"), node_id=p("node_id"), claimed_at_ms=p("now_ms")
    ),
    "keep_handle": sa.update(launches)
    .where(
        n.instance
        == sa.select(i.id).where(i.instance_id == p("instance_id"), i.tenant_id == p("tenant_id")).scalar_subquery(),
        n.epoch == p("for_epoch"),
        n.ended_at_ms.is_(None),
    )
    .values(handle=p("new_handle")),
    "end": sa.update(launches)
    .where(n.instance == p("for_instance"), n.epoch == p("for_epoch"), n.ended_at_ms.is_(None))
    .values(
        ended_at_ms=p("now_ms"),
        exit_code=p("new_exit_code"),
        exit_signal=p("new_exit_signal"),
        cpu_usec=p("new_cpu_usec"),
        memory_peak_bytes=p("new_memory_peak_bytes"),
    ),
    "exists": sa.select(n.epoch).where(n.instance == p("instance"), n.epoch == p("epoch")),
    "live": sa.select(
        i.tenant_id,
        i.instance_id,
        n.epoch,
        n.node_id,
        n.claimed_at_ms,
        inputs.c.env,
        i.timeout_ms,
        i.running_ms,
        _restarts,
        _cancelled,
        n.handle,
        *IMAGE,
    )
    .select_from(
        launches.join(instances, i.id == n.instance)
        .join(images, m.image_id == i.image_id)
        .join(inputs, inputs.c.instance == i.id)
    )
    .where(n.node_id == p("node_id"), n.ended_at_ms.is_(None))
    .order_by(n.claimed_at_ms, n.instance),
}
