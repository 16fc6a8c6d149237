"""Every step type as a model (DSL.md 2). The table of what each step can do stands at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import Discriminator, Field, Tag

from runtara_framework.dsl.base import Model
from runtara_framework.dsl.fields import Schema
from runtara_framework.dsl.values import Condition, InputMapping, MappingValue

if TYPE_CHECKING:
    from runtara_framework.dsl.models import ExecutionGraph

MAX_ITERATIONS = 1_000_000

MatchType = Literal[
    "EQ", "NE", "GT", "GTE", "LT", "LTE", "STARTS_WITH", "ENDS_WITH", "CONTAINS", "IN", "NOT_IN",
    "IS_DEFINED", "IS_EMPTY", "IS_NOT_EMPTY", "BETWEEN", "RANGE",
]  # fmt: skip
MATCH_TYPES: tuple[str, ...] = get_args(MatchType)

Millis = Annotated[int, Field(ge=0)]
PositiveMillis = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]


class StepBase(Model):
    """What all steps have."""

    id: str
    name: str | None = None

    on_error_allowed: ClassVar[bool] = True
    """May an onError edge leave the step?"""
    ends: ClassVar[bool] = False
    """Does the step end its graph, so that no edge may leave it?"""

    @property
    def title(self) -> str:
        """The name, or the id of a step without one."""
        return self.name or self.id


class BreakableStep(StepBase):
    """A step that a debugger may stop before."""

    breakpoint: bool = False


class FinishStep(StepBase):
    """Ends its graph with the mapped object; a mapping whose only top key is `outputs` is unwrapped."""

    step_type: Literal["Finish"]
    input_mapping: InputMapping | None = None

    on_error_allowed: ClassVar[bool] = False
    ends: ClassVar[bool] = True


class ErrorStep(StepBase):
    """Ends its graph with a structured error and emits `workflow_error`."""

    step_type: Literal["Error"]
    category: Literal["transient", "permanent"] = "permanent"
    code: str
    message: str
    severity: Literal["info", "warning", "error", "critical"] = "error"
    context: InputMapping | None = None
    """Becomes the error's `attributes`."""

    on_error_allowed: ClassVar[bool] = False
    ends: ClassVar[bool] = True


class Compensation(Model):
    """How to undo an Agent step when the graph fails after it (DSL.md 6)."""

    compensation_step: str
    compensation_data: InputMapping | None = None
    """Resolved when the step completes; the compensation step sees it as `variables._compensation`."""
    trigger: Literal["on_downstream_error", "on_any_error", "manual"] = "on_downstream_error"
    order: int = 0
    """Higher runs first; among equals, the step that completed last."""


class AgentStep(BreakableStep):
    """Calls a capability of an agent."""

    step_type: Literal["Agent"]
    agent_id: str
    capability_id: str
    input_mapping: InputMapping | None = None
    connection_id: str | None = None
    max_retries: Count = 3
    retry_delay: Millis = 1000
    timeout: PositiveMillis | None = None
    """Milliseconds for one attempt."""
    compensation: Compensation | None = None
    durable: bool = True


class ConditionalStep(BreakableStep):
    """Goes on by the edge `true` or `false`."""

    step_type: Literal["Conditional"]
    condition: Condition

    on_error_allowed: ClassVar[bool] = False


class SwitchCase(Model):
    """One case: when `value` compares with `match`, the step's output is `output`."""

    match_type: MatchType
    match: Any = None
    output: Any = None
    route: str | None = None
    """The label of the edge to follow; a Switch with any route is a routing Switch."""


class SwitchConfig(Model):
    """The value, the cases in order, and what to give when none matches."""

    value: MappingValue
    cases: list[SwitchCase] = Field(default_factory=list)
    default: Any = None


class SwitchStep(BreakableStep):
    """Chooses an output, and by routes also the way."""

    step_type: Literal["Switch"]
    config: SwitchConfig

    on_error_allowed: ClassVar[bool] = False

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes of the cases in order, each once; empty when the Switch does not route."""
        return tuple(dict.fromkeys(case.route for case in self.config.cases if case.route is not None))


class SplitConfig(Model):
    """What a Split runs over, and how."""

    value: MappingValue
    parallelism: Count = 1
    """How many iterations at once; 0 means all."""
    sequential: bool = False
    """Means parallelism 1."""
    dont_stop_on_failed: bool = False
    variables: InputMapping | None = None
    max_retries: Count = 0
    retry_delay: Millis = 1000
    timeout: PositiveMillis | None = None
    """Milliseconds for the whole step."""
    allow_null: bool = False
    convert_single_value: bool = False
    batch_size: Annotated[int, Field(ge=1)] | None = None
    """Each iteration gets an array of so many items."""


class SplitStep(BreakableStep):
    """Runs a graph for each item of an array."""

    step_type: Literal["Split"]
    subgraph: ExecutionGraph
    config: SplitConfig
    input_schema: Schema = Field(default_factory=dict)
    """Checked for each item."""
    output_schema: Schema = Field(default_factory=dict)
    """Checked for each result."""
    durable: bool = True


class WhileConfig(Model):
    """The limits of a While."""

    max_iterations: Annotated[int, Field(ge=0, le=MAX_ITERATIONS)] = 10
    variables: InputMapping | None = None
    timeout: PositiveMillis | None = None
    """Milliseconds for the whole loop."""


class WhileStep(BreakableStep):
    """Runs a graph as long as a condition holds."""

    step_type: Literal["While"]
    condition: Condition
    subgraph: ExecutionGraph
    config: WhileConfig = Field(default_factory=lambda: WhileConfig())
    durable: bool = True


class StartScenarioStep(BreakableStep):
    """Runs another scenario with its own data, variables and checkpoints."""

    step_type: Literal["StartScenario"]
    child_scenario_id: str
    child_version: int | str
    """A number of at least 1, or "latest" (also "current")."""
    input_mapping: InputMapping | None = None
    max_retries: Count = 3
    retry_delay: Millis = 1000
    timeout: PositiveMillis | None = None
    """Milliseconds for one attempt."""
    durable: bool = True


class LogStep(BreakableStep):
    """Emits a `workflow_log` event, once, also over replays."""

    step_type: Literal["Log"]
    level: Literal["debug", "info", "warn", "error"] = "info"
    message: str
    context: InputMapping | None = None

    on_error_allowed: ClassVar[bool] = False


class ConnectionStep(BreakableStep):
    """Fetches a connection; only secure agents may receive it."""

    step_type: Literal["Connection"]
    connection_id: str
    integration_id: str


class FilterConfig(Model):
    """The array and the condition over `item`."""

    value: MappingValue
    condition: Condition


class FilterStep(BreakableStep):
    """Keeps the items for which a condition holds."""

    step_type: Literal["Filter"]
    config: FilterConfig


class GroupByConfig(Model):
    """The array, the path of the key in an item, and keys that shall always be there."""

    value: MappingValue
    key: str
    expected_keys: list[str] = Field(default_factory=list)


class GroupByStep(BreakableStep):
    """Groups items by a key."""

    step_type: Literal["GroupBy"]
    config: GroupByConfig


class DelayStep(BreakableStep):
    """Sleeps, durably."""

    step_type: Literal["Delay"]
    duration_ms: MappingValue
    durable: bool = True


class WaitAction(Model):
    """What a person or system is asked for, so that a product can list and answer it."""

    key: str
    correlation: InputMapping | None = None
    context: InputMapping | None = None


class WaitForSignalStep(BreakableStep):
    """Waits for a custom signal with a payload."""

    step_type: Literal["WaitForSignal"]
    on_wait: ExecutionGraph | None = None
    """Runs once before the wait; sees `variables._signal_id`."""
    timeout_ms: MappingValue | None = None
    response_schema: Schema | None = None
    action: WaitAction | None = None
    durable: bool = True


def _step_tag(value: Any) -> str | None:
    tag = value.get("stepType") if isinstance(value, dict) else getattr(value, "step_type", None)
    return tag if isinstance(tag, str) else None


Step = Annotated[
    Annotated[FinishStep, Tag("Finish")]
    | Annotated[AgentStep, Tag("Agent")]
    | Annotated[ConditionalStep, Tag("Conditional")]
    | Annotated[SwitchStep, Tag("Switch")]
    | Annotated[SplitStep, Tag("Split")]
    | Annotated[WhileStep, Tag("While")]
    | Annotated[StartScenarioStep, Tag("StartScenario")]
    | Annotated[LogStep, Tag("Log")]
    | Annotated[ConnectionStep, Tag("Connection")]
    | Annotated[ErrorStep, Tag("Error")]
    | Annotated[FilterStep, Tag("Filter")]
    | Annotated[GroupByStep, Tag("GroupBy")]
    | Annotated[DelayStep, Tag("Delay")]
    | Annotated[WaitForSignalStep, Tag("WaitForSignal")],
    Discriminator(
        _step_tag,
        custom_error_type="step_type_unknown",
        custom_error_message="stepType is missing or unknown",
    ),
]

STEP_MODELS: dict[str, type[StepBase]] = {
    "Finish": FinishStep,
    "Agent": AgentStep,
    "Conditional": ConditionalStep,
    "Switch": SwitchStep,
    "Split": SplitStep,
    "While": WhileStep,
    "StartScenario": StartScenarioStep,
    "Log": LogStep,
    "Connection": ConnectionStep,
    "Error": ErrorStep,
    "Filter": FilterStep,
    "GroupBy": GroupByStep,
    "Delay": DelayStep,
    "WaitForSignal": WaitForSignalStep,
}
