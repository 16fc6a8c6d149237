"""`compile_scenario`: images that are reproducible, described, cached, and run by themselves."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from runtara_framework.agents import agent, capability
from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.compiler import ChildScenario, CompilationInput, check_scenario, compile_scenario
from runtara_framework.errors import CompilationFailed, ScenarioInvalid
from runtara_framework.packaging import read_manifest


def ref(path: str) -> dict[str, Any]:
    return {"valueType": "reference", "value": path}


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")


@agent(id="double")
class Double:
    """An agent of this test's own: no other is there when the kernel is tested alone."""

    @capability(id="map", side_effects=False, deterministic=True)
    async def map(self, given: Anything) -> dict[str, Any]:
        return {}


@pytest.fixture
def agents() -> AgentRegistry:
    registry = AgentRegistry()
    registry.add(Double)
    return registry


KID: dict[str, Any] = {
    "entryPoint": "out",
    "inputSchema": {"x": {"type": "integer"}},
    "steps": {"out": {"stepType": "Finish", "id": "out", "inputMapping": {"x": ref("data.x")}}},
}


def scenario(**graph: Any) -> dict[str, Any]:
    return {
        "name": "order",
        "entryPoint": "sub",
        "steps": {
            "sub": {
                "stepType": "StartScenario", "id": "sub", "childScenarioId": "kid", "childVersion": "latest",
                "inputMapping": {"x": ref("data.n")},
            },
            "done": {"stepType": "Finish", "id": "done", "inputMapping": {"v": ref("variables.v")}},
        },
        "executionPlan": [{"fromStep": "sub", "toStep": "done"}],
        "variables": {"v": {"type": "integer", "value": 1}},
        "inputSchema": {"n": {"type": "integer", "required": True}},
        "executionTimeoutSeconds": 60,
        **graph,
    }  # fmt: skip


def given(**fields: Any) -> CompilationInput:
    fields.setdefault("child_scenarios", [ChildScenario("kid", KID)])
    return CompilationInput(**{"scenario_id": "order-7", "execution_graph": scenario(), **fields})


def test_the_result_describes_the_image() -> None:
    result = compile_scenario(given(version=3))
    assert result.binary_size == len(result.binary)
    assert result.binary_checksum == sha256(result.binary).hexdigest()
    assert result.manifest == read_manifest(result.binary)
    assert result.manifest | {"compiler": ""} == {
        "kind": "scenario",
        "format": 1,
        "name": "order",
        "scenarioId": "order-7",
        "version": 3,
        "inputSchema": {"n": {"type": "integer", "required": True}},
        "outputSchema": {},
        "variables": {"v": {"type": "integer", "value": 1}},
        "executionTimeoutSeconds": 60,
        "agents": [],
        "children": [{"scenarioId": "kid", "version": 1}],
        "hasSideEffects": False,
        "compiler": "",
    }
    assert "await run(s, SUB)" in result.source
    assert "StartScenario 'sub'" in result.plan
    assert [(d.child_scenario_id, d.version_resolved) for d in result.child_dependencies] == [("kid", 1)]


def test_the_archive_holds_the_program_the_scenario_and_the_children() -> None:
    result = compile_scenario(given())
    with zipfile.ZipFile(io.BytesIO(result.binary)) as archive:
        names = archive.namelist()
        assert names == ["__main__.py", "children/0.json", "program.py", "runtara.json", "scenario.json"]
        assert archive.read("program.py").decode() == result.source
        assert json.loads(archive.read("scenario.json")) == scenario()
        assert json.loads(archive.read("children/0.json")) == KID


def test_equal_inputs_give_equal_bytes_in_every_process() -> None:
    program = (
        "import json, sys; from runtara_framework.compiler import *; "
        "graph, kid = json.load(sys.stdin); "
        "print(compile_scenario(CompilationInput(scenario_id='order-7', execution_graph=graph, "
        "child_scenarios=[ChildScenario('kid', kid)])).binary_checksum)"
    )
    text = json.dumps([scenario(), KID])
    for seed in ("1", "2"):
        found = subprocess.run(
            [sys.executable, "-c", program], input=text, capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert found.stdout.strip() == compile_scenario(given()).binary_checksum


def test_the_same_input_is_compiled_once() -> None:
    assert compile_scenario(given()) is compile_scenario(given())
    assert compile_scenario(given()) is not compile_scenario(given(debug_mode=True))
    assert compile_scenario(given()) is not compile_scenario(given(connection_service_url="http://c"))
    assert compile_scenario(given()) is not compile_scenario(given(execution_graph=scenario(name="other")))


def test_an_image_can_be_written(tmp_path: Path) -> None:
    result = compile_scenario(given(scenario_id="a/../b c", version=2), output_dir=tmp_path / "out")
    assert result.binary_path == tmp_path / "out" / "a____b_c-2.pyz"
    assert result.binary_path.read_bytes() == result.binary
    assert result.binary_path.stat().st_mode & 0o111 == 0o111


def test_an_image_without_a_server_says_what_it_lacks(tmp_path: Path) -> None:
    result = compile_scenario(given(), output_dir=tmp_path)
    assert result.binary_path is not None
    ended = subprocess.run([sys.executable, result.binary_path], capture_output=True, text=True, env={})
    assert ended.returncode == 1
    assert "RUNTARA_INSTANCE_ID" in ended.stderr


def test_what_does_not_validate_is_refused_with_every_finding() -> None:
    broken = scenario()
    broken["steps"]["done"]["inputMapping"]["v"] = ref("variables.nope")
    broken["executionPlan"].append({"fromStep": "sub", "toStep": "nowhere"})
    with pytest.raises(ScenarioInvalid) as caught:
        compile_scenario(given(execution_graph=broken))
    findings = caught.value.details["findings"]
    assert {finding["code"] for finding in findings} >= {"E013", "E014"}
    assert "order-7" in caught.value.message


def test_a_child_that_was_not_supplied_is_an_error() -> None:
    with pytest.raises(ScenarioInvalid, match="E124"):
        compile_scenario(given(child_scenarios=[]))


@pytest.mark.parametrize(("wanted", "version"), [("latest", 5), ("current", 5), (3, 3), (5, 5)])
def test_versions_of_children(wanted: int | str, version: int) -> None:
    document = scenario()
    document["steps"]["sub"]["childVersion"] = wanted
    children = [
        ChildScenario("kid", {**KID, "name": f"v{number}"}, version_resolved=number, version_requested=number)
        for number in (3, 5)
    ]
    result = compile_scenario(given(execution_graph=document, child_scenarios=children))
    assert [d.version_resolved for d in result.child_dependencies] == [version]
    assert f"name='v{version}'" in result.source


def test_a_version_that_was_not_supplied_is_an_error() -> None:
    document = scenario()
    document["steps"]["sub"]["childVersion"] = 4
    children = [ChildScenario("kid", KID, version_resolved=3, version_requested=3)]
    with pytest.raises((ScenarioInvalid, CompilationFailed)):
        compile_scenario(given(execution_graph=document, child_scenarios=children))


def test_default_variables_replace_and_add() -> None:
    document = scenario()
    document["steps"]["done"]["inputMapping"]["w"] = ref("variables.w")
    result = compile_scenario(given(execution_graph=document, default_variables={"v": 9, "w": "new"}))
    assert result.manifest["variables"] == {
        "v": {"type": "integer", "value": 9},
        "w": {"type": "string", "value": "new"},
    }


@pytest.mark.parametrize(
    ("values", "code", "words"),
    [
        ({"v": "nine"}, "E059", "'v' must be a whole number, not a text"),
        ({"_instance_id": "me"}, "E019", "'_instance_id' begins with an underscore"),
        ({"w": float("nan")}, "E018", "'w' is not JSON"),
        ({"w": b"x"}, "E018", "'w' is not JSON"),
        ({"w": "\ud800"}, "E018", "'w' is not JSON"),
        ({7: "x"}, "E018", "7 is not JSON"),
    ],
)
def test_default_variables_that_no_run_could_start_with_are_refused(values: Any, code: str, words: str) -> None:
    with pytest.raises(ScenarioInvalid) as caught:
        compile_scenario(given(default_variables=values))
    (finding,) = caught.value.details["findings"]
    assert finding["code"] == code and words in finding["message"]
    assert [found.code for found in check_scenario(given(default_variables=values)).findings] == [code]


@pytest.mark.parametrize(
    "fields",
    [
        {"scenario_id": ""}, {"scenario_id": "x" * 256}, {"scenario_id": "a\nb"}, {"scenario_id": "\ud800"},
        {"connection_service_url": "service:80"}, {"connection_service_url": "file:///etc/passwd"},
        {"connection_service_url": ""}, {"execution_graph": []}, {"execution_graph": None}, {"execution_graph": "{}"},
    ],
)  # fmt: skip
def test_what_is_wrong_beside_the_document_is_a_finding_too(fields: dict[str, Any]) -> None:
    with pytest.raises(ScenarioInvalid, match="E018"):
        compile_scenario(given(**fields))


def test_checking_says_what_compiling_would_say() -> None:
    assert check_scenario(given()).findings == compile_scenario(given()).findings
    broken = scenario(entryPoint="nowhere")
    with pytest.raises(ScenarioInvalid) as caught:
        compile_scenario(given(execution_graph=broken))
    report = check_scenario(given(execution_graph=broken))
    assert [finding.to_json() for finding in report.findings] == caught.value.details["findings"]


def test_a_child_that_starts_its_parent_is_a_circle() -> None:
    document = scenario()
    document["steps"]["sub"]["childScenarioId"] = "order-7"
    assert "E056" in {finding.code for finding in check_scenario(given(execution_graph=document)).findings}


def test_children_that_contradict_each_other_are_refused() -> None:
    other = {**KID, "name": "other"}
    for pair in (
        [ChildScenario("kid", KID, version_resolved=3), ChildScenario("kid", other, version_resolved=3)],
        [ChildScenario("kid", KID, 3, "latest"), ChildScenario("kid", other, 4, "latest")],
        [ChildScenario("kid", KID, 3), ChildScenario("kid@3", other)],
    ):
        with pytest.raises(CompilationFailed, match="supplied twice"):
            compile_scenario(given(child_scenarios=pair))
    same = [ChildScenario("kid", KID, 3, 3), ChildScenario("kid", dict(KID), 3, "latest")]
    assert compile_scenario(given(child_scenarios=same)).child_dependencies[0].version_resolved == 3
    several = [ChildScenario("kid", KID, 3), ChildScenario("kid", other, 5), ChildScenario("kid", KID, 4)]
    assert compile_scenario(given(child_scenarios=several)).child_dependencies[0].version_resolved == 5


def test_a_child_that_is_supplied_for_a_step_is_started_by_it() -> None:
    assert compile_scenario(given(child_scenarios=[ChildScenario("kid", KID, step_id="sub")])).child_dependencies
    for step_id in ("done", "nowhere"):
        with pytest.raises(ScenarioInvalid, match=f"'{step_id}', which does not start it"):
            compile_scenario(given(child_scenarios=[ChildScenario("kid", KID, step_id=step_id)]))


def test_a_whole_scenario_says_its_tier_and_whether_it_is_debugged() -> None:
    document = {"executionGraph": scenario(), "memoryTier": "S", "debugMode": True}
    result = compile_scenario(given(execution_graph=document))
    assert result.manifest["memoryTier"] == "S"
    assert "run_scenario(ctx, MAIN, debug=True)" in result.source


TAKES_X = {"inputSchema": {"x": {"type": "integer"}}}
LOG = {"entryPoint": "l", "steps": {"l": {"stepType": "Log", "id": "l", "message": "m"}}}


def undone(trigger: str) -> dict[str, Any]:
    """A graph with a step that is undone so."""
    call = {"stepType": "Agent", "agentId": "double", "capabilityId": "map"}
    call["inputMapping"] = {"given": ref("data")}
    steps = {"a": {**call, "id": "a", "compensation": {"compensationStep": "b", "trigger": trigger}}}
    return {"entryPoint": "a", "steps": {**steps, "b": {**call, "id": "b"}}}


def each(body: dict[str, Any]) -> dict[str, Any]:
    step = {"stepType": "Split", "id": "s", "config": {"value": ref("data.items")}, "subgraph": body}
    return {"entryPoint": "s", "steps": {"s": step}}


@pytest.mark.parametrize(
    ("document", "kid", "flags"),
    [
        (LOG, KID, {}),
        ({**LOG, "onCancel": LOG}, KID, {"onCancel": True}),
        (undone("on_downstream_error"), KID, {"onCancel": True}),  # it may be undoing a failure
        (undone("on_any_error"), KID, {"onCancel": True}),
        (undone("manual"), KID, {"manualCompensation": True}),
        (each(undone("manual")), KID, {"manualCompensation": True}),
        ({**undone("manual"), "onCancel": LOG}, KID, {"onCancel": True, "manualCompensation": True}),
        (scenario(), {**undone("on_any_error"), **TAKES_X}, {"onCancel": True}),
        (scenario(), {**LOG, **TAKES_X, "onCancel": LOG}, {"onCancel": True}),  # a cancel may find it in the child
    ],
)
def test_the_manifest_says_what_a_cancel_gives_to_do(
    document: dict[str, Any], kid: dict[str, Any], flags: dict[str, bool], agents: AgentRegistry
) -> None:
    children = (ChildScenario(scenario_id="kid", execution_graph=kid),) if "sub" in document["steps"] else ()
    result = compile_scenario(given(execution_graph=document, child_scenarios=children), agents=agents)
    manifest = result.manifest
    assert {name: manifest[name] for name in ("onCancel", "manualCompensation") if name in manifest} == flags


def test_agents_are_in_the_manifest_and_decide_about_effects(agents: AgentRegistry) -> None:
    document = {
        "entryPoint": "a",
        "steps": {
            "a": {
                "stepType": "Agent",
                "id": "a",
                "agentId": "double",
                "capabilityId": "map",
                "inputMapping": {"given": ref("data")},
            }
        },
    }
    result = compile_scenario(given(execution_graph=document, child_scenarios=()), agents=agents)
    assert result.manifest["agents"] == [{"agent": "double", "capability": "map"}]
    assert not result.has_side_effects
    assert "pure=True" in result.source
