"""A stdlib in a compilation: chosen by argument or environment, recorded, part of what a result is kept under."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from runtara_framework.compiler import ChildScenario, CompilationInput, CompilationResult, compile_scenario
from runtara_framework.dsl.functions import Functions
from runtara_framework.errors import DriverNotFound, ScenarioInvalid
from runtara_framework.packaging import read_manifest
from runtara_framework.stdlib import ENVIRONMENT, Stdlib, choose, load

IDENTITY = {"name": "shop", "distribution": "shop-stdlib", "version": "1.2.0"}
PIN = "STDLIB = Pin(name='shop', distribution='shop-stdlib', version='1.2.0')"
PLAIN: dict[str, Any] = {"entryPoint": "end", "steps": {"end": {"stepType": "Finish", "id": "end"}}}


@pytest.fixture(autouse=True)
def _shop_stdlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "data" / "stdlibs"))
    monkeypatch.delenv(ENVIRONMENT, raising=False)


def using(template: str) -> dict[str, Any]:
    mapping = {"r": {"valueType": "template", "value": template}}
    return {"entryPoint": "end", "steps": {"end": {"stepType": "Finish", "id": "end", "inputMapping": mapping}}}


def compiled(document: dict[str, Any], stdlib: str | None = "shop", **fields: Any) -> CompilationResult:
    return compile_scenario(CompilationInput("case", document, stdlib=stdlib, **fields))


def test_the_choice_is_in_the_manifest_and_one_line_of_the_source() -> None:
    result = compiled(using("{{ double(2) }}"))
    assert result.manifest["stdlib"] == IDENTITY
    assert read_manifest(result.binary) == result.manifest
    lines = result.source.splitlines()
    assert lines.count(PIN) == 1
    assert [line.strip() for line in lines if "Pin" in line] == ["from runtara_framework.stdlib import Pin", PIN]
    assert lines[-1] == "    return await run_scenario(ctx, MAIN, stdlib=STDLIB)"


def test_without_a_choice_there_is_no_trace_of_it() -> None:
    result = compiled(using("{{ 2 }}"), None)
    assert "stdlib" not in result.manifest
    assert "stdlib" not in result.source.lower()


def test_the_environment_chooses_and_the_argument_beats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "shop")
    assert compiled(PLAIN, None).manifest["stdlib"] == IDENTITY
    assert "stdlib" not in compiled(PLAIN, "standard").manifest
    monkeypatch.setenv(ENVIRONMENT, "shopp")
    with pytest.raises(DriverNotFound, match="did you mean 'shop'"):
        compiled(PLAIN, None)


def test_a_result_is_kept_for_its_stdlib(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = compiled(PLAIN, None)
    with_shop = compiled(PLAIN)
    assert with_shop is not plain
    assert compiled(PLAIN) is with_shop
    assert compiled(PLAIN, None) is plain

    def newer(name: str | None) -> Stdlib | None:
        found = choose(name)
        return found and dataclasses.replace(found, version="1.3.0", functions=Functions("shop", {}))

    monkeypatch.setattr("runtara_framework.compiler.package.choose", newer)  # as if it had been upgraded
    assert compiled(PLAIN).manifest["stdlib"] == {**IDENTITY, "version": "1.3.0"}
    with pytest.raises(ScenarioInvalid, match="E062"):
        compiled(using("{{ double(2) }}"))


def test_children_know_the_functions() -> None:
    start = {
        "stepType": "StartScenario", "id": "end", "childScenarioId": "kid", "childVersion": "latest", "inputMapping": {},
    }  # fmt: skip
    document = {"entryPoint": "end", "steps": {"end": start}}
    result = compiled(document, child_scenarios=[ChildScenario("kid", using("{{ double(2) }}"))])
    assert "render(v, '{{ double(2) }}', STDLIB.functions)" in result.source
    with pytest.raises(
        ScenarioInvalid, match=r"in the child scenario 'kid@latest' .*templates have no function 'double'"
    ):
        compiled(document, None, child_scenarios=[ChildScenario("kid", using("{{ double(2) }}"))])


def test_a_step_of_a_hostile_name_does_not_take_the_name_of_the_stdlib() -> None:
    end = {"stepType": "Finish", "id": "STDLIB", "inputMapping": {}}
    source = compiled({"entryPoint": "STDLIB", "steps": {"STDLIB": end}}).source
    assert [line for line in source.splitlines() if line.startswith("STDLIB =")] == [PIN]


def test_a_misspelt_function_is_found_with_the_one_that_is_meant() -> None:
    with pytest.raises(ScenarioInvalid) as caught:
        compiled(using("{{ duoble(2) }}"))
    (finding,) = [f for f in caught.value.details["findings"] if f["severity"] == "error"]
    assert (finding["code"], finding["suggestion"]) == ("E062", "did you mean 'double'?")


def test_agents_of_the_stdlib_decide_about_effects() -> None:
    def sale(capability: str) -> dict[str, Any]:
        mapping = {"n": {"valueType": "immediate", "value": 1}}
        step = {"stepType": "Agent", "id": "a", "agentId": "shop", "capabilityId": capability, "inputMapping": mapping}
        return {"entryPoint": "a", "steps": {"a": step}}

    assert compiled(sale("sell")).has_side_effects
    assert not compiled(sale("price")).has_side_effects
    assert compiled(sale("price")).manifest["agents"] == [{"agent": "shop", "capability": "price"}]
    assert load("shop").agents == {"shop": "shop_stdlib.till:Till"}
