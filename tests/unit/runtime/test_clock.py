"""What takes minutes, years or a million items: no case of tests/conformance can, because there a process waits as long."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.compiler import CompilationInput, compile_scenario
from runtara_framework.dsl.bounds import MAX_MILLIS
from runtara_framework.runtime.agent import use_agents
from runtara_framework.testing.memory_core import MemoryCore, run_in_process
from tests.conformance.cases import MODES, Case, Loader, Mode, graph
from tests.conformance.doubles import Double
from tests.conformance.in_process import run
from tests.conformance.observed import Observed

DAY = 86_400_000
EVERY_MODE = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


async def observe(text: str, mode: Mode, **more: Any) -> Observed:
    """Run a scenario that is written as in a case."""
    children = {name: graph(yaml.load(child, Loader)) for name, child in more.pop("children", {}).items()}
    scenario = graph(yaml.load(text, Loader))  # a SafeLoader with tags of its own
    return await run(Case(id="c", scenario=scenario, children=children, modes=[], **more), mode)


@EVERY_MODE
async def test_the_longest_delay_that_can_be_meant_leaves_the_process(mode: Mode) -> None:
    seen = await observe(
        """
        steps:
          nap: {stepType: Delay, durationMs: !ref data.ms}
          done: {stepType: Finish, inputMapping: {outputs: !ref steps.nap.duration_ms}}
        flow: [nap -> done]
        """,
        mode,
        input={"ms": MAX_MILLIS},
    )
    assert (seen.status, seen.result) == ("completed", MAX_MILLIS)
    assert seen.launches == (3 if mode.killed else 2)


@EVERY_MODE
@pytest.mark.parametrize(
    ("retry_after_ms", "delay", "limit", "code"),
    [
        (10**11, 1_000, 300_001, None),
        (10**11, 1_000, 299_999, "WHILE_TIMEOUT"),
        (300_000, 1_000, 300_001, None),
        (None, MAX_MILLIS, 300_001, None),
        (None, MAX_MILLIS, 149_000, "WHILE_TIMEOUT"),
    ],
)
async def test_a_wait_for_a_retry_is_at_most_five_minutes(
    mode: Mode, retry_after_ms: int | None, delay: int, limit: int, code: str | None
) -> None:
    failure = {"code": "X", "category": "transient", "retry_after_ms": retry_after_ms}
    seen = await observe(
        f"""
        steps:
          loop:
            stepType: While
            condition: !op [LT, !ref loop.index, !imm 1]
            config: {{timeout: {limit}}}
            subgraph:
              steps:
                a: {{stepType: Agent, maxRetries: 1, retryDelay: {delay}, inputMapping: {{do: !imm a}}}}
          done: {{stepType: Finish}}
          caught: {{stepType: Finish, inputMapping: {{code: !ref __error.code}}}}
        flow: [loop -> done, loop -onError-> caught]
        """,
        mode,
        doubles={"a": [{"fail": failure}, {"return": 1}]},
    )
    assert seen.result == ({} if code is None else {"code": code})


@EVERY_MODE
@pytest.mark.parametrize("handler", ["{stepType: Delay, durationMs: !imm 86400000}", "{stepType: WaitForSignal}"])
async def test_an_on_cancel_of_a_child_that_hangs_is_cut_off_after_thirty_seconds(mode: Mode, handler: str) -> None:
    seen = await observe(
        """
        steps:
          sub: {stepType: StartScenario, childScenarioId: kid, childVersion: 1, timeout: 1000, maxRetries: 0}
          nap: {stepType: Delay, durationMs: !imm 86400000}
          done: {stepType: Finish, inputMapping: {code: !ref steps.sub.error.code}}
        flow: [sub -> nap, sub -onError-> nap, nap -> done]
        """,
        mode,
        children={"kid": f"{{onCancel: {{steps: {{tidy: {handler}}}}}, steps: {{ask: {{stepType: WaitForSignal}}}}}}"},
        expect={"events": {"on_cancel_failed": []}},
    )
    assert seen.result == {"code": "STEP_TIMEOUT"}
    (failed,) = seen.events["on_cancel_failed"]
    assert (failed["scenario_id"], failed["error"]["code"]) == ("kid", "ON_CANCEL_TIMEOUT")


@EVERY_MODE
async def test_the_limits_of_loops_and_children_go_on_for_days_without_a_process(mode: Mode) -> None:
    seen = await observe(
        f"""
        steps:
          loop:
            stepType: While
            condition: {{type: value, valueType: immediate, value: true}}
            config: {{timeout: {5 * DAY}, maxIterations: 100}}
            subgraph:
              steps:
                nap: {{stepType: Delay, durationMs: !imm {DAY}}}
                a: {{stepType: Agent, inputMapping: {{do: !imm a}}}}
              flow: [nap -> a]
          done: {{stepType: Finish}}
          caught: {{stepType: Finish, inputMapping: {{code: !ref __error.code}}}}
        flow: [loop -> done, loop -onError-> caught]
        """,
        mode,
    )
    assert seen.result == {"code": "WHILE_TIMEOUT"}
    assert seen.calls == {"a": 4}


@EVERY_MODE
async def test_a_wait_for_people_runs_out_after_a_month(mode: Mode) -> None:
    seen = await observe(
        f"""
        steps:
          ask:
            stepType: WaitForSignal
            timeoutMs: !imm {30 * DAY}
            responseSchema: {{yes: {{type: boolean, required: true}}}}
            onWait: {{steps: {{mail: {{stepType: Agent, inputMapping: {{do: !imm mail}}}}}}}}
          done: {{stepType: Finish}}
          remind: {{stepType: Agent, inputMapping: {{do: !imm remind, code: !ref __error.code}}}}
          again: {{stepType: WaitForSignal, timeoutMs: !imm {DAY}}}
          over: {{stepType: Finish, inputMapping: {{code: !ref steps.remind.outputs.code}}}}
          late: {{stepType: Finish, inputMapping: {{code: !ref __error.code, at: !ref __error.stepId}}}}
        flow: [ask -> done, ask -onError-> remind, remind -> again, again -> over, again -onError-> late]
        """,
        mode,
        signals=[{"early": True, "key": "ask", "payload": {"yes": "maybe"}}],
    )
    assert seen.result == {"code": "WAIT_TIMEOUT", "at": "again"}
    assert seen.calls == {"mail": 1, "remind": 1}


async def test_waits_for_retries_double_are_shortened_by_chance_and_are_the_same_in_every_launch() -> None:
    text = """
    steps: {a: {stepType: Agent, maxRetries: 8, retryDelay: 1000, inputMapping: {do: !imm a}}}
    """
    scenario = graph(yaml.load(text, Loader))
    double = Double({"a": [{"fail": {"code": "X", "category": "transient"}}]})
    registry = AgentRegistry()
    registry.add(double)
    use_agents(registry)
    compiled = compile_scenario(CompilationInput(scenario_id="s", execution_graph=scenario), agents=registry)
    namespace: dict[str, Any] = {"__name__": "program"}
    exec(compile(compiled.source, "program.py", "exec"), namespace)  # noqa: S102
    waits: dict[tuple[str, bool], list[int]] = {}
    for instance_id in ("one", "two"):
        for killed in (False, True):
            core = MemoryCore()
            began: dict[str, int] = {}

            def failed(_: Any, operation: str, request: Any, began: dict[str, int] = began, core: Any = core) -> None:
                if operation == "save_checkpoint":
                    began.setdefault(request.checkpoint_id, core.clock.now_ms())

            core.on_call = failed
            instance = core.create(instance_id=instance_id)
            kills: Any = "each" if killed else ()
            outcome = await run_in_process(namespace["main"], core=core, instance=instance, kill_at=kills)
            deadlines = [outcome.checkpoints[f"a#backoff[{n}]#deadline"] for n in range(1, 9)]
            waits[instance_id, killed] = [
                deadline - began[f"a#backoff[{n}]#deadline"] for n, deadline in enumerate(deadlines, start=1)
            ]
    assert waits["one", False] == waits["one", True]
    assert waits["two", False] == waits["two", True]
    assert waits["one", False] != waits["two", False]
    for number, wait in enumerate(waits["one", False]):
        longest = min(1000 * 2**number, 300_000)
        assert longest / 2 <= wait <= longest


async def test_a_split_of_more_items_than_a_loop_may_have_is_refused_unless_they_come_in_batches() -> None:
    text = """
    steps:
      each: {stepType: Split, config: {value: !ref data.items, batchSize: <size>}, subgraph: {steps: {f: {stepType: Finish}}}}
      done: {stepType: Finish, inputMapping: {outputs: !ref steps.each.stats.total}}
    flow: [each -> done]
    """
    items = {"items": [0] * 1_000_001}
    seen = await observe(text.replace("batchSize: <size>", ""), MODES["plain"], input=items)
    assert seen.error is not None
    assert (seen.error["code"], seen.error["stepId"]) == ("SPLIT_INPUT_INVALID", "each")
    assert "1000001 items; at most 1000000" in seen.error["message"]
    seen = await observe(text.replace("<size>", "100000"), MODES["plain"], input=items)
    assert seen.result == 11
