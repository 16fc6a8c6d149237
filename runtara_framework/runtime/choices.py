"""Conditional and Switch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from runtara_framework.dsl.conditions import matches
from runtara_framework.runtime.scope import Scope
from runtara_framework.runtime.step import Step
from runtara_framework.sdk.failure import Failure

SWITCH_NO_MATCH = "SWITCH_NO_MATCH"


class Conditional(Step, frozen=True, kw_only=True):
    """Goes on by `true` or `false`."""

    kind: ClassVar[str] = "Conditional"

    test: Callable[[dict[str, Any]], bool]

    async def perform(self, s: Scope, given: Any) -> dict[str, Any]:
        return self.result({"result": self.test(s.roots)})


class Switch(Step, frozen=True, kw_only=True):
    """Chooses an output and, if it routes, an edge. A case is (matchType, match, output, route)."""

    kind: ClassVar[str] = "Switch"

    value: Callable[[dict[str, Any]], Any]
    cases: list[tuple[str, Any, Callable[[dict[str, Any]], Any], str | None]] = []
    default: Callable[[dict[str, Any]], Any] | None = None
    routes: tuple[str, ...] | None = None  # the labels of its edges; None: it does not route

    def prepare(self, s: Scope) -> Any:
        return self.value(s.roots)

    async def perform(self, s: Scope, given: Any) -> dict[str, Any]:
        output, label = self.default, "default"
        for match_type, match, case_output, case_route in self.cases:
            if matches(match_type, given, match):
                output, label = case_output, case_route or "default"
                break
        if self.routes is None:
            return self.result(None if output is None else output(s.roots), route=label)
        if label not in self.routes:
            raise Failure(
                SWITCH_NO_MATCH,
                f"no case of {self.id!r} matches and it has no edge {label!r}; add a case or a default edge",
                attributes={"route": label, "value": given},
            )
        return self.result(None if output is None else output(s.roots), route=label)
