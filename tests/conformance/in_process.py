"""Runs a case in this process, on a core in memory whose clock skips what is slept."""

from __future__ import annotations

import asyncio
from typing import Any

from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.compiler import CompilationResult
from runtara_framework.runtime.agent import use_agents
from runtara_framework.sdk.bootstrap import Program
from runtara_framework.services.images import obeys
from runtara_framework.testing.memory_core import MemoryCore, MemoryInstance, Outcome, run_in_process

from .cases import Case, Mode
from .compiling import compile_case
from .doubles import Double
from .observed import Observed

HOLD_BELOW_MS = 500
"""Shorter sleeps stay in the process, longer ones leave it: here, and where cases run as images."""
PATIENCE_SECONDS = 20


async def run(case: Case, mode: Mode) -> Observed:
    """What the case does."""
    core = MemoryCore(hold_below_ms=HOLD_BELOW_MS)

    async def cancel(instance_id: str, compensate: bool) -> None:
        core.cancel(instance_id, compensate=compensate)

    double = Double(case.doubles, cancel=cancel)
    registry = AgentRegistry()
    registry.add(double)
    use_agents(registry)
    compiled = compile_case(case, debug=mode.debug)
    main = _main(compiled.source)
    instance = core.create(case.input)
    if (limit := compiled.manifest.get("executionTimeoutSeconds")) is not None:
        instance.remaining_ms = limit * 1000  # of each launch: the core in memory does not count
    signals = [signal for signal in case.signals if not signal.get("early")]
    for signal in case.signals:
        if signal.get("early"):
            _send(core, instance, compiled, signal)
    while True:
        async with asyncio.timeout(PATIENCE_SECONDS):
            outcome = await run_in_process(main, core=core, instance=instance, kill_at="each" if mode.killed else ())
        if outcome.status != "suspended" or not signals:
            return _observed(outcome, double)
        _send(core, instance, compiled, signals.pop(0))


def _main(source: str) -> Program:
    namespace: dict[str, Any] = {"__name__": "program"}
    exec(compile(source, "program.py", "exec"), namespace)  # noqa: S102  # this is what an image does
    main: Program = namespace["main"]
    return main


def _send(core: MemoryCore, instance: MemoryInstance, compiled: CompilationResult, signal: dict[str, Any]) -> None:
    if signal.get("pause"):
        core.pause(instance.instance_id)
    elif signal.get("resume"):
        core.resume(instance.instance_id)
    elif signal.get("cancel"):
        compensate = signal.get("compensate", False)
        deliver = obeys(compiled.manifest, compensate)
        core.cancel(instance.instance_id, deliver=deliver, compensate=compensate)
    else:
        core.send_custom_signal(instance.instance_id, signal["key"], signal.get("payload"))


def _observed(outcome: Outcome, double: Double) -> Observed:
    events: dict[str, list[Any]] = {}
    for event in outcome.instance.events:
        events.setdefault(event.subtype or "", []).append(event.value)
    return Observed(
        status=str(outcome.status),
        reason=None if outcome.reason is None else str(outcome.reason),
        result=outcome.output,
        error=outcome.error,
        launches=outcome.instance.epoch,  # all of them; `outcome.launches` are those since the last signal
        checkpoints=list(outcome.checkpoints),
        events=events,
        calls=double.calls,
    )
