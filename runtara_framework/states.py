"""The life of an instance: six statuses, the reasons beside them, and the only transitions that exist.

Two rules. Every transition that any room makes is looked up here, and storage enforces it again by an update that
is conditional on the status it started from. Terminal is terminal: nothing leaves COMPLETED, FAILED or CANCELLED.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from runtara_framework.errors import InvalidState


class Status(StrEnum):
    """Where an instance stands (ARCHITECTURE.md section 6)."""

    PENDING = "pending"
    RUNNING = "running"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Reason(StrEnum):
    """Why an instance is suspended, failed or cancelled."""

    # suspended
    PAUSED = "paused"
    SLEEPING = "sleeping"
    WAITING_SIGNAL = "waiting_signal"
    DRAINING = "draining"
    BREAKPOINT = "breakpoint"
    # failed
    APPLICATION_ERROR = "application_error"
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    HEARTBEAT_TIMEOUT = "heartbeat_timeout"
    LAUNCH_FAILED = "launch_failed"
    OUT_OF_MEMORY = "out_of_memory"
    # cancelled
    CANCELLED = "cancelled"
    STOPPED = "stopped"


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})
ACTIVE = frozenset({Status.PENDING, Status.RUNNING, Status.SUSPENDED})

REASONS: dict[Status, frozenset[Reason]] = {
    Status.PENDING: frozenset(),
    Status.RUNNING: frozenset(),
    Status.SUSPENDED: frozenset(
        {Reason.PAUSED, Reason.SLEEPING, Reason.WAITING_SIGNAL, Reason.DRAINING, Reason.BREAKPOINT}
    ),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(
        {
            Reason.APPLICATION_ERROR,
            Reason.CRASHED,
            Reason.TIMEOUT,
            Reason.HEARTBEAT_TIMEOUT,
            Reason.LAUNCH_FAILED,
            Reason.OUT_OF_MEMORY,
        }
    ),
    Status.CANCELLED: frozenset({Reason.CANCELLED, Reason.STOPPED}),
}


def reason_of(error: Mapping[str, Any]) -> Reason:
    """The reason of a failure that the program reports (DSL.md section 6): the limits of a launch are the platform's, and
    the program is only the first to notice; everything else is the application's."""
    if error.get("code") == "EXECUTION_TIMEOUT":
        return Reason.TIMEOUT
    cause: Any = error
    while isinstance(cause, Mapping):
        if cause.get("code") == "OUT_OF_MEMORY":
            return Reason.OUT_OF_MEMORY
        cause = cause.get("cause")
    return Reason.APPLICATION_ERROR


TRANSITIONS: frozenset[tuple[Status, Status]] = frozenset(
    {
        (Status.PENDING, Status.RUNNING),  # the launch registers with the current epoch
        (Status.PENDING, Status.PENDING),  # a launch died before it registered; it is queued again
        (Status.PENDING, Status.FAILED),  # the runner cannot start it, or restarts are used up
        (Status.PENDING, Status.CANCELLED),  # cancelled or stopped before it ran
        (Status.RUNNING, Status.SUSPENDED),  # pause acknowledged, long sleep, wait, drain
        (Status.RUNNING, Status.PENDING),  # the process died with restarts left
        (Status.RUNNING, Status.COMPLETED),  # the instance says so
        (Status.RUNNING, Status.FAILED),  # the instance says so, or is found dead, late or silent
        (Status.RUNNING, Status.CANCELLED),  # cancel acknowledged, or stopped
        (Status.SUSPENDED, Status.SUSPENDED),  # a sleeping or waiting instance is paused
        (Status.SUSPENDED, Status.PENDING),  # resumed, due, or the signal that it waits for has come
        (Status.SUSPENDED, Status.CANCELLED),  # cancelled or stopped while nothing runs
    }
)


def allowed(before: Status, after: Status) -> bool:
    """Whether the transition exists."""
    return (before, after) in TRANSITIONS


def sources(after: Status) -> frozenset[Status]:
    """The statuses that a transition to `after` may start from."""
    return frozenset(before for before, to in TRANSITIONS if to is after)


def check(before: Status, after: Status, *, instance_id: str) -> None:
    """Raise `InvalidState` unless the transition exists."""
    if not allowed(before, after):
        why = "it has ended" if before in TERMINAL else f"only {_names(sources(after))} can become {after}"
        raise InvalidState(
            f"instance {instance_id!r} is {before} and cannot become {after}: {why}",
            instance_id=instance_id,
            status=str(before),
        )


def _names(statuses: frozenset[Status]) -> str:
    return " or ".join(sorted(statuses)) or "nothing"
