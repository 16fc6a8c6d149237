"""Images, and their bytes: stored once by content, in chunks, so that memory stays bounded."""

from __future__ import annotations

from typing import Any

import msgspec

from runtara_framework.errors import ImageInUse, ImageNotFound, StorageError
from runtara_framework.model import Image
from runtara_framework.storage.tx import Row, Tx

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def image(row: Row) -> Image:
    """An image from the columns of `queries.launches.IMAGE`."""
    return Image(
        image_id=row[0],
        tenant_id=row[1],
        name=row[2],
        runner_type=row[3],
        sha256=row[4],
        size_bytes=row[5],
        created_at_ms=row[6],
        description=row[7],
        manifest=_decode(row[8]),
        metadata=_decode(row[9]),
    )


def put(tx: Tx, new: Image) -> tuple[Image, bool]:
    """`Persistence.put_image`."""
    tx.lock(f"image {new.tenant_id} {new.name}")
    row = tx.one("images.newest", tenant_id=new.tenant_id, name=new.name)
    if row is not None and _same(image(row), new):
        return image(row), True
    if tx.one("images.blob", sha256=new.sha256) is None:
        raise StorageError(
            f"the bytes {new.sha256} of image {new.name!r} are not stored, or were removed meanwhile with another "
            "image; upload them again"
        )
    tx.run(
        "images.put",
        image_id=new.image_id,
        tenant_id=new.tenant_id,
        name=new.name,
        runner_type=new.runner_type,
        sha256=new.sha256,
        size_bytes=new.size_bytes,
        created_at_ms=new.created_at_ms,
        description=new.description,
        manifest=_encode(new.manifest).decode(),
        metadata=_encode(new.metadata).decode(),
    )
    return new, False


def _same(one: Image, other: Image) -> bool:
    return (one.sha256, one.runner_type, one.description, one.metadata) == (
        other.sha256,
        other.runner_type,
        other.description,
        other.metadata,
    )


def get(tx: Tx, tenant_id: str, image_id: str) -> Image:
    """`Persistence.get_image`."""
    row = tx.one("images.by_id", tenant_id=tenant_id, image_id=image_id) or tx.one(
        "images.newest", tenant_id=tenant_id, name=image_id
    )
    if row is None:
        raise _unknown(tenant_id, image_id)
    return image(row)


def listed(tx: Tx, tenant_id: str, *, name: str | None, limit: int, offset: int) -> tuple[list[Image], int]:
    """`Persistence.list_images`."""
    where = [] if name is None else ["name"]
    params = {"tenant_id": tenant_id} if name is None else {"tenant_id": tenant_id, "name": name}
    rows = tx.page("images.list", where, "newest", limit=limit, offset=offset, **params)
    return [image(row) for row in rows], tx.count("images.list", where, **params)


def delete(tx: Tx, tenant_id: str, image_id: str, *, node_id: str) -> tuple[Image, int | None]:
    """`Persistence.delete_image`; answers the blob that nobody has any more, whose chunks remain to be dropped."""
    if tx.one("images.lock", tenant_id=tenant_id, image_id=image_id) is None:
        raise _unknown(tenant_id, image_id)
    found = get(tx, tenant_id, image_id)
    # A process that still runs needs the image's record to be found again after a restart of the server.
    for use in ("images.active", "images.launched"):
        if tx.one(use, tenant_id=tenant_id, image_id=image_id) is not None:
            raise ImageInUse(
                f"image {found.name!r} ({image_id}) has instances that have not ended; stop them first",
                image_id=image_id,
            )
    tx.run("images.delete", tenant_id=tenant_id, image_id=image_id)
    if tx.one("images.uses", sha256=found.sha256) is not None:
        return found, None
    disowned = tx.one("images.disown_blob", for_sha256=found.sha256, new_node_id=node_id)
    return found, disowned[0] if disowned else None


def _unknown(tenant_id: str, image_id: str) -> ImageNotFound:
    return ImageNotFound(f"tenant {tenant_id!r} has no image {image_id!r}", image_id=image_id)


# -- bytes ------------------------------------------------------------------------------------------------


def begin_blob(tx: Tx, *, node_id: str, now_ms: int) -> int:
    """A blob to be filled. Nobody can read it before `finish_blob`."""
    row = tx.one("images.begin_blob", node_id=node_id, now_ms=now_ms)
    assert row is not None  # an insert that returns its id
    return int(row[0])


def add_chunk(tx: Tx, blob: int, number: int, data: bytes) -> None:
    """The next chunk."""
    tx.run("images.add_chunk", blob=blob, number=number, data=data)


def finish_blob(tx: Tx, blob: int, sha256: str, size_bytes: int) -> bool:
    """Make it readable. False if the same bytes are stored already: then this blob remains to be dropped."""
    tx.lock(f"blob {sha256}")
    if tx.one("images.blob", sha256=sha256) is not None:
        return False
    tx.run("images.finish_blob", for_id=blob, new_sha256=sha256, new_size_bytes=size_bytes)
    return True


def find_blob(tx: Tx, sha256: str) -> int:
    """Raises `ImageNotFound`."""
    row = tx.one("images.find_blob", sha256=sha256)
    if row is None:
        raise ImageNotFound(f"no image has the bytes {sha256}", sha256=sha256)
    return int(row[0])


def read_chunk(tx: Tx, blob: int, number: int) -> bytes | None:
    """None after the last one."""
    row = tx.one("images.chunk", blob=blob, number=number)
    return bytes(row[0]) if row is not None else None


def leftovers(tx: Tx, node_id: str) -> list[int]:
    """What killed writes and removals of this node left behind, and uploads that never became an image."""
    for (sha256,) in tx.all("images.unused_blobs", node_id=node_id):
        tx.run("images.disown_blob", for_sha256=sha256, new_node_id=node_id)
    return [row[0] for row in tx.all("images.unfinished_blobs", node_id=node_id)]


def drop_some(tx: Tx, blob: int) -> bool:
    """Drop the last chunk of a blob that nobody can read, or the blob itself when it is empty. False when it is gone."""
    row = tx.one("images.last_chunk", blob=blob)
    if row is None or row[0] is None:
        tx.run("images.drop_blob", id=blob)
        return False
    tx.run("images.drop_chunk", blob=blob, number=row[0])
    return True
