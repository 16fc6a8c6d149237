"""Runs one step: what it is given, what it does, what becomes visible of it, and who is to blame when it fails."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

import msgspec

from runtara_framework.dsl.errors import EvaluationError
from runtara_framework.errors import RuntaraError
from runtara_framework.runtime.scope import Scope
from runtara_framework.sdk.failure import Failure


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """The definition of a step, written by the compiler."""

    kind: ClassVar[str]

    id: str
    name: str | None = None
    breakpoint: bool = False

    def prepare(self, s: Scope) -> Any:
        """What the step is given: its mappings resolved. Nothing has happened yet."""
        return None

    async def perform(self, s: Scope, given: Any) -> dict[str, Any]:
        """Do it; the answer is what `steps.<id>` shall be."""
        raise TypeError(f"{type(self).__name__} does not say what it does")

    def result(self, outputs: Any, **siblings: Any) -> dict[str, Any]:
        """The value of `steps.<id>`."""
        return {
            "stepId": self.id,
            "stepName": self.name or self.id,
            "stepType": self.kind,
            "outputs": outputs,
            **siblings,
        }


class Finished:
    """The outcome of a graph that met a Finish step."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


async def run(s: Scope, step: Step) -> dict[str, Any]:
    """Run a step and show its result. Raises `Failure`, with the step in it."""
    if s.debug:
        from runtara_framework.runtime.debug import watched

        return await watched(s, step)
    try:
        result = await step.perform(s, step.prepare(s))
    except Exception as error:
        blame(step, error)
    s.store(step.id, result)
    return result


def blame(step: Step, error: Exception) -> NoReturn:
    """Raise `error` as a failure of `step`. What the platform says of itself (no connection, a stale launch) is nobody's
    failure and passes through."""
    if isinstance(error, Failure):
        if error.step_id is None:
            error.step_id, error.step_name, error.step_type = step.id, step.name or step.id, step.kind
        raise error
    if isinstance(error, RuntaraError) and not isinstance(error, EvaluationError):
        raise error
    failure = Failure.of(error)
    failure.step_id, failure.step_name, failure.step_type = step.id, step.name or step.id, step.kind
    raise failure from error


async def decide(s: Scope, step: Step) -> bool:
    """Run a Conditional; answers which edge to take."""
    result: bool = (await run(s, step))["outputs"]["result"]
    return result


async def route(s: Scope, step: Step) -> str:
    """Run a routing Switch; answers the label of the edge to take."""
    label: str = (await run(s, step))["route"]
    return label


async def finish(s: Scope, step: Step) -> Finished:
    """Run a Finish step (the outcome of the graph) or an Error step (which raises its failure)."""
    return Finished((await run(s, step))["outputs"])
