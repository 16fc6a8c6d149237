"""Scenario, execution graph and edge as models; importing this module makes every model complete (DSL.md 1)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from runtara_framework.dsl.base import Model
from runtara_framework.dsl.bounds import MAX_MILLIS, MAX_SECONDS
from runtara_framework.dsl.fields import FieldType, Schema, SchemaField, Variable, VisibleWhen
from runtara_framework.dsl.steps import (
    MATCH_TYPES,
    STEP_MODELS,
    AgentStep,
    BreakableStep,
    Compensation,
    ConditionalStep,
    ConnectionStep,
    DelayStep,
    ErrorStep,
    FilterConfig,
    FilterStep,
    FinishStep,
    GroupByConfig,
    GroupByStep,
    LogStep,
    SplitConfig,
    SplitStep,
    StartScenarioStep,
    Step,
    StepBase,
    SwitchCase,
    SwitchConfig,
    SwitchStep,
    WaitAction,
    WaitForSignalStep,
    WhileConfig,
    WhileStep,
)
from runtara_framework.dsl.values import (
    OPERATORS,
    Argument,
    Composite,
    CompositeTest,
    Condition,
    Immediate,
    ImmediateTest,
    InputMapping,
    MappingValue,
    Operation,
    Reference,
    ReferenceTest,
    Template,
    TemplateTest,
    TypeHint,
    ValueTest,
)
from runtara_framework.memory import MemoryTier

__all__ = [
    "MATCH_TYPES", "OPERATORS", "STEP_MODELS", "AgentStep", "Argument", "BreakableStep", "Compensation",
    "Composite", "CompositeTest", "Condition", "ConditionalStep", "ConnectionStep", "DelayStep", "Edge",
    "ErrorStep", "ExecutionGraph", "FieldType", "FilterConfig", "FilterStep", "FinishStep", "GroupByConfig",
    "GroupByStep", "Immediate", "ImmediateTest", "InputMapping", "LogStep", "MappingValue", "Operation",
    "Reference", "ReferenceTest", "Scenario", "Schema", "SchemaField", "SplitConfig", "SplitStep",
    "StartScenarioStep", "Step", "StepBase", "SwitchCase", "SwitchConfig", "SwitchStep", "Template",
    "TemplateTest", "TypeHint", "ValueTest", "Variable", "VisibleWhen", "WaitAction", "WaitForSignalStep",
    "WhileConfig", "WhileStep",
]  # fmt: skip

DEFAULT_RATE_LIMIT_BUDGET_MS = 60_000

NEXT = "next"
ON_ERROR = "onError"


class Edge(Model):
    """A way from one step to another."""

    from_step: str
    """Where it leaves."""
    to_step: str
    """Where it leads."""
    label: str | None = None
    """None or `next`: flow; `true`, `false`: Conditional; a route or `default`: Switch; `onError`."""
    condition: Condition | None = None
    """Followed only if it holds."""
    priority: int | None = None
    """Conditioned edges are tried from the highest down; absent is 0."""

    @property
    def is_error(self) -> bool:
        """True for an onError edge."""
        return self.label == ON_ERROR

    @property
    def branch(self) -> str | None:
        """The label of a choice (`true`, `false`, a route), None for plain flow and onError."""
        return None if self.label in (None, NEXT, ON_ERROR) else self.label


class ExecutionGraph(Model):
    """Steps and the edges between them."""

    name: str | None = None
    """For people."""
    description: str | None = None
    """For people: what it is for."""
    steps: dict[str, Step]
    """By id."""
    entry_point: str
    """The id of the first step."""
    execution_plan: list[Edge] = Field(default_factory=list)
    """The edges; a single step needs none."""
    variables: dict[str, Variable] = Field(default_factory=dict)
    """Values with names; a start may give others of the same type."""
    input_schema: Schema = Field(default_factory=dict)
    """What `data` must look like, by field; checked before a process exists."""
    output_schema: Schema = Field(default_factory=dict)
    """What the result must look like; checked at the end."""
    durable: bool = True
    """Without it, nothing in the graph is kept over a crash."""
    execution_timeout_seconds: Annotated[int, Field(ge=1, le=MAX_SECONDS)] | None = None
    """Running time over all launches; time suspended does not count. By default the server's."""
    rate_limit_budget_ms: Annotated[int, Field(ge=0, le=MAX_MILLIS)] = DEFAULT_RATE_LIMIT_BUDGET_MS
    """How long all waits for rate limits may take together."""
    on_cancel: ExecutionGraph | None = None
    """Runs, at most 30 s, when the instance is cancelled or times out."""
    notes: Any = None
    """The editor's own, like `nodes` and `edges`; nothing reads it."""
    nodes: Any = None
    """The editor's own; nothing reads it."""
    edges: Any = None
    """The editor's own; nothing reads it."""


class Scenario(Model):
    """An execution graph with what a deployment says of it."""

    execution_graph: ExecutionGraph
    """The graph."""
    memory_tier: MemoryTier | None = None
    """The memory that a process of it may use: 64, 128, 256 or 512 MiB. By default as much as there is."""
    debug_mode: bool = False
    """Compile for debugging: an event before and after each step, and breakpoints."""


# The steps with graphs inside and the graphs with steps inside know each other only now.
_graph = {"ExecutionGraph": ExecutionGraph}
SplitStep.model_rebuild(_types_namespace=_graph)
WhileStep.model_rebuild(_types_namespace=_graph)
WaitForSignalStep.model_rebuild(_types_namespace=_graph)
ExecutionGraph.model_rebuild(_types_namespace=_graph)
Scenario.model_rebuild(_types_namespace=_graph)
