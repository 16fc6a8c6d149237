"""`target=`: what a program is packed into is chosen by name, among what is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtara_framework.cli import main
from runtara_framework.compiler import CompilationInput, compile_scenario
from runtara_framework.compiler.targets import DEFAULT_TARGET, load_target
from runtara_framework.errors import DriverNotFound
from runtara_framework.packaging import read_manifest, write_zipapp

FAKES = Path(__file__).parents[2] / "data" / "plugins"
SCENARIO: dict[str, Any] = {"name": "empty", "entryPoint": "out", "steps": {"out": {"stepType": "Finish", "id": "out"}}}


@pytest.fixture(autouse=True)
def _fake_distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FAKES))


def given(target: str = DEFAULT_TARGET, **fields: Any) -> CompilationInput:
    return CompilationInput(**{"scenario_id": "empty", "execution_graph": SCENARIO, "target": target, **fields})


def test_the_default_target_comes_through_the_same_door_as_any_other() -> None:
    files = {"__main__.py": b"print(1)"}
    assert DEFAULT_TARGET == "zipapp"
    assert load_target("zipapp").pack(files, {"a": 1}) == write_zipapp(files, {"a": 1})


def test_a_target_gets_the_files_and_the_manifest_and_names_the_suffix(tmp_path: Path) -> None:
    result = compile_scenario(given("listing"), output_dir=tmp_path)
    assert result.binary_path == tmp_path / "empty-1.txt"
    assert json.loads(result.binary_path.read_bytes()) == {
        "files": ["__main__.py", "program.py", "scenario.json"],
        "name": "empty",
    }


def test_one_scenario_for_two_targets_is_two_results() -> None:
    listing, zipapp = compile_scenario(given("listing")), compile_scenario(given())
    assert read_manifest(listing.binary) is None
    assert read_manifest(zipapp.binary) == listing.manifest == zipapp.manifest


def test_large_images_do_not_fill_the_memory() -> None:
    first = compile_scenario(given("listing", version=1))
    assert compile_scenario(given("listing", version=1)) is first
    newest = compile_scenario(given("listing", version=2))
    assert compile_scenario(given("listing", version=2)) is newest
    assert compile_scenario(given("listing", version=1)) is not first


def test_a_target_that_is_not_installed_is_refused_with_those_that_are() -> None:
    with pytest.raises(DriverNotFound, match=r"no target driver 'wasm'.*listing, .*zipapp.*runtara-target-wasm"):
        compile_scenario(given("wasm"))


def test_the_command_line_takes_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("order.json").write_text(json.dumps(SCENARIO))

    assert main(["compile", "order.json", "--target", "listing"]) == 0
    assert main(["compile", "order.json"]) == 0
    assert b"scenario.json" in Path("order.txt").read_bytes()
    assert read_manifest(Path("order.pyz")) is not None

    assert main(["compile", "order.json", "--target", "wasm"]) != 0
    assert "runtara-target-wasm" in capsys.readouterr().err
    assert main(["compile", "order.json", "--target", "wasm", "--emit-plan"]) != 0
