"""What an agent says of itself: records that the validator, the compiler, the CLI and the server share.

They are plain data, so that a scenario can be validated against agents that are not installed here, and so
that reading them imports neither pydantic nor the agent.
"""

from __future__ import annotations

from typing import Any

import msgspec

from runtara_framework.errors import CapabilityNotFound


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One error code that a capability may raise."""

    code: str
    category: str = "permanent"  # transient | permanent | timeout
    description: str = ""


class FieldInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One input of a capability, under the name that a scenario uses for it."""

    name: str
    type: str = "any"  # string | integer | number | boolean | array | object | file | any
    required: bool = False
    nullable: bool = False
    default: Any = None
    enum: tuple[Any, ...] = ()
    description: str = ""
    aliases: tuple[str, ...] = ()  # documented other names that a scenario may use (DSL.md section 8)
    secret: bool = False


class CapabilityInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One capability: its inputs and output, and what the engine must know to run it."""

    id: str
    title: str = ""
    description: str = ""
    inputs: tuple[FieldInfo, ...] = ()
    input_schema: dict[str, Any] = {}
    output_schema: dict[str, Any] = {}
    side_effects: bool = True  # false and deterministic: recomputed on replay, never checkpointed
    harmless: dict[str, tuple[Any, ...]] = {}  # input -> values with each of which a call has no side effects after all
    deterministic: bool = False
    idempotent: bool = False
    rate_limited: bool = False
    errors: tuple[ErrorInfo, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def pure(self) -> bool:
        """True when a replay may run it again instead of keeping its result."""
        return self.deterministic and not self.side_effects


class ConnectionTypeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of connection: the parameters that it has, and which of them are secret."""

    integration_id: str
    title: str = ""
    description: str = ""
    fields: tuple[FieldInfo, ...] = ()
    schema: dict[str, Any] = {}


class AgentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One agent and all of its capabilities."""

    id: str
    title: str = ""
    description: str = ""
    capabilities: tuple[CapabilityInfo, ...] = ()
    connection_types: tuple[str, ...] = ()  # integration ids
    connections: tuple[ConnectionTypeInfo, ...] = ()  # what they are, where it is known
    secure: bool = False  # may receive the parameters of a Connection step
    distribution: str = ""

    def capability(self, capability_id: str) -> CapabilityInfo | None:
        """The capability of that id or documented alias, or None."""
        for capability in self.capabilities:
            if capability.id == capability_id or capability_id in capability.aliases:
                return capability
        return None

    def require(self, capability_id: str) -> CapabilityInfo:
        """`capability`, or `CapabilityNotFound`."""
        capability = self.capability(capability_id)
        if capability is None:
            known = ", ".join(c.id for c in self.capabilities)
            raise CapabilityNotFound(f"agent {self.id!r} has no capability {capability_id!r}; it has: {known}")
        return capability
