"""A graph, and one pass of it from its first step to its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from runtara_framework.dsl.schemas import check_output
from runtara_framework.runtime.scope import Scope
from runtara_framework.runtime.step import Finished
from runtara_framework.sdk.failure import OUTPUT_INVALID, Failure


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """The definition of a graph, written by the compiler."""

    flow: Callable[[Scope], Awaitable[Any]]
    scenario: str | None = None  # its id, if it is a scenario and not part of one
    name: str | None = None
    variables: Mapping[str, Any] = {}  # as declared: {type, value}
    input_schema: Mapping[str, Any] = {}
    output_schema: Mapping[str, Any] = {}
    durable: bool = True
    rate_limit_budget_ms: int = 60_000
    on_cancel: Graph | None = None


async def run_graph(s: Scope) -> Any:
    """The value of the Finish step that the flow met, None if it met none. Raises the failure of a step; what has
    compensations is compensated first."""
    try:
        outcome = await s.graph.flow(s)
        if s.run.interrupted:
            await _clean_up(s, None)  # a Finish step in one branch has ended the others
        value = outcome.value if isinstance(outcome, Finished) else None
        if s.graph.output_schema:
            _check_output(s.graph, value)
        return value
    except Failure as failure:
        if s.completed or s.run.interrupted:
            await _clean_up(s, failure)
        raise
    except asyncio.CancelledError:
        if s.completed or (s.graph.on_cancel is not None and s.outer is not None):
            s.run.interrupted.append((s, None))
        raise


async def _clean_up(s: Scope, failure: Failure | None) -> None:
    from runtara_framework.runtime.cleanup import clean_up
    from runtara_framework.runtime.compensation import compensate

    await clean_up(s, failure)
    if failure is not None:
        try:
            await compensate(s, failure)
        except asyncio.CancelledError:
            s.run.interrupted.append((s, failure))
            raise


def _check_output(graph: Graph, value: Any) -> None:
    violations = check_output(graph.output_schema, value)
    if violations:
        raise Failure(
            OUTPUT_INVALID,
            "the result does not satisfy the outputSchema: " + "; ".join(f"{v.path} {v.message}" for v in violations),
            attributes={"violations": [violation.to_wire() for violation in violations]},
        )
