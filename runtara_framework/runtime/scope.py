"""What a graph sees while it runs: its roots, its steps so far, and where in the instance it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtara_framework.sdk.failure import Failure
from runtara_framework.sdk.keys import Key

if TYPE_CHECKING:
    from runtara_framework.runtime.compensation import Done
    from runtara_framework.runtime.graph import Graph
    from runtara_framework.sdk.context import Context

Errors = tuple[Failure, "Errors | None"] | None
"""The failures that handlers are dealing with, the innermost first."""


class Run:
    """What all graphs of one launch share."""

    __slots__ = ("connection_url", "connections", "ctx", "debug", "interrupted")

    def __init__(self, ctx: Context, *, debug: bool = False, connection_url: str | None = None) -> None:
        self.ctx = ctx
        self.debug = debug
        self.connection_url = connection_url
        self.connections: dict[str, Any] = {}  # what `connection` keeps, until when
        # Passes that a cancellation cut off and that have something to undo, and the failure that they were undoing already.
        self.interrupted: list[tuple[Scope, Failure | None]] = []


class Budget:
    """How long one scenario may still wait for rate limits, in ms."""

    __slots__ = ("left_ms",)

    def __init__(self, left_ms: int) -> None:
        self.left_ms = left_ms


class Scope:
    """One pass of one graph. Branches of it share everything but `errors` and the roots that depend on them.

    `roots` is what references resolve in: `data`, `variables`, `steps`, `scenario`, and what loops and handlers add.
    """

    __slots__ = (
        "budget",
        "completed",
        "ctx",
        "debug",
        "durable",
        "errors",
        "graph",
        "indices",
        "key",
        "roots",
        "run",
        "scope_id",
        "steps",
    )

    def __init__(
        self,
        run: Run,
        graph: Graph,
        roots: dict[str, Any],
        key: Key,
        *,
        durable: bool,
        budget: Budget,
        indices: tuple[int, ...] = (),
        scope_id: str | None = None,
    ) -> None:
        self.run = run
        self.ctx = run.ctx
        self.debug = run.debug
        self.graph = graph
        self.steps: dict[str, Any] = {}
        roots["steps"] = self.steps
        self.roots = roots
        self.key = key
        self.durable = durable and graph.durable
        self.budget = budget
        self.indices = indices
        self.scope_id = scope_id
        self.errors: Errors = None
        self.completed: list[Done] = []

    def branch(self, errors: Errors) -> Scope:
        """The same pass, for a flow that may come to have handlers of its own."""
        other = Scope.__new__(Scope)
        for name in Scope.__slots__:
            setattr(other, name, getattr(self, name))
        other.roots = dict(self.roots)
        if errors is not self.errors:
            other.set_errors(errors)
        return other

    def store(self, step_id: str, result: dict[str, Any]) -> None:
        """Make the result of a step visible as `steps.<id>`."""
        self.steps[step_id] = result
        seen = self.roots["steps"]
        if seen is not self.steps:  # a handler sees `steps.__error` beside them
            seen[step_id] = result

    def set_errors(self, errors: Errors) -> None:
        """Enter a handler, or leave it."""
        self.errors = errors
        roots = self.roots
        if errors is None:
            roots.pop("__error", None)
            roots.pop("error", None)
            roots["steps"] = self.steps
            return
        shown = errors[0].to_dict()
        roots["__error"] = roots["error"] = shown
        # The view is a copy, so that a handler in one branch never shows its failure to another branch.
        roots["steps"] = {**self.steps, "__error": shown}

    @property
    def variables(self) -> dict[str, Any]:
        """The value of every variable."""
        variables: dict[str, Any] = self.roots["variables"]
        return variables
