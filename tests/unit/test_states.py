"""The status table: what leads where, and that terminal is terminal."""

from __future__ import annotations

import pytest

from runtara_framework.errors import InvalidState
from runtara_framework.states import ACTIVE, REASONS, TERMINAL, Reason, Status, allowed, check, reason_of, sources


def test_every_status_is_active_or_terminal() -> None:
    assert set(Status) == ACTIVE | TERMINAL
    assert not ACTIVE & TERMINAL


@pytest.mark.parametrize("before", sorted(TERMINAL))
@pytest.mark.parametrize("after", list(Status))
def test_nothing_leaves_a_terminal_status(before: Status, after: Status) -> None:
    assert not allowed(before, after)
    with pytest.raises(InvalidState, match="it has ended"):
        check(before, after, instance_id="i")


def test_every_status_but_the_first_can_be_reached() -> None:
    reached = {Status.PENDING}
    while more := {s for s in Status if sources(s) & reached} - reached:
        reached |= more
    assert reached == set(Status)


def test_every_reason_belongs_to_exactly_one_status() -> None:
    owners = [reason for reasons in REASONS.values() for reason in reasons]
    assert sorted(owners) == sorted(Reason)


def test_a_refused_transition_says_what_could_have_been() -> None:
    with pytest.raises(InvalidState, match="only running can become completed"):
        check(Status.PENDING, Status.COMPLETED, instance_id="i")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"code": "NO_STOCK"}, Reason.APPLICATION_ERROR),
        ({}, Reason.APPLICATION_ERROR),
        ({"code": "EXECUTION_TIMEOUT"}, Reason.TIMEOUT),
        ({"code": "OUT_OF_MEMORY"}, Reason.OUT_OF_MEMORY),
        ({"code": "CHILD_FAILED", "cause": {"code": "X", "cause": {"code": "OUT_OF_MEMORY"}}}, Reason.OUT_OF_MEMORY),
        ({"code": "CHILD_FAILED", "cause": "no failure"}, Reason.APPLICATION_ERROR),
    ],
)
def test_a_reported_failure_has_the_reason_of_what_is_behind_it(error: dict[str, object], reason: Reason) -> None:
    assert reason_of(error) is reason
