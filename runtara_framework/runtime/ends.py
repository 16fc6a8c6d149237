"""Finish and Error: the steps that end a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from runtara_framework.runtime.events import bounded
from runtara_framework.runtime.scope import Scope
from runtara_framework.runtime.step import Step
from runtara_framework.sdk.failure import Category, Failure, Severity


class Finish(Step, frozen=True, kw_only=True):
    """Ends its graph with a value."""

    kind: ClassVar[str] = "Finish"

    inputs: Callable[[dict[str, Any]], Any] | None = None

    def prepare(self, s: Scope) -> Any:
        return {} if self.inputs is None else self.inputs(s.roots)

    async def perform(self, s: Scope, given: Any) -> dict[str, Any]:
        return self.result(given)


class Error(Step, frozen=True, kw_only=True):
    """Ends its graph with a failure of the author's own."""

    kind: ClassVar[str] = "Error"

    code: str
    message: str
    category: Category = "permanent"
    severity: Severity = "error"
    context: Callable[[dict[str, Any]], dict[str, Any]] | None = None

    def prepare(self, s: Scope) -> Any:
        return {} if self.context is None else self.context(s.roots)

    async def perform(self, s: Scope, given: Any) -> dict[str, Any]:
        said = {
            "step_id": self.id,
            "step_name": self.name or self.id,
            "category": self.category,
            "code": self.code,
            "message": self.message,
            "severity": self.severity,
            "context": given,
        }
        await s.ctx.emit("workflow_error", bounded(said), key=s.key.step(self.id).suffix("error"))
        raise Failure(self.code, self.message, category=self.category, severity=self.severity, attributes=given)
