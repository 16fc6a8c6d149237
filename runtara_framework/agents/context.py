"""What a capability is told about the call: `CapabilityContext` and `Connection`. Light: imports no pydantic."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

_LOGGER = logging.getLogger("runtara.agents")


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach another system. The parameters are secret: no repr shows them.

    `typed` is the agent's own model of the parameters (a `ConnectionParameters`), filled in by the engine after it has
    checked them; a capability reads that one.
    """

    integration_id: str  # names the connection type: "http_bearer"
    parameters: Mapping[str, Any]
    connection_subtype: str | None = None
    typed: Any = None

    @staticmethod
    def from_wire(value: Mapping[str, Any]) -> Connection:
        """From `{integration_id, parameters, connection_subtype?}`, as a Connection step or a connection service gives it.

        Raises `ValueError`, without any parameter in its text, if it is not that."""
        integration_id, parameters = value.get("integration_id"), value.get("parameters")
        if not isinstance(integration_id, str) or not integration_id:
            raise ValueError("a connection needs `integration_id`, a text")
        if not isinstance(parameters, Mapping):
            raise ValueError("a connection needs `parameters`, an object")
        subtype = value.get("connection_subtype")
        return Connection(integration_id, dict(parameters), None if subtype is None else str(subtype))

    def with_typed(self, typed: Any) -> Connection:
        """The same connection, with its checked parameters."""
        return replace(self, typed=typed)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name!r}: '***'" for name in self.parameters)
        return f"Connection({self.integration_id!r}, {{{shown}}})"


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityContext:
    """One call of a capability, for a capability that asks for it with a parameter of this type."""

    tenant_id: str
    instance_id: str
    step_key: str  # the step's checkpoint key: unique in the instance, the same over retries and replays
    attempt: int = 1  # 1 is the first
    deadline_ms: int | None = None  # when the attempt times out, ms since the epoch; the engine cancels it then
    connection: Connection | None = None
    logger: logging.Logger = field(default=_LOGGER, repr=False)

    @property
    def idempotency_key(self) -> str:
        """32 hexadecimal digits that name this effect: the same for every attempt and every replay of the step, different
        for any other step, iteration, instance or tenant. Send it along, so that the other side can drop a repetition."""
        parts = json.dumps([self.tenant_id, self.instance_id, self.step_key])
        return hashlib.sha256(parts.encode()).hexdigest()[:32]

    def remaining_ms(self) -> int | None:
        """Milliseconds until the deadline, never negative; None without one. For blocking code, which nobody can cancel."""
        if self.deadline_ms is None:
            return None
        return max(0, self.deadline_ms - time.time_ns() // 1_000_000)

    def with_connection(self, connection: Connection | None) -> CapabilityContext:
        """The same call with another connection."""
        return replace(self, connection=connection)
