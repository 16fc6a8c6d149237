"""Calling a capability: what goes in, what comes out, and what a failure looks like."""

from __future__ import annotations

import asyncio
import json
import threading
import traceback
from collections.abc import AsyncIterator
from typing import Any

import pytest

from runtara_framework.agents import AgentError, CapabilityContext, Connection
from runtara_framework.agents.registry import AgentRegistry

from .sample_agent import Shop

SECRET = 'k3y-/very secret"é'


@pytest.fixture
async def registry() -> AsyncIterator[AgentRegistry]:
    async with AgentRegistry() as registry:
        registry.add(Shop)
        yield registry


def context(connection: Connection | None = None, **fields: Any) -> CapabilityContext:
    defaults: dict[str, Any] = {"tenant_id": "t", "instance_id": "i", "step_key": "s"}
    return CapabilityContext(**(defaults | fields), connection=connection)


def shop_key(**parameters: Any) -> Connection:
    return Connection("shop_key", {"key": SECRET} | parameters)


async def fails(registry: AgentRegistry, capability: str, inputs: Any, ctx: CapabilityContext) -> AgentError:
    with pytest.raises(AgentError) as caught:
        await registry.invoke("shop", capability, inputs, ctx)
    return caught.value


async def test_a_sync_capability_runs_in_a_thread_and_answers_under_the_names_of_the_wire(
    registry: AgentRegistry,
) -> None:
    output = await registry.invoke("shop", "add", {"left": 2, "rightSide": 3}, context())
    assert output == {"total": 5, "ranIn": "runtara-capability"}


async def test_an_alias_of_a_capability_and_of_an_input_mean_the_real_ones(registry: AgentRegistry) -> None:
    assert (await registry.invoke("shop", "add", {"a": 2, "b": 3}, context()))["total"] == 5
    assert (await registry.invoke("SHOP", "buy", {"sku": "A"}, context()))["order"] == "A x 1"


async def test_an_input_and_its_alias_together_are_refused(registry: AgentRegistry) -> None:
    error = await fails(registry, "add", {"a": 2, "left": 3}, context())
    assert error.code == "AGENT_INPUT_INVALID"
    assert "`a` is another name of `left`" in error.message


async def test_every_wrong_field_is_named_and_no_value_is_shown(registry: AgentRegistry) -> None:
    error = await fails(registry, "order", {"quantity": -4711, "speed": "warp-drive"}, context())
    assert error.code == "AGENT_INPUT_INVALID"
    assert error.category == "permanent"
    assert {one["field"] for one in error.attributes["fields"]} == {"sku", "quantity", "speed"}
    assert "shop/order" in error.message and "`sku`" in error.message
    assert "4711" not in error.message and "warp-drive" not in error.message


async def test_null_for_an_optional_field_means_absent(registry: AgentRegistry) -> None:
    inputs = {"sku": "A", "quantity": None, "speed": None, "note": None}
    assert (await registry.invoke("shop", "order", inputs, context()))["order"] == "A x 1"


async def test_null_for_a_required_field_has_a_code_of_its_own(registry: AgentRegistry) -> None:
    error = await fails(registry, "order", {"sku": None, "quantity": None}, context())
    assert error.code == "REQUIRED_INPUT_NULL"
    assert "`sku`" in error.message and "quantity" not in error.message


async def test_null_and_another_problem_are_both_reported(registry: AgentRegistry) -> None:
    error = await fails(registry, "order", {"sku": None, "quantity": 0}, context())
    assert error.code == "AGENT_INPUT_INVALID"
    assert {one["field"] for one in error.attributes["fields"]} == {"sku", "quantity"}


async def test_inputs_that_are_no_object_are_refused(registry: AgentRegistry) -> None:
    assert (await fails(registry, "order", ["sku"], context())).code == "AGENT_INPUT_INVALID"


async def test_unknown_inputs_are_ignored(registry: AgentRegistry) -> None:
    assert (await registry.invoke("shop", "order", {"sku": "A", "colour": "red"}, context()))["order"] == "A x 1"


async def test_the_output_shares_nothing_with_the_input(registry: AgentRegistry) -> None:
    value = {"list": [1, {"x": None}], "big": 2**70, "text": "grün"}
    output = await registry.invoke("shop", "echo", {"value": value}, context())
    assert output == value
    output["list"].append(2)
    assert value["list"] == [1, {"x": None}]


async def test_data_that_looks_like_an_internal_marker_stays_data(registry: AgentRegistry) -> None:
    for value in ({"$ref": "#"}, {"valueType": "reference", "value": "data.x"}, {"_connection": {"a": 1}}):
        assert await registry.invoke("shop", "echo", {"value": value}, context()) == value


@pytest.mark.parametrize("value", [object(), "\ud800", {1, 2, object()}])
async def test_an_output_that_is_no_json_is_a_failure(registry: AgentRegistry, value: object) -> None:
    error = await fails(registry, "echo", {"value": value}, context())
    assert error.code == "CAPABILITY_ERROR"
    assert "output type" in error.message


async def test_an_output_of_the_wrong_shape_is_a_failure_that_names_the_field(registry: AgentRegistry) -> None:
    error = await fails(registry, "order", {"sku": "A", "behaviour": "wrong"}, context())
    assert (error.code, error.category) == ("CAPABILITY_ERROR", "permanent")
    assert "`order`" in error.message and "`key`" in error.message


async def test_a_capability_without_input_and_output_answers_null(registry: AgentRegistry) -> None:
    assert await registry.invoke("shop", "nothing", {}, context()) is None


async def test_an_agent_error_arrives_as_it_was_raised(registry: AgentRegistry) -> None:
    error = await fails(registry, "order", {"sku": "A", "behaviour": "busy"}, context())
    assert error.to_failure() == {
        "code": "SHOP_BUSY",
        "message": "busy",
        "category": "transient",
        "severity": "warning",
        "retryAfterMs": 700,
        "attributes": {},
    }
    assert error.retryable


@pytest.mark.parametrize(
    ("behaviour", "category", "text"),
    [
        ("break", "permanent", "shop/order failed: RuntimeError: bad key nothing"),
        ("network", "transient", "shop/order failed: ConnectionResetError: reset by peer"),
        ("missing", "permanent", "shop/order failed: FileNotFoundError: no file"),
        ("exit", "permanent", "shop/order failed: SystemExit: 3"),
    ],
)
async def test_any_other_exception_becomes_a_capability_error(
    registry: AgentRegistry, behaviour: str, category: str, text: str
) -> None:
    error = await fails(registry, "order", {"sku": "A", "behaviour": behaviour}, context())
    assert (error.code, error.category, error.message) == ("CAPABILITY_ERROR", category, text)
    assert type(error.__cause__).__name__ == error.attributes["exception"]


@pytest.mark.parametrize("behaviour", ["refuse", "break", "chain"])
async def test_a_secret_of_the_connection_is_in_no_part_of_a_failure(registry: AgentRegistry, behaviour: str) -> None:
    error = await fails(registry, "order", {"sku": "A", "behaviour": behaviour}, context(shop_key()))
    printed = "".join(traceback.format_exception(error))
    whole = json.dumps(error.to_failure()) + repr(error) + printed
    for form in (SECRET, json.dumps(SECRET)[1:-1], "k3y-%2Fvery"):
        assert form not in whole


async def test_a_secret_of_the_connection_that_a_service_sends_back_is_not_in_the_result(
    registry: AgentRegistry,
) -> None:
    output = await registry.invoke("shop", "order", {"sku": "A", "behaviour": "echo"}, context(shop_key()))
    assert output["order"] == "you sent key=***"


async def test_a_secret_input_is_in_no_part_of_a_failure(registry: AgentRegistry) -> None:
    inputs = {"sku": "A", "pin": "nothing", "behaviour": "break"}  # the message says "bad key nothing"
    error = await fails(registry, "order", inputs, context())
    assert error.message == "shop/order failed: RuntimeError: bad key ***"
    assert error.__cause__ is None


async def test_the_connection_is_checked_before_the_capability_sees_it(registry: AgentRegistry) -> None:
    error = await fails(registry, "order", {"sku": "A"}, context(Connection("shop_key", {"region": SECRET})))
    assert error.code == "CONNECTION_INVALID"
    assert "`key`: Field required" in error.message
    assert SECRET not in repr(error) + json.dumps(error.to_failure())


async def test_a_connection_of_another_type_is_refused(registry: AgentRegistry) -> None:
    error = await fails(registry, "order", {"sku": "A"}, context(Connection("sftp", {"password": SECRET})))
    assert error.code == "CONNECTION_INVALID"
    assert error.message == "agent 'shop' takes shop_key, not one of type 'sftp'"


async def test_a_secure_agent_takes_the_result_of_a_connection_step(registry: AgentRegistry) -> None:
    given = {"integration_id": "shop_key", "parameters": {"key": SECRET}, "connection_subtype": None}
    inputs = {"sku": "A", "_connection": given, "behaviour": "refuse"}
    error = await fails(registry, "order", inputs, context())
    assert error.message == "no with ***"
    assert error.attributes == {"sent": ["?key=***"]}


@pytest.mark.parametrize("given", ["text", {"integration_id": "shop_key"}, {"parameters": {}}])
async def test_a_malformed_connection_input_is_refused(registry: AgentRegistry, given: object) -> None:
    error = await fails(registry, "order", {"sku": "A", "_connection": given}, context())
    assert error.code == "CONNECTION_INVALID"


async def test_cancelling_reaches_an_async_capability(registry: AgentRegistry) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await registry.invoke("shop", "order", {"sku": "A", "behaviour": "wait"}, context())


async def test_cancelling_a_thread_returns_at_once(registry: AgentRegistry) -> None:
    signals = {"started": threading.Event(), "release": threading.Event()}
    task = asyncio.create_task(registry.invoke("shop", "block", {"value": signals}, context()))
    await asyncio.to_thread(signals["started"].wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    signals["release"].set()


async def test_more_threads_than_any_pool_run_at_once(registry: AgentRegistry) -> None:
    release = threading.Event()
    started = [threading.Event() for _ in range(64)]
    calls = [
        asyncio.create_task(
            registry.invoke("shop", "block", {"value": {"started": one, "release": release}}, context())
        )
        for one in started
    ]
    for one in started:
        assert await asyncio.to_thread(one.wait, 30)
    release.set()
    await asyncio.gather(*calls)


async def test_an_unknown_agent_names_the_nearest(registry: AgentRegistry) -> None:
    with pytest.raises(AgentError) as caught:
        await registry.invoke("shpo", "order", {}, context())
    assert caught.value.code == "AGENT_NOT_FOUND"
    assert "did you mean 'shop'?" in caught.value.message


async def test_an_unknown_capability_names_the_nearest_and_all(registry: AgentRegistry) -> None:
    error = await fails(registry, "ordre", {}, context())
    assert error.code == "CAPABILITY_NOT_FOUND"
    assert "did you mean 'order'?" in error.message and "it has: add, order, echo, block, nothing" in error.message


async def test_the_idempotency_key_belongs_to_the_step_and_to_nothing_else(registry: AgentRegistry) -> None:
    async def key(**fields: Any) -> str:
        return str((await registry.invoke("shop", "order", {"sku": "A"}, context(**fields)))["key"])

    first = await key()
    assert len(first) == 32
    assert first == await key(attempt=3, deadline_ms=1)
    others = {await key(tenant_id="t2"), await key(instance_id="i2"), await key(step_key="s2")}
    assert len(others | {first}) == 4


async def test_closing_the_registry_closes_the_agents() -> None:
    async with AgentRegistry() as registry:
        holder = registry.add(Shop).holder
    assert isinstance(holder, Shop)
    assert holder.closed == 1
