"""The client of the HTTP transport: a small pool of connections that are kept alive.

It speaks to servers of this project, so it needs no redirects, cookies, proxies or compression; a general client spends
several times as long on a call as this server does. It runs inside instances, so it imports nothing heavy.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, TypeVar

import msgspec

from runtara_framework import __version__
from runtara_framework.errors import (
    CallTimeout,
    ConfigError,
    ConnectionFailed,
    ProtocolError,
    RemoteError,
    RuntaraError,
)
from runtara_framework.memory import LIMIT
from runtara_framework.protocol.channel import Body, Channel
from runtara_framework.protocol.invalid import MALFORMED
from runtara_framework.protocol.operations import Operation
from runtara_transport_http.address import address_of, host_and_port
from runtara_transport_http.binding import Binding
from runtara_transport_http.connection import Answer, Connection

MAX_CONNECTIONS = 100  # calls beyond that wait, in order
IDLE_SECONDS = 30.0  # an idle connection is not trusted longer; the server closes it after 75
READ_BYTES = 64 * 1024

Req = TypeVar("Req")
Res = TypeVar("Res")


async def dial(address: str, *, token: str | None = None, timeout: float = 10.0) -> Channel:
    """Connect to ``http://host:port``. See `protocol.channel.Dial`."""
    host, port = host_and_port(address)
    if port == 0:
        raise ConfigError(f"{address!r}: nobody listens on port 0; give the port that the server has bound")
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigError("the token holds characters that no header can carry")
    channel = HttpChannel(host, port, token)
    try:
        async with asyncio.timeout(timeout):
            await channel.connect()
    except TimeoutError as error:
        raise CallTimeout(f"{address} did not answer in {timeout:g} seconds") from error
    return channel


class HttpChannel(Channel):
    """Connections to one server; each carries one call at a time."""

    def __init__(self, host: str, port: int, token: str | None) -> None:
        self._host = host
        self._port = port
        self._address = address_of(host, port)
        authorization = f"authorization: Bearer {token}\r\n" if token else ""
        host_header = self._address.removeprefix("http://")
        self._headers = f" HTTP/1.1\r\nhost: {host_header}\r\nuser-agent: runtara/{__version__}\r\n{authorization}"
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._bindings: dict[str, Binding[Any, Any]] = {}
        self._idle: list[Connection] = []  # the last used first: the others may go cold and be closed
        self._connections: set[Connection] = set()
        self._opening = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False

    # -- Channel --------------------------------------------------------------------------------------------

    async def call(
        self,
        operation: Operation[Req, Res],
        request: Req,
        *,
        body: Body | None = None,
        timeout: float | None = None,
    ) -> Res:
        binding: Binding[Req, Res] | None = self._bindings.get(operation.name)
        if binding is None:
            binding = self._bindings[operation.name] = Binding(operation)
        with LIMIT.lifted:
            target, content = binding.target_and_body(request)
        head = f"{binding.method} {target}{self._headers}"
        if operation.upload:
            head += "content-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n"
            body = body if body is not None else _nothing()
        elif content:
            head += f"content-type: application/json\r\ncontent-length: {len(content)}\r\n"
        with LIMIT.lifted:
            message = head.encode("ascii") + b"\r\n" + content
        try:
            async with asyncio.timeout(timeout) as limit:
                answer = await self._exchange(message, body, safe=binding.method == "GET")
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise CallTimeout(f"{operation.name} was not answered in {timeout:g} seconds") from error
        if answer.status != 200:
            raise self._error(answer)
        try:
            with LIMIT.lifted:
                return binding.answer_decoder.decode(answer.body)
        except MALFORMED as error:
            raise ProtocolError(f"the answer to {operation.name} is not what this version expects: {error}") from error

    async def close(self) -> None:
        self._closed = True
        for connection in list(self._connections):
            connection.close()
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def connect(self) -> None:
        """Open a first connection. Raises `ConnectionFailed`."""
        self._release(await self._open())

    # -- inside ---------------------------------------------------------------------------------------------

    async def _exchange(self, message: bytes, body: Body | None, safe: bool) -> Answer:
        connection = await self._acquire()
        try:
            return await connection.exchange(message, body)
        except ConnectionFailed:
            # The server may close a connection just as we take it up. Only what changes nothing may be sent twice.
            if not (safe and connection.used and connection.unheard) or self._closed:
                raise
        finally:
            self._release(connection)
        connection = await self._acquire(fresh=True)
        try:
            return await connection.exchange(message)
        finally:
            self._release(connection)

    async def _acquire(self, fresh: bool = False) -> Connection:
        while True:
            if self._closed:
                raise ConnectionFailed(f"the connection to {self._address} is closed")
            while self._idle:
                connection = self._idle.pop()
                if connection.usable and not fresh and connection.idle_seconds < IDLE_SECONDS:
                    return connection
                self._drop(connection)
            if len(self._connections) + self._opening < MAX_CONNECTIONS:
                return await self._open()
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()  # it was our turn: let the next one have it
                raise

    async def _open(self) -> Connection:
        self._opening += 1
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self._buffer, self._address), self._host, self._port
            )
        except OSError as error:
            self._wake()
            reason = error.strerror or str(error)
            raise ConnectionFailed(f"no connection to {self._address}: {reason}; does the server run?") from error
        finally:
            self._opening -= 1
        if self._closed:
            connection.close()
            raise ConnectionFailed(f"the connection to {self._address} is closed")
        self._connections.add(connection)
        return connection

    def _release(self, connection: Connection) -> None:
        if connection.usable:
            self._idle.append(connection)
        else:
            self._drop(connection)
        self._wake()

    def _drop(self, connection: Connection) -> None:
        self._connections.discard(connection)
        connection.close()

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _error(self, answer: Answer) -> RuntaraError:
        try:
            wire = msgspec.json.decode(answer.body)
            if isinstance(wire, dict) and "code" in wire:
                return RuntaraError.from_wire(wire)
        except MALFORMED:
            pass
        # Not of this project: a proxy between us.
        text = answer.body[:200].decode("utf-8", "replace")
        retryable = answer.status in (502, 503, 504)
        return RemoteError(
            f"{self._address} answered with status {answer.status}: {text}",
            code=f"HTTP_{answer.status}",
            retryable=retryable,
        )


async def _nothing() -> Any:
    return
    yield b""
