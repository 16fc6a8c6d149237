"""The unix channel against servers that are absent, silent or strange; and what importing it costs."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from runtara_framework import errors
from runtara_framework.protocol import framing
from runtara_framework.protocol import messages as m
from runtara_framework.protocol import operations as ops
from runtara_framework.testing.stage import HEARTBEAT, PATIENCE
from runtara_framework.transport_local.client import dial

WELCOME = framing.encode(framing.Welcome(1, 2))
Serve = Callable[[Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]], Awaitable[str]]


@pytest_asyncio.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Start a server that does what the test says; answers its address."""
    async with AsyncExitStack() as stack:

        async def start(
            behave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
        ) -> str:
            async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await behave(reader, writer)
                writer.close()

            server = await asyncio.start_unix_server(connected, tmp_path / "s.sock")
            await stack.enter_async_context(server)
            return f"unix://{tmp_path}/s.sock"

        yield start


def test_the_client_imports_nothing_heavy() -> None:
    program = "import sys, json, runtara_framework.transport_local.client; print(json.dumps(list(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    brought = {name.split(".")[0] for name in json.loads(run.stdout)}
    ours = {name for name in json.loads(run.stdout) if name.startswith("runtara_framework.")}

    assert not brought & {"pydantic", "stevedore", "pluggy", "sqlalchemy", "starlette", "httpx", "difflib"}
    assert ours == {
        "runtara_framework.errors",
        "runtara_framework.memory",
        "runtara_framework.model",
        "runtara_framework.states",
        "runtara_framework.protocol",
        "runtara_framework.protocol.channel",
        "runtara_framework.protocol.framing",
        "runtara_framework.protocol.invalid",
        "runtara_framework.protocol.messages",
        "runtara_framework.protocol.operations",
        "runtara_framework.transport_local",
        "runtara_framework.transport_local.address",
        "runtara_framework.transport_local.client",
    }


async def test_nobody_there_says_where_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        errors.ConnectionFailed, match=f"no connection to unix://{tmp_path}/x.sock: No such file.*does the"
    ):
        await dial(f"unix://{tmp_path}/x.sock")


async def test_a_server_that_is_too_busy_to_accept_is_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(str(tmp_path / "s.sock"))
        busy.listen(0)
        first.connect(str(tmp_path / "s.sock"))  # the backlog is full now

        with pytest.raises(errors.CallTimeout, match=r"did not answer in 0\.05 seconds"):
            await dial(f"unix://{tmp_path}/s.sock", timeout=0.05)

        dialling = asyncio.create_task(dial(f"unix://{tmp_path}/s.sock", timeout=PATIENCE))
        busy.setblocking(False)
        loop = asyncio.get_running_loop()
        ours, _ = await loop.sock_accept(busy)
        ours.close()
        theirs, _ = await loop.sock_accept(busy)
        await loop.sock_sendall(theirs, WELCOME)
        await (await dialling).close()
        theirs.close()


async def test_a_server_that_never_welcomes_is_a_timeout(serve: Serve) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    with pytest.raises(errors.CallTimeout):
        await dial(await serve(silent), timeout=0.05)


async def test_a_server_that_hangs_up_is_no_connection(serve: Serve) -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    with pytest.raises(errors.ConnectionFailed):
        await dial(await serve(rude), timeout=PATIENCE)


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n" * 2,
        b"\0\0\0\1\xc1",
        framing.encode(framing.Answer(1, framing.msgspec.Raw(b"\x01"))),
    ],
    ids=["http", "garbage", "unsolicited"],
)
async def test_a_server_of_another_kind_is_a_protocol_error_or_ignored(serve: Serve, sent: bytes) -> None:
    async def strange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(sent)
        await reader.read()

    with pytest.raises((errors.ProtocolError, errors.CallTimeout)):
        await dial(await serve(strange), timeout=0.5)


async def test_a_refused_hello_raises_what_the_server_said(serve: Serve) -> None:
    async def picky(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(framing.encode_failure(0, errors.ProtocolError("the client speaks version 1 and this server 9")))

    with pytest.raises(errors.ProtocolError, match="this server 9"):
        await dial(await serve(picky), timeout=PATIENCE)


async def test_calls_beyond_what_the_server_allows_wait_here(serve: Serve) -> None:
    seen: list[int] = []
    answered = asyncio.Event()

    async def two_at_a_time(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames: framing.FrameReader[Any] = framing.FrameReader(framing.FromClient, 10_000)
        writer.write(WELCOME)
        open_calls: list[int] = []
        while data := await reader.read(65536):
            open_calls += [frame.id for frame in frames.feed(data) if isinstance(frame, framing.Request)]
            assert len(open_calls) <= 2
            while len(open_calls) == 2 or (open_calls and len(seen) == 8):
                seen.append(open_calls.pop())
                writer.write(framing.encode_answer(seen[-1], m.Done()))
        answered.set()

    channel = await dial(await serve(two_at_a_time), timeout=PATIENCE)
    calls = [channel.call(ops.HEARTBEAT, HEARTBEAT, timeout=PATIENCE) for _ in range(9)]
    waiting = [asyncio.create_task(call) for call in calls]
    await asyncio.gather(*waiting)
    await channel.close()

    assert sorted(seen) == list(range(1, 10))
    async with asyncio.timeout(PATIENCE):
        await answered.wait()


async def test_an_answer_of_the_wrong_type_fails_its_call_alone(serve: Serve) -> None:
    async def wrong_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames: framing.FrameReader[Any] = framing.FrameReader(framing.FromClient, 10_000)
        writer.write(WELCOME)
        while data := await reader.read(65536):
            for frame in frames.feed(data):
                if isinstance(frame, framing.Request):
                    writer.write(framing.encode_answer(frame.id, {"success": "maybe"} if frame.id == 1 else m.Done()))

    channel = await dial(await serve(wrong_once), timeout=PATIENCE)

    with pytest.raises(errors.ProtocolError, match="the answer to heartbeat"):
        await channel.call(ops.HEARTBEAT, HEARTBEAT, timeout=PATIENCE)
    assert await channel.call(ops.HEARTBEAT, HEARTBEAT, timeout=PATIENCE) == m.Done()
    await channel.close()


async def test_calls_under_way_fail_when_the_server_dies(serve: Serve) -> None:
    async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WELCOME)
        await reader.readuntil(b"heartbeat")

    channel = await dial(await serve(dying), timeout=PATIENCE)
    results = await asyncio.gather(
        *(channel.call(ops.HEARTBEAT, HEARTBEAT, timeout=PATIENCE) for _ in range(5)), return_exceptions=True
    )

    assert all(isinstance(result, errors.ConnectionFailed) for result in results)
    assert all("closed the connection" in str(result) for result in results)
