"""Named fault points: where a test may kill the process to prove that nothing is lost.

`RUNTARA_FAULT=name` or `name:3` (the third time) makes the process kill itself with SIGKILL at that point; with several,
separated by commas, at the first that it comes to. Without the variable a point costs one dictionary look-up in an empty
dictionary. Every name is listed in `POINTS`, so that a test can walk all of them; an unknown name in the variable is an
error at start, not a test that passes because nothing happened.
"""

from __future__ import annotations

import os
import signal

POINTS = frozenset(
    {
        # server
        "create.before_commit",
        "create.after_commit",
        "claim.after_commit",
        "launch.after_spawn",
        "launch.after_handle",
        "settle.before_commit",
        "settle.after_commit",
        "wake.after_claim",
        "checkpoint.before_commit",
        "checkpoint.after_commit",
        "finish.after_commit",
        "blob.between_chunks",
        # instance
        "instance.before_register",
        "instance.after_register",
        "instance.before_checkpoint",
        "instance.after_checkpoint",
        "instance.after_signal",
        "instance.before_suspend",
        "instance.after_suspend",
        "instance.before_complete",
        "instance.after_complete",
    }
)


def _parsed(text: str) -> dict[str, int]:
    points = {}
    for one in filter(None, text.split(",")):
        name, _, count = one.partition(":")
        if name not in POINTS:
            raise ValueError(f"RUNTARA_FAULT names no fault point: {name!r}; there are: {', '.join(sorted(POINTS))}")
        points[name] = int(count or 1)
    return points


_remaining = _parsed(os.environ.get("RUNTARA_FAULT", ""))


def arm(text: str) -> None:
    """As if `RUNTARA_FAULT` had been `text`, beside what is armed already. For a program of a test: in a fork this module is
    imported before the program's environment is known. Raises `ValueError` for an unknown name."""
    _remaining.update(_parsed(text))


def fault_point(name: str) -> None:
    """Die here if a test asked for it."""
    if name in _remaining:
        _remaining[name] -= 1
        if _remaining[name] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
