"""Promises about images and their bytes."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from runtara_framework.errors import ImageInUse, ImageNotFound, PayloadTooLarge
from runtara_framework.model import Image
from runtara_framework.spec.persistence import Persistence
from runtara_framework.states import Status
from runtara_framework.testing.persistence_world import MUCH, TENANT, Connect, Snapshot, World, once, refused

MIB = 2**20


class ImagePromises:
    """Part of `PersistenceConformance`."""

    # -- bytes ----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 17])
    @pytest.mark.parametrize("step", [64 * 1024 + 1, 3 * MIB])
    async def test_bytes_come_back_as_they_were(self, persistence: Persistence, size: int, step: int) -> None:
        data = os.urandom(size)
        digest, stored = await persistence.write_blob(_sliced(data, step), max_bytes=size, now_ms=1)
        assert (digest, stored) == (hashlib.sha256(data).hexdigest(), size)
        chunks = [chunk async for chunk in persistence.read_blob(digest)]
        assert b"".join(chunks) == data
        assert all(len(chunk) <= 4 * MIB for chunk in chunks)

    async def test_the_same_bytes_are_stored_once(self, world: World, snapshot: Snapshot) -> None:
        await world.blob(b"x" * 100)
        before = await snapshot()
        await world.blob(b"x" * 100)
        assert await snapshot() == before

    async def test_too_many_bytes_are_refused_and_leave_nothing(
        self, persistence: Persistence, snapshot: Snapshot
    ) -> None:
        data = os.urandom(3 * MIB)
        async with refused(PayloadTooLarge, snapshot):
            await persistence.write_blob(_sliced(data, 1000_000), max_bytes=3 * MIB - 1, now_ms=1)

    async def test_an_upload_that_breaks_off_leaves_nothing(self, persistence: Persistence, snapshot: Snapshot) -> None:
        class BrokenOffError(Exception):
            pass

        async def breaks_off() -> AsyncIterator[bytes]:
            yield b"x" * (2 * MIB)
            raise BrokenOffError

        before = await snapshot()
        with pytest.raises(BrokenOffError):
            await persistence.write_blob(breaks_off(), max_bytes=9 * MIB, now_ms=1)
        assert await snapshot() == before

    async def test_a_cancelled_upload_is_swept_by_a_later_start(
        self, persistence: Persistence, connect: Connect, snapshot: Snapshot
    ) -> None:
        arrived = asyncio.Event()

        async def hangs() -> AsyncIterator[bytes]:
            yield b"x" * (2 * MIB)
            arrived.set()
            await asyncio.Event().wait()

        before = await snapshot()
        upload = asyncio.create_task(persistence.write_blob(hangs(), max_bytes=9 * MIB, now_ms=1))
        await arrived.wait()
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        with pytest.raises(ImageNotFound):
            _ = [chunk async for chunk in persistence.read_blob(hashlib.sha256(b"x" * 2 * MIB).hexdigest())]
        await connect()  # the same node, started again
        assert await snapshot() == before

    async def test_unknown_bytes_are_not_found(self, persistence: Persistence) -> None:
        with pytest.raises(ImageNotFound):
            _ = [chunk async for chunk in persistence.read_blob("0" * 64)]

    # -- records --------------------------------------------------------------------------------------------

    async def test_an_image_is_stored_as_it_is(self, world: World) -> None:
        manifest = {"inputSchema": {"ü": [1, 2.5, None, True]}, "nested": {"": {}}}
        image = await world.image("o", description="d", manifest=manifest, metadata={"b": 1, "a": [{}]})
        assert image.manifest == manifest
        for key in (image.image_id, "o"):
            assert await world.persistence.get_image(TENANT, key) == image
        with pytest.raises(ImageNotFound):
            await world.persistence.get_image(TENANT, "no-such")

    async def test_a_name_means_its_newest_image(self, world: World) -> None:
        old = await world.image("order", data=b"1")
        new = await world.image("order", data=b"2")
        assert await world.persistence.get_image(TENANT, "order") == new
        assert await world.persistence.get_image(TENANT, old.image_id) == old
        theirs = await world.image("order", "globex", data=b"3")
        assert await world.persistence.get_image(TENANT, "order") == new
        with pytest.raises(ImageNotFound):
            await world.persistence.get_image(TENANT, theirs.image_id)

    async def test_an_id_beats_a_name(self, world: World) -> None:
        first = await world.image("one")
        await world.image(first.image_id, data=b"named like an id")
        assert await world.persistence.get_image(TENANT, first.image_id) == first

    async def test_registering_the_same_again_is_the_same_image(self, world: World, snapshot: Snapshot) -> None:
        fields: dict[str, Any] = {"data": b"same", "description": "d", "metadata": {"a": 1, "b": 2}}
        first = await world.image("order", **fields)
        before = await snapshot()
        twin = _copy(first, image_id="another", created_at_ms=world.tick(), metadata={"b": 2, "a": 1})
        assert await world.persistence.put_image(twin) == (first, True)
        assert await snapshot() == before

    @pytest.mark.parametrize(
        "differs", [{"runner_type": "oci"}, {"description": "e"}, {"metadata": {"a": 2}}, {"name": "refund"}]
    )
    async def test_what_differs_is_another_image_of_the_same_bytes(
        self, world: World, differs: dict[str, object]
    ) -> None:
        first = await world.image("order", description="d", metadata={"a": 1})
        other = _copy(first, image_id="another", created_at_ms=world.tick(), **differs)
        assert await world.persistence.put_image(other) == (other, False)

    async def test_only_the_newest_of_a_name_counts_as_the_same(self, world: World) -> None:
        first = await world.image("order", data=b"1")
        await world.image("order", data=b"2")
        back = _copy(first, image_id="back", created_at_ms=world.tick())
        assert await world.persistence.put_image(back) == (back, False)
        assert (await world.persistence.get_image(TENANT, "order")).image_id == "back"

    async def test_images_are_listed_newest_first_with_their_total(self, world: World) -> None:
        images = [await world.image(name, data=name.encode() * n) for n in (1, 2) for name in ("a", "b", "c")]
        newest = images[::-1]
        listed, total = await world.persistence.list_images(TENANT, name=None, limit=4, offset=0)
        assert (listed, total) == (newest[:4], 6)
        rest, _ = await world.persistence.list_images(TENANT, name=None, limit=4, offset=4)
        assert rest == newest[4:]
        named, total = await world.persistence.list_images(TENANT, name="b", limit=9, offset=0)
        assert (named, total) == ([image for image in newest if image.name == "b"], 2)

    # -- deletion -------------------------------------------------------------------------------------------

    async def test_bytes_go_with_their_last_image(self, world: World, snapshot: Snapshot) -> None:
        before = await snapshot()
        data = b"z" * (2 * MIB + 5)
        digest, size = await world.persistence.write_blob(once(data), max_bytes=9 * MIB, now_ms=1)
        one = Image(
            image_id="one",
            tenant_id=TENANT,
            name="big",
            runner_type="mock",
            sha256=digest,
            size_bytes=size,
            created_at_ms=world.tick(),
        )
        theirs = _copy(one, image_id="theirs", tenant_id="globex")
        await world.persistence.put_image(one)
        await world.persistence.put_image(theirs)
        assert await world.persistence.delete_image(TENANT, "one") == (one, False)
        assert b"".join([chunk async for chunk in world.persistence.read_blob(digest)]) == data
        assert await world.persistence.delete_image("globex", "theirs") == (theirs, True)
        with pytest.raises(ImageNotFound):
            _ = [chunk async for chunk in world.persistence.read_blob(digest)]
        assert await snapshot() == before
        with pytest.raises(ImageNotFound):
            await world.persistence.delete_image(TENANT, "one")

    @pytest.mark.parametrize("state", ["pending", "claimed", "running", "sleeping", "paused"])
    async def test_an_image_in_use_stays(self, world: World, snapshot: Snapshot, state: str) -> None:
        await world.in_state(state)
        image = await world.image()
        async with refused(ImageInUse, snapshot):
            await world.persistence.delete_image(TENANT, image.image_id)

    @pytest.mark.parametrize("state", ["completed", "failed", "cancelled", "stopped"])
    async def test_an_ended_instance_outlives_its_image(self, world: World, state: str) -> None:
        ref = await world.in_state(state)
        await world.settle(ref)
        image = await world.image()
        _, removed = await world.persistence.delete_image(TENANT, image.image_id)
        assert removed
        stored = await world.look(ref)
        assert (stored.image_id, stored.image_name) == (image.image_id, image.name)
        assert stored.status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)
        assert (await world.history(ref))[0] == "started"

    async def test_a_deleted_name_means_the_next_newest(self, world: World) -> None:
        old = await world.image("order", data=b"1")
        new = await world.image("order", data=b"2")
        await world.persistence.delete_image(TENANT, new.image_id)
        assert await world.persistence.get_image(TENANT, "order") == old

    async def test_an_upload_does_not_hold_up_others(self, world: World) -> None:
        ref = await world.running()
        saved = 0

        async def slow() -> AsyncIterator[bytes]:
            nonlocal saved
            for number in range(4):
                await world.save(ref, f"between-{number}")
                saved += 1
                yield os.urandom(MIB)

        await world.persistence.write_blob(slow(), max_bytes=9 * MUCH, now_ms=world.tick())
        assert saved == 4


def _copy(image: Image, **differs: object) -> Image:
    fields = {name: getattr(image, name) for name in image.__struct_fields__}
    return Image(**{**fields, **differs})


async def _sliced(data: bytes, step: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), step):
        yield data[start : start + step]
    yield b""
