"""Instances as products see them: create, get, list, stop; and the secrets of the servers."""

from __future__ import annotations

from typing import Any

import msgspec

from runtara_framework.errors import (
    ImageNotFound,
    InstanceConflict,
    InstanceNotFound,
    InvalidRequest,
    QueueFull,
    StorageError,
)
from runtara_framework.faults import fault_point
from runtara_framework.model import Change, Instance, InstanceSummary, NewInstance
from runtara_framework.spec.persistence import Created, InstanceFilter, Page
from runtara_framework.states import TERMINAL, Reason, Status
from runtara_framework.storage.statements import common
from runtara_framework.storage.tx import Row, Tx

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def create(tx: Tx, new: NewInstance, *, max_pending: int, now_ms: int) -> Created:
    """`Persistence.create_instance`."""
    if new.image_id is None:
        row = tx.one(
            "instances.create_alone",
            instance_id=new.instance_id,
            tenant_id=new.tenant_id,
            timeout_ms=new.timeout_ms,
            now_ms=now_ms,
        )
        name = None
    else:
        row = tx.one(
            "instances.create",
            instance_id=new.instance_id,
            tenant_id=new.tenant_id,
            image_id=new.image_id,
            timeout_ms=new.timeout_ms,
            max_pending=max_pending,
            now_ms=now_ms,
        )
        name = row[1] if row else None
    if row is None:
        return _existing(tx, new, max_pending)
    put_input(tx, row[0], new.input, new.env)
    instance = Instance(
        tenant_id=new.tenant_id,
        instance_id=new.instance_id,
        image_id=new.image_id,
        image_name=name,
        status=Status.PENDING,
        reason=None,
        epoch=0,
        created_at_ms=now_ms,
        input=new.input,
        env=new.env,
        wake_at_ms=now_ms,
        timeout_ms=new.timeout_ms,
    )
    change = Change(tenant_id=new.tenant_id, instance_id=new.instance_id, before=None, after=Status.PENDING)
    fault_point("create.before_commit")
    return Created(instance=instance, change=change)


def put_input(tx: Tx, instance: int, value: bytes, env: dict[str, str]) -> None:
    """Store what an instance begins with."""
    tx.run("instances.put_input", instance=instance, input=value, env=_encode(env).decode() if env else None)


def _existing(tx: Tx, new: NewInstance, max_pending: int) -> Created:
    head = common.find(tx, new.instance_id, lock=False)
    if head is not None:
        if head.tenant_id != new.tenant_id or head.image_id != new.image_id:
            raise conflict(new.instance_id)
        return Created(instance=_required(tx.one("instances.full", id=head.id)), change=None)
    if tx.one("images.by_id", image_id=new.image_id, tenant_id=new.tenant_id) is None:
        raise ImageNotFound(f"tenant {new.tenant_id!r} has no image {new.image_id!r}", image_id=new.image_id)
    raise QueueFull(
        f"{max_pending} instances wait for a free slot; try again later or raise [server] max_pending_instances",
        max_pending=max_pending,
    )


def conflict(instance_id: str) -> InstanceConflict:
    """The refusal of an id that is taken. Says nothing about who has it."""
    return InstanceConflict(
        f"an instance {instance_id!r} exists already, for another image or tenant; choose another id",
        instance_id=instance_id,
    )


def get(tx: Tx, tenant_id: str, instance_id: str) -> Instance:
    """`Persistence.get_instance`."""
    row = tx.one("instances.get", instance_id=instance_id, tenant_id=tenant_id)
    if row is None:
        raise InstanceNotFound(f"tenant {tenant_id!r} has no instance {instance_id!r}", instance_id=instance_id)
    return full(row)


def by_row_id(tx: Tx, row_id: int) -> Instance:
    """The instance of a head."""
    return _required(tx.one("instances.full", id=row_id))


def _required(row: Row | None) -> Instance:
    if row is None:  # the head was read in this transaction
        raise StorageError("an instance has no input; the database was changed by another program")
    return full(row)


def full(row: Row) -> Instance:
    """An instance from the columns of `queries.instances.FULL`."""
    newest, restarts, restart_seq = row[15:18]
    return Instance(
        tenant_id=row[0],
        instance_id=row[1],
        image_id=row[2],
        image_name=row[3],
        status=Status(row[4]),
        reason=Reason(row[5]) if row[5] is not None else None,
        epoch=row[6],
        created_at_ms=row[7],
        input=bytes(row[8]),
        env=_decode(row[9]) if row[9] is not None else {},
        started_at_ms=row[10],
        finished_at_ms=row[11],
        wake_at_ms=row[12],
        checkpoint_id=row[13],
        checkpoint_count=row[14],
        restarts=0 if (newest or 0) > restart_seq else restarts,
        timeout_ms=row[18],
        running_ms=row[19],
        heartbeat_at_ms=row[20],
        output=bytes(row[21]) if row[21] is not None else None,
        error=_decode(row[22]) if row[22] is not None else None,
        stderr=row[23],
        exit_code=row[24],
        memory_peak_bytes=row[25],
        cpu_usage_usec=row[26],
    )


def stop(tx: Tx, tenant_id: str, instance_id: str, *, now_ms: int) -> Change:
    """`Persistence.stop_instance`."""
    head = common.owned(tx, tenant_id, instance_id)
    if head.status in TERMINAL:
        raise common.ended(head, instance_id, "stopped")
    return common.move(
        tx,
        head,
        instance_id,
        Status.CANCELLED,
        reason=Reason.STOPPED,
        now_ms=now_ms,
        new_epoch=head.epoch + 1,
    )


def count_active(tx: Tx) -> int:
    """`Persistence.count_active`."""
    row = tx.one("instances.count_active")
    return int(row[0]) if row else 0


def secret(tx: Tx, name: str, candidate: bytes) -> bytes:
    """`Persistence.secret`."""
    tx.run("instances.put_secret", name=name, value=candidate)
    row = tx.one("instances.get_secret", name=name)
    return bytes(row[0]) if row else candidate


# -- listing ----------------------------------------------------------------------------------------------

FILTERS = (
    "status",
    "image_id",
    "image_name_prefix",
    "created_after_ms",
    "created_before_ms",
    "finished_after_ms",
    "finished_before_ms",
)
ORDERS = ("created_at_desc", "created_at_asc", "finished_at_desc", "finished_at_asc")


def listed(tx: Tx, query: InstanceFilter) -> Page:
    """`Persistence.list_instances`."""
    if query.order_by not in ORDERS:
        raise InvalidRequest(f"order_by is one of {', '.join(ORDERS)}, not {query.order_by!r}")
    where = [name for name in FILTERS if getattr(query, name) is not None]
    params: dict[str, Any] = {name: getattr(query, name) for name in where}
    if query.status is not None:
        params["status"] = query.status.value
    params["tenant_id"] = query.tenant_id
    total = tx.count("instances.list", where, **params) if query.count else None
    page = _by_creation if query.order_by.startswith("created") else _by_end
    rows = page(tx, query, where, params)
    more = len(rows) > query.limit
    rows = rows[: query.limit]
    return Page(
        instances=[_summary(row) for row in rows],
        total=total,
        next_cursor=_cursor(query.order_by, rows[-1]) if more and rows else None,
    )


def _by_creation(tx: Tx, query: InstanceFilter, where: list[str], params: dict[str, Any]) -> list[Row]:
    offset = query.offset
    if query.cursor is not None:
        key_ms, key_id = _position(query)
        where = [*where, "before" if query.order_by.endswith("desc") else "after"]
        params = {**params, "key_ms": key_ms, "key_id": key_id}
        offset = 0
    return tx.page("instances.list", where, query.order_by, limit=query.limit + 1, offset=offset, **params)


def _by_end(tx: Tx, query: InstanceFilter, where: list[str], params: dict[str, Any]) -> list[Row]:
    """Two stretches, each in the order of an index: what has ended by its end, then what has not by its age."""
    direction = "desc" if query.order_by.endswith("desc") else "asc"
    side = "before" if direction == "desc" else "after"
    limit, offset = query.limit + 1, query.offset
    key_ms, key_id = _position(query) if query.cursor is not None else (None, None)
    rows: list[Row] = []
    if query.cursor is None or key_ms is not None:
        ended = [*where, "finished"]
        if query.cursor is not None:
            ended, offset = [*ended, f"finished_{side}"], 0
            params = {**params, "key_ms": key_ms, "key_id": key_id}
        rows = tx.page("instances.list", ended, query.order_by, limit=limit, offset=offset, **params)
        if offset and not rows:
            offset -= tx.count("instances.list", ended, **params)
        else:
            offset = 0
        key_id = None
    if len(rows) < limit:
        alive = [*where, "unfinished"]
        if key_id is not None:
            alive, offset = [*alive, f"id_{side}"], 0
            params = {**params, "key_id": key_id}
        rows += tx.page("instances.list", alive, f"id_{direction}", limit=limit - len(rows), offset=offset, **params)
    return rows


def _summary(row: Row) -> InstanceSummary:
    return InstanceSummary(
        tenant_id=row[1],
        instance_id=row[2],
        image_id=row[3],
        image_name=row[4],
        status=Status(row[5]),
        reason=Reason(row[6]) if row[6] is not None else None,
        created_at_ms=row[7],
        started_at_ms=row[8],
        finished_at_ms=row[9],
        wake_at_ms=row[10],
        has_error=bool(row[11]),
    )


def _cursor(order_by: str, row: Row) -> str:
    """Where a page ended: the order, the sort key (nothing for an instance that has not ended) and the row."""
    key = row[7] if order_by.startswith("created") else row[9]
    return f"{order_by}.{'' if key is None else key}.{row[0]}"


def _position(query: InstanceFilter) -> tuple[int | None, int]:
    order_by, _, rest = (query.cursor or "").partition(".")
    key, _, row_id = rest.partition(".")
    position: tuple[int | None, int] | None
    try:
        position = (int(key) if key else None, int(row_id))
    except ValueError:
        position = None
    if position is None or order_by != query.order_by or (position[0] is None and order_by.startswith("created")):
        raise InvalidRequest(
            f"cursor {query.cursor!r} is not one that a page ordered by {query.order_by} answered; "
            "send next_cursor unchanged, with the same filter"
        )
    return position
