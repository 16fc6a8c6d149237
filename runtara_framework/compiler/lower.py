"""From a graph to its plan: choices become nested ifs, fan-outs become branches, and everything else stays flat.

A choice whose ways meet again in one step becomes an `if` with the meeting step after it; a way that never meets another
ends inside its arm; ways that meet in several steps, and ifs that would nest too deeply, become sections of their own
that say where they arrived. A fan-out whose branches share nothing before their merge becomes a `Fork`; any other one a
`Mesh`. Nothing here recurses with the length of the graph: only ifs recurse, and their depth is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runtara_framework.compiler.control import Arm, Control
from runtara_framework.compiler.fanout import FanOut
from runtara_framework.compiler.plan import (
    Block,
    Choose,
    Do,
    End,
    Fork,
    GraphPlan,
    Item,
    Jump,
    Mesh,
    Recover,
    Reraise,
    Section,
    Segments,
    Stop,
    Test,
)
from runtara_framework.dsl.models import ExecutionGraph, Step

MAX_NESTING = 5
"""Ifs in ifs that a reader can still follow."""


def plan_graph(
    graph: ExecutionGraph, name: str, reads: Callable[[str], frozenset[str]], fresh: Callable[[str], str]
) -> GraphPlan:
    """The plan of one valid graph, without the graphs inside its steps.

    `name` is that of its function; `reads` says which steps a step refers to; `fresh` makes a name that nobody has."""
    control = Control(graph, reads)
    lowering = _Lowering(control, name, reads, fresh)
    main = lowering.section(graph.entry_point, frozenset(), name=name)
    lowering.run()
    flow = control.flow
    order = [graph.steps[step_id] for step_id in flow.order if step_id in flow.reachable]
    detached = [step for step_id, step in graph.steps.items() if step_id not in flow.reachable]
    return GraphPlan(name, graph, main, order, control.level, detached)


class _Lowering:
    def __init__(
        self,
        control: Control,
        name: str,
        reads: Callable[[str], frozenset[str]],
        fresh: Callable[[str], str],
    ) -> None:
        self.control = control
        self.flow = control.flow
        self.steps = control.graph.steps
        self.name = name
        self.reads = reads
        self.fresh = fresh
        self.made: dict[tuple[str, bool, frozenset[str]], Section] = {}
        self.blocks: dict[tuple[str, tuple[bool, ...]], Section] = {}
        self.queue: list[tuple[Section, str, bool]] = []
        self.count = 0

    # -- sections ---------------------------------------------------------------------------------------

    def section(self, entry: str, exits: frozenset[str], *, branches: bool = False, name: str | None = None) -> Section:
        """The section from a step on, or from where its fan-out `branches`; `run` fills it. The same is made once."""
        key = (entry, branches, exits)
        if key not in self.made:
            self.made[key] = Section(name or self._next_name(), exits)
            self.queue.append((self.made[key], entry, branches))
        return self.made[key]

    def _next_name(self) -> str:
        self.count += 1
        return self.fresh(f"{self.name}_{self.count}")

    def run(self) -> None:
        while self.queue:
            section, entry, branches = self.queue.pop()
            start: str | None = entry
            if branches:
                start = self._fan_out(entry, section.exits, None, section.items)
            if start is not None:
                section.items += self.lower(start, section.exits, None, 0)

    # -- steps ------------------------------------------------------------------------------------------

    def lower(self, step_id: str, exits: frozenset[str], fall: str | None, depth: int) -> list[Item]:
        """From a step on, until everything has ended, has arrived at an exit, or goes on after these items at `fall`."""
        items: list[Item] = []
        here: str | None = step_id
        while here is not None:
            here = self._step(here, exits, fall, depth, items)
        return items

    def _step(self, here: str, exits: frozenset[str], fall: str | None, depth: int, items: list[Item]) -> str | None:
        """One step and what its edges say. Answers the step to go on with in the same list of items."""
        step = self.steps[here]
        arms = self.control.arms[here]
        if step.ends:
            items.append(End(step))
            return None
        if len(arms) == 1:
            items.append(Do(step))
            return self._follow(here, arms[0], exits, fall, items)
        return self._choose(step, arms, exits, fall, depth, items)

    def _follow(self, here: str, arm: Arm, exits: frozenset[str], fall: str | None, items: list[Item]) -> str | None:
        """Take the targets of an arm; answers the step to go on with."""
        level = self.control.level[here] + arm.on_failure
        if arm.reraise:
            items.append(Reraise())
            return None
        if not arm.targets:
            items.append(Stop(level))
            return None
        if len(arm.targets) > 1:
            return self._fan_out(here, exits, fall, items)
        return self._arrive(arm.targets[0], exits, fall, level, items)

    def _arrive(
        self, target: str, exits: frozenset[str], fall: str | None, level: int, items: list[Item]
    ) -> str | None:
        if self.control.level[target] < level:
            items.append(Recover(self.control.level[target]))
        if target == fall:
            return None
        if target in exits:
            items.append(Jump((target,)))
            return None
        return target

    # -- choices ----------------------------------------------------------------------------------------

    def _choose(
        self, step: Step, arms: tuple[Arm, ...], exits: frozenset[str], fall: str | None, depth: int, items: list[Item]
    ) -> str | None:
        boundary = exits if fall is None else exits | {fall}
        meetings = self.control.meeting_points(step.id, boundary)
        too_deep = depth >= MAX_NESTING
        if fall is not None and (too_deep or (meetings and not self._closed(arms, meetings, fall, boundary))):
            # A way out to `fall` from inside would not be at the end of an arm, so the rest is a section of its own.
            items.append(Segments(self.section(step.id, boundary), (), fall))
            return None
        if len(meetings) > 1 or (meetings and (too_deep or self._many_ways_into(arms, meetings[0], boundary))):
            first = self.section(step.id, boundary | frozenset(meetings))
            return self._segments(first, meetings[:-1], meetings[-1], boundary, fall, items)
        catches = any(arm.on_failure for arm in arms)
        if meetings:
            items.append(Choose(step, self._bodies(step.id, arms, exits, meetings[0], depth + 1), catches))
            return meetings[0]
        if fall is not None:
            items.append(Choose(step, self._bodies(step.id, arms, exits, fall, depth + 1), catches))
            return None
        # Nothing meets again: every arm but the last ends in itself, and the last one goes on here.
        arms = self._main_line_last(arms)
        bodies = tuple((arm.tests, self._arm(step.id, arm, exits, None, depth + 1)) for arm in arms[:-1])
        items.append(Choose(step, bodies, catches))
        return self._follow(step.id, arms[-1], exits, None, items)

    def _bodies(
        self, here: str, arms: tuple[Arm, ...], exits: frozenset[str], fall: str, depth: int
    ) -> tuple[tuple[tuple[Test, ...], list[Item]], ...]:
        """What each arm does before it goes on at `fall`. The last one is the `else`; one that does nothing is left out."""
        bodies = [(arm.tests, self._arm(here, arm, exits, fall, depth)) for arm in arms]
        _, last = bodies.pop()
        return tuple([*bodies, ((), last)] if last else bodies)

    def _main_line_last(self, arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
        """Labels exclude each other, so their arms may be tried in any order: the longest way goes on without an `if`."""
        choices = [arm for arm in arms if not arm.on_failure]
        if any(len(arm.tests) != 1 or arm.tests[0].kind != "label" for arm in choices):
            return arms
        failures = [arm for arm in arms if arm.on_failure]
        return (*failures, *sorted(choices, key=lambda arm: self.control.weight(arm.targets)))

    def _arm(self, here: str, arm: Arm, exits: frozenset[str], fall: str | None, depth: int) -> list[Item]:
        items: list[Item] = []
        target = self._follow(here, arm, exits, fall, items)
        if target is None:
            return items
        if depth > MAX_NESTING:
            wanted = exits if fall is None else exits | {fall}
            section = self.section(target, wanted)
            items.append(Segments(section, (), fall))
            return items
        return items + self.lower(target, exits, fall, depth)

    def _closed(self, arms: tuple[Arm, ...], meetings: list[str], fall: str, boundary: frozenset[str]) -> bool:
        """Do all arms reach `fall` only through their meeting point?"""
        if len(meetings) != 1:
            return False
        stop = {meetings[0]}
        seen = set(stop)
        ways = [target for arm in arms for target in arm.targets]
        while ways:
            step_id = ways.pop()
            if step_id == fall:
                return False
            if step_id in seen or step_id in boundary:
                continue
            seen.add(step_id)
            ways.extend(self.flow.successors(step_id))
        return True

    def _many_ways_into(self, arms: tuple[Arm, ...], meeting: str, boundary: frozenset[str]) -> bool:
        """Is the meeting reached out of many choices, like a handler that all steps share? Ifs would nest once for each."""
        count = sum(meeting in arm.targets for arm in arms)
        seen = {meeting}
        ways = [target for arm in arms for target in arm.targets]
        while ways and count <= len(arms) + 1:
            step_id = ways.pop()
            if step_id in seen or step_id in boundary:
                continue
            seen.add(step_id)
            mine = self.control.arms[step_id]
            if len(mine) > 1:
                count += sum(meeting in arm.targets for arm in mine)
            ways.extend(self.flow.successors(step_id))
        return count > len(arms) + 1

    def _segments(
        self,
        first: Section,
        heads: Sequence[str],
        last: str | None,
        boundary: frozenset[str],
        fall: str | None,
        items: list[Item],
    ) -> str | None:
        """Run a section that arrives at one of `heads`, at `last` or at the boundary. What comes from each head is a section
        too; goes on at the last one."""
        if last is not None and fall is not None:
            # What arrives at `fall` must not run the last one, so that one is also a section.
            heads, last = [*heads, last], None
        then: list[tuple[str, Section]] = []
        for number, head in enumerate(heads):
            hidden = self.control.hidden(head)
            later = [other for other in heads[number + 1 :] if not hidden & self.flow.bit(other)]
            then.append((head, self.section(head, boundary.union(later, _only(last)))))
        items.append(Segments(first, tuple(then), fall if fall is not None else last))
        return last

    # -- parallel branches --------------------------------------------------------------------------------

    def _fan_out(self, fork: str, exits: frozenset[str], fall: str | None, items: list[Item]) -> str | None:
        """The branches of a step. Answers the step to go on with."""
        fan = self.control.fan_outs[fork]
        boundary = exits if fall is None else exits | {fall}
        assert boundary.isdisjoint(fan.body), f"a way leads into the middle of the fan-out of {fork!r}"
        heads = [step_id for step_id in fan.leaves if step_id not in boundary and not self.steps[step_id].ends]
        if heads or (fall != fan.join and fall in fan.leaves):
            # From inside a branch nobody can go on here but at the join, so all of this is a section that says where it came.
            first = self.section(fork, boundary.union(heads, _only(fan.join)), branches=True)
            return self._segments(first, heads, None if fan.join in boundary else fan.join, boundary, fall, items)
        stops = boundary.union(_only(fan.join))
        if fan.join is not None and self._apart(fan):
            branches = tuple(self.section(target, stops) for target in fan.branches if target != fan.join)
            items.append(Fork(branches, fan.join, fan.join in fan.branches))
        else:
            items.append(self._mesh(fan, stops))
        return None if fan.join is None else self._arrive(fan.join, exits, fall, self.control.level[fork], items)

    def _apart(self, fan: FanOut) -> bool:
        """Do the branches run different steps, is each fan-out in them a part of its branch, and does none read a step of
        another?"""
        if any(
            self.control.fan_outs[step_id].inside & ~fan.inside
            for step_id in fan.body
            if step_id in self.control.fan_outs
        ):
            return False
        owner: dict[str, str] = {}
        for branch in fan.branches:
            for step_id in self.flow.members(self.flow.after[branch] & fan.inside):
                if owner.setdefault(step_id, branch) != branch:
                    return False
        return all(owner.get(read, mine) == mine for step_id, mine in owner.items() for read in self.reads(step_id))

    def _mesh(self, fan: FanOut, stops: frozenset[str]) -> Mesh:
        blocks: list[Block] = []
        after: dict[str, list[str]] = {step_id: [] for step_id in fan.body}
        for step_id in fan.body:
            for target in self.flow.successors(step_id):
                if target in after:
                    after[target].append(step_id)
        for step_id in fan.body:
            section = self._block(step_id, stops.union(fan.body))
            reads = {read for read in self.reads(step_id) if read in after and read != step_id}.difference(
                after[step_id]
            )
            blocks.append(Block(step_id, section, tuple(after[step_id]), self.flow.members(self.flow.set_of(reads))))
        return Mesh(tuple(blocks), fan.branches, fan.join)

    def _block(self, step_id: str, known: frozenset[str]) -> Section:
        """One step of a mesh: it says which of its targets it fired. A handler that is one Finish is run at once."""
        arms = self.control.arms[step_id]
        finishes = tuple(arm.on_failure and known.isdisjoint(arm.targets) for arm in arms)
        key = (step_id, finishes)
        if key not in self.blocks:
            step = self.steps[step_id]
            endings = [self._fired(step_id, arm, finish) for arm, finish in zip(arms, finishes, strict=True)]
            if step.ends:
                items: list[Item] = [End(step)]
            elif len(arms) == 1:
                items = [Do(step), *endings[0]]
            else:
                bodies = tuple((arm.tests, ending) for arm, ending in zip(arms[:-1], endings[:-1], strict=True))
                items = [Choose(step, bodies, any(arm.on_failure for arm in arms)), *endings[-1]]
            self.blocks[key] = Section(self._next_name(), frozenset(), items, block=True)
        return self.blocks[key]

    def _fired(self, step_id: str, arm: Arm, finish: bool) -> list[Item]:
        level = self.control.level[step_id] + arm.on_failure
        if arm.reraise:
            return [Reraise()]
        if not arm.targets:
            return [Stop(level)]
        lowest = min(self.control.level[target] for target in arm.targets)
        recover: list[Item] = [Recover(lowest)] if lowest < level else []
        return [*recover, End(self.steps[arm.targets[0]]) if finish else Jump(arm.targets)]


def _only(step_id: str | None) -> tuple[str, ...]:
    return () if step_id is None else (step_id,)
