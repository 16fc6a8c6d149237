"""Every code that validation can give is given: at the right place, with the right suggestion, and alone."""

from __future__ import annotations

from typing import Any

import pytest

from runtara_framework.dsl.validation import MEANINGS, Finding, Limits, validate

from .documents import AGENTS, Json, fin, graph, log
from .validation_cases import CASES, CHILDREN

# What inevitably comes with a case beside its own code.
ALSO = {"E003": {"E002", "W003"}, "E131": {"W003"}, "E072": {"E002", "E003", "W003"}}


def found(document: Any) -> list[Finding]:
    return list(validate(document, agents=AGENTS, children=CHILDREN, scenario_id="myself").findings)


@pytest.mark.parametrize(("code", "document", "pointer", "suggestion"), CASES)
def test_each_mistake_gives_its_code_at_its_place(code: str, document: Json, pointer: str, suggestion: str) -> None:
    findings = found(document)
    mine = [finding for finding in findings if finding.code == code and finding.pointer.startswith(pointer)]
    assert mine, [(f.code, f.pointer, f.message) for f in findings]
    assert mine[0].pointer == pointer or code == "E130"
    assert suggestion in (mine[0].suggestion or ""), mine[0]
    assert mine[0].severity == ("error" if code[0] == "E" else "warning") and mine[0].message
    others = {finding.code for finding in findings} - {code} - ALSO.get(code, set())
    assert not others, [(f.code, f.pointer, f.message) for f in findings if f.code in others]


def test_every_code_has_a_case_and_every_case_a_meaning() -> None:
    assert {code for code, *_ in CASES} == set(MEANINGS) - {"E064"}, (
        "which plugins cause: tests/unit/compiler/test_rules.py"
    )


def test_a_finding_is_sent_in_camel_case() -> None:
    (finding,) = found(graph({"end": fin(), "lost": log()}, []))
    assert finding.to_json() == {
        "code": "E002", "severity": "error", "stepId": "lost", "pointer": "/steps/lost",
        "message": "no edge leads from the entry point to 'lost'",
        "suggestion": "add an edge to it in executionPlan, or remove it",
    }  # fmt: skip


def test_limits_can_be_set() -> None:
    report = validate(graph({"a": log(), "end": fin()}), agents=AGENTS, limits=Limits(steps=1))
    assert [finding.code for finding in report.findings] == ["E131"]
