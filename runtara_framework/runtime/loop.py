"""While: a graph as long as a condition holds. What one iteration leaves to the next is its outputs and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from runtara_framework.runtime.graph import Graph
from runtara_framework.runtime.iteration import iterate
from runtara_framework.runtime.limits import Breath, time_limit
from runtara_framework.runtime.scope import Scope
from runtara_framework.runtime.step import Step
from runtara_framework.sdk.keys import Key
from runtara_framework.sdk.values import decode, encode

WHILE_TIMEOUT = "WHILE_TIMEOUT"

MARK_EVERY = 100
"""Iterations between two records of a loop's progress, from which a replay goes on: a replay walks fewer than this."""


class While(Step, frozen=True, kw_only=True):
    """Runs `body` while `test` holds, at most `limit` times; reaching the limit is a normal end. `effects`: the body does
    what a replay must not repeat, so that the progress is recorded now and then."""

    kind: ClassVar[str] = "While"

    body: Graph
    test: Callable[[dict[str, Any]], bool]
    variables: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    limit: int = 10
    timeout_ms: int | None = None
    effects: bool = False
    durable: bool = True

    async def perform(self, s: Scope, given: Any) -> dict[str, Any]:
        key = s.key.step(self.id)
        durable = self.durable and s.durable
        goes_on = durable and self.effects
        index, outputs = await time_limit(
            s,
            key,
            self.timeout_ms,
            WHILE_TIMEOUT,
            self,
            lambda: self._iterations(s, key, marks=goes_on),
            goes_on=goes_on,
            durable=durable,
        )
        return self.result({"iterations": index, "outputs": outputs}, iterations=index)

    async def _iterations(self, s: Scope, key: Key, *, marks: bool) -> tuple[int, Any]:
        index, outputs = self._progress(s, key) if marks else (0, None)
        roots = dict(s.roots)
        breath = Breath()
        while index < self.limit:
            await breath.take()
            loop = {"index": index, "outputs": outputs}
            roots["loop"] = loop
            if not self.test(roots):
                break
            own = {} if self.variables is None else self.variables(s.roots)
            outputs = await iterate(s, self, self.body, key, index, own, loop=loop)
            index += 1
            if marks and index % MARK_EVERY == 0:
                await s.ctx.checkpoint(_mark(key, index), encode(outputs, "the outputs of an iteration"))
        return index, outputs

    def _progress(self, s: Scope, key: Key) -> tuple[int, Any]:
        """Where the last record says that the loop was."""
        index, outputs = 0, None
        while (saved := s.ctx.saved(_mark(key, index + MARK_EVERY))) is not None:
            index, outputs = index + MARK_EVERY, decode(saved)
        return index, outputs


def _mark(key: Key, index: int) -> Key:
    return key.suffix("progress").index(index)
