"""From a document to models: finds everything that has the wrong shape, and keeps what can still be checked.

Graphs are read one by one, the innermost first, and steps and edges one by one in them, so that no depth of
nesting can exhaust a stack and one bad step does not hide the others. What the models refuse becomes a finding;
then the refused part is taken out (or, where the model needs something, replaced by a neutral value), and its
place is remembered as *opaque*: no later rule says anything about it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, TypeVar

from pydantic import ValidationError

from runtara_framework.dsl.base import Model
from runtara_framework.dsl.documents import Document, escape
from runtara_framework.dsl.models import STEP_MODELS, Edge, ExecutionGraph, Scenario, StepBase
from runtara_framework.dsl.validation.findings import Finding, did_you_mean, listed
from runtara_framework.dsl.validation.graphs import Graph, GraphKind, PlacedEdge, UnknownStep
from runtara_framework.dsl.validation.limits import Limits
from runtara_framework.dsl.validation.refusals import explain, repaired

M = TypeVar("M", bound=Model)

_NESTED: dict[str, tuple[str, GraphKind]] = {
    "Split": ("subgraph", "Split"),
    "While": ("subgraph", "While"),
    "WaitForSignal": ("onWait", "onWait"),
}
_EMPTY = ExecutionGraph(steps={}, entryPoint="")


class Reading:
    """A document that was read: its graphs (each before those inside it), findings, and opaque places."""

    def __init__(self, document: Any, limits: Limits) -> None:
        self.findings: list[Finding] = []
        self.opaque: set[str] = set()
        self.graphs: list[Graph] = []
        self.scenario: Scenario | None = None
        self._limits = limits
        self._nested: dict[str, Graph] = {}  # by pointer
        if isinstance(document, Document):
            self._tell_repeated(document)
        wrapped = isinstance(document, dict) and "executionGraph" in document
        self._find(document["executionGraph"] if wrapped else document, "/executionGraph" if wrapped else "")
        for graph in reversed(self.graphs):
            self._read(graph)
        if self.graphs:
            outside = {**document, "executionGraph": _EMPTY} if wrapped else {"executionGraph": _EMPTY}
            fitted = self._fit(Scenario, outside, "")
            model = self.graphs[0].model
            self.scenario = fitted.model_copy(update={"execution_graph": model}) if fitted else None

    def is_opaque(self, pointer: str) -> bool:
        """Is this a place (or inside one) that could not be read?"""
        if not self.opaque:
            return False
        while pointer:
            if pointer in self.opaque:
                return True
            pointer = pointer.rpartition("/")[0]
        return "" in self.opaque

    def _say(
        self, code: str, pointer: str, message: str, suggestion: str | None = None, step: str | None = None
    ) -> None:
        finding = Finding(code=code, pointer=pointer, message=message, suggestion=suggestion, step_id=step)
        if finding not in self.findings[-50:]:
            self.findings.append(finding)

    def _tell_repeated(self, document: Document) -> None:
        for pointer, first, line in document.repeated:
            parts = pointer.split("/")
            steps = [key for name, key in pairwise(parts) if name == "steps"]
            is_step = len(parts) > 2 and parts[-2] == "steps"
            lines = f"in line {line}" if first == line else f"in line {first} and in line {line}"
            message = f"the key {parts[-1]!r} is there twice, {lines}; only the last would count"
            self._say("E063", _valid(pointer), message, f"{'rename' if is_step else 'remove'} one of them",
                      _valid(steps[-1].replace("~1", "/").replace("~0", "~")) if steps else None)  # fmt: skip

    # -- graphs -----------------------------------------------------------------------------------------

    def _find(self, raw: Any, pointer: str) -> None:
        """Collect the graph at `pointer` and all graphs inside it, outer ones first."""
        todo = [Graph(pointer, "root", raw)]
        while todo:
            graph = todo.pop(0)
            if not isinstance(graph.raw, dict):
                self._say("E018", graph.pointer, "a graph is an object with steps and an entryPoint")
                self.opaque.add(graph.pointer)
                graph.raw = {}
            elif graph.depth > self._limits.nesting:
                self._say(
                    "E130", graph.pointer, f"graphs may be nested {self._limits.nesting} deep; this one is deeper"
                )
                self.opaque.add(graph.pointer)
                graph.raw = {}
            self.graphs.append(graph)
            self._nested[graph.pointer] = graph
            todo += self._inner(graph)

    def _inner(self, graph: Graph) -> Iterator[Graph]:
        steps = graph.raw.get("steps")
        for key, step in steps.items() if isinstance(steps, dict) else ():
            step_type = step.get("stepType") if isinstance(step, dict) else None
            if isinstance(step_type, str) and step_type in _NESTED:
                name, kind = _NESTED[step_type]
                if step.get(name) is not None:
                    yield Graph(f"{graph.step_pointer(key)}/{name}", kind, step[name], graph, str(key))
        if graph.raw.get("onCancel") is not None:
            yield Graph(f"{graph.pointer}/onCancel", "onCancel", graph.raw["onCancel"], graph)

    def _read(self, graph: Graph) -> None:
        if graph.pointer in self.opaque:
            return
        raw: dict[str, Any] = dict(graph.raw)
        inside = f"{graph.pointer}/onCancel"
        given = {"steps": raw.pop("steps", None), "executionPlan": raw.pop("executionPlan", None)}
        entry = raw.pop("entryPoint", None)
        raw |= {"steps": {}, "entryPoint": entry if isinstance(entry, str) else ""}
        if inside in self._nested:
            raw["onCancel"] = self._nested[inside].model
        if not self._sound({key: value for key, value in raw.items() if key != "onCancel"}, graph.pointer, None):
            raw = {key: value for key, value in raw.items() if f"{graph.pointer}/{escape(key)}" not in self.opaque}
            raw.setdefault("entryPoint", "")
        header = self._fit(ExecutionGraph, raw, graph.pointer) or _EMPTY
        self._read_steps(graph, given["steps"])
        self._read_edges(graph, given["executionPlan"])
        self._check_entry(graph, entry)
        update: dict[str, Any] = {"steps": graph.steps}
        if graph.edges or given["executionPlan"] is not None:
            update["execution_plan"] = [placed.edge for placed in graph.edges]
        graph.model = header.model_copy(update=update)

    def _check_entry(self, graph: Graph, entry: Any) -> None:
        pointer = f"{graph.pointer}/entryPoint"
        if not graph.steps:
            if f"{graph.pointer}/steps" not in self.opaque:
                self._say("E004", f"{graph.pointer}/steps", "the graph has no steps")
        elif entry is None:
            suggestion = f'add "entryPoint": "{next(iter(graph.steps))}"'
            self._say("E001", graph.pointer, "the graph has no entryPoint", suggestion)
        elif not isinstance(entry, str):
            self._say("E018", pointer, "entryPoint is the id of a step, a text")
        elif entry not in graph.steps:
            known = list(graph.steps)
            hint = did_you_mean(entry, known)
            self._say("E001", pointer, f"the entry point {entry!r} is not among the steps: {listed(known)}", hint)

    # -- steps and edges ----------------------------------------------------------------------------------

    def _read_steps(self, graph: Graph, raw: Any) -> None:
        pointer = f"{graph.pointer}/steps"
        if raw is None:
            return
        if not isinstance(raw, dict):
            self._say("E018", pointer, "steps is an object: the id of each step, and the step")
            self.opaque.add(pointer)
            return
        if len(raw) > self._limits.steps:
            self._say("E131", pointer, f"the graph has {len(raw)} steps; at most {self._limits.steps} are allowed")
        for key, step in raw.items():
            if not isinstance(key, str) or not _encodable(key):
                self._say("E018", pointer, f"the key {key!r} of a step is not a valid text")
                continue
            place = graph.step_pointer(key)
            found = self._read_step(graph, key, step, place)
            if found is None:
                self.opaque.add(place)
                found = UnknownStep(id=key)
            graph.steps[key] = found

    def _read_step(self, graph: Graph, key: str, raw: Any, pointer: str) -> StepBase | None:
        if not isinstance(raw, dict):
            self._say("E018", pointer, "a step is an object", step=key)
            return None
        step_type = raw.get("stepType")
        model = STEP_MODELS.get(step_type) if isinstance(step_type, str) else None
        if model is None:
            known = list(STEP_MODELS)
            problem = "has no stepType" if step_type is None else f"has the unknown stepType {step_type!r}"
            hint = did_you_mean(str(step_type), known) if step_type is not None else None
            self._say("E015", f"{pointer}/stepType" if step_type is not None else pointer,
                      f"the step {problem}; there are {listed(known, 20)}", hint, key)  # fmt: skip
            return None
        step = dict(raw)
        name = _NESTED[str(step_type)][0] if step_type in _NESTED else None
        inner = self._nested.get(f"{pointer}/{name}") if name else None
        if name:
            step.pop(name, None)
        if not self._sound(step, pointer, key):
            return None
        if inner is not None and name:
            step[name] = inner.model
        return self._fit(model, step, pointer, key)

    def _read_edges(self, graph: Graph, raw: Any) -> None:
        pointer = f"{graph.pointer}/executionPlan"
        if raw is None:
            return
        if not isinstance(raw, list):
            self._say("E018", pointer, "executionPlan is an array of edges")
            graph.lost_targets.update(graph.steps)
            return
        for index, item in enumerate(raw):
            place = f"{pointer}/{index}"
            edge = None
            if not isinstance(item, dict):
                self._say("E018", place, "an edge is an object with fromStep and toStep")
            elif self._sound(item, place, None):
                edge = self._fit(Edge, item, place)
            if edge is not None:
                graph.edges.append(PlacedEdge(edge, place))
            elif isinstance(item, dict) and isinstance(item.get("toStep"), str):
                graph.lost_targets.add(item["toStep"])

    # -- values -------------------------------------------------------------------------------------------

    def _sound(self, value: Any, pointer: str, step: str | None) -> bool:
        """Is this plain JSON of bounded depth? Says what is not; the parts are then opaque."""
        sound = True
        todo: list[tuple[Any, tuple[Any, ...] | None, int]] = [(value, None, 0)]
        while todo:
            here, way, depth = todo.pop()
            problem = None
            if isinstance(here, str):
                if not here.isascii() and not _encodable(here):
                    problem = ("E018", "the text is not valid Unicode: it has half of a surrogate pair")
            elif isinstance(here, (dict, list)):
                if depth > self._limits.value_depth:
                    problem = ("E130", f"values may be nested {self._limits.value_depth} deep; this one is deeper")
                elif isinstance(here, dict):
                    todo += [(member, (way, key), depth + 1) for key, member in here.items()]
                    wrong = next((key for key in here if not isinstance(key, str) or not _encodable(key)), None)
                    if wrong is not None:
                        problem, way = ("E018", f"the key {wrong!r} is not a valid text"), (way, wrong)
                else:
                    todo += [(member, (way, index), depth + 1) for index, member in enumerate(here)]
            elif isinstance(here, float):
                if not math.isfinite(here):
                    problem = ("E018", f"{here} is not a number of JSON")
            elif here is not None and not isinstance(here, (bool, int)):
                problem = ("E018", f"{type(here).__name__} is not a JSON value")
            if problem:
                sound = False
                self._refuse(*problem, pointer, way, step)
        return sound

    def _refuse(self, code: str, message: str, pointer: str, way: Any, step: str | None) -> None:
        parts: list[Any] = []
        while way is not None:
            way, key = way
            parts.append(key)
        parts.reverse()
        shown = "".join(f"/{escape(key)}" for key in parts)
        if len(shown) > 300:
            shown = "".join(f"/{escape(key)}" for key in parts[:8])
        self._say(code, pointer + _valid(shown), message, step=step)
        self.opaque.add(pointer + (f"/{escape(parts[0])}" if parts and step is None else ""))

    def _fit(self, model: type[M], raw: dict[str, Any], pointer: str, step: str | None = None) -> M | None:
        """`raw` as a model; else what is wrong with it is said, and the model of what is left is given, if any."""
        value = raw
        for _ in range(4):  # taking out one thing can show another, for example a branch of a union
            try:
                return model.model_validate(value)
            except ValidationError as error:
                refusals = [explain(model, value, details) for details in error.errors(include_url=False)]
            for refusal in refusals:
                self._say(refusal.code, pointer + refusal.pointer, refusal.message, refusal.suggestion, step)
            mended, opaque = repaired(model, value, refusals)
            self.opaque.update(pointer + place for place in opaque)
            if mended is None:
                return None
            value = mended
        return None


def _valid(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
