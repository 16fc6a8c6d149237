"""What an agent can answer, raise and ignore, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from runtara_framework.agents import AgentError, agent, capability

ANSWERS: dict[str, Callable[[], Any]] = {
    "nan": lambda: float("nan"),
    "infinity inside": lambda: {"rows": [1.0, float("-inf")]},
    "text": lambda: b"abc",
    "bytes": lambda: b"\xff\x00",
    "half a character": lambda: "\ud83d",
    "object": object,
    "set": lambda: {7},
    "moment": lambda: datetime(2026, 1, 2, tzinfo=UTC),
    "huge": lambda: 2**200,
    "huger": lambda: 10**5_000,
    "deep": lambda: _deep(5_000),
    "itself": lambda: _itself(),
    "nothing": lambda: None,
}
ERRORS: dict[str, Callable[[], BaseException]] = {
    "keyboard": KeyboardInterrupt,
    "exit": lambda: SystemExit(3),
    "cancelled": lambda: asyncio.CancelledError("my own"),
    "group": lambda: BaseExceptionGroup("many", [KeyboardInterrupt(), ValueError("x")]),
    "generator": GeneratorExit,
    "stop": lambda: StopIteration(4),
    "memory": MemoryError,
    "late": lambda: TimeoutError("its own"),
    "category": lambda: AgentError("ODD", "odd", category="cancelled"),  # type: ignore[arg-type]
    "code": lambda: AgentError(5, "odd"),  # type: ignore[arg-type]
    "wait": lambda: AgentError("ODD", "odd", category="transient", retry_after_ms=0.4),  # type: ignore[arg-type]
    "before": lambda: AgentError("RATE_LIMITED", "odd", category="transient", retry_after_ms=-60_000),
    "attributes": lambda: AgentError(
        "ODD", "odd", attributes={"nan": float("nan"), "set": {7}, "type": int, "half": "\ud83d"}
    ),
}


def _deep(levels: int) -> Any:
    value: Any = None
    for _ in range(levels):
        value = [value]
    return value


def _itself() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


class What(BaseModel):
    what: str
    size: int = 0


@agent(id="odd")
class Rogue:
    @capability(id="answer")
    async def answer(self, given: What) -> Any:
        return "x" * given.size if given.size else ANSWERS[given.what]()

    @capability(id="compute", side_effects=False, deterministic=True)
    async def compute(self, given: What) -> Any:
        if given.what in ERRORS:
            raise ERRORS[given.what]()
        return await self.answer(given)

    @capability(id="raise")
    async def raise_(self, given: What) -> Any:
        raise ERRORS[given.what]()

    @capability(id="raise-in-thread")
    def raise_in_thread(self, given: What) -> Any:
        raise ERRORS[given.what]()

    @capability(id="ignore")
    async def ignore(self, given: What) -> Any:
        """Takes no notice of being cancelled. `return`: it ends then, with a result; `wait`: it goes on for a while."""
        for _ in range(3):
            try:
                await asyncio.sleep(60 if given.what == "return" else 1)
            except asyncio.CancelledError:
                if given.what == "return":
                    break
        return "late"
