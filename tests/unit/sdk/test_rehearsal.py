"""A rehearsal runs the code of an instance and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, os, threading
from runtara_framework.sdk import bootstrap
from runtara_framework.sdk.rehearsal import rehearse
before = os.listdir("/proc/self/fd")
ends = []
execute = bootstrap.execute
async def observed(*given):
    ends.append(await execute(*given))
    return ends[-1]
bootstrap.execute = observed
rehearse()
assert ends and set(ends) == {bootstrap.Outcome.COMPLETED}, ends
assert os.listdir("/proc/self/fd") == before
assert threading.active_count() == 1
assert not asyncio.get_event_loop_policy()._local._set_called
"""


def test_a_rehearsal_completes_and_leaves_nothing() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
