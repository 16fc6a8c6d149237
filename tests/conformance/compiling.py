"""Compiles cases: for this process, for an image, or to see what is wrong with them."""

from __future__ import annotations

from pathlib import Path

from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.compiler import ChildScenario, CompilationInput, CompilationResult, compile_scenario
from runtara_framework.errors import ScenarioInvalid

from .cases import Case
from .doubles import Double

STDLIBS = Path(__file__).parents[1] / "data" / "stdlibs"
"""Where the stdlibs of cases are installed, for whoever has it on its path."""

_SHAPE = AgentRegistry()  # one for all cases, so that equal scenarios are compiled once
_SHAPE.add(Double())


def compile_case(case: Case, *, debug: bool) -> CompilationResult:
    """The program of a case. Raises `ScenarioInvalid`."""
    return compile_scenario(
        CompilationInput(
            scenario_id="case",
            execution_graph=case.scenario,
            debug_mode=debug,
            stdlib=case.stdlib or "standard",
            child_scenarios=[
                ChildScenario(scenario_id=child_id, execution_graph=graph) for child_id, graph in case.children.items()
            ],
        ),
        agents=_SHAPE,
    )


def errors_of(case: Case) -> set[str]:
    """The codes for which the case's scenario does not validate; none if it does."""
    try:
        compile_case(case, debug=False)
    except ScenarioInvalid as invalid:
        return {finding["code"] for finding in invalid.details["findings"] if finding["severity"] == "error"}
    return set()
