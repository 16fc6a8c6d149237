"""The child scenarios of a compilation: which one a StartScenario step means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtara_framework.compiler.codegen import Child
from runtara_framework.compiler.kept import fingerprint
from runtara_framework.dsl.models import ExecutionGraph, Scenario
from runtara_framework.dsl.validation.findings import Finding
from runtara_framework.errors import CompilationFailed


@dataclass(frozen=True)
class ChildScenario:
    """A scenario that others may start. `version_requested` None: it answers any version that is asked for."""

    scenario_id: str
    execution_graph: ExecutionGraph | Scenario | Mapping[str, Any]
    version_resolved: int = 1
    version_requested: int | str | None = None
    step_id: str | None = None
    """The step of the root's graph that starts it, where the caller knows; that it does is checked."""


def plain(document: ExecutionGraph | Scenario | Mapping[str, Any]) -> Any:
    """A document as JSON: models are written out, everything else is left to validation."""
    if isinstance(document, (ExecutionGraph, Scenario)):
        return document.model_dump(by_alias=True, exclude_unset=True)
    return dict(document) if isinstance(document, Mapping) and not isinstance(document, dict) else document


def by_key(children: Sequence[ChildScenario]) -> dict[str, ChildScenario]:
    """The children under the keys that steps ask for: `id@version`, `id@latest`, and `id` for one that answers all.

    Where several would answer, the highest version does. Raises `CompilationFailed` for two that differ under one key."""
    supplied: dict[str, ChildScenario] = {}
    answering_all: list[ChildScenario] = []
    newest_first = sorted(children, key=lambda child: child.version_resolved, reverse=True)
    for child in newest_first:
        _put(supplied, f"{child.scenario_id}@{child.version_resolved}", child)
        if isinstance(child.version_requested, str):
            _put(supplied, f"{child.scenario_id}@latest", child)
    for child in newest_first:
        supplied.setdefault(f"{child.scenario_id}@latest", child)
        if child.version_requested is None and child.scenario_id not in {one.scenario_id for one in answering_all}:
            answering_all.append(child)
    for child in answering_all:
        _put(supplied, child.scenario_id, child)
    return supplied


def _put(supplied: dict[str, ChildScenario], key: str, child: ChildScenario) -> None:
    other = supplied.setdefault(key, child)
    if other is not child and (other.scenario_id != child.scenario_id or not _is_same(other, child)):
        raise CompilationFailed(f"the child scenario {key!r} is supplied twice, and the two differ")


def _is_same(a: ChildScenario, b: ChildScenario) -> bool:
    content = fingerprint(plain(a.execution_graph))
    return content is not None and content == fingerprint(plain(b.execution_graph))


def misplaced(document: Any, children: Sequence[ChildScenario]) -> Iterator[Finding]:
    """E124 for a child that was supplied for a step which does not start it."""
    graph = document.get("executionGraph", document) if isinstance(document, dict) else None
    steps = graph.get("steps") if isinstance(graph, dict) else None
    for child in children:
        if child.step_id is None:
            continue
        step = steps.get(child.step_id) if isinstance(steps, dict) else None
        if not isinstance(step, dict) or step.get("childScenarioId") != child.scenario_id:
            what = f"the child scenario {child.scenario_id!r} is supplied for the step {child.step_id!r}"
            yield Finding(code="E124", message=f"{what}, which does not start it")


class Supplied:
    """Finds the child that a step means, among those that were supplied and are valid."""

    def __init__(self, children: Sequence[ChildScenario], models: Mapping[str, Scenario]) -> None:
        self._supplied = by_key(children)
        self._models = models

    def __call__(self, scenario_id: str, version: int | str) -> Child:
        wanted = "latest" if isinstance(version, str) else version
        for key in (f"{scenario_id}@{wanted}", scenario_id):
            if key in self._models:
                return Child(scenario_id, self._supplied[key].version_resolved, self._models[key].execution_graph)
        raise CompilationFailed(f"version {version} of child scenario {scenario_id!r} was not supplied")
