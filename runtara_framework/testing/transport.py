"""Conformance of transports: inherit `TransportConformance` and say how to make one, where it listens, and how to dial.

    class TestMyTransport(TransportConformance):
        @pytest.fixture
        def transport(self, driver_context):
            return MyTransport(MySettings(grace_seconds=0.1), driver_context)

        @pytest.fixture
        def address(self):
            return "mine://127.0.0.1:0"

        @pytest.fixture
        def dial(self):
            return dial

It needs `asyncio_mode = "auto"` of pytest-asyncio. The suite proves what `runtara_framework/spec/transport.py` and
`runtara_framework/protocol/channel.py` ask for: every operation arrives and is answered unchanged, errors keep code and
details, calls run side by side, a caller who goes away is noticed, limits hold, uploads are streamed and held back by a slow
consumer, a stop is orderly, and garbage from one client hurts no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtara_framework import errors
from runtara_framework.clock import SystemClock
from runtara_framework.protocol import messages as m
from runtara_framework.protocol import operations as ops
from runtara_framework.protocol.channel import Body, Channel, Dial
from runtara_framework.protocol.operations import OPERATIONS, Operation, Protocol
from runtara_framework.spec.driver import DriverContext
from runtara_framework.spec.transport import TRANSPORT, Caller, Transport
from runtara_framework.testing.stage import (
    HEARTBEAT,
    LIMIT,
    MIB,
    PATIENCE,
    REGISTERED,
    UPLOAD,
    Stage,
    cancelled,
    save,
    stream,
    within,
)
from runtara_framework.testing.suite import Conformance
from runtara_framework.testing.values import messages

ALL = [operation for protocol in Protocol for operation in OPERATIONS[protocol].values()]
UNHAPPY: list[errors.RuntaraError] = [
    errors.InputInvalid("the input has no `sku`", pointer="/sku"),
    errors.InstanceNotFound("no instance i-1", instance_id="i-1"),
    errors.StaleLaunch(),
    errors.Unauthenticated(),
    errors.Forbidden("not yours", action="write"),
    errors.PayloadTooLarge("too much", limit=10),
    errors.QueueFull("wait", waiting=100),
    errors.StorageError("the disk is full"),
    errors.CallTimeout("too late", seconds=1.5),
    errors.LaunchFailed("no such program", argv=["x", "y"]),
    errors.RemoteError("of a later version", code="FROM_THE_FUTURE", retryable=True, nested={"a": [1, None]}),
]


class TransportConformance(Conformance):
    """Inherit it; see the module."""

    # -- must override --------------------------------------------------------------------------------------

    @pytest.fixture
    def transport(self, driver_context: DriverContext) -> Transport:
        """The driver, with a short grace period at shutdown (0.1 s)."""
        pytest.fail("override the fixture `transport`: your driver, made with `driver_context`")

    @pytest.fixture
    def address(self, tmp_path: Path) -> str:
        """An address to listen on, free in every test."""
        pytest.fail(
            "override the fixture `address`: where your transport is to listen, with port 0 or below `tmp_path`"
        )

    @pytest.fixture
    def dial(self) -> Dial:
        """The function behind your entry point in `runtara.dialers`."""
        pytest.fail("override the fixture `dial`: the function of your entry point in runtara.dialers")

    # -- may override ---------------------------------------------------------------------------------------

    @pytest.fixture
    def garbage(self) -> list[bytes]:
        """Bytes that a stranger might send. Add what is dangerous for your transport."""
        return [b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 5000, bytes(range(256)) * 40, b"\0\0\0\1\xc1"]

    async def connect_raw(self, bound: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection to the bound address. As it is, it knows ``unix://path`` and anything over TCP."""
        parts = urlsplit(bound)
        if parts.hostname is None:
            return await asyncio.open_unix_connection(parts.path)
        return await asyncio.open_connection(parts.hostname, parts.port)

    # -- fixtures -------------------------------------------------------------------------------------------

    @pytest.fixture
    def driver_context(self, tmp_path: Path) -> DriverContext:
        """What the kernel would give the driver."""
        return DriverContext(SystemClock(), tmp_path, "node-of-tests", logging.getLogger("runtara.tests"))

    @pytest.fixture
    def stage(self, request: pytest.FixtureRequest) -> Stage:
        """What is served: the core protocol, or that of the test's operation."""
        callspec = getattr(request.node, "callspec", None)
        operation = callspec.params.get("operation") if callspec else None
        return Stage(operation.protocol if operation else Protocol.CORE)

    @pytest_asyncio.fixture
    async def stack(self, transport: Transport) -> AsyncIterator[AsyncExitStack]:
        """Unwinding it stops the server."""
        async with AsyncExitStack() as stack:
            await transport.start(stack)
            yield stack

    @pytest_asyncio.fixture
    async def bound(self, transport: Transport, address: str, stage: Stage, stack: AsyncExitStack) -> str:
        """The address at which `stage` is served."""
        return await transport.serve(address, stage, stack)

    @pytest_asyncio.fixture
    async def channel(self, bound: str, dial: Dial) -> AsyncIterator[Channel]:
        """A connection to it."""
        channel = await dial(bound, token="secret-1")
        yield channel
        await channel.close()

    # -- what arrives ---------------------------------------------------------------------------------------

    def test_it_declares_the_contract(self, transport: Transport) -> None:
        assert isinstance(transport, TRANSPORT.base)
        assert type(transport).api == TRANSPORT.api

    @pytest.mark.parametrize("operation", ALL, ids=lambda operation: operation.name)
    @settings(
        max_examples=10,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,  # one server for all examples is what is wanted
            HealthCheck.differing_executors,  # the suite runs for several transports
            HealthCheck.too_slow,
        ],
    )
    @given(data=st.data())
    async def test_every_operation_arrives_and_is_answered_unchanged(
        self, stage: Stage, channel: Channel, operation: Operation[Any, Any], data: st.DataObject
    ) -> None:
        request = data.draw(messages(operation.request))
        response = data.draw(messages(operation.response))
        stage.answer(operation.name, response)

        answered = await channel.call(operation, request, timeout=PATIENCE)

        assert answered == response
        assert stage.calls[-1][:2] == (operation.name, request)

    async def test_large_messages_arrive(self, stage: Stage, channel: Channel) -> None:
        state = bytes(range(256)) * (LIMIT // 512)
        stage.answer("save_checkpoint", m.CheckpointSaved(found=True, state=state * 8))

        saved = await channel.call(ops.SAVE_CHECKPOINT, save("a", state), timeout=PATIENCE)

        assert stage.calls[-1][1].state == state
        assert saved.state == state * 8

    async def test_the_token_reaches_the_endpoint(self, stage: Stage, bound: str, dial: Dial) -> None:
        stage.answer("heartbeat", m.Done())
        for token in ("secret-1", None, "secret-2"):
            channel = await dial(bound, token=token)
            await channel.call(ops.HEARTBEAT, HEARTBEAT, timeout=PATIENCE)
            await channel.close()

        assert [caller.token for _, _, caller in stage.calls] == ["secret-1", None, "secret-2"]
        assert all(caller.peer for _, _, caller in stage.calls)

    # -- errors ---------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("error", UNHAPPY, ids=lambda error: error.code)
    async def test_an_error_keeps_its_class_its_message_and_its_details(
        self, stage: Stage, channel: Channel, error: errors.RuntaraError
    ) -> None:
        stage.fail("heartbeat", error)

        with pytest.raises(type(error)) as caught:
            await channel.call(ops.HEARTBEAT, HEARTBEAT, timeout=PATIENCE)

        assert caught.value.to_wire() == error.to_wire()

    @pytest.mark.filterwarnings("default")
    async def test_an_unforeseen_error_is_internal_and_tells_nothing(self, stage: Stage, channel: Channel) -> None:
        stage.fail("heartbeat", ValueError("the password is hunter2"))
        stage.answer("fail", object())  # no answer of any operation

        with pytest.raises(errors.RuntaraError) as first:
            await channel.call(ops.HEARTBEAT, HEARTBEAT, timeout=PATIENCE)
        with pytest.raises(errors.RuntaraError):
            await channel.call(ops.FAIL, m.Fail(instance_id="i-1", error={}), timeout=PATIENCE)

        assert first.value.code == "INTERNAL_ERROR"
        assert "hunter2" not in str(first.value.to_wire())

    async def test_a_malformed_request_is_refused_by_field(self, stage: Stage, channel: Channel) -> None:
        wrong: Any = 5

        with pytest.raises(errors.InvalidRequest, match="state") as caught:
            await channel.call(ops.SAVE_CHECKPOINT, save("a", wrong), timeout=PATIENCE)

        assert caught.value.details["field"] == "state"
        assert stage.calls == []

    @pytest.mark.parametrize(
        "wide", [2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**400], ids=lambda wide: f"{wide.bit_length()} bits"
    )
    async def test_an_integer_that_no_storage_holds_is_refused(self, stage: Stage, channel: Channel, wide: int) -> None:
        with pytest.raises(errors.InvalidRequest, match="after_signal_id"):
            await channel.call(
                ops.POLL_SIGNALS, m.PollSignals(instance_id="i-1", after_signal_id=wide), timeout=PATIENCE
            )

        assert stage.calls == []

    async def test_an_operation_that_is_not_served_is_unknown(self, stage: Stage, channel: Channel) -> None:
        with pytest.raises(errors.UnknownOperation):
            await channel.call(ops.HEALTH_CHECK, m.HealthCheck(), timeout=PATIENCE)

    async def test_a_request_over_the_limit_is_refused_and_the_channel_stays_usable(
        self, stage: Stage, channel: Channel
    ) -> None:
        stage.answer("save_checkpoint", m.CheckpointSaved(found=False))

        for size in (LIMIT + 1, 8 * LIMIT):
            with pytest.raises(errors.PayloadTooLarge) as caught:
                await channel.call(ops.SAVE_CHECKPOINT, save("a", b"x" * size), timeout=PATIENCE)
            assert caught.value.details["limit"] == LIMIT

        assert stage.calls == []
        assert await channel.call(ops.SAVE_CHECKPOINT, save("a", b"x"), timeout=PATIENCE)

    # -- side by side ---------------------------------------------------------------------------------------

    async def test_calls_of_one_channel_run_side_by_side(self, stage: Stage, channel: Channel) -> None:
        count = 50
        arrived = 0
        everybody = asyncio.Event()

        async def handler(request: m.SaveCheckpoint, caller: Caller, body: Body | None) -> m.CheckpointSaved:
            nonlocal arrived
            arrived += 1
            if arrived == count:
                everybody.set()
            await everybody.wait()
            return m.CheckpointSaved(found=True, state=request.state)

        stage.script["save_checkpoint"] = handler
        calls = [channel.call(ops.SAVE_CHECKPOINT, save(str(n), b"%d" % n), timeout=PATIENCE) for n in range(count)]

        assert [saved.state for saved in await asyncio.gather(*calls)] == [b"%d" % n for n in range(count)]

    async def test_a_quick_call_overtakes_a_slow_one(self, stage: Stage, channel: Channel) -> None:
        slow = stage.hold("poll_signals")
        stage.answer("heartbeat", m.Done())
        waiting = asyncio.create_task(channel.call(ops.POLL_SIGNALS, m.PollSignals(instance_id="i-1")))
        await within(slow.begun)

        await channel.call(ops.HEARTBEAT, HEARTBEAT, timeout=PATIENCE)

        assert not waiting.done()
        await cancelled(waiting)

    async def test_any_number_of_calls_at_once_is_answered(self, stage: Stage, channel: Channel) -> None:
        async def handler(request: m.SaveCheckpoint, caller: Caller, body: Body | None) -> m.CheckpointSaved:
            await asyncio.sleep(0)
            return m.CheckpointSaved(found=True, state=request.checkpoint_id.encode())

        stage.script["save_checkpoint"] = handler
        calls = [channel.call(ops.SAVE_CHECKPOINT, save(str(n), b""), timeout=PATIENCE) for n in range(1000)]

        assert [saved.state for saved in await asyncio.gather(*calls)] == [b"%d" % n for n in range(1000)]

    async def test_many_channels_at_once(self, stage: Stage, bound: str, dial: Dial) -> None:
        stage.answer("heartbeat", m.Done())

        async def visit() -> None:
            channel = await dial(bound)
            await channel.call(ops.HEARTBEAT, HEARTBEAT, timeout=PATIENCE)
            await channel.close()

        await asyncio.gather(*(visit() for _ in range(64)))

        assert len(stage.calls) == 64

    # -- callers who go away --------------------------------------------------------------------------------

    async def test_a_call_is_cancelled_when_its_channel_closes(self, stage: Stage, bound: str, dial: Dial) -> None:
        held = stage.hold("poll_signals")
        channel = await dial(bound)
        waiting = asyncio.create_task(channel.call(ops.POLL_SIGNALS, m.PollSignals(instance_id="i-1")))
        await within(held.begun)

        await channel.close()

        with pytest.raises(errors.ConnectionFailed):
            await waiting
        await within(held.cancelled)

    async def test_a_call_is_cancelled_with_its_caller(self, stage: Stage, channel: Channel) -> None:
        held = stage.hold("poll_signals")
        stage.answer("heartbeat", m.Done())
        waiting = asyncio.create_task(channel.call(ops.POLL_SIGNALS, m.PollSignals(instance_id="i-1")))
        await within(held.begun)

        await cancelled(waiting)

        await within(held.cancelled)
        assert await channel.call(ops.HEARTBEAT, HEARTBEAT, timeout=PATIENCE)

    async def test_a_timeout_cancels_the_call_and_leaves_the_channel_usable(
        self, stage: Stage, channel: Channel
    ) -> None:
        held = stage.hold("poll_signals")
        stage.answer("heartbeat", m.Done())

        for _ in range(3):
            with pytest.raises(errors.CallTimeout, match="poll_signals"):
                await channel.call(ops.POLL_SIGNALS, m.PollSignals(instance_id="i-1"), timeout=0.05)
            await within(held.cancelled)
            assert await channel.call(ops.HEARTBEAT, HEARTBEAT, timeout=PATIENCE)

    # -- uploads --------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("operation", [ops.UPLOAD_IMAGE], ids=["upload_image"])
    @pytest.mark.parametrize("sizes", [[], [1], [0, 5, 0], [MIB], [3 * MIB], [7] * 1000, [MIB + 1] * 9], ids=str)
    async def test_an_upload_arrives_whole(
        self, stage: Stage, channel: Channel, operation: Operation[Any, Any], sizes: list[int]
    ) -> None:
        received = bytearray()

        async def handler(request: m.UploadImage, caller: Caller, body: Body | None) -> m.ImageRegistered:
            assert body is not None
            async for data in body:
                received.extend(data)
            return REGISTERED

        stage.script["upload_image"] = handler
        pieces = [bytes([number % 251]) * size for number, size in enumerate(sizes)]

        answer = await channel.call(operation, UPLOAD, body=stream(pieces), timeout=PATIENCE)

        assert answer == REGISTERED
        assert received == b"".join(pieces)
        assert stage.calls[-1][1] == UPLOAD

    @pytest.mark.parametrize("operation", [ops.UPLOAD_IMAGE], ids=["upload_image"])
    async def test_a_slow_consumer_holds_a_large_upload_back(
        self, stage: Stage, channel: Channel, operation: Operation[Any, Any]
    ) -> None:
        sent = consumed = lead = 0
        piece = bytes(256 * 1024)

        async def body() -> AsyncIterator[bytes]:
            nonlocal sent, lead
            for _ in range(64 * MIB // len(piece)):
                yield piece
                sent += len(piece)
                lead = max(lead, sent - consumed)

        async def handler(request: m.UploadImage, caller: Caller, body: Body | None) -> m.ImageRegistered:
            nonlocal consumed
            assert body is not None
            async for data in body:
                assert len(data) <= 4 * MIB
                consumed += len(data)
                for _ in range(5):  # the loop could do a lot meanwhile
                    await asyncio.sleep(0)
            return REGISTERED

        stage.script["upload_image"] = handler

        await channel.call(operation, UPLOAD, body=body(), timeout=60)

        assert consumed == 64 * MIB
        assert lead <= 16 * MIB  # the buffers of the system count

    @pytest.mark.parametrize("operation", [ops.UPLOAD_IMAGE], ids=["upload_image"])
    async def test_an_upload_may_be_refused_before_its_end(
        self, stage: Stage, channel: Channel, operation: Operation[Any, Any]
    ) -> None:
        ended = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield bytes(64 * 1024)
                    await asyncio.sleep(0)
            finally:
                ended.set()

        async def handler(request: m.UploadImage, caller: Caller, body: Body | None) -> m.ImageRegistered:
            assert body is not None
            async for _ in body:
                raise errors.PayloadTooLarge("the image is larger than the server allows")
            return REGISTERED

        stage.script["upload_image"] = handler
        stage.answer("list_agents", m.Agents(agents=[]))

        with pytest.raises(errors.PayloadTooLarge, match="the image is larger"):
            await channel.call(operation, UPLOAD, body=endless(), timeout=PATIENCE)

        await within(ended)
        assert await channel.call(ops.LIST_AGENTS, m.ListAgents(), timeout=PATIENCE)

    @pytest.mark.parametrize("operation", [ops.UPLOAD_IMAGE], ids=["upload_image"])
    async def test_an_upload_whose_source_fails_is_cancelled(
        self, stage: Stage, channel: Channel, operation: Operation[Any, Any]
    ) -> None:
        completed = False
        outcome = asyncio.Event()

        async def handler(request: m.UploadImage, caller: Caller, body: Body | None) -> m.ImageRegistered:
            nonlocal completed
            assert body is not None
            try:
                async for _ in body:
                    pass
                completed = True
            finally:
                outcome.set()
            return REGISTERED

        async def broken() -> AsyncIterator[bytes]:
            yield bytes(1024)
            raise OSError("the disk is gone")

        stage.script["upload_image"] = handler
        stage.answer("list_agents", m.Agents(agents=[]))

        with pytest.raises(OSError, match="the disk is gone"):
            await channel.call(operation, UPLOAD, body=broken(), timeout=PATIENCE)

        if stage.calls:  # it may be gone before it arrives
            await within(outcome)
        assert not completed
        assert await channel.call(ops.LIST_AGENTS, m.ListAgents(), timeout=PATIENCE)

    # -- strangers ------------------------------------------------------------------------------------------

    async def test_garbage_from_a_client_hurts_nobody_else(
        self, stage: Stage, bound: str, channel: Channel, garbage: list[bytes]
    ) -> None:
        stage.answer("heartbeat", m.Done())

        for data in garbage:
            reader, writer = await self.connect_raw(bound)
            writer.write(data)
            try:
                writer.write_eof()
                async with asyncio.timeout(PATIENCE):
                    while await reader.read(65536):
                        pass
            except OSError:
                pass  # it may hang up on us
            writer.close()
            assert await channel.call(ops.HEARTBEAT, HEARTBEAT, timeout=PATIENCE)

    # -- the end --------------------------------------------------------------------------------------------

    async def test_a_stop_lets_a_call_under_way_finish(
        self, stage: Stage, channel: Channel, stack: AsyncExitStack
    ) -> None:
        begun, finish = asyncio.Event(), asyncio.Event()

        async def handler(request: m.Heartbeat, caller: Caller, body: Body | None) -> m.Done:
            begun.set()
            await finish.wait()
            return m.Done()

        stage.script["heartbeat"] = handler
        calling = asyncio.create_task(channel.call(ops.HEARTBEAT, HEARTBEAT, timeout=PATIENCE))
        await within(begun)
        stopping = asyncio.create_task(stack.aclose())
        await asyncio.sleep(0)
        finish.set()

        assert await calling == m.Done()
        await stopping

    async def test_a_stop_ends_calls_that_take_too_long_with_a_retryable_error(
        self, stage: Stage, channel: Channel, stack: AsyncExitStack
    ) -> None:
        held = stage.hold("poll_signals")
        waiting = asyncio.create_task(channel.call(ops.POLL_SIGNALS, m.PollSignals(instance_id="i-1")))
        await within(held.begun)

        async with asyncio.timeout(PATIENCE):
            await stack.aclose()

        assert held.cancelled.is_set()
        with pytest.raises(errors.ServerStopping):
            await waiting

    async def test_nobody_answers_after_a_stop(
        self, stage: Stage, bound: str, dial: Dial, channel: Channel, stack: AsyncExitStack
    ) -> None:
        await stack.aclose()

        with pytest.raises(errors.ConnectionFailed):
            await dial(bound, timeout=PATIENCE)
        with pytest.raises(errors.ConnectionFailed):
            await channel.call(ops.HEARTBEAT, HEARTBEAT, timeout=PATIENCE)

    async def test_a_closed_channel_says_so(self, stage: Stage, channel: Channel) -> None:
        await channel.close()
        await channel.close()

        with pytest.raises(errors.ConnectionFailed, match="closed"):
            await channel.call(ops.HEARTBEAT, HEARTBEAT, timeout=PATIENCE)

    # -- addresses ------------------------------------------------------------------------------------------

    async def test_an_address_that_is_taken_is_refused_and_free_again_after_a_stop(
        self, transport: Transport, bound: str, stage: Stage, dial: Dial, stack: AsyncExitStack
    ) -> None:
        stage.answer("heartbeat", m.Done())
        async with AsyncExitStack() as other:
            with pytest.raises(errors.AddressInUse):
                await transport.serve(bound, stage, other)
        await stack.aclose()

        async with AsyncExitStack() as other:
            assert await transport.serve(bound, stage, other) == bound
            channel = await dial(bound)
            assert await channel.call(ops.HEARTBEAT, HEARTBEAT, timeout=PATIENCE)
            await channel.close()

    @pytest.mark.parametrize("address", ["", "nowhere", "strange://127.0.0.1:1"])
    async def test_an_address_of_another_kind_is_refused_on_both_sides(
        self, transport: Transport, stage: Stage, dial: Dial, address: str
    ) -> None:
        async with AsyncExitStack() as stack:
            with pytest.raises(errors.ConfigError):
                await transport.serve(address, stage, stack)
        with pytest.raises(errors.ConfigError):
            await dial(address)
