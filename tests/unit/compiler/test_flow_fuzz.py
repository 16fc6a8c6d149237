"""Random graphs: the compiled program runs exactly the steps that the rule of edges says, each once.

The rule, simulated here in ten lines: in order of the graph, a step runs if an edge to it fired; its outcome decides which
of its edges fire. Nothing of the compiler's ifs, sections, forks and meshes is in it.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from pydantic import BaseModel

from runtara_framework.agents import AgentError, agent, capability
from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.compiler.codegen import generate
from runtara_framework.dsl.models import ExecutionGraph
from runtara_framework.runtime.agent import use_agents
from runtara_framework.testing.memory_core import run_in_process


class Which(BaseModel):
    step: str
    fails: bool = False


@agent(id="fuzz")
class Recorder:
    def __init__(self) -> None:
        self.ran: list[str] = []

    @capability(id="step", side_effects=False, deterministic=True)
    async def step(self, given: Which) -> None:
        self.ran.append(given.step)
        if given.fails:
            raise AgentError("FUZZ", given.step)


def make(seed: int, size: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A random graph whose only Finish is its last step, and the input that decides its ways."""
    pick = random.Random(seed)
    names = [f"s{number}" for number in range(size)]
    steps: dict[str, Any] = {}
    edges: list[dict[str, Any]] = []
    data: dict[str, bool] = {}
    for number, name in enumerate(names):
        later = names[number + 1 : number + 1 + pick.choice([2, 3, 5, 50])] + (["end"] if number > size - 4 else [])
        data[name] = pick.random() < 0.5
        kind = pick.choice(["plain", "plain", "choice", "fan", "caught", "edges"])
        value = {"valueType": "reference", "value": f"data.{name}"}
        if kind == "choice":
            steps[name] = {"stepType": "Conditional", "id": name, "condition": {"type": "value", **value}}
            for label in ("true", "false"):
                edges.append({"fromStep": name, "toStep": pick.choice(later or ["end"]), "label": label})
            continue
        steps[name] = {
            "stepType": "Agent", "id": name, "agentId": "fuzz", "capabilityId": "step", "maxRetries": 0,
            "inputMapping": {"step": {"valueType": "immediate", "value": name}},
        }  # fmt: skip
        if kind == "fan":
            for target in pick.sample(later, min(len(later), pick.choice([2, 3]))) or ["end"]:
                edges.append({"fromStep": name, "toStep": target})
        elif kind == "edges":
            edges.append({"fromStep": name, "toStep": pick.choice(later or ["end"])})
            edges.append(
                {"fromStep": name, "toStep": pick.choice(later or ["end"]), "condition": {"type": "value", **value}}
            )
        else:
            edges.append({"fromStep": name, "toStep": pick.choice(later or ["end"])})
        if kind == "caught":
            steps[name]["inputMapping"]["fails"] = value
            edges.append({"fromStep": name, "toStep": pick.choice(later or ["end"]), "label": "onError"})
    steps["end"] = {"stepType": "Finish", "id": "end"}
    reachable = {names[0]}
    for name in names:
        if name in reachable:
            reachable |= {edge["toStep"] for edge in edges if edge["fromStep"] == name}
    return {
        "entryPoint": names[0],
        "steps": {name: step for name, step in steps.items() if name in reachable},
        "executionPlan": [edge for edge in edges if edge["fromStep"] in reachable],
    }, data


def expected(graph: dict[str, Any], data: dict[str, bool]) -> tuple[set[str], bool]:
    fired, ran = {graph["entryPoint"]}, set()
    for name, step in graph["steps"].items():  # they stand in order
        if name not in fired:
            continue
        ran.add(name)
        mine = [edge for edge in graph["executionPlan"] if edge["fromStep"] == name]
        failed = "fails" in step.get("inputMapping", {}) and data[name]
        flow = [edge for edge in mine if (edge.get("label") == "onError") == failed]
        if step["stepType"] == "Conditional":
            flow = [edge for edge in flow if edge["label"] == ("true" if data[name] else "false")]
        elif not failed and any("condition" in edge for edge in flow):
            flow = [edge for edge in flow if ("condition" in edge) == data[name]]
        fired |= {edge["toStep"] for edge in flow}
    return ran - {"end"}, "end" in ran


@pytest.mark.parametrize("size", [4, 8, 14, 30])
@pytest.mark.parametrize("block", range(4))
async def test_exactly_the_steps_whose_edges_fired_run(size: int, block: int) -> None:
    for seed in range(block * 15, block * 15 + 15):
        document, data = make(seed * 1000 + size, size)
        graph = ExecutionGraph.model_validate(document)
        program = generate(graph, scenario_id="f", title="f", children=None, is_pure=lambda a, c: True)  # type: ignore[arg-type]
        recorder = Recorder()
        registry = AgentRegistry()
        registry.add(recorder)
        use_agents(registry)
        namespace: dict[str, Any] = {"__name__": "program"}
        exec(compile(program.source, "program.py", "exec"), namespace)  # noqa: S102  # this is what an image does
        outcome = await run_in_process(namespace["main"], data)
        ran, ended = expected(document, data)
        # Conditionals run no agent.
        agents = {name for name in ran if document["steps"][name]["stepType"] == "Agent"}
        assert len(recorder.ran) == len(set(recorder.ran)), f"seed {seed}: a step ran twice\n{program.source}"
        assert set(recorder.ran) == agents, f"seed {seed}\n{program.source}"
        assert str(outcome.status) == "completed", f"seed {seed}: {outcome.error}"
        assert (outcome.output == {}) == ended
