"""Debug runs: an event before and after each step, and breakpoints. They change nothing that a scenario can see."""

from __future__ import annotations

import time
from typing import Any

from runtara_framework.runtime.events import bounded
from runtara_framework.runtime.scope import Scope
from runtara_framework.runtime.step import Step, blame
from runtara_framework.sdk.failure import Failure

HIDDEN = "***"


async def watched(s: Scope, step: Step) -> dict[str, Any]:
    """Run a step as `step.run` does, and tell what it was given and what came of it."""
    key = s.key.step(step.id)
    about = {
        "step_id": step.id,
        "step_name": step.name or step.id,
        "step_type": step.kind,
        "scope_id": str(s.key) or "root",
        "parent_scope_id": s.scope_id,
        "loop_indices": list(s.indices),
    }
    began = time.monotonic()
    try:
        given = step.prepare(s)
        started = {**about, "timestamp_ms": time.time_ns() // 1_000_000, "inputs": _hidden(step, given)}
        await s.ctx.emit("step_debug_start", bounded(started), key=key.suffix("debug_start"))
        if step.breakpoint:
            await _stop_at(s, step, started)
        result = await step.perform(s, given)
    except Exception as error:
        try:
            blame(step, error)
        except Failure as failure:
            await s.ctx.emit(
                "step_debug_end",
                bounded({**about, "duration_ms": _since(began), "error": failure.to_dict()}),
                key=key.suffix("debug_end"),
            )
            raise
    s.store(step.id, result)
    ended = {**about, "duration_ms": _since(began), "outputs": _hidden(step, result["outputs"])}
    await s.ctx.emit("step_debug_end", bounded(ended), key=key.suffix("debug_end"))
    return result


async def _stop_at(s: Scope, step: Step, started: dict[str, Any]) -> None:
    """Suspend before the step, once in the instance's life; a resume goes on."""
    key = s.key.step(step.id).suffix("breakpoint")
    if s.ctx.saved(key) is None:
        hit = {**started, "steps": s.steps}
        await s.ctx.emit("breakpoint_hit", bounded(hit), key=key)
        await s.ctx.breakpoint(key)


def _hidden(step: Step, value: Any) -> Any:
    """What may be shown: never the parameters of a connection."""
    if step.kind == "Connection":
        return HIDDEN
    if step.kind == "Agent" and isinstance(value, dict) and "_connection" in value:
        return {**value, "_connection": HIDDEN}
    return value


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
