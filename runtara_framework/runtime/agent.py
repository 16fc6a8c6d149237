"""Agent: calls a capability, with retries, a time limit for each attempt, and a checkpoint after it succeeded."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from runtara_framework.runtime.attempts import Keeps, attempts
from runtara_framework.runtime.scope import Scope
from runtara_framework.runtime.step import Step

if TYPE_CHECKING:
    from runtara_framework.agents.registry import AgentRegistry
    from runtara_framework.runtime.compensation import Compensation
    from runtara_framework.sdk.context import Context

_agents: ContextVar[AgentRegistry | None] = ContextVar("runtara_agents", default=None)
_ours: ContextVar[AgentRegistry | None] = ContextVar("runtara_agents_ours", default=None)


def use_agents(registry: AgentRegistry, *, ours: bool = False) -> None:
    """From now on, in this task and those that it starts, capabilities are called in `registry`. `ours`: it is the program's
    and is closed with it; otherwise whoever made it closes it."""
    _agents.set(registry)
    _ours.set(registry if ours else None)


def agents() -> AgentRegistry:
    """The registry in use; by default that of the agents installed here."""
    return _agents.get() or _installed()


def close_with(ctx: Context) -> None:
    """What the program's agents hold (connections, say) is closed at its end."""
    if _installed.cache_info().currsize:
        ctx.at_end(_installed().aclose)
    if (registry := _ours.get()) is not None:
        ctx.at_end(registry.aclose)


@cache
def _installed() -> AgentRegistry:
    from runtara_framework.agents.registry import AgentRegistry

    return AgentRegistry()  # one for the process: every branch shares what the agents hold


class Agent(Step, frozen=True, kw_only=True):
    """Calls one capability. `pure`: run again on a replay, never checkpointed."""

    kind: ClassVar[str] = "Agent"

    agent: str
    capability: str
    inputs: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    connection: str | None = None
    retries: int = 3
    delay_ms: int = 1000
    timeout_ms: int | None = None
    pure: bool = False
    durable: bool = True
    compensation: Compensation | None = None

    def prepare(self, s: Scope) -> Any:
        return {} if self.inputs is None else self.inputs(s.roots)

    async def perform(self, s: Scope, given: Any) -> dict[str, Any]:
        key = s.key.step(self.id)
        outputs = await attempts(
            s,
            key,
            lambda number: self._once(s, str(key), given, number),
            retries=self.retries,
            delay_ms=self.delay_ms,
            timeout_ms=self.timeout_ms,
            keeps=Keeps.NOTHING if not (self.durable and s.durable) else Keeps.CHANCE if self.pure else Keeps.ALL,
            effect=True,
        )
        result = self.result(outputs)
        if self.compensation is not None:
            self.compensation.note(s, self, result)
        return result

    async def _once(self, s: Scope, step_key: str, given: dict[str, Any], number: int) -> Any:
        from runtara_framework.agents.context import CapabilityContext

        connection = None
        if self.connection is not None:
            from runtara_framework.runtime.connection import fetch

            connection = await fetch(s, self.connection, self.id)
        context = CapabilityContext(
            tenant_id=s.ctx.tenant_id,
            instance_id=s.ctx.instance_id,
            step_key=step_key,
            attempt=number,
            deadline_ms=None if self.timeout_ms is None else time.time_ns() // 1_000_000 + self.timeout_ms,
            connection=connection,
        )
        registry = agents()
        close_with(s.ctx)
        return await registry.invoke(self.agent, self.capability, given, context)
