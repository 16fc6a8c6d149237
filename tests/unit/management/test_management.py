"""How calls become requests, and what happens when the connection breaks. A real server: tests/e2e/test_management.py."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from runtara_framework.errors import CallTimeout, ConfigError, ConnectionFailed, InstanceNotFound, InvalidRequest
from runtara_framework.management import (
    ListEventsOptions,
    ListInstancesOptions,
    ManagementConfig,
    ManagementSdk,
    RegisterImageOptions,
    RegisterImageStreamOptions,
    StartInstanceOptions,
    StopInstanceOptions,
    SyncManagementSdk,
)
from runtara_framework.management import options as all_options
from runtara_framework.protocol import messages as m
from runtara_framework.protocol.channel import Body, Channel
from runtara_framework.protocol.operations import OPERATIONS, Operation, Protocol
from runtara_framework.states import Status

Req = TypeVar("Req")
Res = TypeVar("Res")

IMAGE = m.ImageInfo(
    image_id="img", tenant_id="t", name="n", runner_type="native", sha256="0", size_bytes=1, created_at_ms=1
)
INFO = m.InstanceInfo(instance_id="i", tenant_id="t", status=Status.COMPLETED, reason=None, created_at_ms=1)
ANSWERS: dict[str, Any] = {
    "health_check": m.Health(healthy=True, version="1", uptime_ms=1, active_instances=0),
    "list_agents": m.Agents(agents=[{"id": "http"}]),
    "get_capability": m.Capability(agent_id="http", capability={"id": "request"}),
    "register_image": m.ImageRegistered(image_id="img", image=IMAGE),
    "upload_image": m.ImageRegistered(image_id="img", image=IMAGE),
    "list_images": m.Images(images=[IMAGE], total_count=1),
    "get_image": IMAGE,
    "start_instance": m.InstanceStarted(instance_id="i"),
    "get_instance": INFO,
    "list_instances": m.Instances(instances=[], total_count=0),
    "list_checkpoints": m.Checkpoints(checkpoints=[], total_count=0),
    "read_checkpoint": m.CheckpointData(instance_id="i", checkpoint_id="c", created_at_ms=1, data=1),
    "list_events": m.Events(events=[], total_count=0),
}


class Server:
    """Remembers what was asked. `failures` are raised, in order, before anything is answered."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.uploaded = b""
        self.failures: list[Exception] = []
        self.answers = dict(ANSWERS)
        self.dials: list[tuple[str, str | None, float]] = []

    async def dial(self, address: str, *, token: str | None = None, timeout: float = 10.0) -> Channel:
        self.dials.append((address, token, timeout))
        return Line(self)

    def sdk(self, **options: Any) -> ManagementSdk:
        return ManagementSdk(ManagementConfig(tenant_id="t"), dial=self.dial, **options)


class Line(Channel):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._closed = False

    async def call(
        self, operation: Operation[Req, Res], request: Req, *, body: Body | None = None, timeout: float | None = None
    ) -> Res:
        assert not self._closed, "a closed channel was used"
        assert isinstance(request, operation.request)
        self._server.calls.append((operation.name, request))
        if self._server.failures:
            raise self._server.failures.pop(0)
        if body is not None:
            self._server.uploaded = b"".join([piece async for piece in body])
        answer = self._server.answers.get(operation.name, m.Done())
        assert isinstance(answer, operation.response)
        return answer

    async def close(self) -> None:
        self._closed = True


@pytest.fixture
def server() -> Server:
    return Server()


async def test_every_operation_has_a_method(server: Server) -> None:
    async with server.sdk() as sdk:
        await sdk.health_check()
        assert await sdk.list_agents() == [{"id": "http"}]
        assert await sdk.get_capability("http", "request") == {"id": "request"}
        await sdk.register_image(name="n", binary=b"x")
        await sdk.register_image_stream(name="n", source=b"x")
        await sdk.list_images()
        await sdk.get_image("img")
        await sdk.delete_image("img")
        await sdk.run_instance(image_id="img")
        await sdk.list_instances()
        await sdk.stop_instance("i")
        await sdk.resume_instance("i")
        await sdk.cancel_instance("i", "no longer needed")
        await sdk.pause_instance("i")
        await sdk.send_custom_signal("i", "key", {"a": 1})
        await sdk.list_checkpoints("i")
        assert (await sdk.get_checkpoint("i", "c")).data == 1
        await sdk.list_events("i")
    asked = {name for name, _ in server.calls}
    assert asked == set(OPERATIONS[Protocol.ENVIRONMENT])
    signals = [(r.signal_type, r.payload) for name, r in server.calls if name == "send_signal"]
    assert signals == [("cancel", {"reason": "no longer needed"}), ("pause", None)]
    assert all(request.tenant_id == "t" for _, request in server.calls if hasattr(request, "tenant_id"))


async def test_keywords_and_option_objects_ask_the_same(server: Server) -> None:
    sdk = server.sdk()
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    await sdk.list_instances(
        status="failed", created_after=moment, finished_before=5, order_by="created_at_asc", limit=7
    )
    await sdk.list_instances(
        ListInstancesOptions()
        .with_status("failed")
        .with_created_after(moment)
        .with_finished_before(5)
        .with_order_by("created_at_asc")
        .with_limit(7)
    )
    assert server.calls[0] == server.calls[1]
    request = server.calls[0][1]
    assert (request.created_after_ms, request.finished_before_ms, request.limit) == (1767312000000, 5, 7)

    await sdk.start_instance(
        image_id="img", instance_id="i", input=[1], timeout_seconds=2, env={"A": "b"}, tenant_id="u"
    )
    await sdk.start_instance(
        StartInstanceOptions("img", "u")
        .with_instance_id("i")
        .with_input([1])
        .with_timeout_seconds(2)
        .with_env({"A": "b"})
    )
    assert server.calls[2] == server.calls[3]
    assert server.calls[2][1].tenant_id == "u"

    await sdk.stop_instance("i", grace_period_seconds=1, reason="why")
    await sdk.stop_instance(StopInstanceOptions("i").with_grace_period(1).with_reason("why"))
    assert server.calls[4] == server.calls[5]

    await sdk.list_events("i", ListEventsOptions().with_subtype("x").with_after_event_id(3).with_sort_order("asc"))
    await sdk.list_events("i", subtype="x", after_event_id=3, sort_order="asc")
    assert server.calls[6] == server.calls[7]

    await sdk.register_image(RegisterImageOptions("u", "n", b"x").with_description("d").with_metadata({"k": 1}))
    await sdk.register_image(tenant_id="u", name="n", binary=b"x", description="d", metadata={"k": 1})
    assert server.calls[8] == server.calls[9]


def test_every_option_has_a_builder() -> None:
    given_at_construction = {
        "StartInstanceOptions": {"image_id"},
        "StopInstanceOptions": {"instance_id"},
        "RegisterImageOptions": {"name", "binary"},
        "RegisterImageStreamOptions": {"name"},
    }
    kinds = [kind for name, kind in vars(all_options).items() if name.endswith("Options") and not name.startswith("_")]
    assert len(kinds) == 8
    for kind in kinds:
        start: Any = {"StartInstanceOptions": ("x",), "StopInstanceOptions": ("x",)}.get(kind.__name__, ())
        for name in set(kind.__struct_fields__) - given_at_construction.get(kind.__name__, set()):
            before = kind(*start)
            after = getattr(before, f"with_{name}")("changed")
            assert (getattr(after, name), getattr(before, name)) == ("changed", getattr(kind(*start), name))


async def test_both_ways_at_once_are_refused(server: Server) -> None:
    sdk = server.sdk()
    with pytest.raises(InvalidRequest, match="give input in the StartInstanceOptions or as keywords"):
        await sdk.start_instance(StartInstanceOptions("img"), input=1)
    with pytest.raises(InvalidRequest, match="image_id"):
        await sdk.start_instance(input=1)
    with pytest.raises(InvalidRequest, match="expected StartInstanceOptions or keywords, not str"):
        await sdk.start_instance("img")  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(InvalidRequest, match="no time zone"):
        await sdk.list_instances(created_after=datetime(2026, 1, 1))
    assert server.calls == []


async def test_a_call_without_a_tenant_says_where_to_give_one(server: Server) -> None:
    sdk = ManagementSdk(ManagementConfig(), dial=server.dial)
    with pytest.raises(InvalidRequest, match="RUNTARA_TENANT_ID"):
        await sdk.list_images()
    await sdk.list_images(tenant_id="u")
    assert (await sdk.health_check()).healthy
    assert server.calls[0][1].tenant_id == "u"


def test_the_configuration_comes_from_the_environment_and_arguments_win() -> None:
    config = ManagementConfig.from_env(
        {
            "RUNTARA_ENVIRONMENT_ADDR": "unix:///s",
            "RUNTARA_TOKEN": "secret",
            "RUNTARA_TENANT_ID": "acme",
            "RUNTARA_CONNECT_TIMEOUT_MS": "5",
            "RUNTARA_REQUEST_TIMEOUT_MS": "6",
        }
    )
    assert config == ManagementConfig(
        server_addr="unix:///s", token="secret", tenant_id="acme", connect_timeout_ms=5, request_timeout_ms=6
    )
    assert ManagementConfig.from_env({}) == ManagementConfig.localhost()
    assert ManagementConfig.localhost().server_addr == "127.0.0.1:8002"
    sdk = ManagementSdk(config, tenant_id="other")
    assert (sdk.config.tenant_id, sdk.config.token) == ("other", "secret")
    assert ManagementSdk("http://h:1", token="x").config.server_addr == "http://h:1"
    with pytest.raises(ConfigError, match="RUNTARA_CONNECT_TIMEOUT_MS"):
        ManagementConfig.from_env({"RUNTARA_CONNECT_TIMEOUT_MS": "ten"})


async def test_the_dialer_gets_address_token_and_timeout(server: Server) -> None:
    sdk = server.sdk(token="secret", connect_timeout_ms=1500)
    assert not sdk.is_connected
    async with sdk:
        assert sdk.is_connected
    assert not sdk.is_connected
    assert server.dials == [("127.0.0.1:8002", "secret", 1.5)]


async def test_what_may_be_repeated_is_sent_once_more_over_a_new_connection(server: Server) -> None:
    sdk = server.sdk()
    server.failures = [ConnectionFailed("gone")]
    await sdk.list_images()
    server.failures = [ConnectionFailed("gone")]
    await sdk.start_instance(image_id="img")
    assert len(server.dials) == 3
    first, second = [request for name, request in server.calls if name == "start_instance"]
    assert first == second
    assert first.instance_id  # made here, so that the second is the same start

    server.failures = [ConnectionFailed("gone"), ConnectionFailed("gone again")]
    with pytest.raises(ConnectionFailed, match="gone again"):
        await sdk.list_images()


async def test_what_may_not_be_repeated_is_not(server: Server) -> None:
    sdk = server.sdk()
    server.failures = [ConnectionFailed("gone")]
    with pytest.raises(ConnectionFailed):
        await sdk.send_custom_signal("i", "key")
    assert len(server.calls) == 1
    await sdk.send_custom_signal("i", "key")  # the next call connects again
    assert len(server.dials) == 2


async def test_many_calls_share_one_connection(server: Server) -> None:
    sdk = server.sdk()
    await asyncio.gather(*(sdk.list_images() for _ in range(10)))
    assert len(server.dials) == 1


async def pieces() -> AsyncIterator[bytes]:
    yield b"one "
    yield b"two"


async def test_an_image_is_streamed_from_wherever_it_is(server: Server, tmp_path: Path) -> None:
    sdk = server.sdk()
    path = tmp_path / "image"
    path.write_bytes(bytes(range(256)) * 4096)
    for source, expected in (
        (path, path.read_bytes()),
        (str(path), path.read_bytes()),
        (b"y" * 600_000, b"y" * 600_000),
        (pieces(), b"one two"),
        ([b"one ", b"two"], b"one two"),
    ):
        await sdk.register_image_stream(name="n", source=source)
        assert server.uploaded == expected
    await sdk.register_image_stream(RegisterImageStreamOptions("t", "n").with_sha256("ab"), b"x")
    assert server.calls[-1][1].sha256 == "ab"


async def test_a_large_image_is_streamed_whoever_registers_it(server: Server) -> None:
    binary = b"z" * (5 * 2**20)
    digest = hashlib.sha256(binary).hexdigest()
    await server.sdk().register_image(name="n", binary=binary, description="d", sha256=digest)
    name, request = server.calls[-1]
    assert name == "upload_image"
    assert (request.name, request.description, request.sha256, request.tenant_id) == ("n", "d", digest, "t")
    assert server.uploaded == binary


async def test_a_wait_asks_the_server_to_hold_the_answer(server: Server) -> None:
    sdk = server.sdk()
    assert (await sdk.wait_for_completion("i")).status is Status.COMPLETED
    assert server.calls[0][1].wait_ms == 30_000
    running = m.InstanceInfo(instance_id="i", tenant_id="t", status=Status.SUSPENDED, reason=None, created_at_ms=1)
    server.answers["get_instance"] = running
    with pytest.raises(CallTimeout, match="still suspended after 0 seconds"):
        await sdk.wait_for_completion("i", timeout=0)
    assert server.calls[-1][1].wait_ms == 0


async def test_the_servers_error_is_raised_as_it_is(server: Server) -> None:
    server.failures = [InstanceNotFound("no such instance")]
    with pytest.raises(InstanceNotFound, match="no such instance"):
        await server.sdk().get_instance_status("x")


# -- without an event loop --------------------------------------------------------------------------------------


def sync_sdk(server: Server) -> SyncManagementSdk:
    sdk = SyncManagementSdk(ManagementConfig(tenant_id="t"))
    sdk._sdk._dial = server.dial
    return sdk


def test_the_plain_calls_are_the_same_calls(server: Server) -> None:
    with sync_sdk(server) as sdk:
        assert sdk.is_connected
        assert sdk.health_check().healthy
        info = sdk.run_instance(image_id="img", input={"a": 1})
        assert info.status is Status.COMPLETED
        server.failures = [InstanceNotFound("no such instance")]
        with pytest.raises(InstanceNotFound):
            sdk.get_instance_status("x")
    assert not any(thread.name == "runtara-management" for thread in threading.enumerate())


def test_every_method_exists_without_an_event_loop() -> None:
    public = {name for name in vars(ManagementSdk) if not name.startswith("_")}
    assert public - set(vars(SyncManagementSdk)) == set()


def test_plain_calls_may_come_from_many_threads(server: Server) -> None:
    with sync_sdk(server) as sdk:
        threads = [threading.Thread(target=sdk.list_images) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(server.calls) == 8
    sdk.close()  # twice is once
