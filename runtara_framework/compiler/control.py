"""Where the flow may go after each step: the edges of a graph as ordered arms, and the numbers that lowering needs.

An arm is a conjunction of tests and the steps that run when they hold: none (the path ends), one, or several at once
(parallel branches). The order of the arms is the order in which they are tried, and the last one always holds.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from runtara_framework.compiler.plan import Test
from runtara_framework.dsl.models import ConditionalStep, Edge, ExecutionGraph, Step, SwitchStep

FAILED = Test("failed")


@dataclass(frozen=True, slots=True)
class Arm:
    """What happens when `tests` hold: go to `targets`, or raise the step's failure."""

    tests: tuple[Test, ...]
    targets: tuple[str, ...]
    reraise: bool = False

    @property
    def on_failure(self) -> bool:
        """Is it taken when the step fails?"""
        return bool(self.tests) and self.tests[0].kind == "failed"


class Control:
    """The arms of every step of one graph, an order in which each step comes after all that lead to it, and for each
    step the least number of onError edges on a way to it (its *level*: in how many handlers it is)."""

    def __init__(self, graph: ExecutionGraph) -> None:
        self.graph = graph
        outgoing: dict[str, list[Edge]] = {step_id: [] for step_id in graph.steps}
        for edge in graph.execution_plan:
            outgoing[edge.from_step].append(edge)
        self.arms = {step_id: _arms(step, outgoing[step_id]) for step_id, step in graph.steps.items()}
        self.level = self._levels()
        self.index = self._order()

    def successors(self, step_id: str, *, failures: bool = True) -> list[str]:
        """Every step that may come next, each once; without `failures`, only if the step succeeds."""
        arms = self.arms[step_id]
        return list(dict.fromkeys(t for arm in arms if failures or not arm.on_failure for t in arm.targets))

    def weight(self, targets: tuple[str, ...]) -> int:
        """How many steps may come after, at least: of two arms the heavier one is the main line."""
        return max((self.after[target].bit_count() for target in targets), default=0)

    @cached_property
    def after(self) -> dict[str, int]:
        """For each step the bits (by `index`) of itself and of all steps that may come after it."""
        after: dict[str, int] = {}
        for step_id in sorted(self.index, key=self.index.__getitem__, reverse=True):
            bits = 1 << self.index[step_id]
            for target in self.successors(step_id):
                bits |= after[target]
            after[step_id] = bits
        return after

    def _levels(self) -> dict[str, int]:
        level = {self.graph.entry_point: 0}
        rings: list[list[str]] = [[self.graph.entry_point]]
        while rings:
            ring = rings.pop(0)
            deeper: list[tuple[str, int]] = []
            while ring:
                here = ring.pop()
                for arm in self.arms[here]:
                    for target in arm.targets:
                        if target in level:
                            continue
                        if arm.on_failure:
                            deeper.append((target, level[here] + 1))
                        else:
                            level[target] = level[here]
                            ring.append(target)
            fresh = [(target, depth) for target, depth in deeper if target not in level]
            if fresh:
                level.update(fresh)
                rings.append([target for target, _ in dict(fresh).items()])
        return level

    def _order(self) -> dict[str, int]:
        """Kahn's order; handlers as early as they can, so that a merge comes after everything that it could wait for."""
        waiting = dict.fromkeys(self.level, 0)
        for step_id in self.level:
            for target in self.successors(step_id):
                waiting[target] += 1
        place = {step_id: number for number, step_id in enumerate(self.graph.steps)}
        ready = [(0, place[self.graph.entry_point], self.graph.entry_point)]
        index: dict[str, int] = {}
        while ready:
            _, _, step_id = heapq.heappop(ready)
            index[step_id] = len(index)
            for target in self.successors(step_id):
                waiting[target] -= 1
                if waiting[target] == 0:
                    heapq.heappush(ready, (-self.level[target], place[target], target))
        return index

    def meeting_points(self, groups: Iterable[tuple[str, ...]], boundary: frozenset[str]) -> list[str]:
        """The steps where ways from different groups of targets first meet, in order of execution.

        Looks no further than `boundary`, and no further than the last point where different ways are still open."""
        owners: dict[str, set[str]] = {}
        pending: list[tuple[int, str]] = []

        def reach(step_id: str, owner: str) -> None:
            if step_id in boundary:
                return
            if step_id not in owners:
                owners[step_id] = set()
                heapq.heappush(pending, (self.index[step_id], step_id))
            owners[step_id].add(owner)

        for number, targets in enumerate(groups):
            for target in targets:
                reach(target, f"arm {number}")
        meetings: list[str] = []
        open_ways: dict[str, int] = {}
        for _, step_id in pending:
            for owner in owners[step_id]:
                open_ways[owner] = open_ways.get(owner, 0) + 1
        while pending:
            _, step_id = heapq.heappop(pending)
            mine = owners[step_id]
            for owner in mine:
                open_ways[owner] -= 1
                if not open_ways[owner]:
                    del open_ways[owner]
            if len(mine) > 1:
                meetings.append(step_id)
                owner = f"step {step_id}"
            else:
                (owner,) = mine
            if not open_ways:
                return meetings  # everything that goes on goes on from here
            for target in self.successors(step_id):
                if target in boundary:
                    continue
                before = owners.get(target, set())
                if owner not in before:
                    reach(target, owner)
                    open_ways[owner] = open_ways.get(owner, 0) + 1
            if len(open_ways) == 1:
                return meetings  # the ways that are left all come from one place
        return meetings


def _arms(step: Step, outgoing: list[Edge]) -> tuple[Arm, ...]:
    arms: list[Arm] = []
    errors = [edge for edge in outgoing if edge.is_error]
    if errors:
        caught = _group((FAILED,), errors)
        if not caught[-1].targets:
            caught[-1] = Arm((FAILED,), (), reraise=True)
        arms += caught
    flow = [edge for edge in outgoing if not edge.is_error]
    if isinstance(step, ConditionalStep):
        labels = ["true", "false"]
    elif isinstance(step, SwitchStep) and step.routes:
        labels = list(dict.fromkeys(edge.label for edge in flow if edge.label is not None))
    else:
        return (*arms, *_group((), flow))
    for label in labels:
        arms += _group((Test("label", label),), [edge for edge in flow if edge.label == label])
    return tuple(arms) if labels else (*arms, Arm((), ()))


def _group(tests: tuple[Test, ...], edges: list[Edge]) -> list[Arm]:
    """Arms for edges of one kind: conditioned ones from the highest priority down, then the rest (none: the path ends)."""
    asked = sorted((e for e in edges if e.condition is not None), key=lambda e: -(e.priority or 0))
    arms = [Arm((*tests, Test("condition", edge=edge)), (edge.to_step,)) for edge in asked]
    plain = tuple(dict.fromkeys(edge.to_step for edge in edges if edge.condition is None))
    arms.append(Arm(tests, plain))
    return arms
