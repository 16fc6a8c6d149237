"""Rules about what a reference reads: its root, variables, declared data and known outputs."""

from __future__ import annotations

from runtara_framework.dsl.models import SchemaField, SplitStep, WhileStep
from runtara_framework.dsl.paths import Segment
from runtara_framework.dsl.references import Use
from runtara_framework.dsl.validation.context import Context
from runtara_framework.dsl.validation.findings import did_you_mean, listed
from runtara_framework.dsl.validation.graphs import Graph
from runtara_framework.dsl.validation.shapes import (
    ERROR,
    ITERATION,
    LOOP,
    Miss,
    Shape,
    StepShapes,
    of_schema,
    walk,
)

EVERYWHERE = ("data", "variables", "steps", "scenario")
PLACES = {
    "item": "a Filter's condition or a Split's body",
    "loop": "a While's condition or body",
    "iteration": "a Split's or While's body",
    "__error": "an onError handler, or the condition of an onError edge",
    "error": "an onError handler, or the condition of an onError edge",
}
IN_BODY = {"Split": frozenset({"item", "iteration"}), "While": frozenset({"loop", "iteration"})}
ALWAYS_SET = frozenset({"_scenario_id", "_instance_id", "_tenant_id"})
SET_IN = {
    "Split": frozenset({"_index", "_loop_indices", "_item"}),
    "While": frozenset({"_index", "_loop_indices", "_loop", "_previousOutputs"}),
    "onWait": frozenset({"_signal_id"}),
}


def roots(context: Context) -> None:
    """E126, E127."""
    for graph in context.graphs:
        handlers = graph.flow.handlers if graph.flow else frozenset(graph.steps)
        for step_id, use, _ in graph.uses:
            if use.path is None:
                continue
            root = use.path.root
            is_error = root in ("__error", "error") or use.path.segments[:2] == ("steps", "__error")
            if root not in EVERYWHERE and root not in PLACES:
                known = [*EVERYWHERE, *PLACES]
                message = f"{root!r} is no root of a reference; there are {listed(known)}"
                context.say("E126", use.pointer, message, _likely_root(root, known), step=step_id)
            elif is_error:
                if "__error" not in use.roots and step_id not in handlers:
                    context.say("E127", use.pointer, f"{use.path!s} is there only in {PLACES['error']}", step=step_id)
            elif root in PLACES and root not in use.roots and root not in IN_BODY.get(graph.kind, ()):
                hint = "an inner loop hides the outer one; pass its values in through config.variables"
                hidden = any(root in IN_BODY.get(outer.kind, ()) for outer in graph.outer())
                message = f"{root!r} is there only in {PLACES[root]}"
                context.say("E127", use.pointer, message, hint if hidden else None, step=step_id)


def _likely_root(root: str, known: list[str]) -> str | None:
    likely = {"input": "data", "inputs": "data", "vars": "variables", "workflow": "scenario", "step": "steps"}
    return f"did you mean {likely[root]!r}?" if root in likely else did_you_mean(root, known)


def variables(context: Context) -> None:
    """E013."""
    for graph in context.graphs:
        defined = defined_variables(context, graph)
        for step_id, use, _ in graph.uses:
            name = _variable(use)
            if name is None or name in defined or (name == "_compensation" and step_id in graph.compensations):
                continue
            own = sorted(known for known in defined if not known.startswith("_"))
            message = f"there is no variable {name!r} here; there are {listed(own)}"
            context.say("E013", use.pointer, message, did_you_mean(name, defined), step=step_id)


def _variable(use: Use) -> str | None:
    segments: tuple[Segment, ...] = use.path.segments if use.path else ()
    if segments[:3] == ("scenario", "inputs", "variables"):
        segments = segments[2:]
    return str(segments[1]) if len(segments) > 1 and segments[0] == "variables" else None


def defined_variables(context: Context, graph: Graph) -> set[str]:
    """The variables that a graph sees: inherited, given by its loop, its own, and the system's."""
    found = set(ALWAYS_SET | context.extra_variables)
    for here in (graph, *graph.outer()):
        found |= here.model.variables.keys() | SET_IN.get(here.kind, frozenset())
        owner = here.owner
        if isinstance(owner, (SplitStep, WhileStep)) and here.kind in IN_BODY:
            found |= {name.split(".")[0] for name in owner.config.variables or {}}
    return found


def data(context: Context) -> None:
    """E051, E057, E058, W080."""
    shapes = StepShapes(context)
    for graph in context.graphs:
        schema = data_schema(graph)
        declared = of_schema(schema)
        undeclared: list[tuple[str, Use]] = []
        for step_id, use, _ in graph.uses:
            if use.path is None:
                continue
            segments = use.path.segments
            miss = None
            code = "E057"
            if segments[0] == "data":
                miss, code = walk(declared, segments), "E051"
                if graph.kind == "root" and not schema and len(segments) > 1:
                    undeclared.append((step_id, use))
            elif segments[0] == "scenario":
                miss = walk(_scenario(graph.root), segments)
                code = "E051" if miss and miss.depth == 3 else "E057"
            elif segments[0] == "steps" and len(segments) > 1:
                miss = _into_step(graph, shapes, segments)
            elif segments[0] in ("__error", "error"):
                miss = walk(ERROR, segments)
            elif segments[0] == "loop":
                miss = walk(LOOP, segments)
            elif segments[0] == "iteration":
                miss = walk(ITERATION, segments)
            if miss is not None:
                _say(context, code if miss.depth == 1 or code != "E051" or segments[0] == "scenario" else "E057",
                     miss, use, step_id)  # fmt: skip
        if undeclared:
            step_id, use = undeclared[0]
            fields = sorted({str(use.path.segments[1]) for _, use in undeclared if use.path})
            context.say("W080", use.pointer, f"nothing declares {listed(fields)} of data, so a misspelling is null",
                        "declare them in inputSchema", step=step_id)  # fmt: skip


def _say(context: Context, code: str, miss: Miss, use: Use, step_id: str) -> None:
    if miss.kind == "unknown":
        context.say(code, use.pointer, miss.message, miss.suggestion, step=step_id)
    elif miss.kind == "scalar" or not use.has_default:  # a default makes a named key into an array deliberate
        context.say("E058", use.pointer, miss.message, miss.suggestion, step=step_id)


def _into_step(graph: Graph, shapes: StepShapes, segments: tuple[Segment, ...]) -> Miss | None:
    name = str(segments[1])
    if name == "__error":
        return walk(ERROR, segments, start=2)
    step = graph.steps.get(name)
    if step is None:
        return None
    handled = any(placed.edge.is_error for placed in graph.leaving.get(name, ()))
    return walk(shapes.of(step, can_fail_over=handled), segments, start=2)


def _scenario(root: Graph) -> Shape:
    inputs = Shape("object", {"data": of_schema(root.model.input_schema), "variables": Shape("object")})
    return Shape("object", {"inputs": inputs})


def data_schema(graph: Graph) -> dict[str, SchemaField]:
    """What declares the fields of `data` in a graph."""
    while graph.parent is not None and graph.kind != "Split":
        graph = graph.parent
    owner = graph.owner
    if isinstance(owner, SplitStep):
        return {} if owner.config.batch_size else owner.input_schema
    return graph.model.input_schema
