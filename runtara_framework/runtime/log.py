"""Log: an event for people, emitted once, also over replays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from runtara_framework.runtime.events import bounded
from runtara_framework.runtime.scope import Scope
from runtara_framework.runtime.step import Step


class Log(Step, frozen=True, kw_only=True):
    """Emits `workflow_log`."""

    kind: ClassVar[str] = "Log"

    message: str
    level: str = "info"
    context: Callable[[dict[str, Any]], dict[str, Any]] | None = None

    def prepare(self, s: Scope) -> Any:
        return {} if self.context is None else self.context(s.roots)

    async def perform(self, s: Scope, given: Any) -> dict[str, Any]:
        said = {
            "step_id": self.id,
            "step_name": self.name or self.id,
            "level": self.level,
            "message": self.message,
            "context": given,
        }
        if s.indices:
            said["loop_indices"] = list(s.indices)
        # The server drops a second event of the same key, so a replay says nothing twice.
        await s.ctx.emit("workflow_log", bounded(said), key=s.key.step(self.id).suffix("log"))
        return self.result({"level": self.level, "message": self.message})
