"""An endpoint that does as a test tells it, and what tests of transports say to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from runtara_framework.protocol import messages as m
from runtara_framework.protocol.channel import Body
from runtara_framework.protocol.operations import OPERATIONS, Operation, Protocol
from runtara_framework.spec.transport import Caller

LIMIT = 1024 * 1024
MIB = 1024 * 1024
PATIENCE = 20.0  # seconds; only a failing test waits that long

Handler = Callable[[Any, Caller, Body | None], Awaitable[Any]]


@dataclass
class Stage:
    """An endpoint that does as it is told: `script` has what to do for an operation, by name."""

    protocol: Protocol = Protocol.CORE
    max_message_bytes: int = LIMIT
    script: dict[str, Handler] = field(default_factory=dict)
    calls: list[tuple[str, Any, Caller]] = field(default_factory=list)

    @property
    def operations(self) -> Mapping[str, Operation[Any, Any]]:
        return OPERATIONS[self.protocol]

    async def handle(
        self, operation: Operation[Any, Any], request: Any, caller: Caller, body: Body | None = None
    ) -> Any:
        self.calls.append((operation.name, request, caller))
        return await self.script[operation.name](request, caller, body)

    def answer(self, name: str, response: Any) -> None:
        """Answer that operation so."""

        async def handler(request: Any, caller: Caller, body: Body | None) -> Any:
            return response

        self.script[name] = handler

    def fail(self, name: str, error: Exception) -> None:
        """Answer that operation with an error."""

        async def handler(request: Any, caller: Caller, body: Body | None) -> Any:
            raise error

        self.script[name] = handler

    def hold(self, name: str) -> Held:
        """Never answer that operation."""
        held = Held()

        async def handler(request: Any, caller: Caller, body: Body | None) -> Any:
            held.begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                held.cancelled.set()
                raise

        self.script[name] = handler
        return held


class Held:
    """A call that is never answered: whether it has begun and whether it was cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()


HEARTBEAT = m.Heartbeat(instance_id="i-1")
UPLOAD = m.UploadImage(tenant_id="t", name="n")
IMAGE = m.ImageInfo(image_id="a", tenant_id="t", name="n", runner_type="mock", sha256="", size_bytes=0, created_at_ms=0)
REGISTERED = m.ImageRegistered(image_id="a", image=IMAGE)


def save(checkpoint_id: str, state: bytes) -> m.SaveCheckpoint:
    """A request to save a checkpoint of instance `i-1`."""
    return m.SaveCheckpoint(instance_id="i-1", checkpoint_id=checkpoint_id, state=state)


async def within(event: asyncio.Event) -> None:
    """Wait for something that is bound to happen, and fail if it does not."""
    async with asyncio.timeout(PATIENCE):
        await event.wait()


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def stream(pieces: list[bytes]) -> AsyncIterator[bytes]:
    """The body of an upload."""
    for piece in pieces:
        yield piece
