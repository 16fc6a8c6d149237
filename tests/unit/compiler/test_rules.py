"""Rules of plugins are asked for every document, by whoever validates or compiles it, and can refuse it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtara_framework.compiler import ChildScenario, CompilationInput, check_scenario, compile_scenario, rules
from runtara_framework.dsl.validation import Finding
from runtara_framework.errors import ScenarioInvalid
from runtara_framework.extension.hooks import Hooks
from runtara_framework.spec.lifecycle import hookimpl

FAKES = Path(__file__).parents[2] / "data" / "plugins"


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The plugins of `tests/data/plugins` are installed, some of them broken; one of them is `rules`."""
    monkeypatch.syspath_prepend(str(FAKES))
    rules._hooks.cache_clear()
    yield
    rules._hooks.cache_clear()


def graph(description: str | None = None, **steps: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "steps": {**steps, "end": {"id": "end", "stepType": "Finish"}},
        "entryPoint": next(iter(steps), "end"),
        "executionPlan": [{"fromStep": step, "toStep": "end"} for step in steps],
    }
    return document if description is None else {**document, "description": description}


def given(document: Any, **more: Any) -> CompilationInput:
    return CompilationInput("s", document, **more)


START = {"id": "start", "stepType": "StartScenario", "childScenarioId": "kid", "childVersion": "latest"}


def codes(found: Any) -> list[tuple[str, str, str]]:
    return [(finding.code, finding.severity, finding.pointer) for finding in found]


@pytest.mark.usefixtures("plugins")
def test_a_rule_refuses_what_is_validated_and_what_is_compiled() -> None:
    assert codes(check_scenario(given(graph("error"))).findings) == [("X1", "error", "/description")]
    with pytest.raises(ScenarioInvalid, match="X1 at /description") as caught:
        compile_scenario(given(graph("error")))
    assert [finding["code"] for finding in caught.value.details["findings"]] == ["X1"]
    assert codes(check_scenario(given({"executionGraph": graph("error")})).errors) == [("X1", "error", "/description")]


@pytest.mark.usefixtures("plugins")
def test_a_warning_of_a_rule_comes_with_the_result() -> None:
    for _ in range(2):  # the second one is kept from the first
        assert codes(compile_scenario(given(graph("warning"))).findings) == [("X1", "warning", "/description")]
    assert compile_scenario(given(graph())).findings == ()


@pytest.mark.usefixtures("plugins")
def test_a_rule_is_asked_about_children_too() -> None:
    children = [ChildScenario("kid", graph("error")), ChildScenario("other", graph("error"))]
    report = check_scenario(given(graph(start=START), child_scenarios=children))
    assert codes(report.findings) == [("X1", "error", "/steps/start/childScenarioId")], "the other one is not started"
    assert "'kid@latest' at /description: as it was asked for" in report.findings[0].message
    with pytest.raises(ScenarioInvalid, match="X1"):
        compile_scenario(given(graph(start=START), child_scenarios=children))


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("description", "words"),
    [
        ("break", "KeyError: 'steps'"),
        ("nonsense", "no Finding"),
        ("fatal", "severity 'fatal'"),
        ("odd", "Expected `str`"),
    ],
)
def test_a_rule_that_fails_refuses_the_scenario_and_hides_nothing(description: str, words: str) -> None:
    document = graph(description)
    document["steps"]["lost"] = {"id": "lost", "stepType": "Log", "message": "m"}
    found = check_scenario(given(document)).findings
    assert sorted(finding.code for finding in found) == ["E002", "E064"]
    told = next(finding for finding in found if finding.code == "E064")
    assert "the rule of the plugin 'rules' failed" in told.message and words in told.message
    del document["steps"]["lost"]
    with pytest.raises(ScenarioInvalid, match="E064"):
        compile_scenario(given(document))


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("document", [None, 5, [], {"executionGraph": 5}, {"steps": 7}, {"description": []}])
def test_a_rule_that_expects_too_much_of_a_document_breaks_nothing(document: Any) -> None:
    assert not check_scenario(given(document)).ok


class Policy:
    """A rule that depends on more than the document."""

    forbidden = False

    @hookimpl
    def runtara_validate_scenario(self) -> list[Finding]:
        return [Finding(code="X2", severity="error", message="not any more")] if self.forbidden else []


def test_a_rule_may_change_its_mind_about_what_was_compiled_before(monkeypatch: pytest.MonkeyPatch) -> None:
    hooks, policy = Hooks(), Policy()
    hooks.register(policy, "policy")
    monkeypatch.setattr(rules, "_hooks", lambda: hooks)
    document = graph("nothing special")
    before = compile_scenario(given(document))
    assert compile_scenario(given(document)) is before
    policy.forbidden = True
    with pytest.raises(ScenarioInvalid, match="X2"):
        compile_scenario(given(document))
    policy.forbidden = False
    assert compile_scenario(given(document)) is before


def test_without_plugins_nothing_is_loaded() -> None:
    rules._hooks.cache_clear()
    assert rules.judge({"": graph("error")}, dict) == {}
