"""What the cases in tests/conformance cannot say: limits of payloads, imports, flat memory, agents' idempotency keys."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tracemalloc
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from runtara_framework.agents import AgentError, CapabilityContext, agent, capability
from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.compiler import CompilationInput, compile_scenario
from runtara_framework.runtime.agent import Agent, use_agents
from runtara_framework.runtime.budget import Budget
from runtara_framework.runtime.events import EVENT_LIMIT, bounded
from runtara_framework.runtime.graph import Graph
from runtara_framework.runtime.scope import Run, Scope
from runtara_framework.sdk.context import Context
from runtara_framework.sdk.keys import Key
from runtara_framework.testing.memory_core import Outcome, run_in_process


def imm(value: Any) -> dict[str, Any]:
    return {"valueType": "immediate", "value": value}


def ref(path: str) -> dict[str, Any]:
    return {"valueType": "reference", "value": path}


class Given(BaseModel):
    size: int = 0


@agent(id="probe")
class Probe:
    def __init__(self) -> None:
        self.keys: list[tuple[str, int]] = []

    @capability(id="call")
    async def call(self, given: Given, context: CapabilityContext) -> str:
        self.keys.append((context.idempotency_key, context.attempt))
        if given.size < 0 and context.attempt < 3:
            raise AgentError("AGAIN", "again", category="transient")
        return "x" * given.size


async def run(graph: dict[str, Any], data: Any = None, probe: Probe | None = None, **options: Any) -> Outcome:
    registry = AgentRegistry()
    registry.add(probe or Probe())
    use_agents(registry)
    result = compile_scenario(CompilationInput(scenario_id="c", execution_graph=graph), agents=registry)
    namespace: dict[str, Any] = {"__name__": "program"}
    exec(compile(result.source, "program.py", "exec"), namespace)  # noqa: S102  # this is what an image does
    return await run_in_process(namespace["main"], data, **options)


def one_call(**fields: Any) -> dict[str, Any]:
    step = {"stepType": "Agent", "id": "a", "agentId": "probe", "capabilityId": "call", "retryDelay": 0, **fields}
    return {"entryPoint": "a", "steps": {"a": step}}


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=30_000) | st.lists(st.text(max_size=9_000)), max_size=5))
def test_an_event_never_exceeds_its_limit_and_stays_json(payload: dict[str, Any]) -> None:
    data = bounded(payload)
    assert len(data) <= EVENT_LIMIT
    value = json.loads(data)
    if len(json.dumps(payload, ensure_ascii=False).encode()) < EVENT_LIMIT // 2:
        assert value == payload


def test_a_large_member_is_marked_and_cut_at_a_character() -> None:
    value = json.loads(bounded({"message": "hi", "context": "é" * 20_000}))
    assert value["message"] == "hi"
    assert value["context"]["_truncated"] is True
    assert value["context"]["_original_size"] == 40_002
    assert set(value["context"]["_preview"]) == {'"', "é"}


async def test_an_output_beyond_the_limit_is_refused() -> None:
    outcome = await run(one_call(inputMapping={"size": imm(16 * 1024 * 1024)}))
    assert outcome.error is not None
    assert (outcome.error["code"], outcome.error["stepId"]) == ("OUTPUT_TOO_LARGE", "a")
    assert list(outcome.checkpoints) == ["a#attempt[1]"]


async def test_the_idempotency_key_is_the_same_for_every_attempt_and_replay() -> None:
    probe = Probe()
    await run(one_call(inputMapping={"size": imm(-1)}), probe=probe, kill_at="each")
    assert [attempt for _, attempt in probe.keys] == [1, 2, 3]
    assert len({key for key, _ in probe.keys}) == 1


def loop(count: int) -> dict[str, Any]:
    body = {
        "entryPoint": "f",
        "steps": {"f": {"stepType": "Finish", "id": "f", "inputMapping": {"i": ref("loop.index")}}},
    }
    condition = {"type": "operation", "op": "LT", "arguments": [ref("loop.index"), imm(count)]}
    config = {"maxIterations": 1_000_000}
    return {
        "entryPoint": "w",
        "steps": {
            "w": {"stepType": "While", "id": "w", "condition": condition, "config": config, "subgraph": body},
            "f": {"stepType": "Finish", "id": "f", "inputMapping": {"n": ref("steps.w.iterations")}},
        },
        "executionPlan": [{"fromStep": "w", "toStep": "f"}],
    }


async def test_the_agents_of_a_program_are_closed_when_it_ends_and_those_of_others_are_not() -> None:
    ours = AgentRegistry()
    closed: list[str] = []

    @agent(id="pooled")
    class Pooled:
        def __init__(self, name: str) -> None:
            self.name = name

        @capability(id="call")
        async def call(self, given: Given) -> str:
            return self.name

        async def aclose(self) -> None:
            closed.append(self.name)

    async def main(ctx: Context) -> str:
        use_agents(ours, ours=True)
        return str(await Agent(id="a", agent="pooled", capability="call")._once(_scope(ctx), "a", {}, 1))

    async def others(ctx: Context) -> str:
        return str(await Agent(id="a", agent="pooled", capability="call")._once(_scope(ctx), "a", {}, 1))

    ours.add(Pooled("ours"))
    theirs = AgentRegistry()
    theirs.add(Pooled("theirs"))
    use_agents(theirs)
    assert (await run_in_process(main)).output == "ours"
    assert (await run_in_process(others)).output == "theirs"
    assert closed == ["ours"]


def _scope(ctx: Context) -> Scope:
    graph = Graph(flow=lambda s: asyncio.sleep(0))
    return Scope(Run(ctx), graph, {}, Key.root(), durable=True, budget=Budget(0, Key.root()))


async def test_memory_does_not_grow_with_the_iterations_of_a_loop() -> None:
    async def peak(count: int) -> int:
        tracemalloc.start()
        outcome = await run(loop(count))
        assert outcome.output == {"n": count}
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    await peak(10)
    few, many = await peak(100), await peak(3_000)
    assert many < few * 1.5


async def test_a_long_loop_goes_on_from_its_last_record() -> None:
    graph = loop(450)
    body = graph["steps"]["w"]["subgraph"]
    body["steps"]["a"] = one_call()["steps"]["a"]
    body["entryPoint"] = "a"
    body["executionPlan"] = [{"fromStep": "a", "toStep": "f"}]
    probe = Probe()
    # Killed at the 420th checkpoint: 415 calls, and 4 records of progress, came before it.
    outcome = await run(graph, probe=probe, kill_at=420)
    assert outcome.output == {"n": 450}
    assert len(probe.keys) == 450
    assert [key for key in outcome.checkpoints if "progress" in key] == [
        f"w#progress[{n}]" for n in (100, 200, 300, 400)
    ]


def test_a_program_without_agents_and_templates_imports_nothing_heavy() -> None:
    result = compile_scenario(CompilationInput(scenario_id="c", execution_graph=loop(3)), agents=AgentRegistry())
    script = f"import sys\nexec({result.source!r})\nprint(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env={})
    loaded = set(found.stdout.split())
    heavy = {"pydantic", "jinja2", "sqlalchemy", "starlette", "stevedore", "alembic", "pluggy", "aioquic", "yaml"}
    assert not loaded & heavy
    assert "runtara_framework.dsl.models" not in loaded
