"""Every conformance case in this process: debug events off and on, straight and killed after every checkpoint."""

from __future__ import annotations

import pytest

from .cases import MODES, load_cases
from .compiling import errors_of
from .in_process import run
from .observed import differences

CASES = list(load_cases())


@pytest.mark.parametrize("case", [case for case in CASES if "invalid" not in case.expect], ids=lambda case: case.id)
async def test_a_scenario_does_what_its_case_says(case):
    runs = {mode: await run(case, MODES[mode]) for mode in case.modes}
    assert not (found := differences(case, runs, next(iter(runs.values())))), found


@pytest.mark.parametrize("case", [case for case in CASES if "invalid" in case.expect], ids=lambda case: case.id)
def test_a_scenario_is_refused_as_its_case_says(case):
    wanted = case.expect["invalid"]
    assert errors_of(case) == ({wanted} if isinstance(wanted, str) else set(wanted))


def test_names_of_cases_are_unique():
    names = [case.id for case in CASES]
    assert len(names) == len(set(names))
