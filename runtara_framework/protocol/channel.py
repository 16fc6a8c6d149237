"""The client side of a transport: what the SDKs call. Imports nothing heavy; it runs inside instances."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable
from typing import Protocol, TypeVar

from runtara_framework.protocol.operations import Operation

Body = AsyncIterator[bytes]
"""The bytes that follow a request whose operation says `upload=True`."""

Req = TypeVar("Req")
Res = TypeVar("Res")


class Channel(ABC):
    """A connection to a server. Safe for concurrent calls."""

    @abstractmethod
    async def call(
        self,
        operation: Operation[Req, Res],
        request: Req,
        *,
        body: Body | None = None,
        timeout: float | None = None,
    ) -> Res:
        """Send the request, return the answer. Raises the server's `RuntaraError`, `ConnectionFailed` if the connection
        breaks, `CallTimeout` after `timeout` seconds (the channel stays usable)."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connection; calls under way raise `ConnectionFailed`."""


class Dial(Protocol):
    """What an entry point of `runtara.dialers` is: connects to an address of its scheme."""

    def __call__(self, address: str, *, token: str | None = None, timeout: float = 10.0) -> Awaitable[Channel]:
        """Raises `ConnectionFailed` or `CallTimeout` if there is no connection after `timeout` seconds, `ConfigError`
        for an address that it cannot understand."""
        ...
