"""What a graph sees while it runs: its roots, its steps so far, and where in the instance it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtara_framework.sdk.failure import Failure
from runtara_framework.sdk.keys import Key

if TYPE_CHECKING:
    from runtara_framework.runtime.budget import Budget
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
        # Passes that were cut off and have something to clean up, the inner ones first, and the failure because of which
        # they were doing so already.
        self.interrupted: list[tuple[Scope, Failure | None]] = []


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
        "outer",
        "owner",
        "roots",
        "run",
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
        outer: Scope | None = None,
        owner: str | None = None,
    ) -> None:
        """`outer` and `owner`: the pass and the id of the step that this pass is part of."""
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
        self.outer = outer
        self.owner = owner
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

    def within(self, other: Scope, step_id: str | None = None) -> bool:
        """Is this the pass of `other`, or part of it; with `step_id`, part of that step of it?"""
        scope: Scope | None = self
        owner: str | None = None
        while scope is not None and scope.steps is not other.steps:
            owner, scope = scope.owner, scope.outer
        return scope is not None and (step_id is None or owner == step_id)

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
