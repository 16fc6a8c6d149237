"""Where a fan-out is one again when failures count too: the step where it joins, what runs before, and who leaves it.

The validator asks where branches meet as long as nothing fails (`Flow.merge`). A program must also know where handlers of
the branches go. A handler that comes back to the flow is part of its branch, however far behind the merge that is, so the
*join* is the first step from the merge on with: what can be reached around it cannot be reached from it. The *body* is what
runs before the join. An onError edge to steps that never come back to the flow *leaves* the fan-out: like after a failure
that nobody handles its other branches are stopped, and the handler runs alone.

So nothing in a body runs before its fan-out or after its join, and a body can be lowered by itself wherever it stands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runtara_framework.dsl.flow import Flow


@dataclass(frozen=True, slots=True)
class FanOut:
    """One fan-out: the first steps of its branches, and the steps as this module's docstring names them."""

    branches: tuple[str, ...]
    join: str | None  # None: nothing of the graph comes after it for certain
    inside: int  # the body, as bits of the flow
    body: tuple[str, ...]  # in order
    leaves: tuple[str, ...]  # in order


def fan_out(flow: Flow, fork: str, reads: Callable[[str], frozenset[str]]) -> FanOut:
    """The fan-out of a step. `reads`: the steps that a step refers to."""
    branches = flow.branches(fork)
    join = flow.merge(fork)
    common = 0 if join is None else flow.flow_after[join]
    while True:
        body, leaves = _body(flow, branches, join, reads)
        around = 0 if join is None else body & flow.after[join]
        if not around:
            return FanOut(branches, join, body, flow.members(body), flow.members(leaves))
        # It joins where ways around the merge meet those through it, if every branch leads there.
        join = next(iter(flow.members(around & common)), None)


def _body(
    flow: Flow, branches: tuple[str, ...], join: str | None, reads: Callable[[str], frozenset[str]]
) -> tuple[int, int]:
    """What runs before the join, and where edges leave it, as bits."""
    goes_on = 0 if join is None else flow.flow_after[join]
    end = 0 if join is None else flow.bit(join)
    body = leaves = 0
    ways = list(branches)
    while ways:
        while ways:
            step_id = ways.pop()
            bit = flow.bit(step_id)
            if bit & (body | end):
                continue
            body |= bit
            for edge in flow.outgoing[step_id]:
                target = edge.to_step
                if edge.is_error and not flow.after[target] & goes_on:
                    leaves |= flow.bit(target)
                else:
                    ways.append(target)
        leaves &= ~body
        # Who leaves for steps that the branches run too, or that read what branches do, waits for them like any other step.
        for target in flow.members(leaves):
            if flow.after[target] & body or _waits(flow, target, body, reads):
                ways.append(target)
    return body, leaves


def _waits(flow: Flow, target: str, body: int, reads: Callable[[str], frozenset[str]]) -> bool:
    """Does something after `target` read a step of the body that need not come before it?"""
    return any(
        flow.bit(read) & body and not flow.may_precede(read, step_id)
        for step_id in flow.members(flow.after[target])
        for read in reads(step_id)
        if read in flow.position
    )
