"""One call of one capability: check the input, run it, dump the output, and turn whatever goes wrong into a failure.

Every failure that leaves this file is an `AgentError` without secrets: the parameters of the connection that are secret
and the inputs that are secret are masked in its message and attributes, and a cause that shows one is cut off.
Cancellation passes through untouched.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from runtara_framework.agents.context import CapabilityContext, Connection
from runtara_framework.agents.errors import (
    AGENT_INPUT_INVALID,
    CAPABILITY_ERROR,
    CONNECTION_INVALID,
    REQUIRED_INPUT_NULL,
    AgentError,
    Category,
)
from runtara_framework.agents.redaction import Redactor
from runtara_framework.agents.running import Alien, run_in_task, run_in_thread
from runtara_framework.errors import RuntaraError
from runtara_framework.memory import LIMIT, OUT_OF_MEMORY, ran_out, told
from runtara_framework.sdk.values import not_a_number

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    from runtara_framework.agents.loading import Agent, Capability

CONNECTION_INPUT = "_connection"
"""The input under which a scenario hands the result of a Connection step to a secure agent."""

# The world failed, so the next attempt may succeed; a file that is not there will not come by waiting.
_TRANSIENT = (OSError, TimeoutError)
_NOT_TRANSIENT = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)

_LOGGER = logging.getLogger("runtara.agents")


async def call(agent: Agent, capability: Capability, inputs: Mapping[str, Any], context: CapabilityContext) -> Any:
    """Run the capability; return plain JSON that shares nothing with the input. Raises `AgentError` only.

    The secrets of the connection are in neither: a result is kept, and services like to say what they were sent."""
    try:
        if not isinstance(inputs, Mapping):
            raise AgentError(AGENT_INPUT_INVALID, f"input of {agent.id}/{capability.id} is not an object")
        values = dict(inputs)
        with LIMIT.lifted:
            context = _bind_connection(agent, values, context)
            arguments = _arguments(capability, values, context)
        result = await _run(capability, arguments)
        with LIMIT.lifted:
            output, size = _dump(capability, result)
        del result  # both of them are there only meanwhile
        LIMIT.check(size)
        if context.connection is not None and context.connection.typed is not None:
            output = Redactor(context.connection.typed.secret_texts()).value(output)
        return output
    except Exception as error:
        failure = _failure(agent, capability, error.raised if isinstance(error, Alien) else error)
        _redact(failure, _secrets(agent, capability, inputs, context))
    # Outside of the `except`, so that nothing unmasked hangs on as `__context__`.
    raise failure


# -- the connection ---------------------------------------------------------------------------------------


def _bind_connection(agent: Agent, values: dict[str, Any], context: CapabilityContext) -> CapabilityContext:
    connection = context.connection
    given = values.pop(CONNECTION_INPUT, None)
    if given is not None:
        if not agent.declaration.secure:
            raise AgentError(
                CONNECTION_INVALID, f"agent {agent.id!r} is not secure and may not be given a connection's parameters"
            )
        connection = _from_input(given)
    if connection is None:
        return context
    kinds = {kind.integration_id: kind for kind in agent.declaration.connection_types}
    kind = kinds.get(connection.integration_id)
    if kind is None:
        takes = f"takes {', '.join(sorted(kinds))}" if kinds else "takes no connection"
        raise AgentError(
            CONNECTION_INVALID,
            f"agent {agent.id!r} {takes}, not one of type {connection.integration_id!r}",
            attributes={"integration_id": connection.integration_id},
        )
    from pydantic import ValidationError

    try:
        typed = kind.model_validate(dict(connection.parameters))
    except ValidationError as error:
        problems = _problems(error)
        raise AgentError(
            CONNECTION_INVALID,
            f"parameters of the {connection.integration_id} connection are not valid: {_joined(problems)}",
            attributes={"integration_id": connection.integration_id, "fields": problems},
        ) from None
    return context.with_connection(connection.with_typed(typed))


def _from_input(given: Any) -> Connection:
    if not isinstance(given, Mapping):
        raise AgentError(CONNECTION_INVALID, f"`{CONNECTION_INPUT}` must be the outputs of a Connection step")
    try:
        return Connection.from_wire(given)
    except ValueError as error:
        raise AgentError(CONNECTION_INVALID, f"`{CONNECTION_INPUT}`: {error}") from error


# -- input ------------------------------------------------------------------------------------------------


def _arguments(capability: Capability, values: dict[str, Any], context: CapabilityContext) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if capability.input_parameter is not None:
        arguments[capability.input_parameter] = check_input(capability, values)
    if capability.context_parameter is not None:
        arguments[capability.context_parameter] = context
    return arguments


def check_input(capability: Capability, values: Mapping[str, Any]) -> BaseModel:
    """The input model made from JSON values. A null for a field that has a default counts as absent.

    Raises `AgentError` AGENT_INPUT_INVALID, or REQUIRED_INPUT_NULL if nulls are all that is wrong."""
    from pydantic import ValidationError

    model = capability.input_model
    if model is None:
        raise TypeError(f"{capability.id} takes no input")
    values = _canonical(capability, values)
    try:
        return model.model_validate(values)
    except ValidationError as first:
        nulls = {str(error["loc"][0]) for error in first.errors(include_url=False) if _is_null(error, values)}
        problem = first
        if nulls:
            try:
                return model.model_validate({k: v for k, v in values.items() if k not in nulls})
            except ValidationError as second:
                problem = second
    problems = _problems(problem)
    where = f"{capability.agent_id}/{capability.id}"
    code, text = AGENT_INPUT_INVALID, f"input of {where} is not valid: {_joined(problems)}"
    if all(one["field"] in nulls for one in problems):
        names = ", ".join(f"`{one['field']}`" for one in problems)
        code, text = REQUIRED_INPUT_NULL, f"required input of {where} is null: {names}"
    raise AgentError(code, text, attributes={"fields": problems}) from None


def _canonical(capability: Capability, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values under the real names of the inputs."""
    aliases = capability.declaration.input_aliases
    if not aliases or not any(alias in values for alias in aliases):
        return values
    renamed = dict(values)
    for alias, name in aliases.items():
        if alias in renamed:
            if name in renamed:
                text = f"`{alias}` is another name of `{name}`: give one of them"
                raise AgentError(
                    AGENT_INPUT_INVALID,
                    f"input of {capability.agent_id}/{capability.id} is not valid: {text}",
                    attributes={"fields": [{"field": alias, "problem": text}]},
                )
            renamed[name] = renamed.pop(alias)
    return renamed


def _is_null(error: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    place = error["loc"]
    return bool(place) and place[0] in values and values[place[0]] is None


def _problems(error: ValidationError) -> list[dict[str, str]]:
    """What pydantic found, without the values: they may be secret, and they may be huge."""
    found: dict[str, str] = {}
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        field = ".".join(str(part) for part in one["loc"]) or "(input)"
        found.setdefault(field, one["msg"])
    return [{"field": field, "problem": problem} for field, problem in found.items()]


def _joined(problems: list[dict[str, str]]) -> str:
    return "; ".join(f"`{one['field']}`: {one['problem']}" for one in problems)


# -- running ----------------------------------------------------------------------------------------------


async def _run(capability: Capability, arguments: dict[str, Any]) -> Any:
    if capability.is_async:
        name = f"{capability.agent_id}/{capability.id}"
        return await run_in_task(lambda: capability.function(**arguments), name)
    return await run_in_thread(lambda: capability.function(**arguments))


def _dump(capability: Capability, result: Any) -> tuple[Any, int]:
    """The result as plain JSON, and how long its text is."""
    adapter = capability.output
    try:
        checked = adapter.validate_python(result)
        data = adapter.dump_json(checked, by_alias=True, warnings="error")
        # pydantic writes NaN and infinities as null; look for one only where there is a null at all.
        if b"null" in data and (place := not_a_number(checked, "the output")):
            raise ValueError(f"{place} is no finite number")
        return msgspec.json.decode(data), len(data)
    except Exception as error:
        from pydantic import ValidationError

        reason = _joined(_problems(error)) if isinstance(error, ValidationError) else str(error)
        raise AgentError(
            CAPABILITY_ERROR,
            f"{capability.agent_id}/{capability.id} returned what its output type does not allow: {reason}",
        ) from None


# -- failing ----------------------------------------------------------------------------------------------


def _failure(agent: Agent, capability: Capability, error: BaseException) -> AgentError:
    if isinstance(error, AgentError):
        return _in_order(f"{agent.id}/{capability.id}", error)
    if ran_out(error):
        message, facts = told(error)
        return AgentError(OUT_OF_MEMORY, f"{agent.id}/{capability.id} failed: {message}", attributes=facts)
    if isinstance(error, RuntaraError):
        category: Category = "transient" if error.retryable else "permanent"
    else:
        retry = isinstance(error, _TRANSIENT) and not isinstance(error, _NOT_TRANSIENT)
        category = "transient" if retry else "permanent"
    text = str(error)
    failure = AgentError(
        CAPABILITY_ERROR,
        f"{agent.id}/{capability.id} failed: {type(error).__name__}{': ' if text else ''}{text}",
        category=category,
        attributes={"exception": type(error).__name__},
    )
    failure.__cause__ = error
    return failure


def _in_order(name: str, error: AgentError) -> AgentError:
    """The error with a code, a category and a wait that mean something: nothing checked them when it was made. What had
    to be changed is said in the log, for the author of the agent."""
    given = (error.code, error.category, error.retry_after_ms)
    error.code = str(error.code)  # type: ignore[misc]  # the object's, not the class's
    if error.category not in get_args(Category):
        error.category = "permanent"
    wait: float | None = error.retry_after_ms
    if wait is not None:
        usable = isinstance(wait, (int, float)) and math.isfinite(wait)
        error.retry_after_ms = max(0, math.ceil(wait)) if usable else None
    kept = (error.code, error.category, error.retry_after_ms)
    if kept != given:
        _LOGGER.warning("%s raised (code, category, retry_after_ms) %r, which counts as %r", name, given, kept)
    return error


def _secrets(agent: Agent, capability: Capability, inputs: Mapping[str, Any], context: CapabilityContext) -> list[str]:
    found: list[str] = []
    given = inputs.get(CONNECTION_INPUT) if isinstance(inputs, Mapping) else None
    if isinstance(given, Mapping):  # it may have been refused; its parameters are secret all the same
        _collect(given.get("parameters"), found)
    if (connection := context.connection) is not None:
        if connection.typed is not None:
            found += connection.typed.secret_texts()
        else:
            _collect(dict(connection.parameters), found)
    if isinstance(inputs, Mapping):
        for name in capability.secret_inputs & inputs.keys():
            _collect(inputs[name], found)
    return found


def _collect(value: Any, into: list[str]) -> None:
    if isinstance(value, str):
        into.append(value)
    elif isinstance(value, Mapping):
        for member in value.values():
            _collect(member, into)
    elif isinstance(value, list | tuple):
        for member in value:
            _collect(member, into)


def _redact(failure: AgentError, secrets: list[str]) -> None:
    hide = Redactor(secrets)
    failure.message = hide.text(failure.message)
    failure.args = (failure.message,)
    failure.details = hide.value(failure.details)
    # A log prints the chain of causes; keep it only as long as nothing in it is secret.
    link: BaseException = failure
    while (cause := link.__cause__ or link.__context__) is not None:
        if hide.text(repr(cause)) != repr(cause) or hide.text(str(cause)) != str(cause):
            link.__cause__ = link.__context__ = None
            break
        link = cause
