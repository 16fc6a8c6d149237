"""A graph as the rules see it: models, places, and where it stands; also when parts of it were malformed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from runtara_framework.dsl import references
from runtara_framework.dsl.documents import escape
from runtara_framework.dsl.flow import Flow
from runtara_framework.dsl.models import AgentStep, Edge, ExecutionGraph, StepBase
from runtara_framework.dsl.references import Use

GraphKind = Literal["root", "Split", "While", "onWait", "onCancel"]


class UnknownStep(StepBase):
    """Stands for a step that could not be read, so that the rest of its graph can be checked."""

    step_type: str = ""


@dataclass(frozen=True, slots=True)
class PlacedEdge:
    """An edge that could be read, and its JSON pointer."""

    edge: Edge
    pointer: str


@dataclass(eq=False)
class Graph:
    """One execution graph of a document: the root, or one inside a step."""

    pointer: str
    kind: GraphKind
    raw: Any
    parent: Graph | None = None
    owner_key: str | None = None
    """The key of the step of `parent` that it is in."""
    model: ExecutionGraph = field(default_factory=lambda: ExecutionGraph(steps={}, entryPoint=""))
    steps: dict[str, StepBase] = field(default_factory=dict)
    """By key of the document."""
    edges: list[PlacedEdge] = field(default_factory=list)
    lost_targets: set[str] = field(default_factory=set)
    """Where edges lead that could not be read or come from nowhere: reachable for all we know."""

    @property
    def depth(self) -> int:
        """How many graphs this one is inside of."""
        depth, outer = 0, self.parent
        while outer is not None:
            depth, outer = depth + 1, outer.parent
        return depth

    @property
    def owner(self) -> StepBase | None:
        """The step that it is in."""
        return self.parent.steps.get(self.owner_key) if self.parent and self.owner_key else None

    @property
    def root(self) -> Graph:
        """The outermost graph of the document."""
        graph = self
        while graph.parent is not None:
            graph = graph.parent
        return graph

    def step_pointer(self, step_id: str) -> str:
        """The JSON pointer of a step."""
        return f"{self.pointer}/steps/{escape(step_id)}"

    @cached_property
    def known_edges(self) -> list[PlacedEdge]:
        """The edges between steps that exist."""
        return [
            placed for placed in self.edges if placed.edge.from_step in self.steps and placed.edge.to_step in self.steps
        ]

    @cached_property
    def leaving(self) -> dict[str, list[PlacedEdge]]:
        """The edges that could be read, by the step they leave."""
        found: dict[str, list[PlacedEdge]] = {}
        for placed in self.edges:
            found.setdefault(placed.edge.from_step, []).append(placed)
        return found

    @cached_property
    def flow(self) -> Flow | None:
        """Order and reachability; None without a valid entry point."""
        entry = self.model.entry_point
        if entry not in self.steps:
            return None
        return Flow(self.steps, [placed.edge for placed in self.known_edges], entry)

    @cached_property
    def compensations(self) -> dict[str, list[str]]:
        """Compensation step to the steps that it compensates."""
        found: dict[str, list[str]] = {}
        for step_id, step in self.steps.items():
            if isinstance(step, AgentStep) and step.compensation:
                found.setdefault(step.compensation.compensation_step, []).append(step_id)
        return found

    @cached_property
    def uses(self) -> list[tuple[str, Use, PlacedEdge | None]]:
        """Every reference in the graph: the step it belongs to, the reference with its full pointer, its edge if any."""
        found: list[tuple[str, Use, PlacedEdge | None]] = []
        for step_id, step in self.steps.items():
            base = self.step_pointer(step_id)
            found += [(step_id, use._replace(pointer=base + use.pointer), None) for use in references.of_step(step)]
        for placed in self.known_edges:
            for use in references.of_edge(placed.edge):
                pointed = use._replace(pointer=placed.pointer + use.pointer)
                found.append((placed.edge.from_step, pointed, placed))
        return found

    def outer(self) -> Iterator[Graph]:
        """The graphs around this one, the nearest first."""
        graph = self.parent
        while graph is not None:
            yield graph
            graph = graph.parent
