"""The HTTP channel against servers that are absent or strange; and what importing it costs."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from runtara_transport_http.binding import Binding, query_pairs
from runtara_transport_http.client import MAX_CONNECTIONS, dial

from runtara_framework import errors
from runtara_framework.protocol import messages as m
from runtara_framework.protocol import operations as ops
from runtara_framework.protocol.operations import OPERATIONS, Operation
from runtara_framework.testing.stage import HEARTBEAT, PATIENCE
from runtara_framework.testing.values import messages

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]
Serve = Callable[[Behaviour], Awaitable[str]]
STATUS = m.GetStatus(instance_id="i-1")
GOT = b'{"instance_id":"i-1","status":"running"}'


def http(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server that does what the test says with each connection, which it numbers; answers its address."""
    async with AsyncExitStack() as stack:

        async def start(behave: Behaviour) -> str:
            number = 0

            async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                nonlocal number
                number += 1
                try:
                    await behave(reader, writer, number)
                except (asyncio.IncompleteReadError, ConnectionError):
                    pass
                writer.close()

            server = await asyncio.start_server(connected, "127.0.0.1", 0)
            await stack.enter_async_context(server)
            return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

        yield start


def answers(*said: bytes) -> Behaviour:
    """One answer a request, the last for ever."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        for count in range(1_000_000):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said[min(count, len(said) - 1)])

    return behave


def test_the_client_imports_nothing_heavy() -> None:
    program = "import sys, json, runtara_transport_http.client; print(json.dumps(list(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    brought = {name.split(".")[0] for name in json.loads(run.stdout)}

    assert not brought & {"pydantic", "starlette", "uvicorn", "httpx", "anyio", "stevedore", "python_multipart"}


async def test_nobody_there_says_where_and_what_to_do() -> None:
    with pytest.raises(errors.ConnectionFailed, match=r"no connection to http://127\.0\.0\.1:1: .*does the server run"):
        await dial("http://127.0.0.1:1")


@pytest.mark.parametrize("address", ["http://127.0.0.1:0", "https://127.0.0.1:1", "http://127.0.0.1:1/x"])
async def test_an_address_that_cannot_be_dialled_is_refused(address: str) -> None:
    with pytest.raises(errors.ConfigError):
        await dial(address)


@pytest.mark.parametrize("token", ["a\r\nx: y", "a b", "é", "\0"])
async def test_a_token_cannot_smuggle_a_header(token: str) -> None:
    with pytest.raises(errors.ConfigError, match="token"):
        await dial("http://127.0.0.1:1", token=token)


async def test_a_connection_that_the_server_closed_is_replaced_for_what_changes_nothing(serve: Serve) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(GOT))
        await reader.readuntil(b"\r\n\r\n")  # the next one is not answered any more

    channel = await dial(await serve(once))
    for _ in range(3):
        assert (await channel.call(ops.GET_STATUS, STATUS, timeout=PATIENCE)).status == "running"
    with pytest.raises(errors.ConnectionFailed, match="broke"):
        await channel.call(ops.HEARTBEAT, HEARTBEAT, timeout=PATIENCE)
    await channel.close()


async def test_an_answer_that_began_is_not_asked_for_again(serve: Serve) -> None:
    seen: list[int] = []

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(GOT))
        await reader.readuntil(b"\r\n\r\n")
        seen.append(number)
        writer.write(http(GOT)[:-5])

    channel = await dial(await serve(half))
    await channel.call(ops.GET_STATUS, STATUS, timeout=PATIENCE)
    with pytest.raises(errors.ConnectionFailed):
        await channel.call(ops.GET_STATUS, STATUS, timeout=PATIENCE)
    await channel.close()

    assert seen == [1]


async def test_no_more_connections_than_allowed_are_opened(serve: Serve) -> None:
    opened: set[int] = set()

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        opened.add(number)
        await answers(http(GOT))(reader, writer, number)

    channel = await dial(await serve(count))
    calls = [channel.call(ops.GET_STATUS, STATUS, timeout=PATIENCE) for _ in range(MAX_CONNECTIONS * 3)]
    await asyncio.gather(*calls)
    await channel.close()

    assert 1 < len(opened) <= MAX_CONNECTIONS


async def test_an_announcement_is_no_answer(serve: Serve) -> None:
    channel = await dial(await serve(answers(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + http(GOT))))

    assert (await channel.call(ops.GET_STATUS, STATUS, timeout=PATIENCE)).status == "running"
    await channel.close()


async def test_a_chunked_answer_is_read(serve: Serve) -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n" + GOT[:5] + b"\r\n"
    rest = GOT[5:]
    channel = await dial(await serve(answers(chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))))

    for _ in range(2):
        assert (await channel.call(ops.GET_STATUS, STATUS, timeout=PATIENCE)).status == "running"
    await channel.close()


@pytest.mark.parametrize("status", [301, 404, 502, 503])
async def test_an_answer_of_a_proxy_is_an_error_with_its_status(serve: Serve, status: int) -> None:
    channel = await dial(await serve(answers(http(b"<html>Bad gateway", status))))

    with pytest.raises(errors.RemoteError, match=f"answered with status {status}: <html>Bad gateway") as caught:
        await channel.call(ops.GET_STATUS, STATUS, timeout=PATIENCE)

    assert caught.value.code == f"HTTP_{status}"
    assert caught.value.retryable is (status > 500)
    await channel.close()


@pytest.mark.parametrize(
    "said",
    [b"SSH-2.0-x\r\n", http(b"{}"), http(b"[]"), http(b"\xff"), b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000],
    ids=["ssh", "empty", "array", "garbage", "endless head"],
)
async def test_a_server_of_another_kind_is_a_protocol_error(serve: Serve, said: bytes) -> None:
    channel = await dial(await serve(answers(said)))

    for _ in range(2):
        with pytest.raises(errors.ProtocolError):
            await channel.call(ops.GET_STATUS, STATUS, timeout=PATIENCE)
    await channel.close()


async def test_more_than_was_asked_for_is_not_taken_for_the_next_answer(serve: Serve) -> None:
    channel = await dial(await serve(answers(http(GOT) + http(b'{"instance_id":"other","status":"failed"}'))))

    for _ in range(3):
        assert (await channel.call(ops.GET_STATUS, STATUS, timeout=PATIENCE)).instance_id == "i-1"
    await channel.close()


# -- bindings ---------------------------------------------------------------------------------------------

ALL = [operation for table in OPERATIONS.values() for operation in table.values()]


@pytest.mark.parametrize("operation", ALL, ids=lambda operation: operation.name)
@settings(max_examples=30)
@given(data=st.data())
def test_a_binding_undoes_itself(operation: Operation[Any, Any], data: st.DataObject) -> None:
    request = data.draw(messages(operation.request))
    binding = Binding(operation)

    target, body = binding.target_and_body(request)

    path, _, query = target.partition("?")
    segments = [
        there
        for there, template in zip(path.split("/"), binding.template.split("/"), strict=True)
        if template.startswith("{")
    ]
    assert target.isascii() and " " not in target
    if binding.in_query:
        assert binding.from_text(segments, query_pairs(query.encode()), "other") == request
    else:
        back = binding.from_body(segments, body, "other")
        expected = m.Register(**{**_fields(request), "tenant_id": "other"}) if _no_tenant(request) else request
        assert back == expected


def _no_tenant(request: Any) -> bool:
    return isinstance(request, m.Register) and request.tenant_id is None


def _fields(request: Any) -> dict[str, Any]:
    return {name: getattr(request, name) for name in request.__struct_fields__}


def test_an_empty_name_cannot_be_a_part_of_a_path() -> None:
    with pytest.raises(errors.InvalidRequest, match="field `instance_id` is empty"):
        Binding(ops.HEARTBEAT).target_and_body(m.Heartbeat(instance_id=""))


@pytest.mark.parametrize("value", [object(), {1: object()}], ids=["object", "inner"])
def test_what_is_no_json_is_refused_where_it_is_sent(value: Any) -> None:
    with pytest.raises(errors.InvalidRequest, match="no JSON value"):
        Binding(ops.START_INSTANCE).target_and_body(m.StartInstance(tenant_id="t", image_id="i", input=value))
