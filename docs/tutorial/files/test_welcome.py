"""The workflow in the process of the test: no server, no waiting, and killed after every checkpoint."""

from __future__ import annotations

import asyncio
from pathlib import Path

import welcome

from runtara_framework.sdk.durable import program
from runtara_framework.testing.memory_core import run_in_process


def test_two_letters_whatever_is_killed(tmp_path: Path) -> None:
    outbox = tmp_path / "outbox"
    outbox.with_suffix(".crashed").touch()  # one kill at a time: no real one here
    customer = {"name": "Ada", "outbox": str(outbox)}

    outcome = asyncio.run(run_in_process(program(welcome.welcome), customer, kill_at="each"))

    assert outcome.output == {"letters": 2, "answer": None}
    assert outbox.read_text() == "Welcome, Ada\nHow are you, Ada?\n"
