"""Debug runs: an event before and after each step, and breakpoints. They change nothing that a scenario can see."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from runtara_framework.runtime.events import bounded
from runtara_framework.runtime.scope import Scope
from runtara_framework.runtime.step import Step, blame
from runtara_framework.sdk.failure import Failure


async def watched(s: Scope, step: Step) -> dict[str, Any]:
    """Run a step as `step.run` does, and tell what it was given and what came of it."""
    key = s.key.step(step.id)
    about = {
        "step_id": step.id,
        "step_name": step.name or step.id,
        "step_type": step.kind,
        "scope_id": _id(s),
        "parent_scope_id": None if s.outer is None else _id(s.outer),
        "loop_indices": list(s.indices),
    }
    began = time.monotonic()

    async def ended(**came_of_it: Any) -> None:
        said = {**about, "timestamp_ms": _now_ms(), "duration_ms": _since(began), **came_of_it}
        await s.ctx.emit("step_debug_end", bounded(said), key=key.suffix("debug_end"))

    started: dict[str, Any] = {**about, "timestamp_ms": _now_ms()}
    try:
        try:
            given = step.prepare(s)
            started["inputs"] = _inputs(step, given)
        finally:  # also if there is nothing to give: what ends has begun
            await s.ctx.emit("step_debug_start", bounded(started), key=key.suffix("debug_start"))
        if step.breakpoint:
            await _stop_at(s, step, started)
        result = await step.perform(s, given)
    except Exception as error:
        try:
            blame(step, error)
        except Failure as failure:
            await ended(error=failure.to_dict())
            raise
    except asyncio.CancelledError:
        if s.ctx.stopped is None:  # a time limit, or a failure beside it; not that the process goes
            await ended(interrupted=True)
        raise
    s.store(step.id, result)
    await ended(outputs=_outputs(step.kind, result["outputs"]))
    return result


async def _stop_at(s: Scope, step: Step, started: dict[str, Any]) -> None:
    """Suspend before the step, once in the instance's life; a resume goes on."""
    key = s.key.step(step.id).suffix("breakpoint")
    if s.ctx.saved(key) is None:
        hit = {**started, "steps": {step_id: _shown(result) for step_id, result in s.steps.items()}}
        await s.ctx.emit("breakpoint_hit", bounded(hit), key=key)
        await s.ctx.breakpoint(key)


def _id(s: Scope) -> str:
    return str(s.key) or "root"


def _inputs(step: Step, given: Any) -> Any:
    """What a step was given, as far as it may be shown."""
    from runtara_framework.runtime.agent import Agent, agents

    return agents().shown(step.agent, step.capability, given) if isinstance(step, Agent) else given


def _outputs(kind: str, value: Any) -> Any:
    """What came of a step, as far as it may be shown: the parameters of a connection are secret."""
    return "***" if kind == "Connection" else value


def _shown(result: dict[str, Any]) -> dict[str, Any]:
    """The same of `steps.<id>`."""
    if "outputs" not in result:  # it failed
        return result
    return {**result, "outputs": _outputs(result["stepType"], result["outputs"])}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
