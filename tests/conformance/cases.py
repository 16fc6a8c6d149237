"""Loads the cases: data that says what a scenario must do. See README.md beside this file for the format."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Mode:
    """One way to run a case."""

    debug: bool
    killed: bool  # after every checkpoint


MODES = {
    "plain": Mode(debug=False, killed=False),
    "killed": Mode(debug=False, killed=True),
    "debug": Mode(debug=True, killed=False),
    "debug-killed": Mode(debug=True, killed=True),
}


@dataclass(frozen=True)
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
    modes: list[str] = field(default_factory=lambda: list(MODES))
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
