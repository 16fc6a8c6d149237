"""The agents as a scenario calls them: through the registry, by their entry points."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from runtara_framework.agents import CapabilityContext
from runtara_framework.agents.registry import AgentRegistry


@pytest.fixture
async def invoke() -> AsyncIterator[Callable[[str, str, dict[str, Any]], Awaitable[Any]]]:
    context = CapabilityContext(tenant_id="t", instance_id="i", step_key="s")
    async with AgentRegistry() as registry:

        async def invoke(agent: str, capability: str, inputs: dict[str, Any]) -> Any:
            return await registry.invoke(agent, capability, inputs, context)

        yield invoke
