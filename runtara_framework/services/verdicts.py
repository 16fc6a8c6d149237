"""What an ended process means for its instance, if the program did not report how it ended itself.

The launcher asks here once a process is gone. A program that reported (completed, failed, suspended, cancelled) is left
alone by storage, whatever is said here.
"""

from __future__ import annotations

import re
import signal as signals
from typing import Any

from runtara_framework import memory
from runtara_framework.config import RunnerSettings
from runtara_framework.model import Exit
from runtara_framework.spec.persistence import Fail, Restart, Verdict
from runtara_framework.states import Reason


def failure(code: str, message: str, category: str = "permanent", **attributes: Any) -> dict[str, Any]:
    """A structured failure as DSL.md section 6 defines it."""
    error: dict[str, Any] = {"code": code, "message": message, "category": category, "severity": "error"}
    if attributes:
        error["attributes"] = attributes
    return error


_ABORTED_FOR_MEMORY = re.compile(r"memory allocation of \d+ bytes failed|std::bad_alloc")
"""The last words of programs and libraries in Rust and C++."""
_FATAL = frozenset({signals.SIGABRT, signals.SIGBUS, signals.SIGILL, signals.SIGSEGV, signals.SIGTRAP})


def of_exit(
    exit: Exit, *, registered: bool, settings: RunnerSettings, memory_limit_bytes: int | None = None
) -> Verdict:
    """The verdict on a process that ended on its own."""
    if exit.out_of_memory or (exit.signal == signals.SIGABRT and _ABORTED_FOR_MEMORY.search(exit.stderr)):
        # Running it again would need as much again.
        return Fail(reason=Reason.OUT_OF_MEMORY, error=_out_of_memory(exit, memory_limit_bytes))
    if exit.code == 0:
        # Running it again would do the same again: it ended of its own will.
        what = "without reporting a result" if registered else "without ever registering"
        return Fail(
            reason=Reason.CRASHED if registered else Reason.LAUNCH_FAILED,
            error=failure(
                "NO_RESULT",
                f"the program exited with code 0 {what}; it must report completed, failed or suspended "
                f"(does it call runtara_framework.sdk?){_tail(exit)}",
                exit_code=0,
            ),
        )
    how = _how(exit)
    when = "before it registered" if not registered else "before it reported a result"
    return Restart(
        max_restarts=settings.max_restarts,
        delays_ms=tuple(settings.restart_delays_ms),
        reason=Reason.CRASHED,
        error=failure(
            "CRASHED", f"the program {how} {when}{_limited(exit, memory_limit_bytes)}{_tail(exit)}", **_facts(exit)
        ),
    )


def _out_of_memory(exit: Exit, limit: int | None) -> dict[str, Any]:
    if limit is None:
        return failure(memory.OUT_OF_MEMORY, f"the instance was killed for using too much memory{_tail(exit)}")
    what = f"the instance needed more memory than {memory.shown(limit)}; {memory.advice(limit)}"
    return failure(memory.OUT_OF_MEMORY, what + _tail(exit), limitBytes=limit)


def _limited(exit: Exit, limit: int | None) -> str:
    """A library in C may end its process where it gets no memory, and nobody can tell that from a defect of it."""
    if limit is None or exit.signal not in _FATAL:
        return ""
    return f" (its memory was limited to {memory.shown(limit)}: if that was too little, {memory.advice(limit)})"


def timed_out(timeout_ms: int) -> Fail:
    """It used up its running time."""
    return Fail(
        reason=Reason.TIMEOUT,
        error=failure(
            "EXECUTION_TIMEOUT",
            f"the instance ran longer than its limit of {timeout_ms / 1000:g} s (time suspended does not count)",
            "timeout",
            timeout_ms=timeout_ms,
        ),
    )


def silent(seconds: float) -> Fail:
    """It gave no sign of life."""
    return Fail(
        reason=Reason.HEARTBEAT_TIMEOUT,
        error=failure(
            "HEARTBEAT_TIMEOUT",
            f"the instance gave no sign of life for {seconds:g} s and was stopped; a program that computes for long "
            "without a call must send heartbeats (the SDK does so by itself unless the event loop is blocked)",
        ),
    )


def never_registered(seconds: float) -> Fail:
    """It started and did nothing that we know of."""
    return Fail(
        reason=Reason.LAUNCH_FAILED,
        error=failure(
            "NEVER_REGISTERED",
            f"the program did not register within {seconds:g} s of its start and was stopped; it must connect to "
            "RUNTARA_SERVER_ADDR and register first (does it use runtara_framework.sdk?)",
        ),
    )


def not_launched(code: str, message: str) -> Fail:
    """The runner could not start it."""
    return Fail(reason=Reason.LAUNCH_FAILED, error=failure(code, message))


def _how(exit: Exit) -> str:
    if exit.signal is not None:
        try:
            name = signals.Signals(exit.signal).name
        except ValueError:
            name = f"signal {exit.signal}"
        return f"was killed by {name}"
    if exit.code is not None:
        return f"exited with code {exit.code}"
    return "disappeared"


def _tail(exit: Exit) -> str:
    lines = [line for line in exit.stderr.strip().splitlines() if line.strip()]
    return f"; the end of its stderr: {' | '.join(lines[-3:])[-500:]}" if lines else ""


def _facts(exit: Exit) -> dict[str, Any]:
    return {key: value for key, value in (("exit_code", exit.code), ("signal", exit.signal)) if value is not None}
