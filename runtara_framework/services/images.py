"""Registers executables: checks them, stores their bytes by content, makes them ready to launch."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from runtara_framework.clock import Clock
from runtara_framework.config import Settings
from runtara_framework.errors import ChecksumMismatch, ImageInvalid, InvalidRequest
from runtara_framework.memory import limit_of
from runtara_framework.model import Image
from runtara_framework.packaging import read_manifest
from runtara_framework.services import manifests
from runtara_framework.spec.persistence import Persistence
from runtara_framework.spec.runner import Runner

logger = logging.getLogger(__name__)

SPOOL_ABOVE = 32 * 2**20
"""A larger archive is read from a temporary file rather than held in memory to look at its manifest."""


class ImageService:
    """What the environment service knows of images."""

    def __init__(
        self,
        *,
        persistence: Persistence,
        runners: Mapping[str, Runner],
        settings: Settings,
        clock: Clock,
        data_dir: Path,
    ) -> None:
        self._persistence = persistence
        self._runners = runners
        self._settings = settings
        self._clock = clock
        self._data_dir = data_dir

    async def register(
        self,
        *,
        tenant_id: str,
        name: str,
        chunks: AsyncIterator[bytes],
        description: str | None,
        runner_type: str | None,
        metadata: dict[str, Any],
        sha256: str | None,
    ) -> tuple[Image, bool]:
        """Store the bytes and the record; the same bytes under the same name are the same image (then True).

        Raises `InvalidRequest`, `ChecksumMismatch`, `PayloadTooLarge`, `ImageInvalid`. Nothing is registered then.
        """
        if not name or len(name) > 255:
            raise InvalidRequest(f"an image's name has 1 to 255 characters, not {len(name)}")
        runner = self._runner(runner_type or self._settings.runner.default)
        now = self._clock.now_ms()
        digest, size = await self._persistence.write_blob(
            chunks, max_bytes=self._settings.limits.image_bytes, now_ms=now
        )
        if sha256 is not None and sha256.lower() != digest:
            raise ChecksumMismatch(f"the bytes received have the SHA-256 {digest}, announced was {sha256.lower()}")
        if size == 0:
            raise ImageInvalid("the image is empty")
        manifest = await self._manifest(digest, size)
        if limit_of(manifest) is not None and "memory" not in runner.capabilities:
            logger.warning(
                "image %r has the memoryTier %s, and its runner does not limit memory", name, manifest["memoryTier"]
            )
        image = Image(
            image_id=str(uuid.uuid4()),
            tenant_id=tenant_id,
            name=name,
            runner_type=runner_type or self._settings.runner.default,
            sha256=digest,
            size_bytes=size,
            created_at_ms=now,
            description=description,
            manifest=manifest,
            metadata=metadata,
        )
        await runner.prepare(image, lambda: self._persistence.read_blob(digest))
        return await self._persistence.put_image(image)

    async def delete(self, tenant_id: str, image_id: str) -> None:
        """Remove the record; the bytes too, here and in storage, if no other image has them."""
        image, unused = await self._persistence.delete_image(tenant_id, image_id)
        runner = self._runners.get(image.runner_type)
        if unused and runner is not None:
            await runner.discard(image)

    def _runner(self, runner_type: str) -> Runner:
        runner = self._runners.get(runner_type)
        if runner is None:
            raise InvalidRequest(
                f"this server has no runner {runner_type!r}; it has {', '.join(sorted(self._runners)) or 'none'} "
                "([runner] enabled)"
            )
        return runner

    async def _manifest(self, digest: str, size: int) -> dict[str, Any]:
        """What the image says of itself, if it is an archive that says anything."""
        if size <= SPOOL_ABOVE:
            content = b"".join([chunk async for chunk in self._persistence.read_blob(digest)])
            return manifests.checked(read_manifest(content) or {})
        with NamedTemporaryFile(dir=self._data_dir, prefix="image-") as spool:
            async for chunk in self._persistence.read_blob(digest):
                spool.write(chunk)
            spool.flush()
            return manifests.checked(read_manifest(Path(spool.name)) or {})


def obeys(manifest: Mapping[str, Any], compensate: bool) -> bool:
    """Whether the program of an image may have something to do when it is cancelled: a handler or compensations that run then
    (`onCancel` in its manifest), or, if whoever cancels it asks for them, manual compensations (`manualCompensation`)."""
    return manifest.get("onCancel") is True or (compensate and manifest.get("manualCompensation") is True)


async def single(content: bytes) -> AsyncIterator[bytes]:
    """Bytes that came in one message, as a stream."""
    yield content
