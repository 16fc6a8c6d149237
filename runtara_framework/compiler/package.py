"""`compile_scenario`: from a scenario to an image, a file that runs by itself.

The image has `__main__.py`, `program.py` (generated), `scenario.json`, `children/…`, and `runtara.json`, the manifest; a
target packs them into one file, by default a zipapp. Equal inputs give equal bytes, and are compiled once: results are
kept by the content of the input.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtara_framework import __version__
from runtara_framework.compiler import children, defaults, rules
from runtara_framework.compiler.children import ChildScenario, Supplied, by_key, plain
from runtara_framework.compiler.codegen import Capabilities, Program, generate
from runtara_framework.compiler.kept import Kept, fingerprint, number_of
from runtara_framework.compiler.plan import render
from runtara_framework.compiler.targets import DEFAULT_TARGET, load_target
from runtara_framework.dsl.documents import Document
from runtara_framework.dsl.models import AgentStep, ExecutionGraph, Scenario
from runtara_framework.dsl.validation import validate
from runtara_framework.dsl.validation.findings import Finding, ValidationReport
from runtara_framework.errors import CompilationFailed, ScenarioInvalid
from runtara_framework.stdlib import Stdlib, choose

if TYPE_CHECKING:
    from runtara_framework.agents.registry import AgentRegistry

FORMAT = 1
"""Of the manifest and of what the program expects of the runtime."""
KEPT = 64
"""Results that are kept in memory,"""
KEPT_BYTES = 64 * 2**20
"""and how large their images may be together; the newest is kept in any case."""
Judged = Mapping[str, Sequence[Finding]]
"""What plugins say of documents, by their keys."""
_URL = re.compile(r"https?://[^/?#\s]+")
ENTRY = "from program import main\nfrom runtara_framework.sdk.bootstrap import run\n\nrun(main)\n"


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
    default_variables: Mapping[str, Any] = field(default_factory=dict)  # beside, and instead of, those declared
    stdlib: str | None = None  # whose functions and agents it brings along; None: that of RUNTARA_STDLIB_NAME, or none
    target: str = DEFAULT_TARGET  # what to pack it into: the name of an entry point in group `runtara.targets`


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


_kept: Kept[CompilationResult] = Kept(KEPT, KEPT_BYTES, lambda result: result.binary_size)


def check_scenario(given: CompilationInput, *, agents: AgentRegistry | None = None) -> ValidationReport:
    """Everything that `compile_scenario` would say of a scenario: the findings of the rules and of plugins, of its children
    and of the default variables. Raises only for a stdlib that cannot be used, as `compile_scenario`."""
    stdlib = choose(given.stdlib)
    registry = agents if agents is not None else _installed()
    return _report(given, registry if stdlib is None else stdlib.extend(registry), stdlib, _judged(given))


def compile_scenario(
    given: CompilationInput, *, agents: AgentRegistry | None = None, output_dir: Path | None = None
) -> CompilationResult:
    """Compile a scenario. With `output_dir` the image is also written there, as `<scenario>-<version>` and the suffix of
    the target (`.pyz`).

    `agents` are those that steps may use; by default the ones installed here. Raises `ScenarioInvalid` with every finding,
    `CompilationFailed` for what validates but cannot be compiled; `DriverNotFound` for a target or a stdlib that is not
    installed, and what else `stdlib.load` raises."""
    registry = agents if agents is not None else _installed()
    stdlib = choose(given.stdlib)
    judged = _judged(given)  # each time: a plugin may have changed its mind
    key = _fingerprint(given, registry, stdlib, judged)
    result = _kept.get(key)
    if result is None:
        result = _compile(given, registry if stdlib is None else stdlib.extend(registry), stdlib, judged)
        _kept.put(key, result)
    if output_dir is None:
        return result
    path = output_dir / f"{_file_name(given.scenario_id)}-{given.version}{load_target(given.target).suffix}"
    output_dir.mkdir(parents=True, exist_ok=True)
    path.write_bytes(result.binary)
    path.chmod(0o755)
    return replace(result, binary_path=path)


def _compile(
    given: CompilationInput, registry: AgentRegistry, stdlib: Stdlib | None, judged: Judged
) -> CompilationResult:
    target = load_target(given.target)
    scenario, supplied, warnings = _validated(given, registry, stdlib, judged)
    graph = defaults.applied(scenario.execution_graph, given.default_variables)
    try:
        program = generate(
            graph,
            scenario_id=given.scenario_id,
            title=graph.name or given.scenario_id,
            children=supplied,
            is_pure=_purity(registry),
            debug=given.debug_mode or scenario.debug_mode,
            connection_url=given.connection_service_url,
            stdlib=stdlib,
        )
        compile(program.source, "program.py", "exec", dont_inherit=True)
    except (RecursionError, MemoryError):
        raise CompilationFailed("the scenario is nested too deeply for Python; move parts of it to children") from None
    manifest = _manifest(given, scenario, graph, program, stdlib)
    files = {
        "__main__.py": ENTRY.encode(),
        "program.py": program.source.encode(),
        "scenario.json": _json(plain(given.execution_graph)),
        **{f"children/{number}.json": _json(plain(child.graph)) for number, child in enumerate(program.children)},
    }
    binary = target.pack(files, manifest)
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


def _judged(given: CompilationInput) -> Judged:
    """What the rules of plugins say of the scenario and of its children."""
    supplied = {key: child.execution_graph for key, child in by_key(given.child_scenarios).items()}
    return rules.judge({"": given.execution_graph, **supplied}, plain)


def _report(
    given: CompilationInput, registry: AgentRegistry, stdlib: Stdlib | None, judged: Judged
) -> ValidationReport:
    document = plain(given.execution_graph)
    about_input = (
        *_about(given),
        *defaults.findings(document, given.default_variables),
        *children.misplaced(document, given.child_scenarios),
    )
    return validate(
        document,
        agents=registry,
        children={key: plain(child.execution_graph) for key, child in by_key(given.child_scenarios).items()},
        extra_findings={**judged, "": [*judged.get("", ()), *about_input]},
        scenario_id=given.scenario_id,
        extra_variables=given.default_variables.keys(),
        functions=None if stdlib is None else stdlib.functions,
    )


def _about(given: CompilationInput) -> Iterator[Finding]:
    """E018 for what is given beside documents."""
    name, url = given.scenario_id, given.connection_service_url
    if not isinstance(name, str) or not 0 < len(name) <= 255 or not name.isprintable():
        yield Finding(code="E018", message=f"the id of a scenario is a text of 1 to 255 characters, not {name!r:.60}")
    if url is not None and not _URL.match(url):
        yield Finding(
            code="E018", message=f"the URL of the connection service begins with http:// or https://: {url!r:.60}"
        )


def _validated(
    given: CompilationInput, registry: AgentRegistry, stdlib: Stdlib | None, judged: Judged
) -> tuple[Scenario, Supplied, tuple[Finding, ...]]:
    """The models of the scenario and its children. Raises `ScenarioInvalid`."""
    report = _report(given, registry, stdlib, judged)
    if not report.ok or report.scenario is None:
        errors = report.errors
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise ScenarioInvalid(
            f"scenario {given.scenario_id!r} is not valid: {first.code} at {first.pointer or '/'}: {first.message}{more}",
            findings=[finding.to_json() for finding in report.findings],
        )
    return report.scenario, Supplied(given.child_scenarios, report.children), report.findings


def _purity(registry: AgentRegistry) -> Capabilities:
    def is_pure(agent_id: str, capability_id: str) -> bool:
        capability = registry.info(agent_id).capability(capability_id)
        return capability is not None and capability.pure

    return is_pure


def _manifest(
    given: CompilationInput, scenario: Scenario, graph: ExecutionGraph, program: Program, stdlib: Stdlib | None
) -> dict[str, Any]:
    """What the image says of itself: all that a server needs to check a start without running it."""
    shown = graph.model_dump(by_alias=True, exclude_unset=True, include={"input_schema", "output_schema", "variables"})
    steps = (step for plan in program.plans for step in plan.graph.steps.values())
    triggers = {step.compensation.trigger for step in steps if isinstance(step, AgentStep) and step.compensation}
    handles = any(one.on_cancel is not None for one in (graph, *(child.graph for child in program.children)))
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
        # What a server needs to know to cancel an instance that does not run. It may be undoing a failure, and that is not
        # left half done (DSL.md 9): so all compensations count but those that only a cancel itself asks for.
        "onCancel": handles or bool(triggers - {"manual"}) or None,
        "manualCompensation": "manual" in triggers or None,
        "stdlib": None if stdlib is None else stdlib.identity,
        "compiler": __version__,
    }
    return {name: value for name, value in manifest.items() if value is not None}


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True, sort_keys=True, allow_nan=False).encode()


def _fingerprint(given: CompilationInput, registry: AgentRegistry, stdlib: Stdlib | None, judged: Judged) -> str | None:
    """What the result depends on. Agents and functions count by identity: they stay the same for as long as they live."""
    supplied = [
        [c.scenario_id, c.version_requested, c.version_resolved, c.step_id, *_content(c.execution_graph)]
        for c in given.child_scenarios
    ]
    told = {key: [finding.to_json() for finding in found] for key, found in judged.items()}
    return fingerprint(
        [
            number_of(registry),
            None if stdlib is None else [stdlib.identity, number_of(stdlib)],
            given.scenario_id,
            given.tenant_id,
            given.version,
            given.debug_mode,
            given.connection_service_url,
            given.target,
            dict(given.default_variables),
            *_content(given.execution_graph),
            supplied,
            told,
        ]
    )


def _content(document: Any) -> tuple[Any, Any]:
    value = plain(document)
    return (dict(value), [*map(tuple, value.repeated)]) if isinstance(value, Document) else (value, None)


def _file_name(scenario_id: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in scenario_id)[:100] or "scenario"


@cache
def _installed() -> AgentRegistry:
    from runtara_framework.agents.registry import AgentRegistry

    return AgentRegistry()
