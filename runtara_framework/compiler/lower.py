"""From a graph to its plan: choices become nested ifs, fan-outs become branches, and everything else stays flat.

A choice whose ways meet again in one step becomes an `if` with the meeting step after it; a way that never meets another
ends inside its arm; ways that meet in several steps, and ifs that would nest too deeply, become sections of their own
that say where they arrived. A fan-out whose branches share nothing before their merge becomes a `Fork`; any other one a
`Mesh`. Nothing here recurses with the length of the graph: only ifs recurse, and their depth is bounded.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from functools import cached_property

from runtara_framework.compiler.control import Arm, Control
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
    graph: ExecutionGraph, name: str, reads: Callable[[Step], frozenset[str]], fresh: Callable[[str], str]
) -> GraphPlan:
    """The plan of one valid graph, without the graphs inside its steps.

    `name` is that of its function; `reads` says which steps a step refers to; `fresh` makes a name that nobody has."""
    control = Control(graph)
    lowering = _Lowering(control, name, reads, fresh)
    main = lowering.section((graph.entry_point,), frozenset(), name=name)
    lowering.run()
    order = sorted(control.index, key=control.index.__getitem__)
    detached = [step for step_id, step in graph.steps.items() if step_id not in control.index]
    return GraphPlan(name, graph, main, [graph.steps[step_id] for step_id in order], control.level, detached)


class _Lowering:
    def __init__(
        self,
        control: Control,
        name: str,
        reads: Callable[[Step], frozenset[str]],
        fresh: Callable[[str], str],
    ) -> None:
        self.control = control
        self.steps = control.graph.steps
        self.name = name
        self.reads = reads
        self.fresh = fresh
        self.queue: list[tuple[Section, tuple[str, ...], int, bool]] = []
        self.count = 0

    # -- sections ---------------------------------------------------------------------------------------

    def section(
        self,
        entry: tuple[str, ...],
        exits: frozenset[str],
        *,
        name: str | None = None,
        level: int = 0,
        tangled: bool = False,
    ) -> Section:
        """A new section, to be filled by `run`. Several entries are parallel branches; one that is `tangled`, a mesh."""
        section = Section(name or self._next_name(), exits)
        self.queue.append((section, entry, level, tangled))
        return section

    def _next_name(self) -> str:
        self.count += 1
        return self.fresh(f"{self.name}_{self.count}")

    def run(self) -> None:
        while self.queue:
            section, entry, level, tangled = self.queue.pop()
            start: str | None = entry[0]
            if tangled or len(entry) > 1:
                start = self._fan_out(entry, section.exits, None, level, section.items, tangled=tangled)
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
            return self._fan_out(arm.targets, exits, fall, level, items)
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
        meetings = self.control.meeting_points([arm.targets for arm in arms], boundary)
        if self._tangled(step.id, meetings):
            level = self.control.level[step.id]
            return self._fan_out((step.id,), exits, fall, level, items, tangled=True)
        too_deep = depth >= MAX_NESTING
        if fall is not None and (too_deep or (meetings and not self._closed(arms, meetings, fall, boundary))):
            # A way out to `fall` from inside would not be at the end of an arm, so the rest is a section of its own.
            return self._outline(step.id, (), boundary, fall, items)
        if len(meetings) > 1 or (meetings and (too_deep or self._many_ways_into(arms, meetings[0], boundary))):
            return self._outline(step.id, tuple(meetings), boundary, fall, items)
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
            section = self.section((target,), wanted)
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
            ways.extend(self.control.successors(step_id))
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
            ways.extend(self.control.successors(step_id))
        return count > len(arms) + 1

    def _outline(
        self,
        head: str,
        meetings: tuple[str, ...],
        boundary: frozenset[str],
        fall: str | None,
        items: list[Item],
    ) -> str | None:
        """Move the choice at `head`, and each meeting but the last, to sections. Goes on at the last meeting."""
        first = self.section((head,), boundary | frozenset(meetings))
        then: list[tuple[str, Section]] = []
        for number, meeting in enumerate(meetings[:-1]):
            then.append((meeting, self.section((meeting,), boundary | frozenset(meetings[number + 1 :]))))
        last = meetings[-1] if meetings else None
        if last is not None and fall is not None:
            # What arrives at `fall` must not run the last meeting, so that one is a section too.
            then.append((last, self.section((last,), boundary)))
            last = None
        items.append(Segments(first, tuple(then), last if last is not None else fall))
        return last

    # -- parallel branches --------------------------------------------------------------------------------

    def _tangled(self, choice: str, meetings: list[str]) -> bool:
        """Do the ways of a choice meet in the middle of a fan-out that comes after it? Then neither can be told apart."""
        if not meetings or not self._inside:
            return False
        met = self._bits(meetings)
        after = self.control.after[choice]
        return any(inside & met and after >> self.control.index[fork] & 1 for fork, inside in self._inside.items())

    def _bits(self, step_ids: Iterable[str]) -> int:
        return sum(1 << self.control.index[step_id] for step_id in set(step_ids))

    @cached_property
    def _inside(self) -> dict[str, int]:
        """For each fan-out, the steps between it and its merge, as bits."""
        found: dict[str, int] = {}
        for step_id in self.control.index:
            for arm in self.control.arms[step_id]:
                if len(arm.targets) > 1:
                    merge = self._first_common(arm.targets, frozenset(), failures=False)
                    stops = frozenset() if merge is None else frozenset({merge})
                    found[step_id] = self._bits(self._region(arm.targets, stops, failures=False)[0])
        return found

    def _fan_out(
        self,
        targets: tuple[str, ...],
        exits: frozenset[str],
        fall: str | None,
        level: int,
        items: list[Item],
        *,
        tangled: bool = False,
    ) -> str | None:
        boundary = exits if fall is None else exits | {fall}
        merge = self._merge(targets, boundary)
        stops = boundary if merge is None else boundary | {merge}
        body, reached = self._region(targets, stops)
        if fall is not None and merge != fall and fall in reached:
            # From inside a branch nobody can fall through to there, so all of this is a section that says where it came.
            section = self.section(targets, boundary, level=level, tangled=tangled)
            items.append(Segments(section, (), fall))
            return None
        meetings = self.control.meeting_points([(target,) for target in targets], stops)
        if not tangled and merge is not None and not meetings and not self._crossing(targets, body):
            branches = tuple(self.section((target,), stops) for target in targets if target != merge)
            items.append(Fork(branches, merge, merge in targets, self._later(merge, boundary)))
        else:
            items.append(self._mesh(targets, body, stops, merge))
        return None if merge is None else self._arrive(merge, exits, fall, level, items)

    def _later(self, merge: str | None, exits: frozenset[str]) -> tuple[str, ...]:
        """The exits that come after the merge anyway, as long as nothing fails."""
        if merge is None:
            return ()
        seen, _ = self._region((merge,), frozenset(), failures=False)
        return tuple(sorted(step_id for step_id in exits if step_id != merge and step_id in seen))

    def _region(
        self, targets: Iterable[str], stops: frozenset[str], *, failures: bool = True
    ) -> tuple[set[str], set[str]]:
        """The steps that can be reached without passing a stop, and the stops that they reach."""
        seen: set[str] = set()
        reached: set[str] = set()
        ways = list(targets)
        while ways:
            step_id = ways.pop()
            if step_id in stops:
                reached.add(step_id)
            elif step_id not in seen:
                seen.add(step_id)
                ways.extend(self.control.successors(step_id, failures=failures))
        return seen, reached

    def _merge(self, targets: tuple[str, ...], boundary: frozenset[str]) -> str | None:
        """Where the branches meet: the first step that every way goes through. Failures that handlers take elsewhere do
        not count, unless they come back to what follows that step."""
        merge = self._first_common(targets, boundary, failures=False)
        if merge is None or merge in boundary:
            return merge
        before, _ = self._region(targets, boundary | {merge})
        behind, _ = self._region(self.control.successors(merge), boundary)
        if before & behind:
            return self._first_common(targets, boundary, failures=True)
        return merge

    def _first_common(self, targets: tuple[str, ...], boundary: frozenset[str], *, failures: bool) -> str | None:
        index = self.control.index
        pending: list[tuple[int, str]] = []
        seen: set[str] = set()
        outside: set[str] = set()

        def reach(step_id: str) -> None:
            if step_id in boundary:
                outside.add(step_id)
            elif step_id not in seen:
                seen.add(step_id)
                heapq.heappush(pending, (index[step_id], step_id))

        for target in targets:
            reach(target)
        first = True
        while pending:
            if len(pending) == 1 and not outside and not first:
                return pending[0][1]
            first = False
            _, step_id = heapq.heappop(pending)
            for target in self.control.successors(step_id, failures=failures):
                reach(target)
        return min(outside, key=index.__getitem__) if outside else None

    def _crossing(self, targets: tuple[str, ...], body: set[str]) -> bool:
        """Does a branch read a step of another one?"""
        owner: dict[str, int] = {}
        for number, target in enumerate(targets):
            ways = [target]
            while ways:
                step_id = ways.pop()
                if step_id in body and step_id not in owner:
                    owner[step_id] = number
                    ways.extend(self.control.successors(step_id))
        return any(
            owner.get(read, mine) != mine for step_id, mine in owner.items() for read in self.reads(self.steps[step_id])
        )

    def _mesh(self, targets: tuple[str, ...], body: set[str], stops: frozenset[str], merge: str | None) -> Mesh:
        blocks: list[Block] = []
        after: dict[str, list[str]] = {step_id: [] for step_id in body}
        for step_id in body:
            for target in self.control.successors(step_id):
                if target in body:
                    after[target].append(step_id)
        index = self.control.index
        for step_id in sorted(body, key=index.__getitem__):
            step = self.steps[step_id]
            section = Section(self._next_name(), stops, self._block(step), block=True)
            earlier = tuple(sorted(after[step_id], key=index.__getitem__))
            reads = {read for read in self.reads(step) if read in body and read not in earlier and read != step_id}
            blocks.append(Block(step_id, section, earlier, tuple(sorted(reads, key=index.__getitem__))))
        return Mesh(tuple(blocks), targets, merge, self._later(merge, stops))

    def _block(self, step: Step) -> list[Item]:
        """One step of a mesh: it says which of its targets it fired."""
        arms = self.control.arms[step.id]
        if step.ends:
            return [End(step)]

        def ending(arm: Arm) -> list[Item]:
            level = self.control.level[step.id] + arm.on_failure
            if arm.reraise:
                return [Reraise()]
            if not arm.targets:
                return [Stop(level)]
            lowest = min(self.control.level[target] for target in arm.targets)
            recover: list[Item] = [Recover(lowest)] if lowest < level else []
            return [*recover, Jump(arm.targets)]

        if len(arms) == 1:
            return [Do(step), *ending(arms[0])]
        bodies = tuple((arm.tests, ending(arm)) for arm in arms[:-1])
        return [Choose(step, bodies, any(arm.on_failure for arm in arms)), *ending(arms[-1])]
