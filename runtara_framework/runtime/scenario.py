"""A scenario from its input to its output: as an instance of its own, and as the child of another one."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from runtara_framework.dsl.schemas import Violation, check_input
from runtara_framework.runtime.budget import Budget
from runtara_framework.runtime.graph import Graph, run_graph
from runtara_framework.runtime.scope import Run, Scope
from runtara_framework.sdk.failure import INPUT_INVALID, Failure
from runtara_framework.sdk.keys import Key

if TYPE_CHECKING:
    from runtara_framework.sdk.context import Context
    from runtara_framework.stdlib import Pin


async def run_scenario(
    ctx: Context, graph: Graph, *, debug: bool = False, connection_url: str | None = None, stdlib: Pin | None = None
) -> Any:
    """The program of an instance: its output. Raises `Failure`: INPUT_INVALID, OUTPUT_INVALID, STDLIB_UNAVAILABLE, or that
    of a step."""
    if stdlib is not None:
        from runtara_framework.runtime.stdlib import start

        start(stdlib)
    run = Run(ctx, debug=debug, connection_url=connection_url)
    scope = _scope(run, graph, ctx.input, Key.root(), durable=True)
    variables = copy_context()  # the program's: it knows which agents to call
    ctx.on_cancel = lambda: asyncio.create_task(_on_cancel(scope), context=variables)
    result = await run_graph(scope)
    if scope.completed:
        run.interrupted.append((scope, None))  # counts if a cancel came before the result was told
    return result


async def run_as_child(s: Scope, step_id: str, graph: Graph, key: Key, data: Any, durable: bool) -> Any:
    """The output of a child scenario that a step gave `data`. Raises the child's failure."""
    scope = _scope(s.run, graph, {"data": data}, key, durable=durable and s.durable, outer=s, owner=step_id)
    return await run_graph(scope)


def _scope(
    run: Run,
    graph: Graph,
    given: Any,
    key: Key,
    *,
    durable: bool,
    outer: Scope | None = None,
    owner: str | None = None,
) -> Scope:
    envelope, violations = check_input(graph.input_schema, graph.variables, given)
    if violations:
        raise _input_invalid(violations)
    variables = envelope.variables
    variables["_scenario_id"] = graph.scenario
    variables["_instance_id"] = run.ctx.instance_id
    variables["_tenant_id"] = run.ctx.tenant_id
    roots = {
        "data": envelope.data,
        "variables": variables,
        "scenario": {"inputs": {"data": envelope.data, "variables": variables}},
    }
    budget = Budget(graph.rate_limit_budget_ms, key)
    return Scope(run, graph, roots, key, durable=durable, budget=budget, outer=outer, owner=owner)


def _input_invalid(violations: list[Violation]) -> Failure:
    return Failure(
        INPUT_INVALID,
        "the input does not satisfy the inputSchema: " + "; ".join(f"{v.path} {v.message}" for v in violations),
        attributes={"violations": [violation.to_wire() for violation in violations]},
    )


async def _on_cancel(root: Scope) -> None:
    """What a scenario does when its instance is cancelled or out of time: undo, then the graph's own `onCancel`."""
    from runtara_framework.runtime.cleanup import clean_up, on_cancel

    await clean_up(root, None)
    await on_cancel(root, limited=False)
