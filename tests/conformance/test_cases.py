"""Every conformance case, in every mode: debug events off and on, straight and killed after every checkpoint."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("conformance_harness", Path(__file__).with_name("harness.py"))
assert _spec is not None and _spec.loader is not None
harness = importlib.util.module_from_spec(_spec)
__import__("sys").modules["conformance_harness"] = harness
_spec.loader.exec_module(harness)

CASES = list(harness.load_cases())
MODES = {
    "plain": {"debug": False, "killed": False},
    "killed": {"debug": False, "killed": True},
    "debug": {"debug": True, "killed": False},
    "debug-killed": {"debug": True, "killed": True},
}
RUNS = [pytest.param(c, m, id=f"{c.id}-{m}") for c in CASES for m in MODES if c.modes is None or m in c.modes]


@pytest.mark.parametrize(("case", "mode"), RUNS)
async def test_a_scenario_does_what_its_case_says(case, mode):
    if "invalid" in case.expect:
        harness.refuses(case)
        return
    how = MODES[mode]
    harness.verify(case, await harness.run_case(case, **how), killed=how["killed"])


def test_names_of_cases_are_unique():
    names = [case.id for case in CASES]
    assert len(names) == len(set(names))
