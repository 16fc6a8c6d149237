"""The client of the unix transport. It runs inside instances: asyncio, msgspec and the protocol, nothing else.

Calls are pipelined: each is one frame, written at once, and one future. Beyond the number that the server allows they
wait here, in order.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Any, TypeVar, cast

import msgspec

from runtara_framework.errors import CallTimeout, ConnectionFailed, ProtocolError, RuntaraError
from runtara_framework.memory import LIMIT
from runtara_framework.protocol import framing
from runtara_framework.protocol.channel import Body, Channel
from runtara_framework.protocol.invalid import MALFORMED
from runtara_framework.protocol.operations import VERSION, Operation
from runtara_framework.transport_local.address import path_of

READ_BYTES = 64 * 1024

Req = TypeVar("Req")
Res = TypeVar("Res")


async def dial(address: str, *, token: str | None = None, timeout: float = 10.0) -> Channel:
    """Connect to ``unix://path``. See `protocol.channel.Dial`."""
    path = path_of(address)
    channel = LocalChannel(address, token)
    try:
        async with asyncio.timeout(timeout):
            connection = await _connect(path)
            await asyncio.get_running_loop().create_unix_connection(lambda: channel, sock=connection)
            await channel.welcomed
    except TimeoutError as error:
        channel.abandon()
        raise CallTimeout(f"{address} did not answer in {timeout:g} seconds") from error
    except OSError as error:
        raise ConnectionFailed(
            f"no connection to {address}: {error.strerror or error}; does the server run, and as this user?"
        ) from error
    except BaseException:
        channel.abandon()
        raise
    return channel


async def _connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        while True:
            try:
                connection.connect(path)
                return connection
            except BlockingIOError:
                # The server's backlog is full. Nothing tells when it is not; asyncio would take this for a connection.
                await asyncio.sleep(0.01)
    except BaseException:
        connection.close()
        raise


class LocalChannel(asyncio.BufferedProtocol, Channel):
    """One connection."""

    def __init__(self, address: str, token: str | None) -> None:
        self.welcomed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._address = address
        self._token = token
        self._loop = asyncio.get_running_loop()
        self._buffer = memoryview(bytearray(READ_BYTES))  # a plain Protocol has 256 KiB allocated for every read
        self._reader = framing.FrameReader[framing.FromServer](framing.FromServer, framing.ANSWER_LIMIT)
        self._decoders: dict[str, msgspec.msgpack.Decoder[Any]] = {}
        self._calls: dict[int, _Call] = {}
        self._waiting: deque[tuple[int, bytes]] = deque()  # calls that the server does not allow yet
        self._free = 0
        self._last_id = 0
        self._transport: asyncio.Transport | None = None
        self._gone: RuntaraError | None = None  # why the connection is not usable

    # -- Channel --------------------------------------------------------------------------------------------

    async def call(
        self,
        operation: Operation[Req, Res],
        request: Req,
        *,
        body: Body | None = None,
        timeout: float | None = None,
    ) -> Res:
        if self._gone is not None:
            raise ConnectionFailed(self._gone.message)
        self._last_id = call_id = self._last_id + 1
        with LIMIT.lifted:
            frame = framing.encode_request(call_id, operation.name, request)
            call = self._calls[call_id] = _Call(self._loop.create_future(), body, operation.upload)
            if self._free > 0:
                self._send(call_id, frame)
            else:
                self._waiting.append((call_id, frame))
        timer = (
            self._loop.call_later(timeout, self._expire, call_id, timeout, operation.name)
            if timeout is not None
            else None
        )
        try:
            payload = await call.answer
        finally:
            if timer is not None:
                timer.cancel()
            if call_id in self._calls:  # the caller was cancelled
                self._give_up(call_id)
            if call.pump is not None:
                call.pump.cancel()
        decoder = self._decoders.get(operation.name)
        if decoder is None:
            decoder = self._decoders[operation.name] = framing.payload_decoder(operation.response)
        try:
            with LIMIT.lifted:
                return cast(Res, decoder.decode(payload))
        except MALFORMED as error:
            raise ProtocolError(f"the answer to {operation.name} is not what this version expects: {error}") from error

    async def close(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        """Close at once. What was answered is answered; the server cancels the rest."""
        self._lose(ConnectionFailed(f"the connection to {self._address} is closed"))

    # -- asyncio --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(framing.encode(framing.Hello(VERSION, self._token)))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        try:
            with LIMIT.lifted:
                for frame in self._reader.feed(bytes(self._buffer[:nbytes])):
                    self._received(frame)
        except RuntaraError as error:
            self._lose(error)

    def connection_lost(self, exc: Exception | None) -> None:
        reason = f": {exc}" if exc else ""
        self._lose(ConnectionFailed(f"the server at {self._address} closed the connection{reason}"))

    # -- frames ---------------------------------------------------------------------------------------------

    def _received(self, frame: framing.FromServer | framing.Oversized) -> None:
        if isinstance(frame, framing.Answer):
            if (call := self._finish(frame.id)) is not None:
                call.answer.set_result(frame.payload)
        elif isinstance(frame, framing.Failure):
            error = RuntaraError.from_wire(frame.error)
            if frame.id == 0:
                raise error
            if (call := self._finish(frame.id)) is not None:
                call.answer.set_exception(error)
        elif isinstance(frame, framing.Credit):
            if (call := self._calls.get(frame.id)) is not None:
                call.grant(frame.size)
        elif isinstance(frame, framing.Welcome) and not self.welcomed.done():
            self._free = frame.max_calls
            self.welcomed.set_result(None)
        else:
            raise ProtocolError(f"the server sent a {type(frame).__name__} where none may be")

    def _send(self, call_id: int, frame: bytes) -> None:
        call = self._calls[call_id]
        call.sent = True
        self._free -= 1
        assert self._transport is not None  # there are free calls only after the welcome
        self._transport.write(frame)
        if call.upload:
            call.pump = self._loop.create_task(self._upload(call_id, call))

    def _finish(self, call_id: int) -> _Call | None:
        """Take a call off the books and let the next one go. None if its caller gave up before."""
        call = self._calls.pop(call_id, None)
        if call is not None and call.sent:
            self._free += 1
            while self._free > 0 and self._waiting:
                next_id, frame = self._waiting.popleft()
                if next_id in self._calls:
                    self._send(next_id, frame)
        return call if call is not None and not call.answer.done() else None

    def _give_up(self, call_id: int) -> None:
        if self._calls[call_id].sent and self._transport is not None:
            self._transport.write(framing.encode(framing.Cancel(call_id)))
        self._finish(call_id)

    def _expire(self, call_id: int, timeout: float, name: str) -> None:
        if (call := self._calls.get(call_id)) is not None:
            self._give_up(call_id)
            if not call.answer.done():
                call.answer.set_exception(CallTimeout(f"{name} was not answered in {timeout:g} seconds"))

    def _lose(self, why: RuntaraError) -> None:
        if self._gone is not None:
            return
        self._gone = why
        if self._transport is not None:
            self._transport.abort()
        if not self.welcomed.done():
            self.welcomed.set_exception(why)
        calls, self._calls = self._calls, {}
        self._waiting.clear()
        for call in calls.values():
            if not call.answer.done():
                call.answer.set_exception(ConnectionFailed(why.message))

    # -- uploads --------------------------------------------------------------------------------------------

    async def _upload(self, call_id: int, call: _Call) -> None:
        transport = self._transport
        assert transport is not None
        try:
            if call.body is not None:
                async for data in call.body:
                    for start in range(0, len(data), framing.CHUNK_BYTES):
                        piece = data[start : start + framing.CHUNK_BYTES]
                        await call.spend(len(piece))
                        transport.write(framing.encode(framing.Chunk(call_id, piece)))
            transport.write(framing.encode(framing.Chunk(call_id, b"")))
        except (
            Exception
        ) as error:  # the caller's own iterator failed: its caller hears of it, the server only of the end
            if call_id in self._calls:
                self._give_up(call_id)
                if not call.answer.done():
                    call.answer.set_exception(error)
        finally:
            if (end := getattr(call.body, "aclose", None)) is not None:
                await end()


class _Call:
    """A call that waits for its answer."""

    __slots__ = ("answer", "body", "credit", "granted", "pump", "sent", "upload")

    def __init__(self, answer: asyncio.Future[msgspec.Raw], body: Body | None, upload: bool) -> None:
        self.answer = answer
        self.body = body
        self.upload = upload
        self.sent = False
        self.pump: asyncio.Task[None] | None = None
        self.credit = framing.WINDOW
        self.granted: asyncio.Future[None] | None = None

    def grant(self, size: int) -> None:
        self.credit += size
        if self.granted is not None and not self.granted.done():
            self.granted.set_result(None)

    async def spend(self, size: int) -> None:
        """Wait until so many bytes may be sent."""
        while self.credit < size:
            self.granted = asyncio.get_running_loop().create_future()
            await self.granted
        self.credit -= size
