"""The test agent of the cases: does what the case says, and counts. It also runs inside images, so it stands alone."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from runtara_framework.agents import AgentError, CapabilityContext, agent, capability

TURNS = 50
"""Of the event loop: enough for every call that may run at the same time to begin."""


class AnyInput(BaseModel):
    """Takes whatever it is given."""

    model_config = ConfigDict(extra="allow")

    do: str = "call"


@agent(id="test", secure=True)
class Double:
    """An agent that does what the case says, and counts."""

    def __init__(
        self,
        scripts: dict[str, list[dict[str, Any]]] | None = None,
        state: Path | None = None,
        cancel: Callable[[str, bool], Awaitable[None]] | None = None,
    ) -> None:
        """`state`: where the counts outlive the process. `cancel`: cancels an instance, True: and compensates it."""
        self.scripts: dict[str, list[dict[str, Any]]] = scripts or {}
        self.state = state
        self.cancel = cancel
        self.calls: Counter[str] = Counter()
        if state is not None and state.exists():
            self.calls.update(json.loads(state.read_text()))
        self.running: Counter[str] = Counter()
        self.arrivals: dict[str, asyncio.Event] = {}

    @capability(id="call")
    async def call(self, given: AnyInput, context: CapabilityContext) -> Any:
        return await self._act(given, context)

    @capability(id="pure", side_effects=False, deterministic=True)
    async def pure(self, given: AnyInput, context: CapabilityContext) -> Any:
        return await self._act(given, context)

    async def _act(self, given: AnyInput, context: CapabilityContext) -> Any:
        name = given.do
        self.calls[name] += 1
        if self.state is not None:
            self.state.write_text(json.dumps(self.calls))
        self.running[name] += 1
        try:
            return await self._play(name, given, context)
        finally:
            self.running[name] -= 1

    async def _play(self, name: str, given: AnyInput, context: CapabilityContext) -> Any:
        inputs = {key: value for key, value in given.model_dump().items() if key != "do"}
        script = self.scripts.get(name) or [{"echo": True}]
        number = self.calls[name]
        act = script[min(number, len(script)) - 1]
        if "when" in act:  # choose by input instead of by number
            act = next(
                (one for one in script if "when" in one and one["when"].items() <= inputs.items()),
                next((one for one in script if "when" not in one), {"echo": True}),
            )
        if act.get("meet"):
            event = self.arrivals.setdefault(act["meet"], asyncio.Event())
            members = [
                other for other in self.scripts if any(a.get("meet") == act["meet"] for a in self.scripts[other])
            ]
            if sum(self.calls[other] for other in members) >= act.get("count", len(members)):
                event.set()
            await asyncio.wait_for(event.wait(), 5)
        if "most" in act:
            for _ in range(TURNS):  # the others could begin meanwhile
                await asyncio.sleep(0)
            if self.running[name] > act["most"]:
                raise AgentError("TOO_MANY", f"{self.running[name]} calls run at the same time")
        if act.get("hang"):
            await asyncio.Event().wait()
        if act.get("cancel"):
            assert self.cancel is not None
            await self.cancel(context.instance_id, act.get("compensate", False))
            await asyncio.Event().wait()
        if "fail" in act:
            failure = dict(act["fail"])
            raise AgentError(failure.pop("code", "BROKEN"), failure.pop("message", "it broke"), **failure)
        if "return" in act:
            return act["return"]
        return inputs
