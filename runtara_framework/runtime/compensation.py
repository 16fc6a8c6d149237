"""Compensation: undo what completed, when the graph fails after it (DSL.md 6, 9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from runtara_framework.runtime.events import bounded
from runtara_framework.runtime.scope import Scope
from runtara_framework.runtime.step import run
from runtara_framework.sdk.failure import Failure

if TYPE_CHECKING:
    from runtara_framework.runtime.step import Step

ON_DOWNSTREAM_ERROR, ON_ANY_ERROR, MANUAL = "on_downstream_error", "on_any_error", "manual"


class Done:
    """A step that completed, and how to undo it."""

    __slots__ = ("compensation", "data", "step")

    def __init__(self, compensation: Compensation, step: Step, data: Any) -> None:
        self.compensation = compensation
        self.step = step
        self.data = data


class Compensation:
    """How to undo a step. `undo` answers the step that does it."""

    __slots__ = ("inputs", "order", "trigger", "undo")

    def __init__(
        self,
        undo: Callable[[], Step],
        inputs: Callable[[dict[str, Any]], dict[str, Any]] | None,
        trigger: str,
        order: int,
    ) -> None:
        self.undo = undo
        self.inputs = inputs
        self.trigger = trigger
        self.order = order

    def note(self, s: Scope, step: Step, result: dict[str, Any]) -> None:
        """The step has completed: resolve what undoing it will need."""
        roots = {**s.roots, "steps": {**s.steps, step.id: result}}
        s.completed.append(Done(self, step, None if self.inputs is None else self.inputs(roots)))


async def compensate(s: Scope, failure: Failure | None) -> None:
    """Undo the completed steps of a pass: higher `order` first, then the last completed first. `failure` is None when the
    instance is cancelled or out of time; who cancelled it may have asked for the manual ones, too. What fails meanwhile is
    recorded and hides nothing. Doing it again, after it was interrupted, repeats nothing that was done."""
    triggers = {ON_ANY_ERROR}
    if failure is not None:
        triggers.add(ON_DOWNSTREAM_ERROR)
    if s.ctx.compensate:
        triggers.add(MANUAL)
    due = [done for done in reversed(s.completed) if done.compensation.trigger in triggers]
    with s.ctx.remembering():
        for done in sorted(due, key=lambda done: -done.compensation.order):
            await _undo(s, done)


async def _undo(s: Scope, done: Done) -> None:
    scope = s.branch(None)
    scope.key = s.key.step(done.step.id).suffix("compensation")
    scope.outer = s
    scope.completed = []  # what undoes is not undone itself
    scope.roots["variables"] = {**s.variables, "_compensation": done.data}
    undo = done.compensation.undo()
    said: dict[str, Any] = {"step_id": done.step.id, "compensation_step": undo.id}
    try:
        await run(scope, undo)
    except Failure as problem:
        said["error"] = problem.to_dict()
    await s.ctx.emit("compensation", bounded(said), key=scope.key.suffix("done"))
