"""Random graphs: the compiled program runs exactly the steps that the rule of edges says, each once.

The rule, simulated here in ten lines: in order of the graph, a step runs if an edge to it fired; its outcome decides which
of its edges fire. Nothing of the compiler's ifs, sections, forks and meshes is in it.

Graphs of the second kind also end in many places: several Finish steps, paths that simply end, failures that nobody or only
a handler without a way back takes. Which of several concurrent ways ends such a graph is a matter of time, so what happened
is checked, not predicted: see `explain`.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from pydantic import BaseModel

from runtara_framework.agents import AgentError, agent, capability
from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.compiler.codegen import generate
from runtara_framework.compiler.fanout import fan_out
from runtara_framework.dsl.flow import Flow
from runtara_framework.dsl.models import ExecutionGraph
from runtara_framework.runtime.agent import use_agents
from runtara_framework.testing.memory_core import Outcome, run_in_process


class Which(BaseModel):
    step: str
    fails: bool = False
    turns: int = 0


@agent(id="fuzz")
class Recorder:
    def __init__(self) -> None:
        self.ran: list[str] = []

    @capability(id="step", side_effects=False, deterministic=True)
    async def step(self, given: Which) -> None:
        self.ran.append(given.step)
        for _ in range(given.turns):
            await asyncio.sleep(0)  # so that branches overtake each other
        if given.fails:
            raise AgentError("FUZZ", given.step)


def reachable_part(steps: dict[str, Any], edges: list[dict[str, Any]]) -> dict[str, Any]:
    """The graph, from its first step on, without what cannot be reached. Steps stand in order."""
    entry = next(iter(steps))
    reachable = {entry}
    for name in steps:
        if name in reachable:
            reachable |= {edge["toStep"] for edge in edges if edge["fromStep"] == name}
    return {
        "entryPoint": entry,
        "steps": {name: step for name, step in steps.items() if name in reachable},
        "executionPlan": [edge for edge in edges if edge["fromStep"] in reachable],
    }


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
    return reachable_part(steps, edges), data


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


async def execute(document: dict[str, Any], data: dict[str, Any]) -> tuple[list[str], Outcome, str]:
    """The steps that ran in a compiled program, how it ended, and its source."""
    graph = ExecutionGraph.model_validate(document)
    program = generate(graph, scenario_id="f", title="f", children=None, is_pure=lambda a, c: True)  # type: ignore[arg-type]
    recorder = Recorder()
    registry = AgentRegistry()
    registry.add(recorder)
    use_agents(registry)
    namespace: dict[str, Any] = {"__name__": "program"}
    exec(compile(program.source, "program.py", "exec"), namespace)  # noqa: S102  # this is what an image does
    return recorder.ran, await run_in_process(namespace["main"], data), program.source


@pytest.mark.parametrize("size", [4, 8, 14, 30])
@pytest.mark.parametrize("block", range(4))
async def test_exactly_the_steps_whose_edges_fired_run(size: int, block: int) -> None:
    for seed in range(block * 15, block * 15 + 15):
        document, data = make(seed * 1000 + size, size)
        ran, outcome, source = await execute(document, data)
        wanted, ended = expected(document, data)
        # Conditionals run no agent.
        agents = {name for name in wanted if document["steps"][name]["stepType"] == "Agent"}
        assert len(ran) == len(set(ran)), f"seed {seed}: a step ran twice\n{source}"
        assert set(ran) == agents, f"seed {seed}\n{source}"
        assert str(outcome.status) == "completed", f"seed {seed}: {outcome.error}"
        assert (outcome.output == {}) == ended


# -- graphs that end in many places ---------------------------------------------------------------------------------


def make_open(seed: int, size: int) -> dict[str, Any]:
    """A random valid graph. An Agent step's inputs `fails` and `go` (the number of the conditioned edge that it takes; 0:
    the default) say what it will do."""
    pick = random.Random(seed)
    names = [f"s{number}" for number in range(size)]
    ends = [f"end{number}" for number in range(pick.choice([1, 2, 4]))]
    steps: dict[str, Any] = {}
    edges: list[dict[str, Any]] = []
    for number, name in enumerate(names):
        later = names[number + 1 : number + 1 + pick.choice([2, 3, 5, 50])] + ends[: pick.choice([0, 1, 4])]
        fails = pick.random() < 0.3
        steps[name] = {
            "stepType": "Agent", "id": name, "agentId": "fuzz", "capabilityId": "step", "maxRetries": 0,
            "inputMapping": {
                key: {"valueType": "immediate", "value": value}
                for key, value in {"step": name, "fails": fails, "turns": pick.choice([0, 0, 1, 5])}.items()
            },
        }  # fmt: skip
        if later and pick.random() < (0.8 if fails else 0.4):
            edges.append({"fromStep": name, "toStep": pick.choice(later), "label": "onError"})
            if pick.random() < 0.2:
                edges.append({"fromStep": name, "toStep": pick.choice(later), "label": "onError", **truth(pick)})
        kind = pick.choice(["plain", "plain", "choice", "fan", "fan", "stop"])
        if not later or kind == "stop":
            continue
        if kind == "fan":
            for target in pick.sample(later, min(len(later), pick.choice([2, 2, 3]))):
                edges.append({"fromStep": name, "toStep": target})
            continue
        if kind == "choice":
            edges.append({"fromStep": name, "toStep": pick.choice(later), **truth(pick)})
        if kind == "plain" or pick.random() < 0.8:
            edges.append({"fromStep": name, "toStep": pick.choice(later)})
    for end in ends:
        steps[end] = {
            "stepType": "Finish", "id": end, "inputMapping": {"at": {"valueType": "immediate", "value": end}},
        }  # fmt: skip
    return reachable_part(steps, edges)


def truth(pick: random.Random) -> dict[str, Any]:
    return {"condition": {"type": "value", "valueType": "immediate", "value": pick.random() < 0.5}}


def fired(document: dict[str, Any], step_id: str) -> list[str] | None:
    """The steps that a step leads to when it runs; None: its failure is raised."""
    fails = document["steps"][step_id].get("inputMapping", {}).get("fails", {}).get("value", False)
    mine = [e for e in document["executionPlan"] if e["fromStep"] == step_id and (e.get("label") == "onError") == fails]
    taken = [edge for edge in mine if edge.get("condition", {}).get("value")]
    taken = taken or [edge for edge in mine if "condition" not in edge]
    return None if fails and not taken else [edge["toStep"] for edge in taken]


def explain(document: dict[str, Any], ran: list[str], outcome: Outcome, flow: Flow) -> str | None:
    """What is wrong with a run, if anything."""
    if len(ran) != len(set(ran)):
        return "a step ran twice"
    if any(flow.may_precede(late, early) for number, early in enumerate(ran) for late in ran[number + 1 :]):
        return "a step ran before one that may lead to it"
    ways = {step_id: fired(document, step_id) for step_id in ran}
    led_to = {document["entryPoint"], *(target for way in ways.values() for target in way or ())}
    if not set(ran) <= led_to:
        return f"nothing led to {set(ran) - led_to}"
    if str(outcome.status) == "failed":
        step_id = outcome.error["stepId"]
        if step_id not in ways or (ways[step_id] is not None and not leads_to_an_end(document, ways, step_id)):
            return f"the failure of {step_id} was raised"
        return None
    if outcome.output is not None:
        return None if outcome.output["at"] in led_to else f"nothing led to {outcome.output}"
    raised = [step_id for step_id, way in ways.items() if way is None]
    if raised:  # with a Finish it may be that the other branches were stopped just then
        return f"the failures of {raised} were swallowed"
    waiting = {step_id for step_id in led_to if step_id not in ran}
    for fork in flow.forks:
        fan = fan_out(flow, fork, lambda step_id: frozenset())
        if fork in ran and any(e["toStep"] in fan.leaves and e["toStep"] in led_to for e in document["executionPlan"]):
            over = set(fan.body)
            waiting -= over | ({fan.join} if fan.join else set())
    return f"{waiting} never ran" if waiting else None


def leads_to_an_end(document: dict[str, Any], ways: dict[str, list[str] | None], step_id: str) -> bool:
    """Did the handler of a step end without a Finish?"""
    pending = list(ways[step_id] or ())
    while pending:
        here = pending.pop()
        way = ways.get(here)
        if way is None or not way:
            return True
        pending += way
    return False


@pytest.mark.parametrize("size", [4, 8, 14, 30])
@pytest.mark.parametrize("block", range(4))
async def test_what_a_graph_with_many_ends_did_follows_from_its_edges(size: int, block: int) -> None:
    for seed in range(block * 15, block * 15 + 15):
        document = make_open(seed * 1000 + size, size)
        flow = Flow.of(ExecutionGraph.model_validate(document))
        if any(flow.merge(fork) is None for fork in flow.forks):
            continue  # E073
        ran, outcome, source = await execute(document, {})
        assert (wrong := explain(document, ran, outcome, flow)) is None, f"seed {seed}: {wrong}\n{source}"
