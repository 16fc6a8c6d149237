"""Runs conformance cases: data that says what a scenario must do (see README.md beside this file for the format)."""

from __future__ import annotations

import asyncio
import copy
import importlib.util
import json
import re
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.compiler import ChildScenario, CompilationInput, CompilationResult, compile_scenario
from runtara_framework.errors import ScenarioInvalid
from runtara_framework.packaging import write_zipapp
from runtara_framework.runtime.agent import use_agents
from runtara_framework.services.images import obeys
from runtara_framework.testing.memory_core import MemoryCore, Outcome, run_in_process

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("conformance_doubles", HERE / "doubles.py")
assert _spec is not None and _spec.loader is not None
doubles = importlib.util.module_from_spec(_spec)
sys.modules["conformance_doubles"] = doubles
_spec.loader.exec_module(doubles)
Double = doubles.Double
STDLIBS = HERE.parent / "data" / "stdlibs"
sys.path.append(str(STDLIBS))
Program = Callable[[Any], Awaitable[Any]]


@dataclass
class Case:
    """One case, with the values of its row filled in."""

    id: str
    scenario: dict[str, Any]
    input: Any = None
    children: dict[str, Any] = field(default_factory=dict)
    doubles: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    signals: list[dict[str, Any]] = field(default_factory=list)
    expect: dict[str, Any] = field(default_factory=dict)
    parallel: bool = False  # what runs at the same time may be called again after a kill
    modes: list[str] | None = None
    stdlib: str | None = None


def load_cases() -> Iterator[Case]:
    """Every case of every file here, one for each row of a table."""
    for path in sorted(HERE.glob("*.yaml")):
        for entry in yaml.load(path.read_text(), Loader):  # a SafeLoader with our own tags
            rows = entry.pop("rows", [{}])
            for number, row in enumerate(rows):
                filled = _fill(
                    copy.deepcopy(entry),
                    row if isinstance(row, dict) else dict(zip(entry["columns"], row, strict=True)),
                )
                filled.pop("columns", None)
                name = filled.pop("name")
                suffix = f"-{number + 1}" if len(rows) > 1 else ""
                filled["scenario"] = graph(filled["scenario"])
                filled["children"] = {child_id: graph(one) for child_id, one in filled.get("children", {}).items()}
                expect = {key: filled.pop(key) for key in list(filled) if key in EXPECTATIONS}
                yield Case(id=f"{path.stem}: {name}{suffix}", expect=expect, **filled)


class Loader(yaml.SafeLoader):
    """YAML with short forms of mappings and conditions: `!ref`, `!imm`, `!all`, `!tpl`, `!op`."""


# YAML 1.1 takes yes, no, on and off for booleans; we mean texts.
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|false"), list("tf"))


def _node(loader: Loader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        # What the tag is put on keeps the type that it would have without the tag.
        return loader.construct_object(
            yaml.ScalarNode(loader.resolve(yaml.ScalarNode, node.value, (True, False)), node.value)
        )
    return (
        loader.construct_sequence(node, deep=True)
        if isinstance(node, yaml.SequenceNode)
        else loader.construct_mapping(node, deep=True)
    )


def _reference(loader: Loader, node: yaml.Node) -> dict[str, Any]:
    given = _node(loader, node)
    return {"valueType": "reference", **(given if isinstance(given, dict) else {"value": str(given)})}


def _operation(loader: Loader, node: yaml.Node) -> dict[str, Any]:
    op, *arguments = _node(loader, node)
    return {"type": "operation", "op": op, "arguments": arguments}


def _plain_text(loader: Loader, node: yaml.Node) -> dict[str, Any]:
    return {"valueType": "template", "value": node.value}


Loader.add_constructor("!ref", _reference)
Loader.add_constructor("!op", _operation)
Loader.add_constructor("!tpl", _plain_text)
Loader.add_constructor("!imm", lambda loader, node: {"valueType": "immediate", "value": _immediate(loader, node)})
Loader.add_constructor("!all", lambda loader, node: {"valueType": "composite", "value": _node(loader, node)})


def _immediate(loader: Loader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode) and node.style is not None:
        return node.value  # quoted: a text
    return _node(loader, node)


_EDGE = re.compile(r"(\S+) -(?:(\S+)-)?> (\S+)")


def graph(given: dict[str, Any]) -> dict[str, Any]:
    """A graph in full: `flow` ("a -> b", "a -true-> b", or an edge as it is) becomes the edges, steps get their ids, and
    the first step is the entry."""
    if "executionGraph" in given:
        return {**given, "executionGraph": graph(given["executionGraph"])}
    full = dict(given)
    if isinstance(full.get("steps"), dict):
        full["steps"] = {
            step_id: _step(step_id, step) if isinstance(step, dict) else step for step_id, step in full["steps"].items()
        }
        full.setdefault("entryPoint", next(iter(full["steps"]), ""))
    edges = [_edge(one) for one in full.pop("flow", [])]
    if edges:
        full["executionPlan"] = edges
    if isinstance(full.get("onCancel"), dict):
        full["onCancel"] = graph(full["onCancel"])
    return full


def _step(step_id: str, step: dict[str, Any]) -> dict[str, Any]:
    full = {"id": step_id, **step}
    if full.get("stepType") == "Agent":
        full.setdefault("agentId", "test")
        full.setdefault("capabilityId", "call")
    for key in ("subgraph", "onWait"):
        if isinstance(full.get(key), dict):
            full[key] = graph(full[key])
    return full


def _edge(given: Any) -> Any:
    if isinstance(given, dict) and "edge" in given:
        given = dict(given)
        return {**_edge(given.pop("edge")), **given}
    if not isinstance(given, str):
        return given
    match = _EDGE.fullmatch(given)
    assert match, f"no edge: {given}"
    source, label, target = match.groups()
    return {"fromStep": source, "toStep": target, **({"label": label} if label else {})}


EXPECTATIONS = frozenset(
    {"result", "error", "status", "reason", "events", "calls", "checkpoints", "launches", "invalid"}
)


def _fill(value: Any, row: Mapping[str, Any]) -> Any:
    """Replace every text `<column>` by the row's value."""
    if isinstance(value, str) and value.startswith("<") and value.endswith(">") and value[1:-1] in row:
        return row[value[1:-1]]
    if isinstance(value, dict):
        # A value may be absent in a row: `<column>` with ABSENT drops its key.
        filled = {key: _fill(member, row) for key, member in value.items()}
        return {key: member for key, member in filled.items() if member != "ABSENT"}
    if isinstance(value, list):
        return [_fill(member, row) for member in value]
    return value


# -- running --------------------------------------------------------------------------------------------------


def compile_case(case: Case, registry: AgentRegistry, *, debug: bool) -> CompilationResult:
    """The image of a case."""
    return compile_scenario(
        CompilationInput(
            scenario_id="case",
            execution_graph=case.scenario,
            debug_mode=debug,
            stdlib=case.stdlib or "standard",
            child_scenarios=[
                ChildScenario(scenario_id=child_id, execution_graph=graph) for child_id, graph in case.children.items()
            ],
        ),
        agents=registry,
    )


def load_program(source: str) -> Program:
    """`main` of a generated program."""
    namespace: dict[str, Any] = {"__name__": "program"}
    exec(compile(source, "program.py", "exec"), namespace)  # noqa: S102  # this is what an image does
    main: Program = namespace["main"]
    return main


@dataclass
class Observed:
    """What a run of a case showed."""

    outcome: Outcome
    calls: Counter[str]


def refuses(case: Case) -> None:
    """Assert that the case's scenario does not validate, because of the codes that it expects."""
    wanted = case.expect["invalid"]
    try:
        compile_case(case, SHAPE, debug=False)
    except ScenarioInvalid as error:
        found = {finding["code"] for finding in error.details["findings"] if finding["severity"] == "error"}
        assert found == ({wanted} if isinstance(wanted, str) else set(wanted)), error.details["findings"]
    else:
        raise AssertionError(f"the scenario is valid; expected {wanted}")


async def run_case(case: Case, *, debug: bool, killed: bool) -> Observed:
    """Run a case in this process."""
    double = Double(case.doubles)
    registry = AgentRegistry()
    registry.add(double)
    use_agents(registry)
    compiled = compile_case(case, SHAPE, debug=debug)
    main = load_program(compiled.source)
    core = double.core = MemoryCore(hold_below_ms=1_000)
    instance = core.create(case.input)
    if (limit := compiled.manifest.get("executionTimeoutSeconds")) is not None:
        instance.remaining_ms = limit * 1000  # of each launch: the core in memory does not count
    early = [signal for signal in case.signals if signal.get("early")]
    later = [signal for signal in case.signals if not signal.get("early")]
    for signal in early:
        core.send_custom_signal(instance.instance_id, signal["key"], signal.get("payload"))
    while True:
        outcome = await asyncio.wait_for(
            run_in_process(main, core=core, instance=instance, kill_at="each" if killed else ()), 20
        )
        if str(outcome.status) != "suspended" or not later:
            return Observed(outcome, double.calls)
        signal = later.pop(0)
        if signal.get("pause"):
            core.pause(instance.instance_id)
        elif signal.get("resume"):
            core.resume(instance.instance_id)
        elif signal.get("cancel"):
            compensate = signal.get("compensate", False)
            deliver = obeys(compiled.manifest, compensate)
            core.cancel(instance.instance_id, deliver=deliver, compensate=compensate)
        else:
            core.send_custom_signal(instance.instance_id, signal["key"], signal.get("payload"))


SHAPE = AgentRegistry()
"""For compiling: one registry for all cases, so that equal scenarios are compiled once."""
SHAPE.add(Double())


def verify(case: Case, seen: Observed, *, killed: bool) -> None:
    """Assert everything that the case expects."""
    expect, outcome = case.expect, seen.outcome
    status = expect.get("status", "failed" if "error" in expect else "completed")
    assert str(outcome.status) == status, f"{outcome.status}: {outcome.error}"
    if "reason" in expect:
        assert str(outcome.reason) == expect["reason"]
    if "result" in expect:
        assert outcome.output == expect["result"]
        assert type(outcome.output) is type(expect["result"])
    if "error" in expect:
        assert outcome.error is not None
        assert subset(expect["error"], outcome.error), f"{expect['error']}\nis not part of\n{outcome.error}"
    for subtype, payloads in expect.get("events", {}).items():
        found = outcome.events(subtype)
        assert len(found) == len(payloads), f"{subtype}: {found}"
        for wanted, payload in zip(payloads, found, strict=True):
            assert subset(wanted, payload), f"{wanted}\nis not part of\n{payload}"
    for name, count in expect.get("calls", {}).items():
        if killed and case.parallel:
            assert seen.calls[name] >= count
        else:
            assert seen.calls[name] == count, f"{name} was called {seen.calls[name]} times"
    if "checkpoints" in expect and not case.parallel:
        assert list(outcome.checkpoints) == expect["checkpoints"]
    if "launches" in expect and not killed:
        assert outcome.launches == expect["launches"]


def subset(wanted: Any, found: Any) -> bool:
    """Is all that is wanted there? Objects may have more members, `any` stands for any value."""
    if wanted == "ANY":
        return True
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(key in found and subset(wanted[key], found[key]) for key in wanted)
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(wanted) == len(found)
            and all(subset(one, other) for one, other in zip(wanted, found, strict=True))
        )
    return bool(wanted == found)


# -- as an image ----------------------------------------------------------------------------------------------

_MAIN = """from json import loads
from pathlib import Path

from doubles import Double
from program import main
from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.packaging import write_zipapp
from runtara_framework.runtime.agent import use_agents
from runtara_framework.sdk.bootstrap import run


async def program(ctx):
    registry = AgentRegistry()
    registry.add(Double(loads({scripts!a}), Path({state!a})))
    use_agents(registry)
    return await main(ctx)


run(program)
"""


def image_of(case: Case, state: Path, *, debug: bool = False) -> bytes:
    """An image of the case that brings its test agent along, for a real process. `state`: a file of its own."""
    result = compile_case(case, SHAPE, debug=debug)
    files = {
        "__main__.py": _MAIN.format(scripts=json.dumps(case.doubles), state=str(state)).encode(),
        "doubles.py": (HERE / "doubles.py").read_bytes(),
        "program.py": result.source.encode(),
    }
    if case.stdlib:  # it is not installed where the server runs, so the image is where it is found
        stdlib = [path for path in STDLIBS.rglob("*") if path.is_file() and path.suffix != ".pyc"]
        files |= {str(path.relative_to(STDLIBS)): path.read_bytes() for path in stdlib}
    return write_zipapp(files, result.manifest)


def for_a_process(case: Case) -> bool:
    """Can a real process prove it in moderate time, with nothing but the product's interface?"""
    if "invalid" in case.expect or case.modes is not None or case.expect.get("status") == "suspended":
        return False
    if any(act.get("cancel") for script in case.doubles.values() for act in script):
        return False  # the double cancels through the core in memory; tests/e2e/test_cancels.py does it with a server
    keys = [signal.get("key") for signal in case.signals]
    if None in keys or len(set(keys)) != len(keys):
        return False
    slow = re.search(
        r'"(durationMs|retryDelay|retry_after_ms|ms|timeoutMs)": (\{[^}]*"value": )?"?[0-9]{4}',
        json.dumps([case.scenario, case.children, case.doubles, case.input]),
    )
    waits = any("transient" in json.dumps(script) for script in case.doubles.values())
    return not slow and not (waits and "retryDelay" not in json.dumps(case.scenario))
