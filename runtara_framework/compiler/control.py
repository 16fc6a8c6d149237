"""Where the flow may go after each step: the edges of a graph as ordered arms, and the numbers that lowering needs.

An arm is a conjunction of tests and the steps that run when they hold: none (the path ends), one, or several at once
(parallel branches). The order of the arms is the order in which they are tried, and the last one always holds.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runtara_framework.compiler.fanout import fan_out
from runtara_framework.compiler.plan import Test
from runtara_framework.dsl.flow import Flow
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
    """The arms of every step of one graph, its fan-outs, and for each step the least number of onError edges on a way to
    it (its *level*: in how many handlers it is)."""

    def __init__(self, graph: ExecutionGraph, reads: Callable[[str], frozenset[str]]) -> None:
        self.graph = graph
        self.flow = Flow.of(graph)
        self.arms = {step_id: _arms(step, self.flow.outgoing[step_id]) for step_id, step in graph.steps.items()}
        self.level = self._levels()
        self.fan_outs = {fork: fan_out(self.flow, fork, reads) for fork in self.flow.forks}

    def weight(self, targets: tuple[str, ...]) -> int:
        """How many steps may come after, at least: of two arms the heavier one is the main line."""
        return max((self.flow.after[target].bit_count() for target in targets), default=0)

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

    def hidden(self, step_id: str) -> int:
        """The steps between the branches of fan-outs that come after a step, as bits. What is there is lowered with its
        fan-out, so other ways that lead there are lowered for themselves."""
        bits = 0
        for fork, fan in self.fan_outs.items():
            if self.flow.after[step_id] & self.flow.bit(fork):
                bits |= fan.inside
        return bits

    def meeting_points(self, choice: str, boundary: frozenset[str]) -> list[str]:
        """The steps where ways from different arms of a choice first meet, in order of execution.

        Looks no further than `boundary`, and no further than the last point where different ways are still open."""
        flow = self.flow
        hidden = self.hidden(choice)
        owners: dict[str, frozenset[str]] = {}
        pending: list[int] = []
        open_ways: Counter[str] = Counter()

        def reach(step_id: str, who: frozenset[str]) -> None:
            if step_id in boundary:
                return
            if step_id not in owners:
                heapq.heappush(pending, flow.position[step_id])
            before = owners.get(step_id, frozenset())
            open_ways.update(who - before)
            owners[step_id] = before | who

        for number, arm in enumerate(self.arms[choice]):
            for target in arm.targets:
                reach(target, frozenset({f"arm {number}"}))
        meetings: list[str] = []
        while pending:
            step_id = flow.order[heapq.heappop(pending)]
            mine = owners[step_id]
            for owner in mine:
                open_ways[owner] -= 1
                if not open_ways[owner]:
                    del open_ways[owner]
            if len(mine) > 1 and not hidden & flow.bit(step_id):
                meetings.append(step_id)
                mine = frozenset({f"step {step_id}"})
            if not open_ways:
                return meetings  # everything that goes on goes on from here
            for target in flow.successors(step_id):
                reach(target, mine)
            if len(open_ways) == 1:
                return meetings  # the ways that are left all come from one place
        return meetings


def _arms(step: Step, outgoing: Sequence[Edge]) -> tuple[Arm, ...]:
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
