"""The plan and the source, as a person reads them."""

from __future__ import annotations

from typing import Any

from runtara_framework.compiler.codegen import generate
from runtara_framework.compiler.plan import render
from runtara_framework.dsl.flow import Flow
from runtara_framework.dsl.models import ExecutionGraph


def ref(path: str) -> dict[str, Any]:
    return {"valueType": "reference", "value": path}


def agent(step_id: str, **inputs: Any) -> dict[str, Any]:
    return {"stepType": "Agent", "id": step_id, "agentId": "shop", "capabilityId": "call", "inputMapping": inputs}


ORDER: dict[str, Any] = {
    "name": "order",
    "entryPoint": "validate",
    "steps": {
        "validate": agent("validate", order=ref("data.order")),
        "inStock": {
            "stepType": "Conditional", "id": "inStock", "condition": {"type": "value", **ref("steps.validate.outputs.ok")},
        },
        "notify": agent("notify"),
        "pack": agent("pack"),
        "apologize": {"stepType": "Log", "id": "apologize", "message": "sorry"},
        "done": {"stepType": "Finish", "id": "done", "inputMapping": {"ok": ref("steps.pack.outputs.ok")}},
        "rejected": {"stepType": "Finish", "id": "rejected"},
    },
    "executionPlan": [
        {"fromStep": "validate", "toStep": "inStock"},
        {"fromStep": "validate", "toStep": "apologize", "label": "onError"},
        {"fromStep": "apologize", "toStep": "rejected"},
        {"fromStep": "inStock", "toStep": "notify", "label": "true"},
        {"fromStep": "inStock", "toStep": "rejected", "label": "false"},
        {"fromStep": "notify", "toStep": "done"},
        {"fromStep": "notify", "toStep": "pack"},
        {"fromStep": "pack", "toStep": "done"},
    ],
}  # fmt: skip


def program(document: dict[str, Any]) -> Any:
    return generate(
        ExecutionGraph.model_validate(document),
        scenario_id="order",
        title="order",
        children=None,  # type: ignore[arg-type]  # it starts none
        is_pure=lambda agent, capability: False,
    )


def test_the_plan_is_small_and_says_where_the_flow_goes() -> None:
    assert (
        render(program(ORDER).plans[0])
        == """\
graph main_flow: 7 steps
  section main_flow_1, may arrive at 'done', 'rejected'
    Agent 'pack'
    arrive at 'done'
  section main_flow
    Agent 'validate', then
      failed:
        Log 'apologize'
        recovered
      otherwise:
        Conditional 'inStock', then
          is 'true':
            Agent 'notify'
            parallel main_flow_1 and a direct edge; join at 'done'
            Finish 'done': ends the graph
    Finish 'rejected': ends the graph
"""
    )


def test_the_source_is_straight_line_python() -> None:
    source = program(ORDER).source
    assert (
        """
async def main_flow(s):
    failed = await attempt(s, VALIDATE)
    if failed:
        await run(s, APOLOGIZE)
        recovered(s, 0)
    else:
        if await decide(s, IN_STOCK):
            await run(s, NOTIFY)
            at = await fork(s, 'done', True, main_flow_1)
            if at != 'done':
                return at
            return await finish(s, DONE)
    return await finish(s, REJECTED)
"""
        in source
    )
    assert "VALIDATE = Agent(\n" in source
    assert "inputs=lambda v: {'order': resolve(v, AT_DATA_ORDER)}" in source
    assert "AT_DATA_ORDER = Path(('data', 'order'))" in source
    assert source.endswith("async def main(ctx):\n    return await run_scenario(ctx, MAIN)\n")


def test_a_merge_of_the_plan_is_the_merge_of_the_validator() -> None:
    plan = render(program(ORDER).plans[0])
    assert Flow.of(ExecutionGraph.model_validate(ORDER)).merge("notify") == "done"
    assert "join at 'done'" in plan


def test_every_step_stands_in_the_program_once() -> None:
    source = program(ORDER).source
    for constant in ("VALIDATE", "IN_STOCK", "NOTIFY", "PACK", "APOLOGIZE", "DONE", "REJECTED"):
        assert source.count(f"(s, {constant})") == 1
