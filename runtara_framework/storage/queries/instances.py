"""Queries about one instance, and the listing of instances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from runtara_framework.storage.queries.parts import BLOB, INT, TEXT, Listing, Query, insert, p
from runtara_framework.storage.schema import checkpoints, images, inputs, instances, outcomes, secrets

i = instances.c

HEAD = (
    # The order of `statements.common.Head`.
    i.id,
    i.tenant_id,
    i.status,
    i.reason,
    i.epoch,
    i.node_id,
    i.image_id,
    i.created_at_ms,
    i.started_at_ms,
    i.wake_at_ms,
    i.wait_keys,
    i.running_since_ms,
    i.heartbeat_at_ms,
    i.restarts,
    i.restart_seq,
    i.memory_peak_bytes,
    i.cpu_usage_usec,
)

_of_instance = checkpoints.c.instance == i.id
_latest = sa.select(checkpoints.c.checkpoint_id).where(_of_instance).order_by(checkpoints.c.id.desc()).limit(1)
_newest = sa.select(sa.func.max(checkpoints.c.id)).where(_of_instance)
_count = sa.select(sa.func.count()).select_from(checkpoints).where(_of_instance)

FULL = (
    # The order of `statements.instances.full`.
    i.tenant_id,
    i.instance_id,
    i.image_id,
    i.image_name,
    i.status,
    i.reason,
    i.epoch,
    i.created_at_ms,
    inputs.c.input,
    inputs.c.env,
    i.started_at_ms,
    i.finished_at_ms,
    i.wake_at_ms,
    _latest.scalar_subquery(),
    _count.scalar_subquery(),
    _newest.scalar_subquery(),
    i.restarts,
    i.restart_seq,
    i.timeout_ms,
    i.running_ms,
    i.heartbeat_at_ms,
    outcomes.c.output,
    outcomes.c.error,
    outcomes.c.stderr,
    i.exit_code,
    i.memory_peak_bytes,
    i.cpu_usage_usec,
)
_joined = instances.join(inputs, inputs.c.instance == i.id).outerjoin(outcomes, outcomes.c.instance == i.id)

QUEUED = sa.text("instances.status = 'pending' AND instances.node_id IS NULL AND instances.image_id IS NOT NULL")
_queue = sa.select(sa.literal_column("1")).select_from(instances).where(QUEUED).limit(p("max_pending", INT)).subquery()
_room = sa.select(sa.func.count()).select_from(_queue).scalar_subquery() < p("max_pending", INT)

_NEW = ["instance_id", "tenant_id", "image_id", "image_name", "status", "created_at_ms", "wake_at_ms", "timeout_ms"]
_new: tuple[sa.ColumnElement[Any], ...] = (
    p("instance_id", TEXT),
    p("tenant_id", TEXT),
    images.c.image_id,
    images.c.name,
    sa.literal_column("'pending'"),
    p("now_ms", INT),
    p("now_ms", INT),
    p("timeout_ms", INT),
)

_before = sa.tuple_(i.created_at_ms, i.id) < sa.tuple_(p("key_ms"), p("key_id"))
_after = sa.tuple_(i.created_at_ms, i.id) > sa.tuple_(p("key_ms"), p("key_id"))
_finished_before = sa.tuple_(i.finished_at_ms, i.id) < sa.tuple_(p("key_ms"), p("key_id"))
_finished_after = sa.tuple_(i.finished_at_ms, i.id) > sa.tuple_(p("key_ms"), p("key_id"))

LIST = Listing(
    rows=sa.select(
        i.id,
        i.tenant_id,
        i.instance_id,
        i.image_id,
        i.image_name,
        i.status,
        i.reason,
        i.created_at_ms,
        i.started_at_ms,
        i.finished_at_ms,
        i.wake_at_ms,
        outcomes.c.error.is_not(None).label("has_error"),
    )
    .select_from(instances.outerjoin(outcomes, outcomes.c.instance == i.id))
    .where(i.tenant_id == p("tenant_id")),
    count=sa.select(sa.func.count()).select_from(instances).where(i.tenant_id == p("tenant_id")),
    where={
        "status": i.status == p("status"),
        "image_id": i.image_id == p("image_id"),
        # Not LIKE, which folds case in SQLite and gives % and _ a meaning.
        "image_name_prefix": sa.func.substr(i.image_name, 1, sa.func.length(p("image_name_prefix", TEXT)))
        == p("image_name_prefix"),
        "created_after_ms": i.created_at_ms >= p("created_after_ms"),
        "created_before_ms": i.created_at_ms < p("created_before_ms"),
        "finished_after_ms": i.finished_at_ms >= p("finished_after_ms"),
        "finished_before_ms": i.finished_at_ms < p("finished_before_ms"),
        "finished": i.finished_at_ms.is_not(None),
        "unfinished": i.finished_at_ms.is_(None),
        "before": _before,
        "after": _after,
        "finished_before": _finished_before,
        "finished_after": _finished_after,
        "id_before": i.id < p("key_id"),
        "id_after": i.id > p("key_id"),
    },
    orders={
        "created_at_desc": (i.created_at_ms.desc(), i.id.desc()),
        "created_at_asc": (i.created_at_ms, i.id),
        "finished_at_desc": (i.finished_at_ms.desc(), i.id.desc()),
        "finished_at_asc": (i.finished_at_ms, i.id),
        "id_desc": (i.id.desc(),),
        "id_asc": (i.id,),
    },
)

QUERIES: Mapping[str, Query] = {
    # Everything that a decision needs, locked for the rest of the transaction.
    "lock": sa.select(*HEAD).where(i.instance_id == p("instance_id")).with_for_update(),
    "peek": sa.select(*HEAD).where(i.instance_id == p("instance_id")),
    "full": sa.select(*FULL).select_from(_joined).where(i.id == p("id")),
    "get": sa.select(*FULL)
    .select_from(_joined)
    .where(i.instance_id == p("instance_id"), i.tenant_id == p("tenant_id")),
    # No row comes back if the id exists, the image does not, or the queue is full; the caller finds out which.
    "create": insert(instances)
    .from_select(
        _NEW,
        sa.select(*_new)
        .where(images.c.image_id == p("image_id"), images.c.tenant_id == p("tenant_id"), _room)
        .with_for_update(read=True, key_share=True, of=images),
    )
    .on_conflict_do_nothing()
    .returning(i.id, i.image_name),
    "create_alone": insert(instances)
    .values(
        instance_id=p("instance_id"),
        tenant_id=p("tenant_id"),
        status=sa.literal_column("'pending'"),
        created_at_ms=p("now_ms"),
        wake_at_ms=p("now_ms"),
        timeout_ms=p("timeout_ms"),
    )
    .on_conflict_do_nothing()
    .returning(i.id),
    "put_input": sa.insert(inputs).values(instance=p("instance"), input=p("input", BLOB), env=p("env")),
    # The one update that changes a status. `before` and `epoch` make it a compare-and-set.
    "move": sa.update(instances)
    .where(i.id == p("id"), i.status == p("before"), i.epoch == p("for_epoch"))
    .values(
        status=p("after"),
        reason=p("reason"),
        epoch=p("new_epoch"),
        node_id=p("new_node_id"),
        started_at_ms=sa.func.coalesce(i.started_at_ms, p("new_started_at_ms", INT)),
        finished_at_ms=p("new_finished_at_ms"),
        wake_at_ms=p("new_wake_at_ms"),
        wait_keys=p("new_wait_keys"),
        running_since_ms=p("new_running_since_ms"),
        running_ms=i.running_ms + p("ran_ms", INT),
    ),
    "count_restart": sa.update(instances)
    .where(i.id == p("id"))
    .values(restarts=p("new_restarts"), restart_seq=p("new_restart_seq")),
    "put_usage": sa.update(instances)
    .where(i.id == p("id"))
    .values(
        exit_code=p("new_exit_code"),
        cpu_usage_usec=p("new_cpu_usage_usec"),
        memory_peak_bytes=p("new_memory_peak_bytes"),
    ),
    "put_outcome": insert(outcomes)
    .values(instance=p("instance"), output=p("output", BLOB), error=p("error"))
    .on_conflict_do_update(index_elements=["instance"], set_={"output": p("output", BLOB), "error": p("error", TEXT)}),
    "put_stderr": insert(outcomes)
    .values(instance=p("instance"), stderr=p("stderr"))
    .on_conflict_do_update(index_elements=["instance"], set_={"stderr": p("stderr", TEXT)}),
    "heartbeat": sa.update(instances)
    .where(i.instance_id == p("for_instance_id"), i.tenant_id == p("for_tenant_id"), i.epoch == p("for_epoch"))
    .values(heartbeat_at_ms=p("now_ms")),
    "count_active": sa.select(sa.func.count()).select_from(instances).where(i.finished_at_ms.is_(None)),
    "put_secret": insert(secrets).values(name=p("name"), value=p("value", BLOB)).on_conflict_do_nothing(),
    "get_secret": sa.select(secrets.c.value).where(secrets.c.name == p("name")),
    "list": LIST,
}
