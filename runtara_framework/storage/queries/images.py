"""Queries about images and their bytes."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from runtara_framework.states import ACTIVE
from runtara_framework.storage.queries.launches import IMAGE
from runtara_framework.storage.queries.parts import BLOB, Listing, Query, is_status, p
from runtara_framework.storage.schema import blob_chunks, blobs, images, instances, launches

m, b, k, i, n = images.c, blobs.c, blob_chunks.c, instances.c, launches.c
_newest = (m.created_at_ms.desc(), m.id.desc())

LIST = Listing(
    rows=sa.select(*IMAGE).where(m.tenant_id == p("tenant_id")),
    count=sa.select(sa.func.count()).select_from(images).where(m.tenant_id == p("tenant_id")),
    where={"name": m.name == p("name")},
    orders={"newest": _newest},
)

QUERIES: Mapping[str, Query] = {
    "put": sa.insert(images).values(
        image_id=p("image_id"),
        tenant_id=p("tenant_id"),
        name=p("name"),
        runner_type=p("runner_type"),
        sha256=p("sha256"),
        size_bytes=p("size_bytes"),
        created_at_ms=p("created_at_ms"),
        description=p("description"),
        manifest=p("manifest"),
        metadata=p("metadata"),
    ),
    "by_id": sa.select(*IMAGE).where(m.image_id == p("image_id"), m.tenant_id == p("tenant_id")),
    "lock": sa.select(m.id).where(m.image_id == p("image_id"), m.tenant_id == p("tenant_id")).with_for_update(),
    "newest": sa.select(*IMAGE)
    .where(m.tenant_id == p("tenant_id"), m.name == p("name"))
    .order_by(*_newest)
    .limit(sa.literal_column("1")),
    "active": sa.select(i.id)
    .where(i.tenant_id == p("tenant_id"), i.image_id == p("image_id"), is_status(i.status, *sorted(ACTIVE)))
    .limit(sa.literal_column("1")),
    "launched": sa.select(n.instance)
    .select_from(launches.join(instances, i.id == n.instance))
    .where(n.ended_at_ms.is_(None), i.tenant_id == p("tenant_id"), i.image_id == p("image_id"))
    .limit(sa.literal_column("1")),
    "delete": sa.delete(images).where(m.image_id == p("image_id"), m.tenant_id == p("tenant_id")),
    "uses": sa.select(m.id).where(m.sha256 == p("sha256")).limit(sa.literal_column("1")),
    "list": LIST,
    # -- bytes
    "begin_blob": sa.insert(blobs).values(created_at_ms=p("now_ms"), node_id=p("node_id")).returning(b.id),
    "add_chunk": sa.insert(blob_chunks).values(blob=p("blob"), number=p("number"), data=p("data", BLOB)),
    "finish_blob": sa.update(blobs)
    .where(b.id == p("for_id"))
    .values(sha256=p("new_sha256"), size_bytes=p("new_size_bytes")),
    "blob": sa.select(b.id).where(b.sha256 == p("sha256")).with_for_update(read=True, key_share=True),
    "find_blob": sa.select(b.id).where(b.sha256 == p("sha256")),
    "chunk": sa.select(k.data).where(k.blob == p("blob"), k.number == p("number")),
    # A blob without a hash is read by nobody; what is left of it goes chunk by chunk.
    "disown_blob": sa.update(blobs)
    .where(b.sha256 == p("for_sha256"))
    .values(sha256=sa.null(), node_id=p("new_node_id"))
    .returning(b.id),
    "unfinished_blobs": sa.select(b.id).where(b.sha256.is_(None), b.node_id == p("node_id")),
    "unused_blobs": sa.select(b.sha256).where(
        b.sha256.is_not(None), b.node_id == p("node_id"), ~sa.exists().where(m.sha256 == b.sha256)
    ),
    "last_chunk": sa.select(sa.func.max(k.number)).where(k.blob == p("blob")),
    "drop_chunk": sa.delete(blob_chunks).where(k.blob == p("blob"), k.number == p("number")),
    "drop_blob": sa.delete(blobs).where(b.id == p("id")),
}
