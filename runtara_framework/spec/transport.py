"""Transport: carries operations between programs, products and the server. Groups `runtara.transports`, `runtara.dialers`.

A transport knows the table of operations (`protocol.operations`) and nothing of what they mean: the server side decodes a
request, calls the endpoint, encodes the answer; the client side does the reverse. So a new operation works over every
transport without a change in any of them. Errors travel as `RuntaraError.to_wire()`.

The two sides are found separately, because the client side also runs inside instances, where imports are on the hot path
and no kernel is: the entry point of the scheme's name in `runtara.transports` is a `Transport` class, the one in
`runtara.dialers` a `protocol.channel.Dial` function in a module that imports neither pydantic nor this file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from runtara_framework.protocol.channel import Body
from runtara_framework.protocol.operations import Operation
from runtara_framework.spec.driver import Driver, Kind


@dataclass(frozen=True)
class Caller:
    """Who is on the other side, as far as the transport knows. It verifies nothing; services do."""

    token: str | None = None
    peer: str = "local"  # for logs: an address, or "unix"
    tenant_id: str | None = None  # a default for requests that name no tenant (HTTP header)


class Endpoint(Protocol):
    """What a transport serves: the operations of one protocol."""

    @property
    def operations(self) -> Mapping[str, Operation[Any, Any]]:
        """By name."""
        ...

    @property
    def max_message_bytes(self) -> int:
        """A larger request is refused with `PayloadTooLarge` before it is held in memory."""
        ...

    async def handle(
        self, operation: Operation[Any, Any], request: Any, caller: Caller, body: Body | None = None
    ) -> Any:
        """Answer a decoded request of type `operation.request` with one of `operation.response`. Raises `RuntaraError`
        and nothing else. May take long (long polls); the transport cancels it when the caller goes away."""
        ...


class Transport(Driver, ABC):
    """Contract of the server side."""

    @abstractmethod
    async def serve(self, address: str, endpoint: Endpoint, stack: AsyncExitStack) -> str:
        """Listen until `stack` unwinds; return the address really bound (port 0 becomes the port). On unwinding: stop
        accepting, let calls under way finish for a moment, close. Raises `AddressInUse`, `ConfigError` for an address
        that this transport cannot understand."""


TRANSPORT = Kind(name="transport", group="runtara.transports", base=Transport, api=1)  # type: ignore[type-abstract]  # mypy 4717
DIALERS = "runtara.dialers"
