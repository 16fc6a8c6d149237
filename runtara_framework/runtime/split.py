"""Split: a graph for each item of an array, one after the other or at the same time, with the results in input order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from runtara_framework.dsl.bounds import MAX_ITERATIONS
from runtara_framework.dsl.errors import EvaluationError
from runtara_framework.dsl.schemas import Violation, check, kind_of
from runtara_framework.runtime.attempts import Keeps, attempts
from runtara_framework.runtime.graph import Graph
from runtara_framework.runtime.iteration import iterate, of_iteration
from runtara_framework.runtime.limits import Breath, time_limit
from runtara_framework.runtime.scope import Scope
from runtara_framework.runtime.step import Step
from runtara_framework.sdk.failure import OUTPUT_INVALID, Failure
from runtara_framework.sdk.keys import Key

SPLIT_INPUT_INVALID = "SPLIT_INPUT_INVALID"
SPLIT_TIMEOUT = "SPLIT_TIMEOUT"


class Split(Step, frozen=True, kw_only=True):
    """Runs `body` for each item. `parallelism` 0 means all at once; `effects`: the body does what a replay must not
    repeat, so that its result is kept."""

    kind: ClassVar[str] = "Split"

    body: Graph
    value: Callable[[dict[str, Any]], Any]
    variables: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    parallelism: int = 1
    keep_going: bool = False
    retries: int = 0
    delay_ms: int = 1000
    timeout_ms: int | None = None
    allow_null: bool = False
    convert_single: bool = False
    batch_size: int | None = None
    input_schema: Mapping[str, Any] = {}
    output_schema: Mapping[str, Any] = {}
    effects: bool = False
    durable: bool = True

    def prepare(self, s: Scope) -> Any:
        value = self.value(s.roots)
        if not isinstance(value, list):
            if value is None and self.allow_null:
                value = []
            elif value is not None and self.convert_single:
                value = [value]
            else:
                hint = "allowNull" if value is None else "convertSingleValue"
                raise Failure(
                    SPLIT_INPUT_INVALID,
                    f"Split {self.id!r} needs an array, not {kind_of(value)}; set {hint} if that is meant",
                )
        if self.batch_size is not None:
            value = [value[at : at + self.batch_size] for at in range(0, len(value), self.batch_size)]
        if len(value) > MAX_ITERATIONS:
            raise Failure(SPLIT_INPUT_INVALID, f"Split {self.id!r} has {len(value)} items; at most {MAX_ITERATIONS}")
        return value

    async def perform(self, s: Scope, given: Any) -> dict[str, Any]:
        key = s.key.step(self.id)
        durable = self.durable and s.durable

        async def once(number: int) -> Any:
            # A retry is a whole new run: what failed inside the last one must not be remembered by this one.
            base = key if number == 1 else key.suffix("retry").index(number)
            return await time_limit(
                s,
                base,
                self.timeout_ms,
                SPLIT_TIMEOUT,
                self,
                lambda: self._all(s, base, given),
                goes_on=durable and self.effects,
                durable=durable,
            )

        kept = await attempts(
            s,
            key,
            once,
            retries=self.retries,
            delay_ms=self.delay_ms,
            keeps=Keeps.ALL if durable and self.effects else Keeps.NOTHING,
        )
        return self.result(kept["data"]["success"], **kept)

    async def _all(self, s: Scope, key: Key, items: list[Any]) -> dict[str, Any]:
        tally = _Tally(len(items))
        width = len(items) if self.parallelism == 0 else min(self.parallelism, len(items))
        ahead = iter(range(len(items)))
        breath = Breath()

        async def worker() -> None:
            for index in ahead:
                await breath.take()
                # In the scope of the Split itself: so what outer loops know can be handed in (DSL.md 9).
                own = {} if self.variables is None else self.variables(s.roots)
                tally.started.add(index)
                try:
                    value = await self._one(s, key, index, items[index], own)
                except Failure as failure:
                    if failure.category == "cancelled":
                        raise
                    tally.failed[index] = failure
                    if not self.keep_going:
                        raise
                else:
                    tally.done[index] = value

        try:
            if width <= 1:
                await worker()
            else:
                await s.ctx.gather(*(worker() for _ in range(width)))
        except (Failure, EvaluationError) as error:
            failure = Failure.of(error)
            if s.run.interrupted:
                from runtara_framework.runtime.cleanup import clean_up

                await clean_up(s, failure, self.id)
            failure.attributes.update(tally.report())
            raise failure from error.__cause__
        return tally.report()

    async def _one(self, s: Scope, key: Key, index: int, item: Any, own: dict[str, Any]) -> Any:
        indices = (*s.indices, index)
        if self.input_schema:
            item, violations = self._checked(item)
            if violations:
                raise of_iteration(self, _schema_failure(SPLIT_INPUT_INVALID, violations), index, indices)
        value = await iterate(s, self, self.body, key, index, own, item=item)
        if self.output_schema and (violations := check(self.output_schema, value, "outputs")[1]):
            raise of_iteration(self, _schema_failure(OUTPUT_INVALID, violations), index, indices)
        return value

    def _checked(self, item: Any) -> tuple[Any, list[Violation]]:
        """What an iteration gets: an item, or each item of a batch, with the defaults of the schema."""
        if self.batch_size is None:
            return check(self.input_schema, item, "item")
        checked = [check(self.input_schema, one, "item") for one in item]
        return [value for value, _ in checked], [
            Violation(violation.path.replace("item", f"item[{place}]", 1), violation.message)
            for place, (_, found) in enumerate(checked)
            for violation in found
        ]


class _Tally:
    """What became of each item."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.started: set[int] = set()
        self.done: dict[int, Any] = {}
        self.failed: dict[int, Failure] = {}

    def report(self) -> dict[str, Any]:
        """`data`, `stats` and `hasFailures`, in input order."""
        errors = [
            {"index": index, "error": (failure.cause or failure).to_dict()}
            for index, failure in sorted(self.failed.items())
        ]
        aborted = sorted(self.started - self.done.keys() - self.failed.keys())
        skipped = [index for index in range(self.total) if index not in self.started]
        data: dict[str, list[Any]] = {
            "success": [self.done[index] for index in sorted(self.done)],
            "error": errors,
            "aborted": aborted,
            "unknown": [],
            "skipped": skipped,
        }
        stats = {name: len(members) for name, members in data.items()}
        return {"data": data, "stats": {**stats, "total": self.total}, "hasFailures": bool(errors)}


def _schema_failure(code: str, violations: list[Violation]) -> Failure:
    text = "; ".join(f"{one.path} {one.message}" for one in violations)
    return Failure(code, text, attributes={"violations": [one.to_wire() for one in violations]})
