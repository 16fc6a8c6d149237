"""The generated regions of docs/reference/dsl.md: tables of fields, steps, operators, limits and codes, from the code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from runtara_framework.dsl import bounds, conditions, models
from runtara_framework.dsl.base import Model
from runtara_framework.dsl.models import MATCH_TYPES, OPERATORS
from runtara_framework.dsl.patterns import MAX_PATTERN
from runtara_framework.dsl.sandbox import MAX_TURNS
from runtara_framework.dsl.schemas import MOST_VIOLATIONS
from runtara_framework.dsl.validation.codes import MEANINGS, severity
from runtara_framework.dsl.validation.limits import Limits
from runtara_framework.dsl.writing import MAX_OUTPUT
from runtara_framework.runtime.attempts import LONGEST_WAIT_MS, OUTPUT_LIMIT
from runtara_framework.runtime.cleanup import ON_CANCEL_SECONDS
from runtara_framework.runtime.events import EVENT_LIMIT

EXAMPLES = Path(__file__).parents[1] / "examples" / "steps"
OUTPUTS = {
    "Finish": "",
    "Agent": "`outputs`: what the capability returns.",
    "Conditional": "`outputs`: `{result}`, a boolean.",
    "Switch": "`outputs`: the chosen output. Beside it `route`: the route of the case that matched, else `default`.",
    "Split": "`outputs`: the results in the order of the items. Beside it `data` (`success`; `error`, each `{index, error}`; "
    "`aborted` and `skipped`, indexes), `stats` (their counts and `total`) and `hasFailures`.",
    "While": "`outputs`: `{iterations, outputs}`, the last iteration's outputs. Beside it `iterations`.",
    "StartScenario": "`outputs`: the child's result. Beside it `childScenarioId`.",
    "Log": "`outputs`: `{level, message}`.",
    "Connection": "`outputs`: `{parameters, integration_id, connection_subtype}`; only a secure agent may read them, as its "
    "input `_connection`.",
    "Error": "",
    "Filter": "`outputs`: `{items, count}`.",
    "GroupBy": "`outputs`: `{groups, counts, total_groups}`; `total_groups` counts the groups that have members.",
    "Delay": "`outputs`: `{duration_ms}`. Beside it `duration_ms`.",
    "WaitForSignal": "`outputs`: the payload. Beside it `signal_id`: the key to send it to.",
}
OPERATOR_MEANINGS = {
    "AND": "are all true? Stops at the first that is not",
    "OR": "is one true? Stops there",
    "NOT": "is it not true?",
    "EQ": "are they equal? Numbers by value, a number and a numeric text too; a boolean equals a boolean only; arrays and "
    "objects member by member",
    "NE": "are they not equal?",
    "GT": "is a > b? For two numbers, a number and a numeric text, or two texts (as moments if both are "
    "ISO 8601, else by code point); else false",
    "GTE": "is a ≥ b? As for `GT`",
    "LT": "is a < b? As for `GT`",
    "LTE": "is a ≤ b? As for `GT`",
    "STARTS_WITH": "does the text a begin with b?",
    "ENDS_WITH": "does the text a end with b?",
    "CONTAINS": "has the array a a member equal to b, or the text a the text b in it?",
    "IN": "is a equal to a member of the array b?",
    "NOT_IN": "not `IN`; so true when b is no array",
    "LENGTH": "a number: characters of a text, members of an array or object, 0 for null; null for numbers and booleans",
    "IS_DEFINED": "is it not null?",
    "IS_EMPTY": 'is it null, "", [] or {}?',
    "IS_NOT_EMPTY": "not `IS_EMPTY`",
}
RUN_TIME = {
    "AGENT_INPUT_INVALID": "an input of a capability is of the wrong type or value; `attributes.fields` lists them",
    "REQUIRED_INPUT_NULL": "a required input of a capability is null",
    "AGENT_NOT_FOUND": "no agent of that name is installed where the instance runs",
    "CAPABILITY_NOT_FOUND": "the agent has no such capability",
    "AGENT_UNAVAILABLE": "the agent is installed but cannot be used there",
    "CAPABILITY_ERROR": "a capability failed in a way that it does not declare",
    "STEP_TIMEOUT": "an attempt of an Agent or StartScenario step took longer than its `timeout`",
    "SPLIT_TIMEOUT": "a Split took longer than its `timeout`",
    "WHILE_TIMEOUT": "a While took longer than its `timeout`",
    "WAIT_TIMEOUT": "no valid signal came within `timeoutMs`",
    "EXECUTION_TIMEOUT": "the instance used more running time than it may",
    "OUT_OF_MEMORY": "a step, or the program, needed more memory than its `memoryTier` allows or the machine has",
    "SPLIT_INPUT_INVALID": "the value of a Split is no array, or an item breaks the step's `inputSchema`",
    "FILTER_INPUT_INVALID": "the value of a Filter is neither an array nor null",
    "GROUP_BY_INPUT_INVALID": "the value of a GroupBy is neither an array nor null",
    "SWITCH_NO_MATCH": "a routing Switch has no edge for the route, and none labelled `default`",
    "CHILD_FAILED": "a child scenario failed; `cause` is its error",
    "ON_CANCEL_TIMEOUT": "the `onCancel` of a child scenario took longer than 30 s (in the event `on_cancel_failed`)",
    "RATE_LIMIT_BUDGET_EXCEEDED": "waits for rate limits took longer than `rateLimitBudgetMs`",
    "PATH_TYPE_ERROR": "a path asks an array for a named key",
    "PATH_SYNTAX_ERROR": "a path is malformed",
    "COERCION_FAILED": "a value cannot be converted to the type that its mapping asks for",
    "TEMPLATE_ERROR": "a template is malformed, goes through a missing value, or grows too large, or a function of the "
    "stdlib failed; `attributes.function` names it",
    "STDLIB_UNAVAILABLE": "the stdlib of the program is not installed where the instance runs, or does not fit",
    "INPUT_INVALID": "the input does not satisfy the `inputSchema`; `attributes.violations` lists them",
    "OUTPUT_INVALID": "a result does not satisfy the `outputSchema`",
    "OUTPUT_TOO_LARGE": "the output of a step is too large",
    "CONNECTION_SERVICE_MISSING": "a connection is needed and nobody can be asked for it",
    "CONNECTION_NOT_FOUND": "the connection service does not know the connection",
    "CONNECTION_MISMATCH": "the connection is of another type than the step asks for",
    "CONNECTION_INVALID": "the parameters of the connection are not those of its type",
    "CONNECTION_FETCH_FAILED": "the connection service did not answer, or answered something else",
    "CONNECTION_RATE_LIMITED": "the connection is rate-limited; the step waits and tries again",
    "UNHANDLED_ERROR": "a program failed in a way that nobody foresaw; `attributes.type` has the exception",
}
"""Codes of failures that the engine itself gives, beside those of agents and Error steps."""


MAPPING = {models.Reference, models.Immediate, models.Composite, models.Template}
CONDITION = {models.Operation, models.ReferenceTest, models.ImmediateTest, models.CompositeTest, models.TemplateTest}
NAMES: dict[Any, tuple[str, str]] = {
    str: ("string", "strings"),
    int: ("integer", "integers"),
    float: ("number", "numbers"),
    bool: ("boolean", "booleans"),
    Any: ("any JSON", "any JSON"),
    models.ExecutionGraph: ("[graph](#documents)", "[graphs](#documents)"),
    models.Edge: ("[edge](#edges)", "[edges](#edges)"),
    models.Variable: ("[variable](#variables)", "[variables](#variables)"),
    models.SchemaField: ("[field](#schemas)", "[fields](#schemas)"),
    "mapping value": ("[mapping value](#mapping-values)", "[mapping values](#mapping-values)"),
    "condition": ("[condition](#conditions)", "[conditions](#conditions)"),
    "argument": ("condition or mapping value", "conditions and mapping values"),
    "members": ("object or array of mapping values", ""),
    "step": ("step", "[steps](#steps)"),
}
"""Of a type, and of many."""


def kind(annotation: Any, metadata: list[Any], *, many: bool = False) -> str:
    """The type of a field, for people."""
    whole = _union(annotation)
    if whole is not None:
        return NAMES[whole][many]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        metadata = [bound for item in arguments[1:] for bound in getattr(item, "metadata", [item])]
        return kind(arguments[0], metadata, many=many)
    if arguments == MATCH_TYPES:
        return "[match type](#match-types)"
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is list:
        return f"array of {kind(arguments[0], [], many=True)}"
    if origin is dict:
        return f"object of {kind(arguments[1], [], many=True)}"
    if origin in (Union, UnionType):
        return " or ".join(kind(part, []) for part in arguments if part is not NoneType)
    if annotation in NAMES:
        return NAMES[annotation][many] + _bounds(metadata)
    name: str = annotation.__name__
    return f"[{name}](#{name.lower()})"


def _union(annotation: Any) -> str | None:
    """The name of the unions that everything is made of, if it is one."""
    members = set(_members(annotation)) - {NoneType}
    if len(members) == 1:
        return None
    if members == MAPPING:
        return "mapping value"
    if members == CONDITION:
        return "condition"
    if members == MAPPING | CONDITION:
        return "argument"
    if members == set(models.STEP_MODELS.values()):
        return "step"
    return "members" if {get_origin(member) for member in members} == {dict, list} else None


def _members(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for part in get_args(annotation):
            yield from _members(part)
    else:
        yield annotation


def _bounds(metadata: list[Any]) -> str:
    bounds = [f"at least {bound.ge}" for bound in metadata if getattr(bound, "ge", None) is not None]
    bounds += [f"at most {bound.le}" for bound in metadata if getattr(bound, "le", None) is not None]
    return f", {' and '.join(bounds)}" if bounds else ""


def table(model: type[Model], *without: str) -> str:
    """The fields of a model."""
    rows = [
        f"| `{info.alias}` | {kind(info.annotation, info.metadata)} | {_default(info)} | {info.description} |"
        for name, info in model.model_fields.items()
        if name not in without
    ]
    return "\n".join(["| field | type | default | meaning |", "| --- | --- | --- | --- |", *rows])


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    return "–" if isinstance(value, Model) or value in (None, {}, []) else f"`{json.dumps(value)}`"


# -- regions ------------------------------------------------------------------------------------------------


def example_name(step_type: str) -> str:
    """`WaitForSignal` is `wait-for-signal`; a type with several examples has them under `name-…`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", step_type).lower()


def examples_of(step_type: str) -> list[str]:
    """The examples of a step type."""
    name = example_name(step_type)
    stems = sorted(path.stem for path in EXAMPLES.glob("*.json") if "." not in path.stem)
    return [stem for stem in stems if stem == name or stem.startswith(f"{name}-")]


COMMON = ("step_type", "id", "name", "breakpoint")


def all_steps() -> str:
    """A section for each step type."""
    lines = []
    for step_type, model in models.STEP_MODELS.items():
        links = ", ".join(f"[{name}.json](../../examples/steps/{name}.json)" for name in examples_of(step_type))
        handler = "An `onError` edge may leave it." if model.on_error_allowed else "It has no `onError` edge."
        about = (model.__doc__, OUTPUTS[step_type], handler, f"Example: {links}.")
        lines += [f"### {step_type}", "", " ".join(text for text in about if text), ""]
        if set(model.model_fields) - set(COMMON):
            lines += [table(model, *COMMON), ""]
        for part in PARTS.get(step_type, ()):
            about_part = str(part.__doc__).replace(" (DSL.md 6)", "")  # a page of the design, for developers
            lines += [f"#### {part.__name__}", "", about_part, "", table(part), ""]
    return "\n".join(lines).rstrip()


PARTS: dict[str, tuple[type[Model], ...]] = {
    "Agent": (models.Compensation,),
    "Switch": (models.SwitchConfig, models.SwitchCase),
    "Split": (models.SplitConfig,),
    "While": (models.WhileConfig,),
    "Filter": (models.FilterConfig,),
    "GroupBy": (models.GroupByConfig,),
    "WaitForSignal": (models.WaitAction,),
}


def examples() -> str:
    """Every example, with what its own description says."""
    lines = ["| example | what it shows |", "| --- | --- |"]
    for path in sorted(EXAMPLES.glob("*.json")):
        if "." not in path.stem:
            document = json.loads(path.read_text())
            lines.append(f"| [{path.stem}]({path.name}) | {document.get('executionGraph', document)['description']} |")
    return "\n".join(lines)


def operators() -> str:
    """The operators of conditions: how many arguments, and what they say. Raises `KeyError` for one without a meaning."""
    lines = ["| operator | arguments | gives |", "| --- | --- | --- |"]
    for operator in OPERATORS:
        least, most = conditions.ARITY[operator]
        count = f"{least} or more" if most is None else str(most)
        lines.append(f"| `{operator}` | {count} | {OPERATOR_MEANINGS[operator]} |")
    return "\n".join(lines)


def limits() -> str:
    """What is limited, and how much."""
    kept = Limits()
    rows = [
        ("graphs inside graphs", f"{kept.nesting}", "`E130`"),
        ("steps of a graph", f"{kept.steps}", "`E131`"),
        ("levels of a mapping, condition or literal", f"{kept.value_depth}", "`E130`"),
        ("iterations of a loop, items of a Split", f"{bounds.MAX_ITERATIONS}", "`E018`, `SPLIT_INPUT_INVALID`"),
        ("a time limit, a delay, a sleep", f"{bounds.MAX_MILLIS} ms (ten years)", "`E018`, `COERCION_FAILED`"),
        ("pattern of a schema", f"{MAX_PATTERN} characters", "`E059`"),
        ("violations that are listed", f"{MOST_VIOLATIONS}", "counted"),
        ("text of a template, and any that it makes on the way", f"{MAX_OUTPUT} characters", "`TEMPLATE_ERROR`"),
        ("passes of loops and calls of a template", f"{MAX_TURNS}", "`TEMPLATE_ERROR`"),
        ("output of a step", f"{OUTPUT_LIMIT // 2**20} MiB", "`OUTPUT_TOO_LARGE`"),
        ("payload of an event that a step emits", f"{EVENT_LIMIT // 2**10} KiB", "cut, and marked with `_truncated`"),
        ("wait between two attempts", f"{LONGEST_WAIT_MS // 60_000} minutes", "shortened to that"),
        ("`onCancel`, and compensation at a cancel", f"{ON_CANCEL_SECONDS} s", "interrupted"),
    ]
    return "\n".join(
        ["| what | limit | beyond it |", "| --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in rows)]
    )


def run_time_codes() -> str:
    """Codes of the engine."""
    rows = [f"| `{code}` | {meaning} |" for code, meaning in sorted(RUN_TIME.items())]
    return "\n".join(["| code | meaning |", "| --- | --- |", *rows])


def validation_codes() -> str:
    """Codes of findings."""
    rows = [f"| `{code}` | {severity(code)} | {meaning} |" for code, meaning in MEANINGS.items()]
    return "\n".join(["| code | severity | meaning |", "| --- | --- | --- |", *rows])


def match_types() -> str:
    """Those of conditions, and those of Switch alone."""
    shared = ", ".join(f"`{name}`" for name in MATCH_TYPES if name in OPERATORS)
    own = " and ".join(f"`{name}`" for name in MATCH_TYPES if name not in OPERATORS)
    return f"As in conditions: {shared}. For Switch alone: {own}."


REGIONS: dict[str, Callable[[], str]] = {
    "scenario": lambda: table(models.Scenario),
    "graph": lambda: table(models.ExecutionGraph),
    "variable": lambda: table(models.Variable),
    "schema-field": lambda: table(models.SchemaField),
    "visible-when": lambda: table(models.VisibleWhen),
    "steps": all_steps,
    "examples": examples,
    "edge": lambda: table(models.Edge),
    "reference": lambda: table(models.Reference),
    "operators": operators,
    "match-types": match_types,
    "limits": limits,
    "run-time-codes": run_time_codes,
    "validation-codes": validation_codes,
}
