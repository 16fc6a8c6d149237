"""Checkpoint keys are stable under edits elsewhere: an instance goes on with an edited scenario, repeating nothing."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

import pytest
import yaml

from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.compiler import ChildScenario, CompilationInput, compile_scenario
from runtara_framework.runtime.agent import use_agents
from runtara_framework.sdk.bootstrap import Program
from runtara_framework.testing.memory_core import MemoryCore, run_in_process
from tests.conformance.cases import Loader, graph
from tests.conformance.doubles import Double

SCENARIO = """
steps:
  a: {stepType: Agent, inputMapping: {do: !imm a}}
  each:
    stepType: Split
    config: {value: !imm [x, y]}
    subgraph:
      steps:
        loop:
          stepType: While
          condition: !op [LT, !ref loop.index, !imm 2]
          subgraph:
            steps:
              sub: {stepType: StartScenario, childScenarioId: kid, childVersion: 1, inputMapping: {v: !ref variables._item}}
              nap: {stepType: Delay, durationMs: !imm 60000}
            flow: [sub -> nap]
  z: {stepType: Agent, inputMapping: {do: !imm z}}
  done: {stepType: Finish, inputMapping: {outputs: !imm done}}
flow: [a -> each, each -> z, z -> done]
"""
CHILD = """
inputSchema: {v: {type: string}}
steps:
  c: {stepType: Agent, maxRetries: 5, retryDelay: 0, inputMapping: {do: !imm c, v: !ref data.v}}
  ask: {stepType: WaitForSignal}
flow: [c -> ask]
"""


def edited(scenario: dict[str, Any], child: dict[str, Any]) -> None:
    """Everything changes but the ids of the steps that ran and where they are."""
    body = scenario["steps"]["each"]["subgraph"]
    loop = body["steps"]["loop"]["subgraph"]
    scenario["name"] = "Edited"
    scenario["variables"] = {"new": {"type": "integer", "value": 1}}
    scenario["steps"]["each"] = {**scenario["steps"]["each"], "name": "For each"}
    scenario["steps"]["first"] = {"stepType": "Log", "id": "first", "message": "hello"}
    scenario["steps"]["A"] = {"stepType": "Agent", "id": "A", "agentId": "test", "capabilityId": "call"}
    scenario["steps"] = dict(reversed(scenario["steps"].items()))
    scenario["entryPoint"] = "first"
    scenario["executionPlan"] += [{"fromStep": "first", "toStep": "a"}]
    scenario["executionPlan"].remove({"fromStep": "z", "toStep": "done"})
    scenario["executionPlan"] += [{"fromStep": "z", "toStep": "A"}, {"fromStep": "A", "toStep": "done"}]
    loop["steps"]["say"] = {"stepType": "Log", "id": "say", "message": "again"}
    loop["executionPlan"] += [{"fromStep": "nap", "toStep": "say"}]
    child["steps"]["before"] = {"stepType": "Log", "id": "before", "message": "in the child"}
    child["entryPoint"] = "before"
    child["executionPlan"] += [{"fromStep": "before", "toStep": "c"}]


def program(scenario: dict[str, Any], child: dict[str, Any], registry: AgentRegistry, *, debug: bool) -> Program:
    given = CompilationInput(
        scenario_id="s",
        execution_graph=scenario,
        child_scenarios=[ChildScenario(scenario_id="kid", execution_graph=child)],
        debug_mode=debug,
    )
    namespace: dict[str, Any] = {"__name__": "program"}
    exec(compile(compile_scenario(given, agents=registry).source, "program.py", "exec"), namespace)  # noqa: S102
    main: Program = namespace["main"]
    return main


@pytest.mark.parametrize("kill_at", range(1, 20))
@pytest.mark.parametrize("debug", [False, True])
async def test_an_instance_goes_on_with_an_edited_scenario(kill_at: int, debug: bool) -> None:
    scripts = {"c": [{"fail": {"code": "X", "category": "transient"}}, {"return": 1}]}
    double = Double(scripts)
    registry = AgentRegistry()
    registry.add(double)
    use_agents(registry)
    scenario, child = graph(yaml.load(SCENARIO, Loader)), graph(yaml.load(CHILD, Loader))
    core = MemoryCore()
    instance = core.create()
    for each in (0, 1):
        for turn in (0, 1):
            core.send_custom_signal(instance.instance_id, f"each[{each}]/loop[{turn}]/sub@kid/ask", turn)
    first = program(copy.deepcopy(scenario), copy.deepcopy(child), registry, debug=False)
    while len(instance.checkpoints) < kill_at:  # then it is killed
        with suppress(RuntimeError):  # not launched again, neither after that nor after a sleep
            await run_in_process(first, core=core, instance=instance, kill_at=kill_at, max_launches=1)
    edited(scenario, child)
    outcome = await run_in_process(program(scenario, child, registry, debug=debug), core=core, instance=instance)
    assert outcome.output == "done"
    assert double.calls == {"a": 1, "c": 5, "z": 1, "call": 1}
