"""The unix transport's own promises: the socket file, the hello, and clients that break the rules."""

# ruff: noqa: ASYNC240  # a file in tmp_path blocks nobody
from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from runtara_framework import errors
from runtara_framework.clock import SystemClock
from runtara_framework.protocol import framing
from runtara_framework.protocol import messages as m
from runtara_framework.protocol import operations as ops
from runtara_framework.protocol.channel import Body
from runtara_framework.protocol.operations import Protocol
from runtara_framework.spec.driver import DriverContext
from runtara_framework.spec.transport import Caller
from runtara_framework.testing.stage import HEARTBEAT, PATIENCE, REGISTERED, UPLOAD, Stage, save, within
from runtara_framework.transport_local.client import dial
from runtara_framework.transport_local.connection import MAX_CALLS
from runtara_framework.transport_local.server import LocalSettings, LocalTransport


@pytest.fixture
def context(tmp_path: Path) -> DriverContext:
    return DriverContext(SystemClock(), tmp_path, "node", logging.getLogger("runtara.tests"))


@pytest.fixture
def transport(context: DriverContext) -> LocalTransport:
    return LocalTransport(LocalSettings(grace_seconds=0.1), context)


@pytest_asyncio.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "core.sock"


class Raw:
    """A client that does what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.frames: framing.FrameReader[Any] = framing.FrameReader(framing.FromServer, framing.ANSWER_LIMIT)
        self.received: list[Any] = []

    def send(self, *frames: Any) -> None:
        self.writer.write(b"".join(frame if isinstance(frame, bytes) else framing.encode(frame) for frame in frames))

    async def receive(self) -> Any:
        """The next frame; None at the end."""
        async with asyncio.timeout(PATIENCE):
            while not self.received:
                try:
                    data = await self.reader.read(65536)
                except ConnectionResetError:
                    return None
                if not data:
                    return None
                self.received += self.frames.feed(data)
        return self.received.pop(0)


@pytest_asyncio.fixture
async def stage() -> Stage:
    stage = Stage()
    stage.answer("heartbeat", m.Done())
    return stage


@pytest_asyncio.fixture
async def stranger(transport: LocalTransport, stage: Stage, stack: AsyncExitStack, path: Path) -> AsyncIterator[Raw]:
    """A connection that has not said anything."""
    await transport.serve(f"unix://{path}", stage, stack)
    raw = Raw(*await asyncio.open_unix_connection(str(path)))
    yield raw
    raw.writer.close()


@pytest_asyncio.fixture
async def raw(stranger: Raw) -> Raw:
    """A connection that has said hello."""
    stranger.send(framing.Hello(1, "t"))
    assert await stranger.receive() == framing.Welcome(1, MAX_CALLS)
    return stranger


# -- the socket file --------------------------------------------------------------------------------------


async def test_only_the_user_of_the_server_may_connect(
    transport: LocalTransport, stack: AsyncExitStack, path: Path
) -> None:
    await transport.serve(f"unix://{path}", Stage(), stack)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_the_socket_file_goes_with_the_server(transport: LocalTransport, path: Path) -> None:
    async with AsyncExitStack() as stack:
        assert await transport.serve(f"unix://{path}", Stage(), stack) == f"unix://{path}"
        assert path.exists()

    assert not path.exists()


async def test_a_relative_path_starts_here(
    transport: LocalTransport, stack: AsyncExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".data").mkdir()

    assert await transport.serve("unix://.data/core.sock", stage, stack) == f"unix://{tmp_path}/.data/core.sock"

    channel = await dial("unix://.data/core.sock")
    assert await channel.call(ops.HEARTBEAT, HEARTBEAT)
    await channel.close()


async def test_the_file_of_a_server_that_is_gone_is_replaced(
    transport: LocalTransport, stack: AsyncExitStack, path: Path, stage: Stage
) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))

    await transport.serve(f"unix://{path}", stage, stack)

    channel = await dial(f"unix://{path}")
    await channel.close()


async def test_a_file_that_is_no_socket_is_left_alone(
    transport: LocalTransport, stack: AsyncExitStack, path: Path
) -> None:
    path.write_text("precious")

    with pytest.raises(errors.AddressInUse, match="is no socket"):
        await transport.serve(f"unix://{path}", Stage(), stack)
    assert path.read_text() == "precious"


async def test_the_socket_of_a_server_that_took_the_path_over_is_left_alone(
    transport: LocalTransport, path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        async with AsyncExitStack() as stack:
            await transport.serve(f"unix://{path}", Stage(), stack)
            path.unlink()
            other.bind(str(path))

        assert path.exists()


async def test_a_missing_folder_is_named(transport: LocalTransport, stack: AsyncExitStack, tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigError, match=f"No such file or directory; check the folder {tmp_path}/nowhere"):
        await transport.serve(f"unix://{tmp_path}/nowhere/core.sock", Stage(), stack)


@pytest.mark.parametrize("length", [107, 108])
async def test_the_longest_path_is_that_of_the_system(
    transport: LocalTransport, stack: AsyncExitStack, length: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Path("/tmp") / f"runtara-{os.getpid()}"
    folder.mkdir()
    stack.callback(folder.rmdir)
    path = str(folder / "ü")
    path += "x" * (length - len(path.encode()))

    if length == 108:
        with pytest.raises(errors.ConfigError, match="has 108 bytes and the system allows 107"):
            await transport.serve(f"unix://{path}", Stage(), stack)
        with pytest.raises(errors.ConfigError, match="108 bytes"):
            await dial(f"unix://{path}")
    else:
        assert await transport.serve(f"unix://{path}", Stage(), stack) == f"unix://{path}"


@pytest.mark.parametrize("address", ["unix://", "unix:/tmp/x", "unix:///tmp/a\0b"])
async def test_an_address_without_a_path_is_refused(
    transport: LocalTransport, stack: AsyncExitStack, address: str
) -> None:
    with pytest.raises(errors.ConfigError):
        await transport.serve(address, Stage(), stack)


# -- the hello --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (framing.Hello(2), "the client speaks version 2"),
        (framing.Cancel(1), "the first frame must be a hello"),
        (framing.encode_request(1, "heartbeat", b"x" * framing.HELLO_LIMIT), "the first frame must be a hello"),
        (b"GET / HTTP/1.1\r\n\r\n", "limit is 65536"),
    ],
    ids=["version", "frame", "oversized", "http"],
)
async def test_a_client_without_a_proper_hello_is_told_and_dropped(stranger: Raw, sent: Any, says: str) -> None:
    stranger.send(sent)

    failure = await stranger.receive()

    assert failure.id == 0
    assert failure.error["code"] == "PROTOCOL_ERROR"
    assert says in failure.error["message"]
    assert await stranger.receive() is None


async def test_a_client_that_says_nothing_is_dropped(
    context: DriverContext, stack: AsyncExitStack, path: Path, stage: Stage
) -> None:
    transport = LocalTransport(LocalSettings(hello_seconds=0.02), context)
    await transport.serve(f"unix://{path}", stage, stack)
    silent = Raw(*await asyncio.open_unix_connection(str(path)))

    failure = await silent.receive()

    assert "no hello in 0.02 seconds" in failure.error["message"]
    assert await silent.receive() is None
    silent.writer.close()


async def test_requests_may_follow_the_hello_at_once(stranger: Raw) -> None:
    stranger.send(framing.Hello(1), framing.encode_request(1, "heartbeat", HEARTBEAT))

    assert await stranger.receive() == framing.Welcome(1, MAX_CALLS)
    assert isinstance(await stranger.receive(), framing.Answer)


# -- clients that break the rules -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ([framing.Hello(1)], "one hello"),
        ([framing.encode_request(0, "heartbeat", HEARTBEAT)], "not above 0"),
        ([framing.encode_request(3, "poll_signals", m.PollSignals(instance_id="i"))] * 2, "is in use"),
        (
            [framing.encode_request(3, "poll_signals", m.PollSignals(instance_id="i")), framing.Chunk(3, b"x")],
            "takes no body",
        ),
        ([b"\0\0\0\1\xff"], "no frame"),
    ],
    ids=["hello", "zero", "twice", "body", "garbage"],
)
async def test_a_client_that_breaks_the_rules_is_told_and_dropped(
    stage: Stage, raw: Raw, sent: list[Any], says: str
) -> None:
    held = stage.hold("poll_signals")
    raw.send(*sent)

    failure = await raw.receive()

    assert failure.id == 0
    assert says in failure.error["message"]
    assert await raw.receive() is None
    assert held.cancelled.is_set() == held.begun.is_set()


async def test_one_call_too_many_is_refused_and_a_cancelled_one_makes_room(stage: Stage, raw: Raw) -> None:
    held = stage.hold("poll_signals")
    poll = m.PollSignals(instance_id="i")
    raw.send(*(framing.encode_request(number, "poll_signals", poll) for number in range(1, MAX_CALLS + 2)))

    failure = await raw.receive()
    assert (failure.id, failure.error["code"]) == (MAX_CALLS + 1, "QUEUE_FULL")

    raw.send(framing.Cancel(7), framing.encode_request(1000, "heartbeat", HEARTBEAT))
    assert (await raw.receive()).id == 1000
    await within(held.cancelled)


async def test_a_client_that_is_killed_is_not_worth_a_warning_for_each_answer(
    stage: Stage, raw: Raw, caplog: pytest.LogCaptureFixture
) -> None:
    begun, go = asyncio.Semaphore(0), asyncio.Event()

    async def handler(request: m.PollSignals, caller: Caller, body: Body | None) -> m.PolledSignals:
        begun.release()
        await go.wait()
        return m.PolledSignals(signals=[])

    stage.script["poll_signals"] = handler
    poll = m.PollSignals(instance_id="i")
    raw.send(*(framing.encode_request(number, "poll_signals", poll) for number in range(1, 21)))
    async with asyncio.timeout(PATIENCE):
        for _ in range(20):
            await begun.acquire()
    raw.writer.transport.abort()
    go.set()  # all answers are ready before the server hears that nobody waits for them
    await raw.receive()

    assert not caplog.records


async def test_a_client_that_does_not_read_is_not_read_from(stage: Stage, raw: Raw, path: Path) -> None:
    stage.answer("get_checkpoint", m.GotCheckpoint(found=True, state=bytes(64 * 1024)))
    count = 2000
    get = m.GetCheckpoint(instance_id="i", checkpoint_id="c")
    # Sent in groups that the limit of calls allows; nobody reads the answers.
    for start in range(0, count, 100):
        raw.send(*(framing.encode_request(1 + n, "get_checkpoint", get) for n in range(start, start + 100)))
        channel = await dial(f"unix://{path}")
        for _ in range(3):
            await channel.call(ops.HEARTBEAT, HEARTBEAT)
        await channel.close()

    served = sum(1 for name, _, _ in stage.calls if name == "get_checkpoint")
    assert served < 1000  # the answers of a thousand would be 64 MiB in the server's memory

    answers = [await raw.receive() for _ in range(count)]
    assert {frame.id for frame in answers if isinstance(frame, framing.Answer)} | {
        frame.id for frame in answers if isinstance(frame, framing.Failure)
    } == set(range(1, count + 1))


async def test_a_request_over_the_limit_is_answered_though_it_never_ends(raw: Raw) -> None:
    raw.send((1 << 31).to_bytes(4, "big") + b"\x94\x02\x09\xafsave_checkpoint")

    failure = await raw.receive()

    assert (failure.id, failure.error["code"]) == (9, "PAYLOAD_TOO_LARGE")


# -- uploads ----------------------------------------------------------------------------------------------


@pytest.fixture
def uploads(stage: Stage) -> asyncio.Event:
    """Serves uploads that consume nothing until the event is set."""
    go = asyncio.Event()
    stage.protocol = Protocol.ENVIRONMENT

    async def handler(request: m.UploadImage, caller: Caller, body: Body | None) -> m.ImageRegistered:
        assert body is not None
        await go.wait()
        async for _ in body:
            pass
        return REGISTERED

    stage.script["upload_image"] = handler
    return go


async def test_credit_comes_as_chunks_are_consumed(uploads: asyncio.Event, raw: Raw) -> None:
    raw.send(framing.encode_request(1, "upload_image", UPLOAD), framing.Chunk(1, bytes(1000)), framing.Chunk(1, b"ab"))
    uploads.set()

    assert [await raw.receive(), await raw.receive()] == [framing.Credit(1, 1000), framing.Credit(1, 2)]

    raw.send(framing.Chunk(1, b""))
    assert isinstance(await raw.receive(), framing.Answer)


@pytest.mark.parametrize(
    ("chunks", "says"),
    [
        ([bytes(framing.WINDOW), b"x"], "exceeds its window"),
        ([b"x", b"", b"y"], "follows the end"),
        ([b"x", b"", b""], "follows the end"),
    ],
    ids=["window", "after the end", "two ends"],
)
async def test_a_body_that_breaks_the_rules_ends_the_connection(
    uploads: asyncio.Event, raw: Raw, chunks: list[bytes], says: str
) -> None:
    raw.send(framing.encode_request(1, "upload_image", UPLOAD), *(framing.Chunk(1, data) for data in chunks))

    assert says in (await raw.receive()).error["message"]
    assert await raw.receive() is None


async def test_chunks_of_a_call_that_has_ended_are_dropped(stage: Stage, uploads: asyncio.Event, raw: Raw) -> None:
    stage.fail("upload_image", errors.ImageInvalid())
    raw.send(framing.encode_request(1, "upload_image", UPLOAD))
    assert (await raw.receive()).error["code"] == "IMAGE_INVALID"

    raw.send(*[framing.Chunk(1, bytes(framing.WINDOW))] * 3)
    raw.send(framing.encode_request(2, "heartbeat", HEARTBEAT))

    assert (await raw.receive()).id == 2


# -- the end ----------------------------------------------------------------------------------------------


async def test_a_call_that_comes_while_the_server_stops_is_refused(
    context: DriverContext, stage: Stage, path: Path
) -> None:
    held = stage.hold("poll_signals")
    stack = AsyncExitStack()
    await LocalTransport(LocalSettings(grace_seconds=PATIENCE), context).serve(f"unix://{path}", stage, stack)
    channel = await dial(f"unix://{path}")
    waiting = asyncio.create_task(channel.call(ops.POLL_SIGNALS, m.PollSignals(instance_id="i")))
    await within(held.begun)
    stopping = asyncio.create_task(stack.aclose())
    await asyncio.sleep(0)  # it has begun
    assert not path.exists()

    with pytest.raises(errors.ServerStopping):
        await channel.call(ops.SAVE_CHECKPOINT, save("a", b""))

    waiting.cancel()
    await stopping
    await channel.close()


async def test_a_stop_does_not_wait_for_a_client_that_does_not_read(
    transport: LocalTransport, stage: Stage, path: Path
) -> None:
    stage.answer("get_checkpoint", m.GotCheckpoint(found=True, state=bytes(8 << 20)))
    stack = AsyncExitStack()
    await transport.serve(f"unix://{path}", stage, stack)
    raw = Raw(*await asyncio.open_unix_connection(str(path), limit=1024))
    get = m.GetCheckpoint(instance_id="i", checkpoint_id="c")
    raw.send(framing.Hello(1), framing.encode_request(1, "get_checkpoint", get))
    assert await raw.receive() == framing.Welcome(1, MAX_CALLS)
    await raw.reader.readexactly(1)  # the answer is on its way

    async with asyncio.timeout(PATIENCE):
        await stack.aclose()
    raw.writer.close()
