"""The client against a real socket: the documented methods, restarts of the server, heartbeats, stale launches."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtara_framework.errors import (
    ConfigError,
    ConnectionFailed,
    InstanceNotFound,
    InvalidState,
    ServerStopping,
    StaleLaunch,
    Unauthenticated,
)
from runtara_framework.sdk.client import Cancelled, InstanceClient, Paused, RuntaraSdk
from runtara_framework.sdk.config import SdkConfig
from runtara_framework.sdk.failure import Failure
from runtara_framework.states import Status
from tests.unit.sdk.conftest import CoreServer

ENV = {"RUNTARA_INSTANCE_ID": "i", "RUNTARA_TENANT_ID": "t"}


def test_the_configuration_has_the_documented_names_and_defaults() -> None:
    config = SdkConfig.from_env(ENV)
    assert config == SdkConfig.localhost("i", "t")
    assert (config.server_addr, config.token) == ("127.0.0.1:8001", None)
    assert (config.connect_timeout_ms, config.request_timeout_ms) == (10_000, 30_000)
    assert (config.signal_poll_interval_ms, config.heartbeat_interval_ms) == (1_000, 30_000)
    given = SdkConfig.from_env(
        ENV
        | {
            "RUNTARA_SERVER_ADDR": "unix:///s",
            "RUNTARA_TOKEN": "x",
            "RUNTARA_CONNECT_TIMEOUT_MS": "1",
            "RUNTARA_REQUEST_TIMEOUT_MS": "2",
            "RUNTARA_SIGNAL_POLL_INTERVAL_MS": "3",
            "RUNTARA_HEARTBEAT_INTERVAL_MS": "0",
            "RUNTARA_RECONNECT_TIMEOUT_MS": "5",
        }
    )
    assert given == SdkConfig(
        instance_id="i",
        tenant_id="t",
        server_addr="unix:///s",
        token="x",
        connect_timeout_ms=1,
        request_timeout_ms=2,
        signal_poll_interval_ms=3,
        heartbeat_interval_ms=0,
        reconnect_timeout_ms=5,
    )


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"RUNTARA_INSTANCE_ID": ""}, "RUNTARA_INSTANCE_ID is not set"),
        ({"RUNTARA_TENANT_ID": ""}, "RUNTARA_TENANT_ID is not set"),
        ({"RUNTARA_REQUEST_TIMEOUT_MS": "soon"}, "RUNTARA_REQUEST_TIMEOUT_MS must be a whole number"),
        ({"RUNTARA_REQUEST_TIMEOUT_MS": "0"}, "1 or more"),
        ({"RUNTARA_HEARTBEAT_INTERVAL_MS": "-1"}, "0 or more"),
    ],
)
def test_a_configuration_that_cannot_be_says_which_variable(change: dict[str, str], name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        SdkConfig.from_env(ENV | change)


async def test_a_program_may_speak_the_protocol_by_itself(server: CoreServer) -> None:
    instance = server.core.create({"order": 1}, instance_id="i")
    sdk = RuntaraSdk(server.launch(instance))
    assert not sdk.is_connected
    registered = await sdk.init()
    assert sdk.is_connected
    assert sdk.is_registered
    assert (sdk.instance_id, sdk.tenant_id, registered.input) == ("i", "test", b'{"order":1}')

    first = await sdk.checkpoint("a", b"1")
    again = await sdk.checkpoint("a", b"2")
    assert (first.found, first.state, first.existing_state()) == (False, b"1", None)
    assert (again.found, again.state, again.existing_state()) == (True, b"1", b"1")
    assert not again.should_exit()
    assert await sdk.get_checkpoint("a") == b"1"
    assert await sdk.get_checkpoint("b") is None
    await sdk.heartbeat()
    await sdk.custom_event("progress", {"done": 1})
    await sdk.custom_event("raw", b"\xff")
    assert [event.subtype for event in instance.events] == ["progress", "raw"]
    assert (await sdk.get_status()).status is Status.RUNNING
    server.core.create(instance_id="other")
    assert (await sdk.get_instance_status("other")).status is Status.PENDING
    with pytest.raises(InstanceNotFound):
        await sdk.get_instance_status("nobody")
    await sdk.completed({"ok": True})
    await sdk.completed({"ok": True})  # a repeated call is no harm
    assert (instance.status, instance.output) == (Status.COMPLETED, b'{"ok":true}')
    await sdk.close()
    assert not sdk.is_connected


async def test_a_failure_is_reported_from_whatever_it_is(server: CoreServer) -> None:
    for error, code in (
        ("went wrong", "APPLICATION_ERROR"),
        (ValueError("bad"), "UNHANDLED_ERROR"),
        (Failure("MINE", "x"), "MINE"),
        ({"code": "WIRE", "message": "m"}, "WIRE"),
    ):
        instance = server.core.create()
        sdk = InstanceClient(server.launch(instance))
        await sdk.register()
        await sdk.failed(error)
        assert instance.error is not None
        assert instance.error["code"] == code
        await sdk.close()


async def test_signals_are_seen_polled_and_acknowledged(server: CoreServer) -> None:
    instance = server.core.create(instance_id="i")
    sdk = InstanceClient(server.launch(instance, signal_poll_interval_ms=60_000))
    await sdk.register()
    assert await sdk.poll_signal() is None
    server.core.pause("i")
    server.core.cancel("i")
    assert await sdk.poll_signal() is None  # asked less than a minute ago
    polls = instance.calls["poll_signals"]
    await sdk.check_cancelled()
    assert instance.calls["poll_signals"] == polls

    result = await sdk.checkpoint("a", b"1")
    assert result.should_cancel()
    assert result.should_pause()
    assert result.should_exit()
    assert result.pending_signal is not None
    assert result.pending_signal.signal_type == "cancel"  # cancel beats pause
    first = await sdk.poll_signal()
    assert first is not None
    assert first.signal_type == "cancel"
    with pytest.raises(Cancelled):
        await sdk.check_cancelled()
    with pytest.raises(Paused):
        await sdk.check_paused()
    now = await sdk.poll_signal_now()
    assert now is not None

    await sdk.acknowledge_signal("cancel", acknowledged=False)
    assert instance.status is Status.RUNNING
    await sdk.acknowledge_signal("cancel")
    assert instance.status is Status.CANCELLED
    assert [signal.signal_type for signal in sdk.waiting_signals()] == ["pause"]
    await sdk.close()


async def test_suspend_and_take_signal_speak_for_themselves(server: CoreServer) -> None:
    instance = server.core.create(instance_id="i")
    sdk = InstanceClient(server.launch(instance))
    await sdk.register()
    assert await sdk.take_signal("key", "w") is None
    assert await sdk.take_signal("key", "w", wait_ms=1) is None
    held = asyncio.create_task(sdk.take_signal("key", "w", wait_ms=60_000))
    await sdk.heartbeat()  # the held call is no obstacle
    server.core.send_custom_signal("i", "key", "yes")
    assert await held == b'"yes"'
    assert await sdk.take_signal("key", "w") == b'"yes"'  # remembered as the checkpoint
    assert await sdk.suspend("sleeping", wake_at_ms=1) is False
    assert await sdk.suspend("sleeping", wake_at_ms=10**15) is True
    assert instance.status is Status.SUSPENDED
    await sdk.close()


async def test_a_program_that_nobody_launched_names_itself(server: CoreServer) -> None:
    config = SdkConfig(instance_id="self-made", tenant_id="t", server_addr=server.address)
    sdk = InstanceClient(config)
    await sdk.register()
    await sdk.checkpoint("a", b"1")  # over a connection with the token that register answered
    assert server.core.instances["self-made"].checkpoints == {"a": b"1"}
    again = InstanceClient(config)
    await again.register()
    assert again.saved("a") == b"1"
    with pytest.raises(StaleLaunch):
        await sdk.checkpoint("b", b"1")
    await sdk.close()
    await again.close()


async def test_a_call_outlives_a_restart_of_the_server(server: CoreServer) -> None:
    instance = server.core.create()
    sdk = InstanceClient(server.launch(instance))
    await sdk.register()
    held = asyncio.create_task(sdk.take_signal("key", "w", wait_ms=60_000))
    await sdk.heartbeat()
    await server.close()
    calls = [asyncio.create_task(sdk.checkpoint(str(number), b"x")) for number in range(5)]
    await asyncio.sleep(0)
    await server.open()
    assert [(await call).found for call in calls] == [False] * 5
    server.core.send_custom_signal(instance.instance_id, "key", 1)
    assert await held == b"1"
    await sdk.close()


async def test_a_call_is_repeated_while_the_server_says_that_it_stops(server: CoreServer) -> None:
    instance = server.core.create()
    sdk = InstanceClient(server.launch(instance))
    await sdk.register()
    refusals = [ServerStopping(), ServerStopping()]

    def stopping(_: Any, operation: str, request: Any) -> None:
        if operation == "append_event" and refusals:
            raise refusals.pop()

    server.core.on_call = stopping
    await sdk.custom_event("x", 1)
    assert refusals == []
    assert [event.value for event in instance.events] == [1]
    await sdk.close()


async def test_an_event_that_had_to_be_sent_twice_is_one(server: CoreServer) -> None:
    instance = server.core.create()
    sdk = InstanceClient(server.launch(instance))
    await sdk.register()
    append = server.core.append_event
    lost = [ServerStopping("after it was done")]

    async def append_and_lose(where: Any, request: Any) -> Any:
        answer = await append(where, request)
        if lost:
            raise lost.pop()
        return answer

    server.core.append_event = append_and_lose  # type: ignore[method-assign]  # the answer is lost on its way
    await sdk.custom_event("x", 1)
    await sdk.custom_event("x", 1)
    assert [event.value for event in instance.events] == [1, 1]
    await sdk.close()


async def test_it_gives_up_after_the_configured_time(server: CoreServer) -> None:
    instance = server.core.create()
    sdk = InstanceClient(server.launch(instance, reconnect_timeout_ms=0))
    await sdk.register()
    await server.close()
    with pytest.raises(ConnectionFailed):
        await sdk.checkpoint("a", b"1")
    await sdk.close()


async def test_before_it_is_registered_it_gives_up_soon(server: CoreServer) -> None:
    instance = server.core.create()
    config = server.launch(instance, connect_timeout_ms=1)
    await server.close()
    sdk = InstanceClient(config)
    with pytest.raises(ConnectionFailed, match="does the server run"):
        await sdk.connect()
    with pytest.raises(ConnectionFailed):
        await sdk.register()


async def test_a_closed_client_does_not_come_back(server: CoreServer) -> None:
    sdk = InstanceClient(server.launch(server.core.create()))
    await sdk.register()
    await sdk.close()
    with pytest.raises(ConnectionFailed, match="closed"):
        await sdk.heartbeat()


async def test_a_wrong_token_is_refused_at_once(server: CoreServer) -> None:
    instance = server.core.create()
    server.core.launch(instance.instance_id)
    config = SdkConfig(
        instance_id=instance.instance_id, tenant_id="test", server_addr=server.address, token="someone-else:1"
    )
    sdk = InstanceClient(config)
    with pytest.raises(Unauthenticated):
        await sdk.register()
    await sdk.close()


async def test_the_heart_beats_while_nothing_else_is_said(server: CoreServer) -> None:
    instance = server.core.create()
    sdk = InstanceClient(server.launch(instance, heartbeat_interval_ms=1))
    beaten = asyncio.Event()

    def note(_: Any, operation: str, request: Any) -> None:
        if operation == "heartbeat" and instance.calls["heartbeat"] >= 3:
            beaten.set()

    server.core.on_call = note
    await sdk.register()
    await asyncio.wait_for(beaten.wait(), 10)
    await sdk.close()


async def test_a_heart_that_finds_its_launch_stale_says_so(server: CoreServer) -> None:
    instance = server.core.create()
    sdk = InstanceClient(server.launch(instance, heartbeat_interval_ms=1))
    lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    sdk.on_lost = lost.set_result
    await sdk.register()
    server.core.launch(instance.instance_id)
    assert isinstance(await asyncio.wait_for(lost, 10), StaleLaunch)
    await sdk.close()


async def test_an_ended_instance_takes_no_more(server: CoreServer) -> None:
    sdk = InstanceClient(server.launch(server.core.create()))
    await sdk.register()
    await sdk.completed(None)
    with pytest.raises(InvalidState):
        await sdk.checkpoint("a", b"1")
    with pytest.raises(InvalidState):
        await sdk.failed("too late")
    await sdk.close()
