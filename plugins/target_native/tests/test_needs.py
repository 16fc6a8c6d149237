"""What must be inside is known before anything is made."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from runtara_target_native.needs import LANGUAGE, RUNTIME, needs_of

from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.compiler import ChildScenario, CompilationInput, compile_scenario
from runtara_framework.errors import CompilationFailed, DriverAmbiguous, DriverNotFound

from .conftest import SCENARIO


def names(**manifest: Any) -> list[str]:
    needs = needs_of({"__main__.py": b""}, manifest)
    return [f"{point.group} {point.name}" for point in needs.plugins if point.group != "runtara.dialers"]


def test_all_that_the_compiler_writes_is_in_every_base() -> None:
    program = compile_scenario(
        CompilationInput("greeting", SCENARIO, stdlib="greeter"), agents=AgentRegistry()
    ).source.encode()
    assert needs_of({"__main__.py": b"import program", "program.py": program}, {}).imports == ()


def test_what_a_program_imports_beside_is_needed_too() -> None:
    source = b"import json, statistics\nfrom jinja2 import nodes\nfrom own.deep import x\nfrom . import y\n"
    needs = needs_of({"__main__.py": source, "own/deep.py": b"from csv import reader\n"}, {})
    assert needs.imports == ("from csv import reader", "from jinja2 import nodes", "import statistics")
    assert "jinja2" in needs.distributions


def test_each_agent_is_one_entry_point_whatever_its_case_and_its_calls() -> None:
    uses = [{"agent": "Greeter", "capability": "greet"}, {"agent": "greeter", "capability": "other"}]
    assert names(agents=uses) == ["runtara.agents greeter"]


def test_the_agents_of_a_stdlib_come_from_it() -> None:
    needs = needs_of(
        {"__main__.py": b""}, {"stdlib": {"name": "greeter"}, "agents": [{"agent": "probe", "capability": "look"}]}
    )
    assert needs.modules == ("greeter.probe",)
    assert "runtara.stdlib greeter" in [f"{point.group} {point.name}" for point in needs.plugins]


def test_every_way_to_reach_a_server_is_needed() -> None:
    needs = needs_of({"__main__.py": b""}, {})
    assert "unix" in [point.name for point in needs.plugins if point.group == "runtara.dialers"]


def test_what_distributions_require_is_needed_and_nothing_else() -> None:
    needed = needs_of({"__main__.py": b""}, {"agents": [{"agent": "greeter", "capability": "greet"}]}).distributions
    assert {"greeter", "tzdata", "pydantic", "pydantic-core", "runtara-framework", "certifi"} <= needed.keys()
    assert not {"pytest", "pyinstaller", "hypothesis"} & needed.keys()


def test_two_needs_are_different_if_anything_is() -> None:
    main = {"__main__.py": b""}
    needs = [
        needs_of(main, {}),
        needs_of({"__main__.py": b"import csv"}, {}),
        needs_of(main, {"agents": [{"agent": "greeter", "capability": "greet"}]}),
        needs_of(main, {"agents": [{"agent": "archivist", "capability": "version"}]}),
        needs_of(main, {"stdlib": {"name": "greeter"}}),
    ]
    assert len({json.dumps(one.identity) for one in needs}) == len(needs)


def test_an_agent_that_nobody_offers_is_refused() -> None:
    with pytest.raises(CompilationFailed, match=r"'nobody' cannot be put into a native executable.*runtara\.agents"):
        names(agents=[{"agent": "nobody", "capability": "x"}])


def test_a_stdlib_that_nobody_offers_is_refused() -> None:
    with pytest.raises(DriverNotFound, match="no stdlib 'nobody'"):
        names(stdlib={"name": "nobody"})


def test_an_agent_that_two_offer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text("[runtara.agents]\nGREETER = other:Greeter\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DriverAmbiguous, match="provided by greeter and other; uninstall one"):
        names(agents=[{"agent": "greeter", "capability": "greet"}])


def test_a_program_that_is_no_python_is_refused() -> None:
    with pytest.raises(CompilationFailed, match=r"__main__\.py is no Python"):
        needs_of({"__main__.py": b"def"}, {})


def test_a_file_that_is_no_python_is_not_looked_at() -> None:
    files = {"__main__.py": b"import csv", "template.py": b"{{ name }} import", "notes.txt": b"import this"}
    assert needs_of(files, {}).imports == ("import csv",)


def test_the_modules_that_every_base_has_exist() -> None:
    for module in (*LANGUAGE, RUNTIME):
        __import__(module)
        assert module in sys.modules


def test_a_child_counts_as_its_parent() -> None:
    parent = {
        "entryPoint": "sub",
        "steps": {
            "sub": {
                "stepType": "StartScenario",
                "id": "sub",
                "childScenarioId": "kid",
                "childVersion": "latest",
                "inputMapping": {"name": {"valueType": "immediate", "value": "Ada"}},
            }
        },
    }
    given = CompilationInput("parent", parent, child_scenarios=[ChildScenario("kid", SCENARIO)], stdlib="greeter")
    manifest = compile_scenario(given, agents=AgentRegistry()).manifest
    assert names(**manifest) == ["runtara.stdlib greeter", "runtara.agents greeter"]
