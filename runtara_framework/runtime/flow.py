"""Where the flow goes: handlers, parallel branches, and the meshes between a fan-out and its merge.

A section answers where it came to: a label (the step at which somebody else goes on), `Finished`, or None when its path
ended. A block of a mesh answers all the labels that it fired.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from runtara_framework.runtime.scope import Errors, Scope
from runtara_framework.runtime.step import Finished, Step, blame, run
from runtara_framework.sdk.failure import Failure

Section = Callable[[Scope], Awaitable[Any]]


async def attempt(s: Scope, step: Step) -> Failure | None:
    """Run a step that has onError edges; answers its failure, which the handler sees as `__error`."""
    try:
        await run(s, step)
    except Failure as failure:
        if failure.category == "cancelled":
            raise
        s.store(
            step.id,
            {"stepId": step.id, "stepName": step.name or step.id, "stepType": step.kind, "error": failure.to_dict()},
        )
        s.set_errors((failure, s.errors))
        return failure
    return None


def holds(s: Scope, step: Step, test: Callable[[dict[str, Any]], bool]) -> bool:
    """Is the condition of an edge that leaves `step` true?"""
    try:
        return test(s.roots)
    except Exception as error:
        blame(step, error)


def recovered(s: Scope, level: int) -> None:
    """The flow is out of a handler; `level` handlers are still around it."""
    errors, depth = s.errors, 0
    while errors is not None:
        errors, depth = errors[1], depth + 1
    errors = s.errors
    while depth > level and errors is not None:
        errors, depth = errors[1], depth - 1
    if errors is not s.errors:
        s.set_errors(errors)


def unhandled(s: Scope) -> Failure:
    """The failure to raise again, because its handler ended without a Finish and without a way back."""
    assert s.errors is not None, "a handler runs with its failure"
    return s.errors[0]


async def fork(s: Scope, join: str, direct: bool, *branches: Section) -> Any:
    """Run branches concurrently and answer where the flow goes on: at the join, when all have ended and one of them (or an
    edge straight to it) arrived there; or wherever else one of them went first, and the others are stopped."""
    try:
        labels = await s.ctx.gather(*(_branch(s, join, branch) for branch in branches))
    except _Left as left:
        return left.taken(s)
    return join if direct or join in labels else None


class _Left(Exception):
    """The flow goes on elsewhere than at the join: the other branches are over."""

    def __init__(self, outcome: Finished | str, errors: Errors) -> None:
        self.outcome = outcome
        self.errors = errors

    def taken(self, s: Scope) -> Finished | str:
        """The outcome, for the scope around the branches."""
        if self.errors is not s.errors:
            s.set_errors(self.errors)
        return self.outcome


async def _branch(s: Scope, join: str, section: Section) -> str | None:
    own = s.branch(s.errors)
    outcome = await section(own)
    if outcome is None or outcome == join:
        return join if outcome else None
    raise _Left(outcome, own.errors)


class _Node:
    __slots__ = ("errors", "fired", "missing", "section")

    def __init__(self, section: Section, missing: int) -> None:
        self.section = section
        self.missing = missing  # how many steps before it are still undecided
        self.fired = False
        self.errors: Errors = None


async def mesh(
    s: Scope,
    join: str | None,
    start: tuple[str, ...],
    blocks: dict[str, tuple[Section, tuple[str, ...], tuple[str, ...]]],
) -> Any:
    """Run steps as a graph: each when every step that may lead to it, or that it waits for, is decided; it runs if one of
    them led to it. Answers like `fork`. `blocks`: step -> (section, steps that may lead to it, steps that it waits for).

    Nobody waits for anybody: whoever is decided last runs what became ready, so that a branch is never blocked."""
    nodes = {step_id: _Node(section, len(after) + len(waits)) for step_id, (section, after, waits) in blocks.items()}
    readers: dict[str, list[str]] = {step_id: [] for step_id in blocks}
    for step_id, (_, after, waits) in blocks.items():
        for earlier in (*after, *waits):
            readers[earlier].append(step_id)
    joined = False

    def fire(targets: tuple[str, ...], errors: Errors) -> None:
        nonlocal joined
        for target in targets:
            if target == join:
                joined = True
            elif target in nodes:
                node = nodes[target]
                node.fired = True
                node.errors = node.errors or errors
            else:
                raise _Left(target, errors)

    async def flow(ready: list[str]) -> None:
        while ready:
            if len(ready) > 1:
                await s.ctx.gather(*(flow([step_id]) for step_id in ready))
                return
            (step_id,) = ready
            node = nodes[step_id]
            if node.fired:
                own = s.branch(node.errors)
                outcome = await node.section(own)
                if isinstance(outcome, Finished):
                    raise _Left(outcome, s.errors)
                fire(outcome, own.errors)
            ready = decided(step_id)

    def decided(step_id: str) -> list[str]:
        ready = []
        for reader in readers[step_id]:
            nodes[reader].missing -= 1
            if not nodes[reader].missing:
                ready.append(reader)
        return ready

    fire(start, s.errors)
    try:
        await flow([step_id for step_id, node in nodes.items() if not node.missing])
    except _Left as left:
        return left.taken(s)
    return join if joined else None
