"""What a run of a case showed, wherever it ran; how that differs from what the case says, and from another run of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .cases import MODES, Case, Mode


@dataclass(frozen=True)
class Observed:
    """The end of a run, and what it left."""

    status: str
    reason: str | None
    result: Any
    error: dict[str, Any] | None
    launches: int
    checkpoints: list[str]  # ids in order
    events: dict[str, list[Any]]  # payloads in order, by subtype; at least of those that the case expects
    calls: Counter[str]  # of the test agent, by name


def differences(case: Case, runs: Mapping[str, Observed], reference: Observed) -> str:
    """Everything in which the runs of a case, by mode, are not what the case says or differ from `reference`, which is any
    run of it: a line each, after one that names the case. Nothing if all is well."""
    found = [
        f"{mode}: {difference}"
        for mode, seen in runs.items()
        for difference in (*_unlike(case, MODES[mode], seen), *_disagreeing(case, reference, seen))
    ]
    return "\n".join((case.id, *found)) if found else ""


def _unlike(case: Case, mode: Mode, seen: Observed) -> Iterator[str]:
    expect = case.expect
    status = expect.get("status", "failed" if "error" in expect else "completed")
    if seen.status != status:
        yield f"the status is {seen.status}, not {status}; the error is {seen.error}"
    if "reason" in expect and seen.reason != expect["reason"]:
        yield f"the reason is {seen.reason}, not {expect['reason']}"
    if "result" in expect:
        wanted = expect["result"]
        if seen.result != wanted or type(seen.result) is not type(wanted):
            yield f"the result is {seen.result!r}, not {wanted!r}"
    if "error" in expect and not subset(expect["error"], seen.error):
        yield f"the error {seen.error} has not all of {expect['error']}"
    for subtype, wanted in expect.get("events", {}).items():
        found = seen.events.get(subtype, [])
        if not subset(wanted, found):
            yield f"the events {subtype} are {found}, not {wanted}"
    for name, count in expect.get("calls", {}).items():
        again = mode.killed and case.parallel
        if seen.calls[name] != count and not (again and seen.calls[name] > count):
            yield f"{name} was called {seen.calls[name]} times, not {count}"
    if "checkpoints" in expect and not case.parallel and seen.checkpoints != expect["checkpoints"]:
        yield f"the checkpoints are {seen.checkpoints}, not {expect['checkpoints']}"
    if "launches" in expect and not mode.killed and seen.launches != expect["launches"]:
        yield f"it took {seen.launches} launches, not {expect['launches']}"
    one_each = mode.killed and not case.parallel and seen.checkpoints and seen.status != "suspended"
    if one_each and seen.launches <= len(seen.checkpoints):
        yield f"not killed at every checkpoint: {seen.launches} launches made {len(seen.checkpoints)}"


def _disagreeing(case: Case, reference: Observed, seen: Observed) -> Iterator[str]:
    names = ["status", "result"]
    if seen.launches:  # otherwise it was refused at its start: in other words, and without a reason
        names.append("reason")
        if not case.parallel:  # how far the others came is part of the error
            names.append("error")
    for name in names:
        expected, found = getattr(reference, name), getattr(seen, name)
        if found != expected:
            yield f"the {name} is {found!r}, and in another run {expected!r}"


def subset(wanted: Any, found: Any) -> bool:
    """Is all that is wanted there? Objects may have more members, `ANY` stands for any value."""
    if wanted == "ANY":
        return True
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(key in found and subset(wanted[key], found[key]) for key in wanted)
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(wanted) == len(found)
            and all(subset(one, other) for one, other in zip(wanted, found, strict=True))
        )
    return bool(wanted == found)
