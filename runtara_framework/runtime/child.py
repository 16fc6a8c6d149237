"""StartScenario: another scenario, with data, variables, schemas and checkpoints of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from runtara_framework.runtime.attempts import STEP_TIMEOUT, Keeps, attempts
from runtara_framework.runtime.graph import Graph
from runtara_framework.runtime.limits import time_limit
from runtara_framework.runtime.scenario import run_as_child
from runtara_framework.runtime.scope import Scope
from runtara_framework.runtime.step import Step
from runtara_framework.sdk.failure import Failure
from runtara_framework.sdk.keys import Key

CHILD_FAILED = "CHILD_FAILED"


class StartScenario(Step, frozen=True, kw_only=True):
    """Runs the scenario `child`; a retry runs all of it again."""

    kind: ClassVar[str] = "StartScenario"

    child: Graph
    version: int
    inputs: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    retries: int = 3
    delay_ms: int = 1000
    timeout_ms: int | None = None
    effects: bool = False
    durable: bool = True

    def prepare(self, s: Scope) -> Any:
        return {} if self.inputs is None else self.inputs(s.roots)

    async def perform(self, s: Scope, given: Any) -> dict[str, Any]:
        key = s.key.step(self.id)
        durable = self.durable and s.durable

        async def once(number: int) -> Any:
            # A retry is a whole new run, with keys of its own. The time limit goes on while the process is away.
            base = key if number == 1 else key.suffix("retry").index(number)
            return await time_limit(
                s,
                base,
                self.timeout_ms,
                STEP_TIMEOUT,
                self,
                lambda: self._once(s, base, given),
                goes_on=durable and self.effects,
                durable=durable,
            )

        keeps = Keeps.ALL if durable and self.effects else Keeps.NOTHING
        outputs = await attempts(s, key, once, retries=self.retries, delay_ms=self.delay_ms, keeps=keeps)
        return self.result(outputs, childScenarioId=self.child.scenario)

    async def _once(self, s: Scope, base: Key, given: Any) -> Any:
        try:
            return await run_as_child(s, self.id, self.child, base.site(str(self.child.scenario)), given, self.durable)
        except Failure as cause:
            raise self._failed(cause) from cause

    def _failed(self, cause: Failure) -> Failure:
        return Failure(
            CHILD_FAILED,
            f"child scenario {self.child.scenario!r} failed: {cause.message}",
            category=cause.category,
            severity=cause.severity,
            step_id=self.id,
            step_name=self.name or self.id,
            step_type=self.kind,
            retry_after_ms=cause.retry_after_ms,
            cause=cause,
        )
