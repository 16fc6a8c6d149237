"""The definitions of steps and graphs in the generated program: one constructor call for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtara_framework.compiler.literals import literal
from runtara_framework.compiler.plan import GraphPlan
from runtara_framework.dsl.mapping import is_mapping
from runtara_framework.dsl.models import (
    AgentStep,
    ConditionalStep,
    ConnectionStep,
    DelayStep,
    ErrorStep,
    ExecutionGraph,
    FilterStep,
    FinishStep,
    GroupByStep,
    InputMapping,
    LogStep,
    Schema,
    SplitStep,
    StartScenarioStep,
    Step,
    SwitchStep,
    WaitForSignalStep,
    WhileStep,
)

if TYPE_CHECKING:
    from runtara_framework.compiler.codegen import _Generator

_MODULES = {
    "Agent": "agent",
    "Compensation": "compensation",
    "Conditional": "choices",
    "Switch": "choices",
    "Filter": "lists",
    "GroupBy": "lists",
    "Log": "log",
    "Finish": "ends",
    "Error": "ends",
    "Delay": "waits",
    "WaitForSignal": "waits",
    "Split": "split",
    "While": "loop",
    "StartScenario": "child",
    "Connection": "connection",
    "Graph": "graph",
}


class Definitions:
    """Writes the definitions of one graph's steps, and finds out whether any of them has effects."""

    NAMES = frozenset(
        {
            *_MODULES, "run", "decide", "route", "finish", "attempt", "holds", "fork", "mesh", "recovered", "unhandled",
            "run_scenario", "resolve", "ref", "render", "nest", "Path", "truthy",
        }
    )  # fmt: skip

    def __init__(self, generator: _Generator, plan: GraphPlan) -> None:
        self.generator = generator
        self.expressions = generator.expressions
        self.plan = plan
        self.effects = False

    # -- writing ----------------------------------------------------------------------------------------

    def _call(self, constant: str, kind: str, arguments: dict[str, str | None]) -> str:
        self.expressions.use(f"runtime.{_MODULES[kind]}", kind)
        given = [f"{name}={text}" for name, text in arguments.items() if text is not None]
        one_line = f"{constant} = {kind}({', '.join(given)})"
        if len(one_line) <= 100:
            return one_line
        return f"{constant} = {kind}(\n" + "".join(f"    {one},\n" for one in given) + ")"

    def _inputs(self, mapping: InputMapping | None, *, for_agent: bool = False) -> str | None:
        if not mapping:
            return None
        return f"lambda v: {self.expressions.inputs(mapping, for_agent=for_agent)}"

    def _schema(self, schema: Schema | None) -> str | None:
        if not schema:
            return None
        fields = {name: field.model_dump(by_alias=True, exclude_unset=True) for name, field in schema.items()}
        return self.expressions.literal(fields)

    @staticmethod
    def _unless(value: Any, default: Any) -> str | None:
        return None if value == default and type(value) is type(default) else literal(value)

    # -- steps ------------------------------------------------------------------------------------------

    def define(self, step: Step) -> str:
        """The definition of a step as source."""
        constant = self.generator.constant(self.plan, step)
        common: dict[str, str | None] = {"id": literal(step.id), "name": self._unless(step.name, None)}
        if getattr(step, "breakpoint", False):
            common["breakpoint"] = "True"
        if getattr(step, "durable", True) is False:
            common["durable"] = "False"
        return self._call(constant, step.step_type, common | self._own(step, constant))

    def _own(self, step: Step, constant: str) -> dict[str, str | None]:
        match step:
            case AgentStep():
                return self._agent(step)
            case ConditionalStep():
                return {"test": f"lambda v: {self.expressions.test(step.condition)}"}
            case SwitchStep():
                return self._switch(step)
            case FinishStep():
                return {"inputs": self._finish(step.input_mapping)}
            case ErrorStep():
                return {
                    "code": literal(step.code),
                    "message": literal(step.message),
                    "category": self._unless(step.category, "permanent"),
                    "severity": self._unless(step.severity, "error"),
                    "context": self._inputs(step.context),
                }
            case LogStep():
                return {
                    "message": literal(step.message),
                    "level": self._unless(step.level, "info"),
                    "context": self._inputs(step.context),
                }
            case FilterStep():
                return {
                    "value": f"lambda v: {self.expressions.value(step.config.value)}",
                    "test": f"lambda v: {self.expressions.test(step.config.condition)}",
                }
            case GroupByStep():
                return {
                    "value": f"lambda v: {self.expressions.value(step.config.value)}",
                    "key": self.expressions.path(step.config.key),
                    "expected": self._unless(step.config.expected_keys, []),
                }
            case DelayStep():
                self.effects = True
                return {"duration": f"lambda v: {self.expressions.value(step.duration_ms)}"}
            case ConnectionStep():
                return {"connection": literal(step.connection_id), "integration": literal(step.integration_id)}
            case WaitForSignalStep():
                return self._wait(step, constant)
            case SplitStep():
                return self._split(step, constant)
            case WhileStep():
                return self._while(step, constant)
            case StartScenarioStep():
                return self._child(step)

    def _agent(self, step: AgentStep) -> dict[str, str | None]:
        pure = self.generator.is_pure(step.agent_id, step.capability_id)
        self.generator.agents[(step.agent_id, step.capability_id)] = None
        self.effects |= not pure
        compensation = None
        if step.compensation is not None:
            self.expressions.use("runtime.compensation", "Compensation")
            undo = step.compensation
            arguments = [
                f"lambda: {self.generator.constant(self.plan, self.plan.graph.steps[undo.compensation_step])}",
                self._inputs(undo.compensation_data) or "None",
                literal(undo.trigger),
                literal(undo.order),
            ]
            compensation = f"Compensation({', '.join(arguments)})"
        return {
            "agent": literal(step.agent_id),
            "capability": literal(step.capability_id),
            "inputs": self._inputs(step.input_mapping, for_agent=True),
            "connection": self._unless(step.connection_id, None),
            "retries": self._unless(step.max_retries, 3),
            "delay_ms": self._unless(step.retry_delay, 1000),
            "timeout_ms": self._unless(step.timeout, None),
            "pure": "True" if pure else None,
            "compensation": compensation,
        }

    def _switch(self, step: SwitchStep) -> dict[str, str | None]:
        def output(value: Any) -> str:
            return f"lambda v: {self.expressions.resolved(value, is_mapping)}"

        cases = [
            f"({literal(case.match_type)}, {self.expressions.literal(case.match)}, {output(case.output)},"
            f" {literal(case.route)})"
            for case in step.config.cases
        ]
        routes = None
        if step.routes:
            labels = [edge.label for edge in self.plan.graph.execution_plan if edge.from_step == step.id]
            routes = literal(tuple(dict.fromkeys(label for label in labels if label)))
        default = step.config.default
        return {
            "value": f"lambda v: {self.expressions.value(step.config.value)}",
            "cases": "[\n" + "".join(f"        {case},\n" for case in cases) + "    ]" if cases else None,
            "default": None if default is None else output(default),
            "routes": routes,
        }

    def _finish(self, mapping: InputMapping | None) -> str | None:
        if not mapping:
            return None
        unwrap = {key.split(".")[0] for key in mapping} == {"outputs"}
        return f"lambda v: {self.expressions.inputs(mapping)}{'[' + literal('outputs') + ']' if unwrap else ''}"

    # -- steps with graphs inside -----------------------------------------------------------------------

    def _body(self, graph: ExecutionGraph, constant: str, kind: str) -> str:
        name, effects = self.generator.graph(graph, f"{constant.lower()}_{kind}", f"{constant}_{kind}", None)
        self.effects |= effects
        return name

    def _wait(self, step: WaitForSignalStep, constant: str) -> dict[str, str | None]:
        self.effects = True
        on_wait = None if step.on_wait is None else self._body(step.on_wait, constant, "on_wait")
        action = step.action
        return {
            "timeout": None if step.timeout_ms is None else f"lambda v: {self.expressions.value(step.timeout_ms)}",
            "on_wait": on_wait,
            "schema": self._schema(step.response_schema),
            "action": None if action is None else literal(action.key),
            "correlation": None if action is None else self._inputs(action.correlation),
            "context": None if action is None else self._inputs(action.context),
        }

    def _split(self, step: SplitStep, constant: str) -> dict[str, str | None]:
        config = step.config
        body, effects = self.generator.graph(step.subgraph, f"{constant.lower()}_body", f"{constant}_BODY", None)
        self.effects |= effects
        return {
            "body": body,
            "value": f"lambda v: {self.expressions.value(config.value)}",
            "variables": self._inputs(config.variables),
            "parallelism": self._unless(1 if config.sequential else config.parallelism, 1),
            "keep_going": "True" if config.dont_stop_on_failed else None,
            "retries": self._unless(config.max_retries, 0),
            "delay_ms": self._unless(config.retry_delay, 1000),
            "timeout_ms": self._unless(config.timeout, None),
            "allow_null": "True" if config.allow_null else None,
            "convert_single": "True" if config.convert_single_value else None,
            "batch_size": self._unless(config.batch_size, None),
            "input_schema": self._schema(step.input_schema),
            "output_schema": self._schema(step.output_schema),
            "effects": "True" if effects else None,
        }

    def _while(self, step: WhileStep, constant: str) -> dict[str, str | None]:
        config = step.config
        body, effects = self.generator.graph(step.subgraph, f"{constant.lower()}_body", f"{constant}_BODY", None)
        self.effects |= effects
        return {
            "body": body,
            "test": f"lambda v: {self.expressions.test(step.condition)}",
            "variables": self._inputs(config.variables),
            "limit": self._unless(config.max_iterations, 10),
            "timeout_ms": self._unless(config.timeout, None),
            "effects": "True" if effects else None,
        }

    def _child(self, step: StartScenarioStep) -> dict[str, str | None]:
        child, constant, effects = self.generator.child(step.child_scenario_id, step.child_version)
        self.effects |= effects
        return {
            "child": constant,
            "version": literal(child.version),
            "inputs": self._inputs(step.input_mapping),
            "retries": self._unless(step.max_retries, 3),
            "delay_ms": self._unless(step.retry_delay, 1000),
            "timeout_ms": self._unless(step.timeout, None),
            "effects": "True" if effects else None,
        }

    # -- the graph --------------------------------------------------------------------------------------

    def graph(self, constant: str, scenario_id: str | None, on_cancel: str | None) -> str:
        """The definition of the graph itself, after those of its steps."""
        graph = self.plan.graph
        declared = {
            name: variable.model_dump(by_alias=True, exclude={"description"})
            for name, variable in graph.variables.items()
        }
        return self._call(
            constant,
            "Graph",
            {
                "flow": self.plan.main.name,
                "scenario": self._unless(scenario_id, None),
                "name": self._unless(graph.name, None),
                "variables": self.expressions.literal(declared) if declared else None,
                "input_schema": self._schema(graph.input_schema),
                "output_schema": self._schema(graph.output_schema),
                "durable": self._unless(graph.durable, True),
                "rate_limit_budget_ms": self._unless(graph.rate_limit_budget_ms, 60_000),
                "on_cancel": on_cancel,
            },
        )
