"""Every step type as a model (DSL.md 2). The table of what each step can do stands at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, Discriminator, Field, Tag

from runtara_framework.dsl.base import Model
from runtara_framework.dsl.bounds import MAX_ITERATIONS, MAX_MILLIS
from runtara_framework.dsl.fields import Schema
from runtara_framework.dsl.values import Condition, InputMapping, MappingValue

if TYPE_CHECKING:
    from runtara_framework.dsl.models import ExecutionGraph

MatchType = Literal[
    "EQ", "NE", "GT", "GTE", "LT", "LTE", "STARTS_WITH", "ENDS_WITH", "CONTAINS", "IN", "NOT_IN",
    "IS_DEFINED", "IS_EMPTY", "IS_NOT_EMPTY", "BETWEEN", "RANGE",
]  # fmt: skip
MATCH_TYPES: tuple[str, ...] = get_args(MatchType)

Millis = Annotated[int, Field(ge=0, le=MAX_MILLIS)]
PositiveMillis = Annotated[int, Field(ge=1, le=MAX_MILLIS)]
Count = Annotated[int, Field(ge=0)]


def _not_empty(value: str) -> str:
    # Not pydantic's `min_length`: that refuses half characters, which are no concern of a length.
    if not value:
        raise ValueError("it must not be empty")
    return value


class StepBase(Model):
    """What all steps have."""

    id: str
    """The step's key among the steps."""
    name: str | None = None
    """What people call it; by default its id."""

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
    """Suspend before the step, in a debug run."""


class FinishStep(StepBase):
    """Ends its graph with the mapped object; a mapping whose only top key is `outputs` is unwrapped."""

    step_type: Literal["Finish"]
    input_mapping: InputMapping | None = None
    """What the result is built of; without it the result is `{}`."""

    on_error_allowed: ClassVar[bool] = False
    ends: ClassVar[bool] = True


class ErrorStep(StepBase):
    """Ends its graph with a structured error and emits `workflow_error`."""

    step_type: Literal["Error"]
    category: Literal["transient", "permanent"] = "permanent"
    """Whether a parent's retry may help."""
    code: Annotated[str, AfterValidator(_not_empty), Field(json_schema_extra={"minLength": 1})]
    """What handlers match on."""
    message: str
    """For people."""
    severity: Literal["info", "warning", "error", "critical"] = "error"
    """How bad it is."""
    context: InputMapping | None = None
    """Becomes the error's `attributes`."""

    on_error_allowed: ClassVar[bool] = False
    ends: ClassVar[bool] = True


class Compensation(Model):
    """How to undo an Agent step when the graph fails after it (DSL.md 6)."""

    compensation_step: str
    """The step that undoes; no edge needs to lead to it."""
    compensation_data: InputMapping | None = None
    """Resolved when the step completes; the compensation step sees it as `variables._compensation`."""
    trigger: Literal["on_downstream_error", "on_any_error", "manual"] = "on_downstream_error"
    """When it runs: after a later failure; also at a cancel or timeout; only when a cancel asks for it (`compensate`)."""
    order: int = 0
    """Higher runs first; among equals, the step that completed last."""


class AgentStep(BreakableStep):
    """Calls a capability of an agent."""

    step_type: Literal["Agent"]
    agent_id: str
    """The agent; `runtara agents list` shows all."""
    capability_id: str
    """What it shall do, by id or alias."""
    input_mapping: InputMapping | None = None
    """Its input."""
    connection_id: str | None = None
    """The connection whose credentials it gets."""
    max_retries: Count = 3
    """How often to try again after a transient failure or a timeout."""
    retry_delay: Millis = 1000
    """Milliseconds before the first retry; doubled for each further one, at most five minutes."""
    timeout: PositiveMillis | None = None
    """Milliseconds for one attempt."""
    compensation: Compensation | None = None
    """How to undo it."""
    durable: bool = True
    """Keep the result, so that a replay does not call again."""


class ConditionalStep(BreakableStep):
    """Goes on by the edge `true` or `false`."""

    step_type: Literal["Conditional"]
    condition: Condition
    """Decides which edge is followed."""

    on_error_allowed: ClassVar[bool] = False


class SwitchCase(Model):
    """One case: when `value` compares with `match`, the step's output is `output`."""

    match_type: MatchType
    """How to compare."""
    match: Any = None
    """A literal to compare with."""
    output: Any = None
    """Any JSON; mapping values in it are resolved at any depth."""
    route: str | None = None
    """The label of the edge to follow; a Switch with any route is a routing Switch."""


class SwitchConfig(Model):
    """The value, the cases in order, and what to give when none matches."""

    value: MappingValue
    """What is compared."""
    cases: list[SwitchCase] = Field(default_factory=list)
    """The first that matches wins."""
    default: Any = None
    """The output when none matches; resolved like an output."""


class SwitchStep(BreakableStep):
    """Chooses an output, and by routes also the way."""

    step_type: Literal["Switch"]
    config: SwitchConfig
    """The value and the cases."""

    on_error_allowed: ClassVar[bool] = False

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes of the cases in order, each once; empty when the Switch does not route."""
        return tuple(dict.fromkeys(case.route for case in self.config.cases if case.route is not None))


class SplitConfig(Model):
    """What a Split runs over, and how."""

    value: MappingValue
    """The array."""
    parallelism: Count = 1
    """How many iterations at once; 0 means all."""
    sequential: bool = False
    """Means parallelism 1."""
    dont_stop_on_failed: bool = False
    """Go on with the other items when one fails."""
    variables: InputMapping | None = None
    """Further variables for the subgraph, evaluated for each item."""
    max_retries: Count = 0
    """How often to run the whole step again."""
    retry_delay: Millis = 1000
    """Milliseconds before the first retry; doubled for each further one."""
    timeout: PositiveMillis | None = None
    """Milliseconds for the whole step."""
    allow_null: bool = False
    """Take null for an empty array."""
    convert_single_value: bool = False
    """Take a single value for an array of one."""
    batch_size: Annotated[int, Field(ge=1)] | None = None
    """Each iteration gets an array of so many items."""


class SplitStep(BreakableStep):
    """Runs a graph for each item of an array."""

    step_type: Literal["Split"]
    subgraph: ExecutionGraph
    """What runs for each item."""
    config: SplitConfig
    """What it runs over, and how."""
    input_schema: Schema = Field(default_factory=dict)
    """Checked for each item, in batches too."""
    output_schema: Schema = Field(default_factory=dict)
    """Checked for each result."""
    durable: bool = True
    """Keep the results, so that a replay does not run it again."""


class WhileConfig(Model):
    """The limits of a While."""

    max_iterations: Annotated[int, Field(ge=0, le=MAX_ITERATIONS)] = 10
    """The loop ends normally after so many."""
    variables: InputMapping | None = None
    """Further variables for the subgraph, evaluated for each iteration."""
    timeout: PositiveMillis | None = None
    """Milliseconds for the whole loop."""


class WhileStep(BreakableStep):
    """Runs a graph as long as a condition holds."""

    step_type: Literal["While"]
    condition: Condition
    """Asked before each iteration."""
    subgraph: ExecutionGraph
    """What runs in each iteration."""
    config: WhileConfig = Field(default_factory=lambda: WhileConfig())
    """Its limits."""
    durable: bool = True
    """Keep the progress, so that a replay does not run it again."""


class StartScenarioStep(BreakableStep):
    """Runs another scenario with its own data, variables and checkpoints."""

    step_type: Literal["StartScenario"]
    child_scenario_id: str
    """The id under which the child is supplied to the compiler."""
    child_version: int | str
    """A number of at least 1, or "latest" (also "current")."""
    input_mapping: InputMapping | None = None
    """The child's data."""
    max_retries: Count = 3
    """How often to try again after a transient failure or a timeout."""
    retry_delay: Millis = 1000
    """Milliseconds before the first retry; doubled for each further one."""
    timeout: PositiveMillis | None = None
    """Milliseconds for one attempt."""
    durable: bool = True
    """Keep the result, so that a replay does not run it again."""


class LogStep(BreakableStep):
    """Emits a `workflow_log` event, once, also over replays."""

    step_type: Literal["Log"]
    level: Literal["debug", "info", "warn", "error"] = "info"
    """How important it is."""
    message: str
    """A literal text."""
    context: InputMapping | None = None
    """Facts beside it."""

    on_error_allowed: ClassVar[bool] = False


class ConnectionStep(BreakableStep):
    """Fetches a connection; only secure agents may receive it."""

    step_type: Literal["Connection"]
    connection_id: str
    """Which connection."""
    integration_id: str
    """Of which type it must be."""


class FilterConfig(Model):
    """The array and the condition over `item`."""

    value: MappingValue
    """The array; null counts as empty."""
    condition: Condition
    """Over `item`."""


class FilterStep(BreakableStep):
    """Keeps the items for which a condition holds."""

    step_type: Literal["Filter"]
    config: FilterConfig
    """The array and the condition."""


class GroupByConfig(Model):
    """The array, the path of the key in an item, and keys that shall always be there."""

    value: MappingValue
    """The array; null counts as empty."""
    key: str
    """The path of the key in an item."""
    expected_keys: list[str] = Field(default_factory=list)
    """Groups that are there even when they are empty."""


class GroupByStep(BreakableStep):
    """Groups items by a key. Equal numbers are one key; groups are in the order of their names."""

    step_type: Literal["GroupBy"]
    config: GroupByConfig
    """The array and the key."""


class DelayStep(BreakableStep):
    """Sleeps, durably."""

    step_type: Literal["Delay"]
    duration_ms: MappingValue
    """How long, in milliseconds."""
    durable: bool = True
    """Keep the deadline, and leave the process if it is far away."""


class WaitAction(Model):
    """What a person or system is asked for, so that a product can list and answer it."""

    key: str
    """What sort of answer is asked for."""
    correlation: InputMapping | None = None
    """Facts to find the request by."""
    context: InputMapping | None = None
    """Facts to show."""


class WaitForSignalStep(BreakableStep):
    """Waits for a custom signal with a payload."""

    step_type: Literal["WaitForSignal"]
    on_wait: ExecutionGraph | None = None
    """Runs once before the wait; sees `variables._signal_id`."""
    timeout_ms: MappingValue | None = None
    """Milliseconds until it fails with `WAIT_TIMEOUT`."""
    response_schema: Schema | None = None
    """What a payload must look like; others are refused and the wait goes on."""
    action: WaitAction | None = None
    """What is asked for, in the event `external_input_requested`."""
    durable: bool = True
    """Keep the payload and the deadline, and leave the process meanwhile."""


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
