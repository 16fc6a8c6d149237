"""Filter and GroupBy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from runtara_framework.dsl.jsontext import plain_text
from runtara_framework.dsl.paths import Path, resolve
from runtara_framework.dsl.schemas import kind_of
from runtara_framework.runtime.limits import Breath
from runtara_framework.runtime.scope import Scope
from runtara_framework.runtime.step import Step
from runtara_framework.sdk.failure import Failure

FILTER_INPUT_INVALID = "FILTER_INPUT_INVALID"
GROUP_BY_INPUT_INVALID = "GROUP_BY_INPUT_INVALID"


class Filter(Step, frozen=True, kw_only=True):
    """Keeps the items for which a condition holds."""

    kind: ClassVar[str] = "Filter"

    value: Callable[[dict[str, Any]], Any]
    test: Callable[[dict[str, Any]], bool]

    def prepare(self, s: Scope) -> Any:
        return _array(self, self.value(s.roots), FILTER_INPUT_INVALID)

    async def perform(self, s: Scope, given: Any) -> dict[str, Any]:
        roots, test = dict(s.roots), self.test
        kept = []
        breath = Breath()
        for number, item in enumerate(given):  # only `item` changes: copying the scope for each would be quadratic
            if not number % 256:
                await breath.take()
            roots["item"] = item
            if test(roots):
                kept.append(item)
        return self.result({"items": kept, "count": len(kept)})


class GroupBy(Step, frozen=True, kw_only=True):
    """Groups items by the value at a path in them; the groups in order of their names."""

    kind: ClassVar[str] = "GroupBy"

    value: Callable[[dict[str, Any]], Any]
    key: Path
    expected: list[str] = []

    def prepare(self, s: Scope) -> Any:
        return _array(self, self.value(s.roots), GROUP_BY_INPUT_INVALID)

    async def perform(self, s: Scope, given: Any) -> dict[str, Any]:
        groups: dict[str, list[Any]] = {name: [] for name in self.expected}
        for item in given:
            key = resolve(item, self.key)
            if key is None:
                name = "_null"
            elif isinstance(key, (dict, list)):
                name = "_invalid"
            else:
                # Equal numbers are one key, as everywhere (DSL.md 9).
                name = plain_text(int(key) if isinstance(key, float) and key.is_integer() else key)
            groups.setdefault(name, []).append(item)
        groups = dict(sorted(groups.items()))
        counts = {name: len(members) for name, members in groups.items()}
        filled = sum(1 for count in counts.values() if count)
        return self.result({"groups": groups, "counts": counts, "total_groups": filled})


def _array(step: Step, value: Any, code: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise Failure(code, f"{step.kind} {step.id!r} needs an array, not {kind_of(value)}")
    return value
