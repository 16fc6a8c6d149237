"""No text of a scenario ever becomes code, however it is written; and what nests deeply compiles all the same."""

from __future__ import annotations

import ast
import builtins
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtara_framework.compiler.codegen import Program, generate
from runtara_framework.dsl.models import ExecutionGraph
from runtara_framework.testing.memory_core import run_in_process

HOSTILE = [
    "'); import os; os._exit(1) #", '"""', "\n    raise SystemExit", "\\", "{x}", "${x}", "%s", "__import__('os')",
    "main", "run", "s", "v", "None", "class", "print", "Finish", "main_flow", "main_flow_1", "\u202e\u2066", "\x7f",
    "a\u0301", "ＡＢＣ", "𝐚", "# comment", "lambda: 0", "x" * 128, "MAIN", "AT_DATA_X", "at", "failed", "way",
]  # fmt: skip

ids = st.text(min_size=1, max_size=12) | st.sampled_from(HOSTILE)


def imm(value: Any) -> dict[str, Any]:
    return {"valueType": "immediate", "value": value}


def compiled(document: dict[str, Any], **options: Any) -> Program:
    graph = ExecutionGraph.model_validate(document)
    program = generate(
        graph,
        scenario_id=options.get("scenario_id", "x"),
        title=options.get("title", "x"),
        children=None,  # type: ignore[arg-type]  # none of these starts a child
        is_pure=lambda agent, capability: False,
    )
    allowed_only(program.source)
    return program


def allowed_only(source: str) -> None:
    """The program imports from Runtara, uses what it imports or defines, and nothing else: no attribute, no builtin."""
    assert source.isascii()
    tree = ast.parse(source)
    known = {"s", "v", "at", "way", "failed", "ctx"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.module == "json" or str(node.module).startswith("runtara_framework.")
            known |= {alias.name for alias in node.names}
        elif isinstance(node, (ast.AsyncFunctionDef, ast.FunctionDef)):
            known.add(node.name)
        elif isinstance(node, ast.Assign):
            known |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        assert not isinstance(node, (ast.Import, ast.Attribute, ast.JoinedStr, ast.Global, ast.Delete, ast.ClassDef))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert used <= known, used - known
    assert not used & set(dir(builtins))


def load(program: Program) -> Any:
    namespace: dict[str, Any] = {"__name__": "program"}
    exec(compile(program.source, "program.py", "exec"), namespace)  # noqa: S102  # this is what an image does
    return namespace["main"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ids, min_size=4, max_size=6, unique=True), st.text(max_size=20) | st.sampled_from(HOSTILE))
def test_hostile_names_and_values_stay_literals(names: list[str], text: str) -> None:
    check, log, done, other, *_more = names
    compiled(
        {
            "name": text,
            "entryPoint": check,
            "variables": {text: {"type": "string", "value": text}},
            "inputSchema": {text: {"type": "string", "description": text, "enum": [text]}},
            "steps": {
                check: {
                    "stepType": "Switch", "id": check, "name": text,
                    "config": {
                        "value": imm(text),
                        "cases": [{"matchType": "EQ", "match": text, "output": text, "route": text}],
                    },
                },
                log: {"stepType": "Log", "id": log, "message": text, "context": {text: imm({text: [text]})}},
                done: {
                    "stepType": "Finish", "id": done,
                    "inputMapping": {text or "k": {"valueType": "template", "value": "t"}},
                },
                other: {"stepType": "Error", "id": other, "code": text or "x", "message": text},
            },
            "executionPlan": [
                {"fromStep": check, "toStep": log, "label": text},
                {"fromStep": check, "toStep": other, "label": "default"},
                {"fromStep": log, "toStep": done},
            ],
        },
        scenario_id=text,
        title=text,
    )  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_hostile_scenario_runs(text: str) -> None:
    program = compiled(
        {
            "entryPoint": text,
            "steps": {
                text: {"stepType": "Log", "id": text, "name": text, "message": text, "context": {"k": imm(text)}},
                "end": {"stepType": "Finish", "id": "end", "inputMapping": {"outputs": imm({text: text})}},
            },
            "executionPlan": [{"fromStep": text, "toStep": "end"}],
        }
    )
    outcome = await run_in_process(load(program), {})
    assert outcome.output == {text: text}
    assert outcome.events("workflow_log")[0]["message"] == text


async def test_thirty_two_nested_graphs() -> None:
    graph: dict[str, Any] = {
        "entryPoint": "f",
        "steps": {
            "f": {
                "stepType": "Finish", "id": "f",
                "inputMapping": {"outputs": {"valueType": "reference", "value": "data"}},
            }
        },
    }  # fmt: skip
    for level in range(31):
        step = f"each{level}"
        config = {"value": {"valueType": "reference", "value": "data"}, "convertSingleValue": True}
        graph = {
            "entryPoint": step,
            "steps": {
                step: {"stepType": "Split", "id": step, "config": config, "subgraph": graph},
                "f": {
                    "stepType": "Finish", "id": "f",
                    "inputMapping": {"outputs": {"valueType": "reference", "value": f"steps.{step}.outputs[0]"}},
                },
            },
            "executionPlan": [{"fromStep": step, "toStep": "f"}],
        }  # fmt: skip
    outcome = await run_in_process(load(compiled(graph)), {"deep": True})
    assert outcome.output == {"deep": True}


async def test_conditions_and_composites_that_nest_deeply() -> None:
    condition: dict[str, Any] = {"type": "value", **imm(True)}
    value: dict[str, Any] = imm("core")
    for _ in range(100):
        condition = {"type": "operation", "op": "NOT", "arguments": [condition]}
        value = {"valueType": "composite", "value": [value]}
    program = compiled(
        {
            "entryPoint": "c",
            "steps": {
                "c": {"stepType": "Conditional", "id": "c", "condition": condition},
                "f": {"stepType": "Finish", "id": "f", "inputMapping": {"outputs": value}},
            },
            "executionPlan": [{"fromStep": "c", "toStep": "f", "label": "true"}],
        }
    )
    output = (await run_in_process(load(program), {})).output
    for _ in range(100):
        (output,) = output
    assert output == "core"


@pytest.mark.parametrize("shape", ["chain", "choices", "handlers", "merges"])
async def test_two_thousand_steps(shape: str) -> None:
    size = 1990
    steps: dict[str, Any] = {}
    edges: list[dict[str, Any]] = []
    for number in range(size):
        here, after = f"s{number}", f"s{number + 1}"
        if shape in ("choices", "merges"):
            steps[here] = {"stepType": "Conditional", "id": here, "condition": {"type": "value", **imm(True)}}
            edges.append({"fromStep": here, "toStep": after, "label": "true"})
            # Either all to one end, or each to the step after the next.
            target = "no" if shape == "choices" else f"s{min(number + 2, size)}"
            edges.append({"fromStep": here, "toStep": target, "label": "false"})
        else:
            value = {"valueType": "reference", "value": "data.items"}
            config = {"value": value, "condition": {"type": "value", **imm(True)}}
            steps[here] = {"stepType": "Filter", "id": here, "config": config}
            edges.append({"fromStep": here, "toStep": after})
            if shape == "handlers":
                edges.append({"fromStep": here, "toStep": "no", "label": "onError"})
    steps[f"s{size}"] = {"stepType": "Finish", "id": f"s{size}", "inputMapping": {"ok": imm(True)}}
    if shape in ("choices", "handlers"):
        steps["no"] = {"stepType": "Finish", "id": "no"}
    program = compiled({"entryPoint": "s0", "steps": steps, "executionPlan": edges})
    assert (await run_in_process(load(program), {"items": []})).output == {"ok": True}
