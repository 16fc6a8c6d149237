"""What the edges of a graph say about time: order, reachability, fan-outs and their merges, handlers, concurrency.

A graph is a DAG of steps (an edge that closes a cycle is set aside and reported). Out of a step leads one of:
one way; several alternatives (labels, or edge conditions with at most one default), of which one is taken; or,
when all of its flow edges are unlabelled and unconditional and there are several, a *fan-out*, all of which are
taken at once. Beside those, onError edges are an alternative to success.

The *merge* of a fan-out is where its branches are one again: the nearest step that every way of every branch
goes through. Ways that end before (a Finish, an Error, a dead end) do not count, as long as each branch has a
way to the merge, and neither do failures. A step belongs to the *handlers* when only onError edges lead to it.

Two steps are *concurrent* when a fan-out can run both with neither before the other: a reference between them
is an ordering dependency, and the reader waits. All of it is computed without recursion, in time about linear
in the number of edges (reachability is kept as one integer of bits for each step).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from runtara_framework.dsl.steps import ConditionalStep, StepBase, SwitchStep

if TYPE_CHECKING:
    from runtara_framework.dsl.models import Edge, ExecutionGraph


class Flow:
    """The analysis of one graph. Edges must lead between steps that exist; the entry must exist."""

    def __init__(self, steps: Mapping[str, StepBase], edges: Sequence[Edge], entry: str) -> None:
        self.steps = steps
        self.entry = entry
        outgoing: dict[str, list[Edge]] = {step_id: [] for step_id in steps}
        for edge in edges:
            outgoing[edge.from_step].append(edge)
        self.cycles: list[tuple[Edge, tuple[str, ...]]] = []
        """Edges that close a cycle, each with the steps of the cycle; nothing below follows them."""
        self._drop_cycles(outgoing)
        self.outgoing: Mapping[str, Sequence[Edge]] = outgoing
        self.order = self._topological()
        """Every step, each after all that lead to it; among equals in order of the document."""
        self.position = {step_id: number for number, step_id in enumerate(self.order)}
        self.after = self._closure(errors=True)
        """For each step the bits, by `position`, of itself and of every step that may come after it."""
        self.flow_after = self._closure(errors=False)
        """The same as long as nothing fails."""
        self.reachable = frozenset(self.members(self.after[entry]))
        """The steps that can run at all (compensation steps need not be among them)."""
        self.handlers = self.reachable - frozenset(self.members(self.flow_after[entry]))
        """The steps that run only after a failure."""
        self._dominator, self._depth = self._dominators()
        self._merges: dict[str, str | None] = {}

    @classmethod
    def of(cls, graph: ExecutionGraph) -> Flow:
        """The flow of a valid graph."""
        return cls(graph.steps, graph.execution_plan, graph.entry_point)

    # -- questions --------------------------------------------------------------------------------------

    def successors(self, step_id: str) -> list[str]:
        """Every step that may come next, each once, onError handlers included."""
        return list(dict.fromkeys(edge.to_step for edge in self.outgoing[step_id]))

    def bit(self, step_id: str) -> int:
        """The bit of a step in a set of steps."""
        return 1 << self.position[step_id]

    def set_of(self, step_ids: Iterable[str]) -> int:
        """A set of steps, as bits."""
        bits = 0
        for step_id in step_ids:
            bits |= 1 << self.position[step_id]
        return bits

    def members(self, bits: int) -> tuple[str, ...]:
        """The steps of a set, in order."""
        found: list[str] = []
        while bits:
            lowest = bits & -bits
            found.append(self.order[lowest.bit_length() - 1])
            bits ^= lowest
        return tuple(found)

    def may_precede(self, first: str, second: str) -> bool:
        """Can `first` have run before `second` because edges lead there?"""
        return first != second and bool(self.after[first] >> self.position[second] & 1)

    def concurrent(self, a: str, b: str) -> bool:
        """Can a fan-out run both, with neither of them before the other?"""
        if a == b or not {a, b} <= self.reachable or self.may_precede(a, b) or self.may_precede(b, a):
            return False
        common = self._nearest_dominator(a, b)
        for fork in self.forks:
            if fork != common and self._dominates(fork, common):
                continue  # what they share comes after this fan-out, as one way
            in_a = [self._in_branch(target, a) for target in self.branches(fork)]
            in_b = [self._in_branch(target, b) for target in self.branches(fork)]
            if any(mine and theirs for i, mine in enumerate(in_a) for j, theirs in enumerate(in_b) if i != j):
                return True
        return False

    def branches(self, step_id: str) -> tuple[str, ...]:
        """The first steps of the branches of a fan-out; empty when the step has no fan-out."""
        step = self.steps[step_id]
        if isinstance(step, ConditionalStep) or (isinstance(step, SwitchStep) and step.routes):
            return ()
        flow = [edge for edge in self.outgoing[step_id] if not edge.is_error]
        if any(edge.condition is not None for edge in flow):
            return ()
        targets = tuple(dict.fromkeys(edge.to_step for edge in flow))
        return targets if len(targets) > 1 else ()

    @cached_property
    def forks(self) -> tuple[str, ...]:
        """The reachable steps with a fan-out, in order."""
        return tuple(step_id for step_id in self.order if step_id in self.reachable and self.branches(step_id))

    def merge(self, fork: str) -> str | None:
        """Where the branches of a fan-out meet; None if they never do (E073)."""
        if fork not in self._merges:
            self._merges[fork] = self._meet(self.branches(fork))
        return self._merges[fork]

    def knots(self, dependencies: Iterable[tuple[str, str]]) -> set[str]:
        """The steps that wait for each other in a circle, when each reader waits for what it reads.

        `dependencies`: pairs (read, reader) of concurrent steps.
        """
        after: dict[str, set[str]] = {step_id: set(self.successors(step_id)) for step_id in self.order}
        for read, reader in dependencies:
            after[read].add(reader)
        before: dict[str, set[str]] = {step_id: set() for step_id in self.order}
        for step_id, later in after.items():
            for target in later:
                before[target].add(step_id)
        core = set(self.order)
        for ahead, behind in ((after, before), (before, after)):
            free = [step_id for step_id in core if not behind[step_id] & core]
            while free:
                step_id = free.pop()
                core.discard(step_id)
                free.extend(t for t in ahead[step_id] if t in core and not behind[t] & core)
        return core

    # -- how it is computed -----------------------------------------------------------------------------

    def _drop_cycles(self, outgoing: dict[str, list[Edge]]) -> None:
        state: dict[str, int] = {}  # 1: on the current way, 2: done
        for root in (self.entry, *self.steps):
            if root in state:
                continue
            way = [root]
            ahead = {root: list(outgoing[root])}
            state[root] = 1
            while way:
                here = way[-1]
                if not ahead[here]:
                    state[here] = 2
                    way.pop()
                    continue
                edge = ahead[here].pop(0)
                if state.get(edge.to_step) == 1:
                    self.cycles.append((edge, tuple(way[way.index(edge.to_step) :])))
                    outgoing[here].remove(edge)
                elif edge.to_step not in state:
                    state[edge.to_step] = 1
                    way.append(edge.to_step)
                    ahead[edge.to_step] = list(outgoing[edge.to_step])

    def _topological(self) -> list[str]:
        place = {step_id: number for number, step_id in enumerate(self.steps)}
        waiting = dict.fromkeys(self.steps, 0)
        for step_id in self.steps:
            for target in self.successors(step_id):
                waiting[target] += 1
        ready = [place[step_id] for step_id, count in waiting.items() if not count]
        names = list(self.steps)
        order: list[str] = []
        while ready:
            step_id = names[heapq.heappop(ready)]
            order.append(step_id)
            for target in self.successors(step_id):
                waiting[target] -= 1
                if not waiting[target]:
                    heapq.heappush(ready, place[target])
        return order

    def _closure(self, *, errors: bool) -> dict[str, int]:
        after: dict[str, int] = {}
        for step_id in reversed(self.order):
            bits = 1 << self.position[step_id]
            for edge in self.outgoing[step_id]:
                if errors or not edge.is_error:
                    bits |= after[edge.to_step]
            after[step_id] = bits
        return after

    def _dominators(self) -> tuple[dict[str, str], dict[str, int]]:
        """For each reachable step the last one that every way to it goes through, and its depth in that tree."""
        dominator: dict[str, str] = {self.entry: self.entry}
        depth = {self.entry: 0}
        leads_to: dict[str, list[str]] = {}
        for step_id in self.order:
            if step_id not in self.reachable:
                continue
            if step_id != self.entry:
                nearest = leads_to[step_id][0]
                for other in leads_to[step_id][1:]:
                    nearest = _common(nearest, other, dominator, depth)
                dominator[step_id], depth[step_id] = nearest, depth[nearest] + 1
            for target in self.successors(step_id):
                leads_to.setdefault(target, []).append(step_id)
        return dominator, depth

    def _nearest_dominator(self, a: str, b: str) -> str:
        return _common(a, b, self._dominator, self._depth)

    def _dominates(self, upper: str, lower: str) -> bool:
        return self._nearest_dominator(upper, lower) == upper

    def _in_branch(self, branch: str, step_id: str) -> bool:
        return bool(self.after[branch] >> self.position[step_id] & 1)

    def _meet(self, heads: Sequence[str]) -> str | None:
        """The nearest step that all ways from `heads` go through, but for ways that end before it."""
        entries = list(heads)
        while len(entries) > 1:
            shared = -1
            reached = 0
            for head in entries:
                shared &= self.flow_after[head]
                reached |= self.flow_after[head]
            if not shared:
                return None
            first = {head for head in entries if shared >> self.position[head] & 1}
            for step_id in self.members(reached & ~shared):
                for edge in self.outgoing[step_id]:
                    if not edge.is_error and shared >> self.position[edge.to_step] & 1:
                        first.add(edge.to_step)
            entries = sorted(first, key=self.position.__getitem__)
        return entries[0] if entries else None


def _common(a: str, b: str, dominator: Mapping[str, str], depth: Mapping[str, int]) -> str:
    while a != b:
        if depth[a] < depth[b]:
            a, b = b, a
        a = dominator[a]
    return a
