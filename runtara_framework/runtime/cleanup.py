"""What was cut off in the middle, by a failure beside it, a time limit or a cancel: its completed steps are compensated,
and a child scenario's `onCancel` runs, for to the child it is a cancel (DSL.md 2, 6)."""

from __future__ import annotations

import asyncio

from runtara_framework.runtime.compensation import compensate
from runtara_framework.runtime.events import bounded
from runtara_framework.runtime.graph import run_graph
from runtara_framework.runtime.limits import cut_off_after
from runtara_framework.runtime.scope import Scope
from runtara_framework.sdk.failure import Failure

ON_CANCEL_SECONDS = 30
ON_CANCEL_TIMEOUT = "ON_CANCEL_TIMEOUT"


async def clean_up(s: Scope, failure: Failure | None, step_id: str | None = None) -> None:
    """Clean up what was cut off inside a pass, or inside one step of it, the inner passes first. `failure` is why, None if
    somebody wanted it. If this is itself interrupted, what is left is noted for whoever interrupts."""
    interrupted = s.run.interrupted
    while entry := next((one for one in interrupted if one[0].within(s, step_id)), None):
        scope, known = entry
        try:
            await compensate(scope, known or failure)
            if scope is not s and scope.graph.scenario is not None:
                with s.ctx.remembering():
                    await on_cancel(scope, limited=True)
        except asyncio.CancelledError:
            interrupted[interrupted.index(entry)] = (scope, known or failure)
            raise
        interrupted.remove(entry)


async def on_cancel(s: Scope, *, limited: bool) -> None:
    """Run the `onCancel` of a scenario, if it has one. What fails in it is told by an event, and hides nothing. `limited`:
    nobody else takes care that it ends."""
    handler = s.graph.on_cancel
    if handler is None:
        return
    variables = dict(s.variables)
    variables.update((name, declared.get("value")) for name, declared in handler.variables.items())
    roots = {"data": s.roots["data"], "scenario": s.roots["scenario"], "variables": variables}
    key = s.key.site("onCancel")
    inner = Scope(s.run, handler, roots, key, durable=s.durable, budget=s.budget, outer=s)
    late = Failure(ON_CANCEL_TIMEOUT, f"onCancel took longer than {ON_CANCEL_SECONDS} s", category="timeout")
    try:
        if limited:
            limit_ms, durable = ON_CANCEL_SECONDS * 1000, s.durable
            await cut_off_after(inner, key, limit_ms, late, lambda: run_graph(inner), goes_on=durable, durable=durable)
        else:
            await run_graph(inner)
    except Failure as failure:
        said = {"scenario_id": s.graph.scenario, "error": failure.to_dict()}
        await s.ctx.emit("on_cancel_failed", bounded(said), key=key.suffix("failed"))
