"""The plan: a graph lowered to straight-line sections, small enough to print and read.

A *section* becomes one generated function. It begins at a step (or at several that run in parallel), and it ends in one
of four ways: a Finish step, a failure, an end of the path (the graph has nothing more to do here), or the arrival at
one of its *exits*, steps that belong to somebody else. `lower.py` makes the plan, `codegen.py` writes it as Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from runtara_framework.dsl.models import Edge, ExecutionGraph, Step


@dataclass(frozen=True, slots=True)
class Test:
    """One part of the decision where the flow goes after a step."""

    kind: Literal["failed", "label", "condition"]
    label: str | None = None  # of a Conditional or routing Switch
    edge: Edge | None = None  # whose condition is asked

    def __str__(self) -> str:
        if self.kind == "failed":
            return "failed"
        if self.kind == "label":
            return f"is {self.label!r}"
        assert self.edge is not None
        return f"when the condition of {self.edge.from_step!r} -> {self.edge.to_step!r} holds"


@dataclass(frozen=True, slots=True)
class Do:
    """Run a step and go on."""

    step: Step


@dataclass(frozen=True, slots=True)
class End:
    """Run a Finish or Error step: the graph ends here."""

    step: Step


@dataclass(frozen=True, slots=True)
class Jump:
    """Arrive at an exit of the section (a block of a mesh: at what it fires, several steps if its step fans out)."""

    exits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """The path ends without a Finish; inside a handler (`level` > 0) that raises its failure again."""

    level: int


@dataclass(frozen=True, slots=True)
class Reraise:
    """No onError edge takes the failure."""


@dataclass(frozen=True, slots=True)
class Recover:
    """The flow leaves the path of a handler; `level` handlers are still around it."""

    level: int


@dataclass(frozen=True, slots=True)
class Choose:
    """Run a step, then the first arm whose tests all hold. The last arm has no tests. What an arm does not end goes on
    after the choice. `catches`: the step's failure is a test, not a raise."""

    step: Step
    arms: tuple[tuple[tuple[Test, ...], list[Item]], ...]
    catches: bool


@dataclass(frozen=True, slots=True)
class Fork:
    """Run branches concurrently, up to the step where they join. One that arrives anywhere else stops the others."""

    branches: tuple[Section, ...]
    join: str
    direct: bool  # one of the edges goes straight to the join


@dataclass(frozen=True, slots=True)
class Mesh:
    """Steps between a fan-out and its join that are no plain branches: each runs when all that may lead to it is decided
    and something did. `waits` are the steps that it reads from other branches. Whoever arrives elsewhere stops the rest."""

    blocks: tuple[Block, ...]
    start: tuple[str, ...]
    join: str | None


@dataclass(frozen=True, slots=True)
class Block:
    """One step of a mesh."""

    step_id: str
    section: Section
    after: tuple[str, ...]
    waits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Segments:
    """Run `first`; then, as long as the arrival is at the head of one of `then`, run that. Whatever arrives at `goes_on`
    continues after this item; anything else is the outcome of the section."""

    first: Section
    then: tuple[tuple[str, Section], ...]
    goes_on: str | None


Item = Do | End | Jump | Stop | Reraise | Recover | Choose | Fork | Mesh | Segments


@dataclass(slots=True)
class Section:
    """One generated function."""

    name: str
    exits: frozenset[str]
    items: list[Item] = field(default_factory=list)
    block: bool = False  # of a mesh: returns every target that it fired


@dataclass(slots=True)
class GraphPlan:
    """The plan of one graph. `main` is its first section; `steps` are all of its steps in order of execution."""

    name: str
    graph: ExecutionGraph
    main: Section
    steps: list[Step]
    levels: dict[str, int]  # in how many handlers a step is
    detached: list[Step]  # run as compensations only

    def sections(self) -> Iterator[Section]:
        """Every section once, the inner ones before those that use them."""
        seen: set[str] = set()
        stack: list[tuple[Section, bool]] = [(self.main, False)]
        while stack:
            section, inner_done = stack.pop()
            if inner_done:
                yield section
                continue
            if section.name in seen:
                continue
            seen.add(section.name)
            stack.append((section, True))
            stack.extend((inner, False) for inner in _inner(section.items))


def _inner(items: list[Item]) -> list[Section]:
    found: list[Section] = []
    for item in items:
        if isinstance(item, Choose):
            for _, arm in item.arms:
                found += _inner(arm)
        elif isinstance(item, Fork):
            found += item.branches
        elif isinstance(item, Mesh):
            found += [block.section for block in item.blocks]
        elif isinstance(item, Segments):
            found += [item.first, *(section for _, section in item.then)]
    return found


def render(plan: GraphPlan) -> str:
    """The plan as text for people (`runtara compile --emit-plan`)."""
    lines = [f"graph {plan.name}: {len(plan.steps)} steps"]
    for section in plan.sections():
        exits = f", may arrive at {', '.join(map(repr, sorted(section.exits)))}" if section.exits else ""
        lines.append(f"  section {section.name}{exits}")
        lines += ("    " + line for line in _lines(section.items))
    lines += (f"  compensation {step.id!r} ({step.step_type})" for step in plan.detached)
    return "\n".join(lines) + "\n"


def _lines(items: list[Item]) -> Iterator[str]:
    for item in items:
        match item:
            case Do(step):
                yield f"{step.step_type} {step.id!r}"
            case End(step):
                yield f"{step.step_type} {step.id!r}: ends the graph"
            case Jump(exits):
                yield f"arrive at {', '.join(map(repr, exits))}"
            case Stop(level):
                yield "the path ends" if level == 0 else "the handler ends: raise its failure again"
            case Reraise():
                yield "raise the failure"
            case Recover(level):
                yield "recovered" if level == 0 else f"recovered, still in {level} handlers"
            case Choose(step, arms, _):
                yield f"{step.step_type} {step.id!r}, then"
                for tests, body in arms:
                    yield f"  {' and '.join(map(str, tests)) or 'otherwise'}:"
                    yield from ("    " + line for line in (list(_lines(body)) or ["go on"]))
            case Fork(branches, join, direct):
                names = ", ".join(branch.name for branch in branches)
                yield f"parallel {names}{' and a direct edge' if direct else ''}; join at {join!r}"
            case Mesh(blocks, start, join):
                yield f"mesh from {', '.join(map(repr, start))}{'' if join is None else f'; join at {join!r}'}"
                for block in blocks:
                    waits = f", waits for {', '.join(map(repr, block.waits))}" if block.waits else ""
                    yield f"  {block.step_id!r} after {', '.join(map(repr, block.after)) or 'the start'}{waits}"
            case Segments(first, then, goes_on):
                yield f"run {first.name}"
                for head, section in then:
                    yield f"  at {head!r}: run {section.name}"
                if goes_on is not None:
                    yield f"  at {goes_on!r}: go on"
