"""`compile_scenario`: from a scenario to an image, a file that runs by itself.

The image is a zipapp: `__main__.py`, `program.py` (generated), `scenario.json`, `children/…`, and `runtara.json`, the
manifest. Equal inputs give equal bytes, and are compiled once: results are kept by the content of the input.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from runtara_framework import __version__
from runtara_framework.compiler.codegen import Capabilities, Child, Program, generate
from runtara_framework.compiler.plan import render
from runtara_framework.dsl.models import ExecutionGraph, Scenario
from runtara_framework.dsl.validation import validate
from runtara_framework.dsl.validation.findings import Finding
from runtara_framework.errors import CompilationFailed, ScenarioInvalid
from runtara_framework.packaging import write_zipapp

if TYPE_CHECKING:
    from runtara_framework.agents.registry import AgentRegistry

FORMAT = 1
"""Of the manifest and of what the program expects of the runtime."""
KEPT = 64
"""Results that are kept in memory."""
LATEST = ("latest", "current")
ENTRY = "from program import main\nfrom runtara_framework.sdk.bootstrap import run\n\nrun(main)\n"


@dataclass(frozen=True)
class ChildScenario:
    """A scenario that others may start. `version_requested` None: it answers any version that is asked for."""

    scenario_id: str
    execution_graph: ExecutionGraph | Mapping[str, Any]
    version_resolved: int = 1
    version_requested: int | str | None = None
    step_id: str | None = None  # the root's step that it is for; None: any


@dataclass(frozen=True)
class CompilationInput:
    """What to compile. `execution_graph` is a graph, a whole scenario, or either as JSON."""

    scenario_id: str
    execution_graph: ExecutionGraph | Scenario | Mapping[str, Any]
    tenant_id: str = "default"
    version: int = 1
    debug_mode: bool = False
    child_scenarios: Sequence[ChildScenario] = ()
    connection_service_url: str | None = None
    default_variables: Mapping[str, Any] = field(default_factory=dict)  # values of declared variables


@dataclass(frozen=True)
class ChildDependency:
    """A child scenario that the program contains."""

    child_scenario_id: str
    version_resolved: int


@dataclass(frozen=True)
class CompilationResult:
    """The image and what is known of it."""

    binary: bytes
    binary_size: int
    binary_checksum: str  # SHA-256, hexadecimal
    manifest: dict[str, Any]
    source: str
    plan: str
    child_dependencies: tuple[ChildDependency, ...]
    has_side_effects: bool
    findings: tuple[Finding, ...] = ()  # warnings; errors are raised
    binary_path: Path | None = None


_kept: OrderedDict[str, CompilationResult] = OrderedDict()
_lock = Lock()


def compile_scenario(
    given: CompilationInput, *, agents: AgentRegistry | None = None, output_dir: Path | None = None
) -> CompilationResult:
    """Compile a scenario. With `output_dir` the image is also written there, as `<scenario>-<version>.pyz`.

    `agents` are those that steps may use; by default the ones installed here. Raises `ScenarioInvalid` with every finding,
    `CompilationFailed` for what validates but cannot be compiled."""
    registry = agents if agents is not None else _installed()
    key = _fingerprint(given, registry)
    with _lock:
        result = _kept.get(key)
        if result is not None:
            _kept.move_to_end(key)
    if result is None:
        result = _compile(given, registry)
        with _lock:
            _kept[key] = result
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
    if output_dir is None:
        return result
    path = output_dir / f"{_file_name(given.scenario_id)}-{given.version}.pyz"
    output_dir.mkdir(parents=True, exist_ok=True)
    path.write_bytes(result.binary)
    path.chmod(0o755)
    return replace(result, binary_path=path)


def _compile(given: CompilationInput, registry: AgentRegistry) -> CompilationResult:
    scenario, children, warnings = _validated(given, registry)
    graph = _with_defaults(scenario.execution_graph, given.default_variables)
    try:
        program = generate(
            graph,
            scenario_id=given.scenario_id,
            title=graph.name or given.scenario_id,
            children=children,
            is_pure=_purity(registry),
            debug=given.debug_mode or scenario.debug_mode,
            connection_url=given.connection_service_url,
        )
        compile(program.source, "program.py", "exec", dont_inherit=True)
    except (RecursionError, MemoryError):
        raise CompilationFailed("the scenario is nested too deeply for Python; move parts of it to children") from None
    manifest = _manifest(given, scenario, graph, program)
    files = {
        "__main__.py": ENTRY.encode(),
        "program.py": program.source.encode(),
        "scenario.json": _json(_plain(given.execution_graph)),
        **{f"children/{number}.json": _json(_plain(child.graph)) for number, child in enumerate(program.children)},
    }
    binary = write_zipapp(files, manifest)
    return CompilationResult(
        binary=binary,
        binary_size=len(binary),
        binary_checksum=sha256(binary).hexdigest(),
        manifest=manifest,
        source=program.source,
        plan="\n".join(render(plan) for plan in program.plans),
        child_dependencies=tuple(ChildDependency(c.scenario_id, c.version) for c in program.children),
        has_side_effects=program.has_side_effects,
        findings=warnings,
    )


def _validated(given: CompilationInput, registry: AgentRegistry) -> tuple[Scenario, _Children, tuple[Finding, ...]]:
    """The models of the scenario and its children. Raises `ScenarioInvalid`."""
    supplied = {_child_key(child): _plain(child.execution_graph) for child in given.child_scenarios}
    report = validate(_plain(given.execution_graph), agents=registry, children=supplied)
    if not report.ok or report.scenario is None:
        errors = report.errors
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise ScenarioInvalid(
            f"scenario {given.scenario_id!r} is not valid: {first.code} at {first.pointer or '/'}: {first.message}{more}",
            findings=[finding.to_json() for finding in report.findings],
        )
    return report.scenario, _Children(given.child_scenarios, report.children), report.findings


def _child_key(child: ChildScenario) -> str:
    return child.scenario_id


class _Children:
    """Finds the child that a StartScenario step means, among those that were supplied."""

    def __init__(self, supplied: Sequence[ChildScenario], models: Mapping[str, Scenario]) -> None:
        self._supplied = supplied
        self._models = models

    def __call__(self, scenario_id: str, version: int | str) -> Child:
        known = [child for child in self._supplied if child.scenario_id == scenario_id]
        latest = isinstance(version, str) and version.lower() in LATEST
        wanted = "latest" if latest else int(version)
        exact = [child for child in known if child.version_requested == wanted]
        if latest:
            exact = exact or sorted(known, key=lambda child: -child.version_resolved)
        else:
            exact = exact or [child for child in known if child.version_resolved == wanted]
        chosen = next(iter(exact or [child for child in known if child.version_requested is None]), None)
        if chosen is None:
            have = ", ".join(str(child.version_resolved) for child in known) or "none"
            raise CompilationFailed(
                f"version {version} of child scenario {scenario_id!r} was not supplied; given: {have}"
            )
        return Child(scenario_id, chosen.version_resolved, self._models[_child_key(chosen)].execution_graph)


def _purity(registry: AgentRegistry) -> Capabilities:
    def is_pure(agent_id: str, capability_id: str) -> bool:
        capability = registry.info(agent_id).capability(capability_id)
        return capability is not None and capability.pure

    return is_pure


def _with_defaults(graph: ExecutionGraph, values: Mapping[str, Any]) -> ExecutionGraph:
    """The graph with other values for its declared variables. Raises `CompilationFailed` for one that is not declared."""
    if not values:
        return graph
    unknown = sorted(values.keys() - graph.variables.keys())
    if unknown:
        raise CompilationFailed(f"default_variables names {', '.join(unknown)}, which the scenario does not declare")
    variables = {
        name: variable.model_copy(update={"value": values[name]}) if name in values else variable
        for name, variable in graph.variables.items()
    }
    return graph.model_copy(update={"variables": variables})


def _manifest(given: CompilationInput, scenario: Scenario, graph: ExecutionGraph, program: Program) -> dict[str, Any]:
    """What the image says of itself: all that a server needs to check a start without running it."""
    shown = graph.model_dump(by_alias=True, exclude_unset=True, include={"input_schema", "output_schema", "variables"})
    manifest: dict[str, Any] = {
        "kind": "scenario",
        "format": FORMAT,
        "name": graph.name or given.scenario_id,
        "scenarioId": given.scenario_id,
        "version": given.version,
        "inputSchema": shown.get("inputSchema", {}),
        "outputSchema": shown.get("outputSchema", {}),
        "variables": shown.get("variables", {}),
        "executionTimeoutSeconds": graph.execution_timeout_seconds,
        "memoryTier": scenario.memory_tier,
        "agents": [{"agent": agent, "capability": capability} for agent, capability in program.agents],
        "children": [{"scenarioId": child.scenario_id, "version": child.version} for child in program.children],
        "hasSideEffects": program.has_side_effects,
        "compiler": __version__,
    }
    return {name: value for name, value in manifest.items() if value is not None}


def _plain(document: ExecutionGraph | Scenario | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(document, (ExecutionGraph, Scenario)):
        return document.model_dump(by_alias=True, exclude_unset=True)
    return dict(document)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True, sort_keys=True, allow_nan=False).encode()


def _fingerprint(given: CompilationInput, registry: AgentRegistry) -> str:
    """What the result depends on. The agents count by identity: a registry answers the same for as long as it lives."""
    parts = [
        __version__,
        id(registry),
        given.scenario_id,
        given.tenant_id,
        given.version,
        given.debug_mode,
        given.connection_service_url,
        _plain(given.execution_graph),
        dict(given.default_variables),
        [
            [c.scenario_id, c.version_requested, c.version_resolved, c.step_id, _plain(c.execution_graph)]
            for c in given.child_scenarios
        ],
    ]
    # Not sorted: the order of steps and keys is part of the document.
    return sha256(json.dumps(parts, ensure_ascii=True, default=repr).encode()).hexdigest()


def _file_name(scenario_id: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in scenario_id)[:100] or "scenario"


@cache
def _installed() -> AgentRegistry:
    from runtara_framework.agents.registry import AgentRegistry

    return AgentRegistry()
