"""From plans to one Python program that a person can read.

    VALIDATE = Agent(id='validate', …, inputs=lambda v: {'order': resolve(v, AT_DATA_ORDER)})

    async def main_flow(s):
        await run(s, VALIDATE)
        if await decide(s, IN_STOCK):
            await run(s, NOTIFY)
        return await finish(s, DONE)

`s` is the scope of a graph, `v` its roots. First come the paths, then for each graph (inner ones first) its sections and
its steps, at the end `main`. The text of the scenario is in here only as literals; see `literals.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from runtara_framework.compiler.definitions import Definitions
from runtara_framework.compiler.expressions import Expressions
from runtara_framework.compiler.literals import Names, literal
from runtara_framework.compiler.lower import plan_graph
from runtara_framework.compiler.plan import (
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
from runtara_framework.dsl.models import ConditionalStep, ExecutionGraph, Step, SwitchStep
from runtara_framework.dsl.references import reads_of

if TYPE_CHECKING:
    from runtara_framework.stdlib import Stdlib

RESERVED = frozenset(
    {"s", "v", "at", "way", "failed", "main", "main_flow", "MAIN", "loads", "annotations", "Pin", "STDLIB"}
)


@dataclass(frozen=True)
class Child:
    """A child scenario, resolved: its id, the version that was chosen, and its graph."""

    scenario_id: str
    version: int
    graph: ExecutionGraph


class Children(Protocol):
    """Finds the child that a StartScenario step means."""

    def __call__(self, scenario_id: str, version: int | str) -> Child:
        """Raises `CompilationFailed` if it was not supplied."""
        ...


class Capabilities(Protocol):
    """Is the capability pure (run again on a replay, never checkpointed)? Unknown ones are not."""

    def __call__(self, agent_id: str, capability_id: str) -> bool: ...


@dataclass
class Program:
    """The generated source, the plans behind it, and what the compiler learnt on the way."""

    source: str
    plans: list[GraphPlan]
    agents: list[tuple[str, str]] = field(default_factory=list)  # (agent, capability), in order of appearance
    children: list[Child] = field(default_factory=list)
    has_side_effects: bool = False


def generate(
    graph: ExecutionGraph,
    *,
    scenario_id: str,
    title: str,
    children: Children,
    is_pure: Capabilities,
    debug: bool = False,
    connection_url: str | None = None,
    stdlib: Stdlib | None = None,
) -> Program:
    """The program of a valid scenario. `debug`: it tells what each step does, and stops at breakpoints. `stdlib`: it loads
    that one when it starts. Raises `CompilationFailed` for a child that was not supplied."""
    options = {"debug": debug or None, "connection_url": connection_url}
    given = "".join(f", {name}={literal(value)}" for name, value in options.items() if value is not None)
    return _Generator(scenario_id, children, is_pure, stdlib).program(graph, title, given)


class _Generator:
    def __init__(
        self, scenario_id: str, children: Children, is_pure: Capabilities, stdlib: Stdlib | None = None
    ) -> None:
        self.names = Names(RESERVED | Definitions.NAMES)
        self.stdlib = stdlib
        self.expressions = Expressions(self.names, "STDLIB.functions" if stdlib else "")
        self.children = children
        self.is_pure = is_pure
        self.scenario_id = scenario_id
        self.parts: list[str] = []
        self.plans: list[GraphPlan] = []
        self.constants: dict[tuple[str, str], str] = {}  # (graph's name, step id) -> constant
        self.called: dict[tuple[str, int], tuple[str, bool]] = {}  # child -> (constant of its graph, effects)
        self.used_children: list[Child] = []
        self.agents: dict[tuple[str, str], None] = {}

    def program(self, graph: ExecutionGraph, title: str, options: str) -> Program:
        constant, effects = self.graph(graph, "main_flow", "MAIN", self.scenario_id, named=True)
        self.expressions.use("runtime.scenario", "run_scenario")
        pin = ""
        if self.stdlib is not None:
            self.expressions.use("stdlib", "Pin")
            given = ", ".join(f"{name}={literal(value)}" for name, value in self.stdlib.identity.items())
            pin = f"STDLIB = Pin({given})"
            options += ", stdlib=STDLIB"
        helpers = "\n\n".join(self.expressions.helpers)
        imports = [
            f"from {'json' if module == 'json' else f'runtara_framework.{module}'} import {', '.join(sorted(names))}"
            for module, names in sorted(self.expressions.imports.items())
        ]
        pieces = [
            f"# {title!a}, compiled by Runtara. Edit the scenario, not this file.",
            "\n".join(imports),
            pin,
            "\n".join(self.expressions.path_lines()),
            helpers,
            *self.parts,
            f"async def main(ctx):\n    return await run_scenario(ctx, {constant}{options})",
        ]
        source = "\n\n".join(piece.rstrip() for piece in pieces if piece) + "\n"
        return Program(source, self.plans, list(self.agents), self.used_children, effects)

    # -- graphs -----------------------------------------------------------------------------------------

    def graph(
        self, graph: ExecutionGraph, function: str, constant: str, scenario_id: str | None, *, named: bool = False
    ) -> tuple[str, bool]:
        """Write a graph; answers its constant, and whether running it has effects that replays must not repeat."""
        if not named:
            function, constant = self.names.function(function), self.names.constant(constant)
        reads = reads_of(graph)
        plan = plan_graph(graph, function, reads.__getitem__, self.names.function)
        self.plans.append(plan)
        definitions = Definitions(self, plan)
        inner = [definitions.define(step) for step in (*plan.steps, *plan.detached)]
        sections = [self._section(plan, section) for section in plan.sections()]
        on_cancel = None
        if graph.on_cancel is not None:
            on_cancel, _ = self.graph(graph.on_cancel, f"{function}_on_cancel", f"{constant}_ON_CANCEL", None)
        self.parts += sections
        self.parts += inner
        self.parts.append(definitions.graph(constant, scenario_id, on_cancel))
        return constant, definitions.effects

    def child(self, step_child: str, version: int | str) -> tuple[Child, str, bool]:
        """The graph of a child scenario, written once however often it is started."""
        child = self.children(step_child, version)
        key = (child.scenario_id, child.version)
        if key not in self.called:
            slug = f"child_{child.scenario_id}"
            self.used_children.append(child)
            self.called[key] = self.graph(child.graph, slug, slug, child.scenario_id)
        return (child, *self.called[key])

    def constant(self, plan: GraphPlan, step: Step) -> str:
        """The constant that holds the definition of a step."""
        key = (plan.name, step.id)
        if key not in self.constants:
            self.constants[key] = self.names.constant(step.id)
        return self.constants[key]

    # -- sections ---------------------------------------------------------------------------------------

    def _section(self, plan: GraphPlan, section: Section) -> str:
        writer = _SectionWriter(self, plan, section.block)
        lines = writer.items(section.items, 1)
        return f"async def {section.name}(s):\n" + "\n".join(lines or ["    return None"])


class _SectionWriter:
    def __init__(self, generator: _Generator, plan: GraphPlan, block: bool) -> None:
        self.generator = generator
        self.plan = plan
        self.block = block

    def use(self, module: str, name: str) -> str:
        return self.generator.expressions.use(module, name)

    def items(self, items: list[Item], depth: int) -> list[str]:
        lines: list[str] = []
        for item in items:
            lines += self._item(item, "    " * depth, depth)
        return lines

    def _item(self, item: Item, pad: str, depth: int) -> list[str]:
        match item:
            case Do(step):
                return [f"{pad}await {self.use('runtime.step', 'run')}(s, {self._constant(step)})"]
            case End(step):
                return [f"{pad}return await {self.use('runtime.step', 'finish')}(s, {self._constant(step)})"]
            case Jump(exits):
                return [f"{pad}return {literal(exits) if self.block else literal(exits[0])}"]
            case Stop(0):
                return [f"{pad}return {'()' if self.block else 'None'}"]
            case Stop():
                return [f"{pad}raise {self.use('runtime.flow', 'unhandled')}(s)"]
            case Reraise():
                return [f"{pad}raise failed"]
            case Recover(level):
                return [f"{pad}{self.use('runtime.flow', 'recovered')}(s, {level})"]
            case Choose(step, arms, catches):
                return self._choose(step, arms, catches, pad, depth)
            case Fork(branches, join, direct):
                names = "".join(f", {branch.name}" for branch in branches)
                call = f"{pad}at = await {self.use('runtime.flow', 'fork')}(s, {literal(join)}, {direct}{names})"
                return [call, *self._goes_on(join, pad)]
            case Mesh(blocks, start, join):
                table = "".join(
                    f"{pad}    {literal(b.step_id)}: ({b.section.name}, {literal(b.after)}, {literal(b.waits)}),\n"
                    for b in blocks
                )
                mesh = self.use("runtime.flow", "mesh")
                call = f"{pad}at = await {mesh}(s, {literal(join)}, {literal(start)}, {{\n{table}{pad}}})"
                return [call, *self._goes_on(join, pad)]
            case Segments(first, then, goes_on):
                lines = [f"{pad}at = await {first.name}(s)"]
                for head, section in then:
                    lines += [f"{pad}if at == {literal(head)}:", f"{pad}    at = await {section.name}(s)"]
                return [*lines, *self._goes_on(goes_on, pad)]

    def _goes_on(self, label: str | None, pad: str) -> list[str]:
        if label is None:
            return [f"{pad}return at"]
        return [f"{pad}if at != {literal(label)}:", f"{pad}    return at"]

    def _choose(
        self, step: Step, arms: tuple[tuple[tuple[Test, ...], list[Item]], ...], catches: bool, pad: str, depth: int
    ) -> list[str]:
        constant = self._constant(step)
        lines: list[str] = []
        if catches:
            lines.append(f"{pad}failed = await {self.use('runtime.flow', 'attempt')}(s, {constant})")
        elif isinstance(step, ConditionalStep):
            decide = f"await {self.use('runtime.step', 'decide')}(s, {constant})"
            if (len(arms) == 1 and len(arms[0][0]) == 1) or (
                len(arms) == 2 and len(arms[0][0]) == 1 and not arms[1][0]
            ):
                test = arms[0][0][0]
                lines.append(f"{pad}if {'' if test.label == 'true' else 'not '}{decide}:")
                return lines + self._arm_lines([arm for _, arm in arms], depth)
            lines.append(f"{pad}way = {decide}")
        elif isinstance(step, SwitchStep) and step.routes:
            lines.append(f"{pad}way = await {self.use('runtime.step', 'route')}(s, {constant})")
        else:
            lines.append(f"{pad}await {self.use('runtime.step', 'run')}(s, {constant})")
        word = "if"
        for tests, body in arms:
            if tests:
                condition = " and ".join(self._test(step, test) for test in tests)
                lines.append(f"{pad}{word} {condition}:")
            else:
                lines.append(f"{pad}else:")
            lines += self.items(body, depth + 1) or [f"{pad}    pass"]
            word = "elif"
        return lines

    def _arm_lines(self, bodies: list[list[Item]], depth: int) -> list[str]:
        pad = "    " * depth
        lines = self.items(bodies[0], depth + 1) or [f"{pad}    pass"]
        if len(bodies) > 1:
            lines += [f"{pad}else:", *(self.items(bodies[1], depth + 1) or [f"{pad}    pass"])]
        return lines

    def _test(self, step: Step, test: Test) -> str:
        if test.kind == "failed":
            return "failed"
        if test.kind == "label":
            if isinstance(step, ConditionalStep):
                return "way" if test.label == "true" else "not way"
            return f"way == {literal(test.label)}"
        assert test.edge is not None and test.edge.condition is not None
        expressions = self.generator.expressions
        name = expressions.names.function(f"{step.id}_to_{test.edge.to_step}", "when_")
        expressions.function(name, expressions.test(test.edge.condition))
        return f"{self.use('runtime.flow', 'holds')}(s, {self._constant(step)}, {name})"

    def _constant(self, step: Step) -> str:
        return self.generator.constant(self.plan, step)
