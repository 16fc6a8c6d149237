"""Every conformance case as an image in processes of its own on a real server, in every mode, as `test_cases.py` has them.

The runs of all tests that are selected go on at the same time, some at once; each test looks at those of one case, which
must agree with each other and with a run in this process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
import pytest_asyncio

from runtara_framework.management import ManagementSdk

from . import as_image, in_process
from .cases import MODES, Case, load_cases
from .observed import Observed, differences

AT_ONCE = 12
CASES = [case for case in load_cases() if "invalid" not in case.expect]
Runs = dict[str, dict[str, asyncio.Task[Observed]]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def runs(
    request: pytest.FixtureRequest, server_address: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Runs]:
    """The runs of the tests of this module that are selected, by case and mode."""
    places = asyncio.Semaphore(AT_ONCE)
    folders = tmp_path_factory.mktemp("cases")

    async def run(case: Case, mode: str) -> Observed:
        async with places:
            try:
                return await as_image.run(case, MODES[mode], sdk, Path(mkdtemp(dir=folders)))
            except Exception as error:
                error.add_note(f"{case.id}, {mode}")
                raise

    selected = [item.callspec.params["case"] for item in request.session.items if item.path == Path(__file__)]
    async with ManagementSdk(server_address, tenant_id="test") as sdk:
        started = {case.id: {mode: asyncio.create_task(run(case, mode)) for mode in case.modes} for case in selected}
        yield started
        tasks = [task for modes in started.values() for task in modes.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_an_image_does_what_its_case_says(case, runs):
    seen = {mode: await run for mode, run in runs[case.id].items()}
    reference = await in_process.run(case, MODES[case.modes[0]])
    assert not (found := differences(case, seen, reference)), found
