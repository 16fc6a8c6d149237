"""The compiler and the engine alone: scenarios compiled and run in this process, against a core in memory.

What is left out is the server, so these are the prices of the DSL itself.
"""

from __future__ import annotations

import resource
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from runtara_framework.agents import agent, capability
from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.compiler import CompilationInput, compile_scenario
from runtara_framework.runtime.agent import use_agents
from runtara_framework.testing.memory_core import MemoryCore, run_in_process

Row = tuple[str, float, str]


class Nothing(BaseModel):
    pass


@agent(id="bench")
class Bench:
    """An agent that costs nothing."""

    @capability(id="touch", side_effects=True)
    async def touch(self, given: Nothing) -> int:
        return 1


def ref(path: str) -> dict[str, Any]:
    return {"valueType": "reference", "value": path}


def imm(value: Any) -> dict[str, Any]:
    return {"valueType": "immediate", "value": value}


def op(name: str, *arguments: Any) -> dict[str, Any]:
    return {"type": "operation", "op": name, "arguments": list(arguments)}


def graph(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Steps in a row."""
    ids = [step["id"] for step in steps]
    plan = [{"fromStep": a, "toStep": b} for a, b in pairwise(ids)]
    return {"entryPoint": ids[0], "steps": {step["id"]: step for step in steps}, "executionPlan": plan, **more}


def finish(value: dict[str, Any]) -> dict[str, Any]:
    return {"stepType": "Finish", "id": "end", "inputMapping": {"out": value}}


def chain(length: int) -> dict[str, Any]:
    """Pure steps in a row, each reading the one before it."""
    steps = [
        {
            "stepType": "Switch",
            "id": f"s{number}",
            "config": {
                "value": ref(f"steps.s{number - 1}.outputs" if number else "data.x"),
                "cases": [{"matchType": "EQ", "match": 1, "output": 2}],
                "default": 1,
            },
        }
        for number in range(length)
    ]
    return graph(*steps, finish(ref(f"steps.s{length - 1}.outputs")), inputSchema={"x": {"type": "integer"}})


def program(document: dict[str, Any]) -> Any:
    """The compiled scenario's entry."""
    registry = AgentRegistry()
    registry.add(Bench)
    use_agents(registry)
    result = compile_scenario(CompilationInput(scenario_id="bench", execution_graph=document), agents=registry)
    namespace: dict[str, Any] = {"__name__": "program"}
    exec(compile(result.source, "program.py", "exec"), namespace)  # noqa: S102  # this is what an image does
    return namespace["main"]


def resident_mb() -> float:
    """Memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


async def ran(main: Any, value: Any, **options: Any) -> float:
    """Seconds of a run to its result."""
    begin = time.perf_counter()
    outcome = await run_in_process(main, value, **options)
    if str(outcome.status) != "completed":
        raise SystemExit(f"a run ended {outcome.status}: {outcome.error}")
    return time.perf_counter() - begin


async def compiling() -> list[Row]:
    """Validation, compilation and packing; then the same again, from the cache."""
    rows = []
    for length in (10, 100, 600):
        given = CompilationInput(scenario_id=f"bench-{length}-{time.monotonic_ns()}", execution_graph=chain(length))
        begin = time.perf_counter()
        compile_scenario(given)
        rows.append((f"compile {length} steps", (time.perf_counter() - begin) * 1000, "ms"))
        begin = time.perf_counter()
        compile_scenario(given)
        rows.append((f"compile {length} steps, cached", (time.perf_counter() - begin) * 1000, "ms"))
    return rows


async def pure_steps() -> list[Row]:
    """The price of one pure step."""
    short, long = program(chain(10)), program(chain(1010))
    await ran(long, {"x": 1})
    base = min([await ran(short, {"x": 1}) for _ in range(5)])
    whole = min([await ran(long, {"x": 1}) for _ in range(5)])
    return [("a pure step (Switch)", (whole - base) / 1000 * 1e6, "µs")]


async def filtering() -> list[Row]:
    """Filter over 150 000 rows."""
    step = {
        "stepType": "Filter",
        "id": "f",
        "config": {"value": ref("data.rows"), "condition": op("GT", ref("item.n"), imm(75_000))},
    }
    main = program(graph(step, finish(ref("steps.f.outputs.count")), inputSchema={"rows": {"type": "array"}}))
    return [("Filter over 150 000 rows", await ran(main, {"rows": [{"n": n} for n in range(150_000)]}), "s")]


def looping(steps: int) -> dict[str, Any]:
    """A While whose every iteration saves one checkpoint: that of a step with a side effect."""
    call = {"stepType": "Agent", "id": "a", "agentId": "bench", "capabilityId": "touch", "inputMapping": {}}
    body = graph(call, finish(ref("variables._index")))
    step = {
        "stepType": "While",
        "id": "w",
        "condition": op("LT", ref("loop.index"), imm(steps)),
        "config": {"maxIterations": steps},
        "subgraph": body,
    }
    return graph(step, finish(ref("steps.w.outputs.iterations")))


async def loops() -> list[Row]:
    """Iterations a second, what the memory grows by, and a replay of all of them."""
    count = 10_000
    main = program(looping(count))
    before = resident_mb()
    core = MemoryCore()
    instance = core.create({})
    seconds = await ran(main, None, core=core, instance=instance)
    grown = resident_mb() - before
    replayed = core.create({})
    replayed.checkpoints.update(instance.checkpoints)
    again = await ran(main, None, core=core, instance=replayed)
    return [
        ("While, 10 000 iterations with a checkpoint each", count / seconds, "/s"),
        ("its memory, the core's checkpoints included", grown, "MB"),
        (f"replay of {len(instance.checkpoints)} checkpoints", again, "s"),
    ]


async def splitting() -> list[Row]:
    """A pure Split over 10 000 items."""
    body = graph(finish(ref("data")))
    step = {"stepType": "Split", "id": "s", "config": {"value": ref("data.items")}, "subgraph": body}
    main = program(graph(step, finish(ref("steps.s.stats")), inputSchema={"items": {"type": "array"}}))
    return [("Split over 10 000 items", 10_000 / await ran(main, {"items": list(range(10_000))}), "/s")]
