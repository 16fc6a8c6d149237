"""Agents: write one, find them, call them.

For authors: `agent`, `capability`, `AgentError`, `CapabilityContext` from here, `ConnectionParameters` from
`agents.connections`, `FileData` from `agents.files`; the contract is `runtara_framework/spec/agent.py`. For the engine:
`registry` (look up, list, invoke), `metadata` (what an agent says of itself). Importing this package imports neither
pydantic nor any agent.
"""

from __future__ import annotations

from runtara_framework.agents.context import CapabilityContext, Connection
from runtara_framework.agents.declare import agent, capability, permanent, timeout, transient
from runtara_framework.agents.errors import AgentError
from runtara_framework.agents.metadata import ErrorInfo

__all__ = [
    "AgentError",
    "CapabilityContext",
    "Connection",
    "ErrorInfo",
    "agent",
    "capability",
    "permanent",
    "timeout",
    "transient",
]
