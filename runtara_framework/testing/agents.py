"""Conformance of agents: inherit `AgentConformance`, say which agent, and give samples.

    class TestMyErp(AgentConformance):
        @pytest.fixture
        def agent(self):
            return "my-erp"  # the entry point's name; or the decorated class, object or module itself

        @pytest.fixture
        def samples(self):
            return [Sample("create-order", {"sku": "A-1", "quantity": 2})]

The suite proves what `runtara_framework/spec/agent.py` asks for: everything is described, the schemas are valid and true,
bad input is refused by name, outputs are JSON, pure capabilities are pure, failures carry declared codes, and a secret is
in no error, log or repr.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator

from runtara_framework.agents import AgentError, CapabilityContext, Connection
from runtara_framework.agents.errors import AGENT_INPUT_INVALID, ENGINE_CODES
from runtara_framework.agents.loading import Agent
from runtara_framework.agents.metadata import CapabilityInfo
from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.testing.suite import Conformance

_WRONG_VALUES: tuple[Any, ...] = ({"unexpected": [True]}, [["unexpected"]], "unexpected", -1.5, True)


@dataclass(frozen=True)
class Sample:
    """One call that works: the inputs, and the connection if it needs one."""

    capability: str
    inputs: dict[str, Any] = field(default_factory=dict)
    connection: Connection | None = None


@dataclass(frozen=True)
class Failing:
    """One call that fails, and the code that it fails with."""

    capability: str
    inputs: dict[str, Any]
    code: str
    connection: Connection | None = None


class AgentConformance(Conformance):
    """Inherit it; see the module."""

    # -- must override ------------------------------------------------------------------------------------

    @pytest.fixture
    def agent(self) -> Any:
        """The agent: its id if it is installed, else the decorated class, object or module."""
        pytest.fail("override the fixture `agent`: the id of your agent, or the decorated thing itself")

    @pytest.fixture
    def samples(self) -> Sequence[Sample]:
        """At least one call that works for every capability."""
        pytest.fail("override the fixture `samples`: one Sample or more for every capability")

    # -- may override -------------------------------------------------------------------------------------

    @pytest.fixture
    def failures(self) -> Sequence[Failing]:
        """Calls that fail with codes of the agent's own. Every declared code that can be brought about."""
        return ()

    @pytest.fixture
    def secret_connections(self) -> Sequence[Connection]:
        """A valid connection of every type that the agent declares."""
        return ()

    # -- the suite's own ----------------------------------------------------------------------------------

    @pytest_asyncio.fixture
    async def registry(self, agent: Any) -> AsyncIterator[AgentRegistry]:
        async with AgentRegistry() as registry:
            if not isinstance(agent, str):
                registry.add(agent)
            yield registry

    @pytest.fixture
    def loaded(self, agent: Any, registry: AgentRegistry) -> Agent:
        return registry.get(agent if isinstance(agent, str) else cast(Any, agent).__agent__.id)

    @staticmethod
    def _context(connection: Connection | None = None) -> CapabilityContext:
        return CapabilityContext(
            tenant_id="conformance", instance_id="conformance", step_key="step", connection=connection
        )

    def test_agent_and_capabilities_say_what_they_are(self, loaded: Agent) -> None:
        info = loaded.info
        assert info.title, "the agent has no title"
        assert info.description, "the agent has no description"
        for capability in info.capabilities:
            assert capability.title, f"{capability.id} has no title"
            assert capability.description, f"{capability.id} has no description (a docstring will do)"
            for error in capability.errors:
                assert error.category in ("transient", "permanent", "timeout"), f"{capability.id}: {error}"
                assert error.description, f"{capability.id}: {error.code} is not described"

    def test_every_field_is_described(self, loaded: Agent) -> None:
        missing = []
        for capability in loaded.info.capabilities:
            for what, schema in (("input", capability.input_schema), ("output", capability.output_schema)):
                missing += [f"{capability.id}: {what} {name}" for name in _undescribed(schema)]
        for connection in loaded.info.connections:
            missing += [f"{connection.integration_id}: {name}" for name in _undescribed(connection.schema)]
        assert not missing, f"without a description: {', '.join(missing)}"

    def test_schemas_are_valid_json_schema(self, loaded: Agent) -> None:
        for capability in loaded.info.capabilities:
            Draft202012Validator.check_schema(capability.input_schema)
            Draft202012Validator.check_schema(capability.output_schema)
        for connection in loaded.info.connections:
            Draft202012Validator.check_schema(connection.schema)

    def test_metadata_is_plain_json(self, loaded: Agent) -> None:
        for capability in loaded.info.capabilities:
            json.dumps([capability.input_schema, capability.output_schema], allow_nan=False)
            json.dumps([[one.default, list(one.enum)] for one in capability.inputs], allow_nan=False)

    def test_aliases_of_inputs_do_not_hide_inputs(self, loaded: Agent) -> None:
        for capability in loaded.info.capabilities:
            names = {one.name for one in capability.inputs}
            for one in capability.inputs:
                assert not names & set(one.aliases), f"{capability.id}: {one.aliases} is also an input"

    def test_every_capability_has_a_sample(self, loaded: Agent, samples: Sequence[Sample]) -> None:
        missing = {one.id for one in loaded.info.capabilities} - {
            found.id for sample in samples if (found := loaded.capability(sample.capability))
        }
        assert not missing, f"no sample for {', '.join(sorted(missing))}"

    @pytest.mark.asyncio
    async def test_samples_work_as_the_schemas_say(
        self, loaded: Agent, registry: AgentRegistry, samples: Sequence[Sample]
    ) -> None:
        for sample in samples:
            info = _info(loaded, sample.capability)
            if not any(set(one.aliases) & set(sample.inputs) for one in info.inputs):
                Draft202012Validator(info.input_schema).validate(sample.inputs)
            inputs = copy.deepcopy(sample.inputs)
            output = await registry.invoke(loaded.id, sample.capability, inputs, self._context(sample.connection))
            json.dumps(output, allow_nan=False)
            Draft202012Validator(info.output_schema).validate(output)
            assert inputs == sample.inputs, f"{sample.capability} changed its input"

    @pytest.mark.asyncio
    async def test_pure_capabilities_give_the_same_again(
        self, loaded: Agent, registry: AgentRegistry, samples: Sequence[Sample]
    ) -> None:
        for sample in samples:
            if _info(loaded, sample.capability).pure:
                call = (loaded.id, sample.capability, sample.inputs)
                first = await registry.invoke(*call, self._context(sample.connection))
                assert first == await registry.invoke(*call, self._context(sample.connection)), sample

    @pytest.mark.asyncio
    async def test_missing_inputs_are_named(
        self, loaded: Agent, registry: AgentRegistry, samples: Sequence[Sample]
    ) -> None:
        for sample in samples:
            for one in _info(loaded, sample.capability).inputs:
                if one.required:
                    others = (one.name, *one.aliases)
                    inputs = {name: value for name, value in sample.inputs.items() if name not in others}
                    await self._refused(registry, loaded, sample, inputs, one.name)

    @pytest.mark.asyncio
    async def test_inputs_of_the_wrong_type_are_named(
        self, loaded: Agent, registry: AgentRegistry, samples: Sequence[Sample]
    ) -> None:
        for sample in samples:
            info = _info(loaded, sample.capability)
            for one in info.inputs:
                wrong = _wrong_value(info, one.name)
                if wrong is not None:
                    inputs = {k: v for k, v in sample.inputs.items() if k not in one.aliases}
                    await self._refused(registry, loaded, sample, inputs | {one.name: wrong}, one.name)

    @pytest.mark.asyncio
    async def test_failures_carry_declared_codes(
        self, loaded: Agent, registry: AgentRegistry, failures: Sequence[Failing]
    ) -> None:
        for failing in failures:
            info = _info(loaded, failing.capability)
            with pytest.raises(AgentError) as caught:
                await registry.invoke(loaded.id, failing.capability, failing.inputs, self._context(failing.connection))
            error = caught.value
            assert error.code == failing.code, f"{failing}: {error!r}"
            declared = {one.code: one.category for one in info.errors}
            assert error.code in declared or error.code in ENGINE_CODES, f"{error.code} is not declared"
            if error.code in declared:
                assert error.category == declared[error.code], f"{error!r} is declared {declared[error.code]}"
            json.dumps(error.to_failure(), allow_nan=False)

    def test_every_connection_type_has_a_connection(
        self, loaded: Agent, secret_connections: Sequence[Connection]
    ) -> None:
        missing = set(loaded.info.connection_types) - {one.integration_id for one in secret_connections}
        assert not missing, f"no connection in `secret_connections` of type {', '.join(sorted(missing))}"

    @pytest.mark.asyncio
    async def test_secrets_are_in_no_error_log_or_repr(
        self,
        loaded: Agent,
        registry: AgentRegistry,
        samples: Sequence[Sample],
        failures: Sequence[Failing],
        secret_connections: Sequence[Connection],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        kinds = {kind.integration_id: kind for kind in loaded.declaration.connection_types}
        calls = [(sample.capability, {**sample.inputs, **_all_wrong(loaded, sample)}) for sample in samples]
        calls += [(failing.capability, failing.inputs) for failing in failures]
        caplog.set_level(logging.DEBUG)
        for connection in secret_connections:
            checked = _checked(kinds, connection)
            secrets = checked.secret_texts()
            assert secrets, f"{connection.integration_id} has no secret: declare secret fields as SecretStr"
            context = self._context(connection)
            for text in _texts(context, connection, checked):
                assert not _shown(secrets, text), f"a repr shows a secret of {connection.integration_id}"
            for capability, inputs in calls:
                caplog.clear()
                try:
                    await registry.invoke(loaded.id, capability, inputs, context)
                except AgentError as error:
                    for text in _texts(error, *_chain(error), error.to_failure()):
                        assert not _shown(secrets, text), f"{capability}: an error shows a secret"
                assert not _shown(secrets, caplog.text), f"{capability}: a log line shows a secret"

    async def _refused(
        self, registry: AgentRegistry, loaded: Agent, sample: Sample, inputs: dict[str, Any], name: str
    ) -> None:
        with pytest.raises(AgentError) as caught:
            await registry.invoke(loaded.id, sample.capability, inputs, self._context(sample.connection))
        where = f"{sample.capability} with `{name}` = {inputs.get(name, '(missing)')!r}"
        assert caught.value.code == AGENT_INPUT_INVALID, f"{where}: {caught.value!r}"
        assert name in caught.value.message, f"{where}: the message does not name the field"
        assert caught.value.category == "permanent"


def _checked(kinds: dict[str, Any], connection: Connection) -> Any:
    """The checked parameters, whose repr must hide the secrets as well."""
    return kinds[connection.integration_id].model_validate(connection.parameters)


def _info(loaded: Agent, capability: str) -> CapabilityInfo:
    found = loaded.capability(capability)
    assert found is not None, f"a sample names {capability!r}; {loaded.id} has {loaded.capability_names}"
    return found.info


def _undescribed(schema: dict[str, Any]) -> Iterator[str]:
    """The properties of every object in the schema that have no description."""
    for title, part in [("", schema), *schema.get("$defs", {}).items()]:
        for name, own in part.get("properties", {}).items():
            if not own.get("description"):
                yield f"{title}.{name}" if title else name


def _wrong_value(info: CapabilityInfo, name: str) -> Any:
    """A value that the schema of the input does not allow; None if it allows everything."""
    schema = info.input_schema["properties"][name] | {"$defs": info.input_schema.get("$defs", {})}
    validator = Draft202012Validator(schema)
    return next((value for value in _WRONG_VALUES if not validator.is_valid(value)), None)


def _all_wrong(loaded: Agent, sample: Sample) -> dict[str, Any]:
    info = _info(loaded, sample.capability)
    found = {one.name: _wrong_value(info, one.name) for one in info.inputs}
    return {name: value for name, value in found.items() if value is not None}


def _texts(*things: Any) -> Iterator[str]:
    for thing in things:
        yield repr(thing)
        yield str(thing)


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__ or error.__context__
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _shown(secrets: Sequence[str], text: str) -> bool:
    return any(secret in text for secret in secrets)
