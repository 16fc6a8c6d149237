"""One iteration of a Split or While: its scope, and how its failure becomes the step's."""

from __future__ import annotations

from typing import Any

from runtara_framework.runtime.graph import Graph, run_graph
from runtara_framework.runtime.scope import Scope
from runtara_framework.runtime.step import Step
from runtara_framework.sdk.failure import Failure
from runtara_framework.sdk.keys import Key

NOTHING = object()


async def iterate(
    s: Scope,
    step: Step,
    body: Graph,
    key: Key,
    index: int,
    own: dict[str, Any],
    *,
    item: Any = NOTHING,
    loop: dict[str, Any] | None = None,
) -> Any:
    """Run the body once. `own`: the variables of this iteration. Raises the step's failure, with the body's as its cause."""
    indices = (*s.indices, index)
    variables = dict(s.variables)
    for name, declared in body.variables.items():
        variables[name] = declared.get("value")
    variables.update(own)
    variables["_index"] = index
    variables["_loop_indices"] = list(indices)
    iteration: dict[str, Any] = {"index": index, "indices": list(indices)}
    roots: dict[str, Any] = {"scenario": s.roots["scenario"], "variables": variables, "iteration": iteration}
    if item is not NOTHING:
        roots["data"] = roots["item"] = iteration["item"] = variables["_item"] = item
    else:
        roots["data"] = s.roots["data"]
        iteration["item"] = None
    if loop is not None:
        roots["loop"] = variables["_loop"] = loop
        if index:
            variables["_previousOutputs"] = loop["outputs"]
    inner = Scope(
        s.run,
        body,
        roots,
        key.index(index),
        durable=s.durable,
        budget=s.budget,
        indices=indices,
        outer=s,
        owner=step.id,
    )
    try:
        return await run_graph(inner)
    except Failure as failure:
        raise of_iteration(step, failure, index, indices) from failure


def of_iteration(step: Step, cause: Failure, index: int, indices: tuple[int, ...]) -> Failure:
    """The step's failure because of one iteration (DSL.md 9)."""
    attributes: dict[str, Any] = {"index": index}
    if len(indices) > 1:
        attributes["indices"] = list(indices)
    return Failure(
        cause.code,
        f"iteration {index} of {step.kind} {step.id!r} failed: {cause.message}",
        category=cause.category,
        severity=cause.severity,
        step_id=step.id,
        step_name=step.name or step.id,
        step_type=step.kind,
        retry_after_ms=cause.retry_after_ms,
        attributes=attributes,
        cause=cause,
    )
