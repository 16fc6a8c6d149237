"""`validate`: reads a document and its children, runs every rule, and puts the findings in order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from runtara_framework.dsl.functions import Functions
from runtara_framework.dsl.models import ExecutionGraph, StartScenarioStep
from runtara_framework.dsl.validation import (
    agents as agent_rules,
)
from runtara_framework.dsl.validation import (
    children as child_rules,
)
from runtara_framework.dsl.validation import (
    connections,
    declarations,
    edges,
    operands,
    order,
    scope,
    structure,
)
from runtara_framework.dsl.validation.context import AgentCatalog, Context, ExtraRule, Rule
from runtara_framework.dsl.validation.findings import Finding, ValidationReport
from runtara_framework.dsl.validation.limits import Limits
from runtara_framework.dsl.validation.shape import Reading

RULES: tuple[Rule, ...] = (
    structure.ids,
    edges.ends,
    edges.labels,
    edges.choices,
    edges.circles,
    structure.reachability,
    structure.names,
    structure.numbers,
    operands.syntax,
    operands.calls,
    operands.destinations,
    operands.operators,
    order.steps,
    scope.roots,
    scope.variables,
    scope.data,
    declarations.names,
    declarations.values,
    declarations.idle,
    agent_rules.calls,
    agent_rules.compensation,
    connections.integrations,
    connections.leaks,
    child_rules.calls,
)


def validate(
    document: Mapping[str, Any] | Any,
    *,
    agents: AgentCatalog,
    children: Mapping[str, Mapping[str, Any]] | None = None,
    limits: Limits | None = None,
    extra_rules: Sequence[ExtraRule] = (),
    extra_findings: Mapping[str, Sequence[Finding]] | None = None,
    scenario_id: str | None = None,
    extra_variables: Collection[str] = (),
    functions: Functions | None = None,
) -> ValidationReport:
    """Everything that is wrong with a scenario, and its models when nothing is.

    `document` is a scenario or a bare graph as parsed JSON; nothing about it need be right, and nothing is raised
    because of it. `children` are the scenarios that it may start, by id, or by `id@version` where a version of its
    own is supplied; they are validated too, and what is wrong in one is said at the step that starts it.
    `extra_findings` are what others found, by the key of the child, or "" for the document itself.
    `scenario_id` is the document's own id, so that a child that starts it is a circle. `extra_variables` are given
    by the compilation, `functions` by the stdlib that it chose.
    """
    run = _Run(
        agents, children or {}, limits or Limits(), extra_rules, extra_findings or {}, scenario_id,
        frozenset(extra_variables), functions,
    )  # fmt: skip
    return run.report(document)


class _Checked:
    """One document that has been read; its rules run once all of its children have been read."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.findings: list[Finding] = []
        self.calls: list[tuple[str, Finding]] = []  # child key, and a finding at the place of the call

    @property
    def graph(self) -> ExecutionGraph:
        return self.reading.graphs[0].model


class _Run:
    def __init__(
        self,
        agents: AgentCatalog,
        children: Mapping[str, Mapping[str, Any]],
        limits: Limits,
        extra_rules: Sequence[ExtraRule],
        extra_findings: Mapping[str, Sequence[Finding]],
        scenario_id: str | None,
        extra_variables: frozenset[str],
        functions: Functions | None,
    ) -> None:
        self.agents = agents
        self.children = children
        self.limits = limits
        self.extra_rules = extra_rules
        self.extra_findings = extra_findings
        self.scenario_id = scenario_id
        self.extra_variables = extra_variables
        self.functions = functions
        self.known: dict[str, _Checked] = {}

    def report(self, document: Any) -> ValidationReport:
        root = _Checked(Reading(document, self.limits))
        todo = [root]
        while todo:
            todo += self._read_children(todo.pop())
        self._check(root, self.extra_findings.get("", ()), is_child=False)
        for key, child in self.known.items():
            self._check(child, self.extra_findings.get(key, ()), is_child=True)
        findings = [*root.findings, *self._circles(root), *self._inside(root)]
        ordered = tuple(_in_order(findings, root.reading))
        failed = any(finding.severity == "error" for finding in ordered)
        scenarios = {key: child.reading.scenario for key, child in self.known.items()}
        return ValidationReport(
            findings=ordered,
            scenario=None if failed else root.reading.scenario,
            children={} if failed else {key: found for key, found in scenarios.items() if found is not None},
        )

    def _key(self, step: StartScenarioStep) -> str | None:
        """Under which key the child that a step starts was supplied."""
        wanted = child_rules.version(step)
        for key in (f"{step.child_scenario_id}@{wanted}", step.child_scenario_id):
            if wanted is not None and key in self.children:
                return key
        return None

    def _child_of(self, step: StartScenarioStep) -> tuple[str, ExecutionGraph] | None:
        key = self._key(step)
        return (key, self.known[key].graph) if key in self.known and key is not None else None

    def _read_children(self, checked: _Checked) -> list[_Checked]:
        fresh: list[_Checked] = []
        for graph in checked.reading.graphs:
            for step_id, step in graph.steps.items():
                if not isinstance(step, StartScenarioStep):
                    continue
                key = self._key(step)
                place = f"{graph.step_pointer(step_id)}/childScenarioId"
                is_self = key is None and step.child_scenario_id == self.scenario_id
                if key is not None or is_self:
                    here = Finding(code="E056", step_id=step_id, pointer=place, message="")
                    checked.calls.append((key or "", here))
                if key is not None and key not in self.known:
                    self.known[key] = _Checked(Reading(self.children[key], self.limits))
                    fresh.append(self.known[key])
        return fresh

    def _check(self, checked: _Checked, extra: Sequence[Finding], *, is_child: bool) -> None:
        reading = checked.reading
        context = Context(
            reading.graphs,
            self.agents,
            self._child_of,
            self.limits,
            reading.is_opaque,
            extra_variables=self.extra_variables,
            functions=self.functions,
        )
        for rule in RULES:
            rule(context)
        if is_child and reading.scenario is not None:
            declarations.idle_in_child(context, reading.scenario)
        found = [*reading.findings, *context.findings, *extra]
        if self.scenario_id is not None:  # the document itself is supplied: it is what is being validated
            own = {call.pointer for key, call in checked.calls if key == ""}
            found = [finding for finding in found if finding.code != "E124" or finding.pointer not in own]
        for extra_rule in self.extra_rules:
            for graph in reading.graphs:
                found += extra_rule(graph)
        checked.findings = found

    def _circles(self, root: _Checked) -> list[Finding]:
        """E056: calls that lead back to a document that is being called."""
        found: list[Finding] = []
        for key, call in root.calls:
            way = self._way_back(key)
            if way:
                shown = " -> ".join(repr(name or self.scenario_id) for name in way)
                found.append(_restated(call, "E056", f"child scenarios start each other in a circle: {shown}"))
        return found

    def _way_back(self, start: str) -> list[str]:
        """A circle of calls that can be reached from the child `start`; the key "" is the document itself."""
        if start == "":
            return ["", ""]
        way = [start]
        ahead = {start: [key for key, _ in self.known[start].calls]}
        done: set[str] = set()
        while way:
            here = way[-1]
            if not ahead[here]:
                done.add(way.pop())
                continue
            key = ahead[here].pop()
            if key == "":
                return ["", *way, ""]
            if key in way:
                return [*way[way.index(key) :], key]
            if key not in done:
                way.append(key)
                ahead[key] = [inner for inner, _ in self.known[key].calls]
        return []

    def _inside(self, root: _Checked) -> list[Finding]:
        """The findings of children, each at the step of the document that starts the child (perhaps through others)."""
        found: list[Finding] = []
        told: set[str] = set()
        for start, call in root.calls:
            todo = [start]
            while todo:
                key = todo.pop()
                if key in told or key == "":
                    continue
                told.add(key)
                child = self.known[key]
                todo += [inner for inner, _ in child.calls]
                for finding in child.findings:
                    message = f"in the child scenario {key!r} at {finding.pointer or '/'}: {finding.message}"
                    found.append(_restated(call, finding.code, message, finding.suggestion, finding.severity))
        return found


def _restated(call: Finding, code: str, message: str, suggestion: str | None = None, severity: str = "") -> Finding:
    return Finding(
        code=code, severity=severity, step_id=call.step_id, pointer=call.pointer, message=message, suggestion=suggestion
    )


def _in_order(findings: Sequence[Finding], reading: Reading) -> list[Finding]:
    """In order of the document (steps in the order they are written), each finding once."""
    place: dict[str, int] = {}
    for graph in reading.graphs:
        for number, step_id in enumerate(graph.steps):
            place[graph.step_pointer(step_id)] = number

    def position(finding: Finding) -> tuple[object, ...]:
        parts = finding.pointer.split("/")
        keys: list[tuple[int, int, str]] = []
        prefix = ""
        for part in parts:
            prefix = f"{prefix}/{part}" if part or prefix else ""
            number = place.get(prefix)
            if number is None:
                number = int(part) if part.isascii() and part.isdigit() and len(part) < 9 else 0
            keys.append((0 if part == "steps" else 1, number, part))
        return (tuple(keys), finding.severity, finding.code)

    return sorted(dict.fromkeys(findings), key=position)
