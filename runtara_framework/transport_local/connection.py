"""One client of the unix transport, on the server's side: frames to calls of the endpoint and back.

Policy. At most `MAX_CALLS` requests of a connection wait for an answer (the client knows, `Welcome` tells it); one more is
answered with `QueueFull`, so that a cancellation or the client's end is always noticed. A client that does not read its
answers is not read from either, until it does. When the client is gone, its calls are cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any, cast

from runtara_framework.errors import (
    InvalidRequest,
    PayloadTooLarge,
    ProtocolError,
    QueueFull,
    RuntaraError,
    ServerStopping,
)
from runtara_framework.protocol import framing
from runtara_framework.protocol.invalid import (
    MALFORMED,
    integer_fields,
    invalid_request,
    refuse_wide,
    unknown_operation,
)
from runtara_framework.protocol.operations import Operation
from runtara_framework.spec.transport import Caller, Endpoint

MAX_CALLS = 256
READ_BYTES = 256 * 1024
FLUSH_SECONDS = 1.0  # at shutdown: to obey a cancellation, and for the client to read its last answers


class Table:
    """What all connections share: the endpoint's operations, the decoder of each request, the buffer to read into."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.entries = {
            name: (operation, framing.payload_decoder(operation.request), integer_fields(operation.request))
            for name, operation in endpoint.operations.items()
        }
        # asyncio reads into it and hands it over in one go, so all connections share it. Without it, every read allocates
        # 256 KiB, which costs more than the rest of a round trip.
        self.buffer = memoryview(bytearray(READ_BYTES))


class Connection(asyncio.BufferedProtocol):
    """A client from its hello to its end."""

    def __init__(
        self, table: Table, connections: set[Connection], logger: logging.Logger, hello_seconds: float
    ) -> None:
        self._table = table
        self._connections = connections
        self._logger = logger
        self._hello_seconds = hello_seconds
        self._reader = framing.FrameReader[framing.FromClient](framing.FromClient, framing.HELLO_LIMIT)
        self._caller: Caller | None = None  # None: no hello yet
        self._calls: dict[int, _Call] = {}
        self._leaving: set[asyncio.Task[None]] = set()  # cancelled by the client, not yet ended
        self._stopping = False
        self._lost = asyncio.Event()

    # -- asyncio --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self._connections.add(self)
        self._hello_timer = self._loop.call_later(self._hello_seconds, self._no_hello)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._table.buffer

    def buffer_updated(self, nbytes: int) -> None:
        try:
            for frame in self._reader.feed(bytes(self._table.buffer[:nbytes])):
                self._received(frame)
        except ProtocolError as error:
            self._end(error)

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set()
        self._hello_timer.cancel()
        self._connections.discard(self)
        for call in self._calls.values():
            call.task.cancel()

    # -- the end --------------------------------------------------------------------------------------------

    async def stop(self, grace: float) -> None:
        """Take no new calls, give those under way `grace` seconds, answer the rest with `ServerStopping`, close."""
        self._stopping = True
        if tasks := [call.task for call in self._calls.values()]:
            await asyncio.wait(tasks, timeout=grace)
        for call in self._calls.values():
            call.task.cancel()
        if rest := [*(call.task for call in self._calls.values()), *self._leaving]:
            await asyncio.wait(rest, timeout=FLUSH_SECONDS)
        self._transport.close()
        try:
            await asyncio.wait_for(self._lost.wait(), FLUSH_SECONDS)
        except TimeoutError:  # it does not read what is left for it
            self._transport.abort()

    def _end(self, error: RuntaraError) -> None:
        self._logger.warning("a client of the unix socket is disconnected: %s", error)
        self._transport.pause_reading()
        self._transport.write(framing.encode_failure(0, error))
        self._transport.close()

    def _no_hello(self) -> None:
        self._end(ProtocolError(f"no hello in {self._hello_seconds:g} seconds"))

    # -- frames ---------------------------------------------------------------------------------------------

    def _received(self, frame: framing.FromClient | framing.Oversized) -> None:
        kind = type(frame)
        if self._caller is None:
            if kind is not framing.Hello:
                raise ProtocolError("the first frame must be a hello; the other side does not speak Runtara's protocol")
            self._hello(cast(framing.Hello, frame))
        elif kind is framing.Request:
            self._request(cast(framing.Request, frame), self._caller)
        elif kind is framing.Chunk:
            self._chunk(cast(framing.Chunk, frame))
        elif kind is framing.Cancel:
            self._cancel(cast(framing.Cancel, frame))
        elif kind is framing.Oversized:
            self._oversized(cast(framing.Oversized, frame))
        else:
            raise ProtocolError("a connection has one hello, the first frame")

    def _hello(self, hello: framing.Hello) -> None:
        version = framing.accept(hello)
        self._hello_timer.cancel()
        self._caller = Caller(token=hello.token, peer="unix")
        self._reader.limit = self._table.endpoint.max_message_bytes
        self._transport.write(framing.encode(framing.Welcome(version, MAX_CALLS)))

    def _request(self, frame: framing.Request, caller: Caller) -> None:
        call_id = frame.id
        if call_id <= 0 or call_id in self._calls:
            raise ProtocolError(f"the request id {call_id} is in use or not above 0")
        entry = self._table.entries.get(frame.operation)
        if entry is None:
            return self._fail(call_id, unknown_operation(frame.operation, self._table.entries))
        if self._stopping:
            return self._fail(call_id, ServerStopping())
        if len(self._calls) >= MAX_CALLS:
            return self._fail(
                call_id,
                QueueFull(f"{MAX_CALLS} calls of this connection wait for an answer; wait for one", limit=MAX_CALLS),
            )
        operation, decoder, integers = entry
        try:
            message = decoder.decode(frame.payload)
            refuse_wide(operation, message, integers)
        except MALFORMED as error:
            return self._fail(call_id, invalid_request(operation, error))
        except InvalidRequest as error:
            return self._fail(call_id, error)
        call = self._calls[call_id] = _Call()
        if operation.upload:
            call.body = _Body(self._transport, call_id)
        call.task = self._loop.create_task(self._serve(call_id, call, operation, message, caller))
        return None

    async def _serve(
        self, call_id: int, call: _Call, operation: Operation[Any, Any], message: Any, caller: Caller
    ) -> None:
        try:
            answer = await self._table.endpoint.handle(operation, message, caller, call.body)
            frame = framing.encode_answer(call_id, answer)
        except asyncio.CancelledError:
            if self._lost.is_set() or self._calls.get(call_id) is not call:  # nobody waits
                raise
            frame = framing.encode_failure(call_id, ServerStopping() if self._stopping else RuntaraError())
        except RuntaraError as error:
            frame = framing.encode_failure(call_id, error)
        except Exception:
            self._logger.exception("%s failed", operation.name)
            frame = framing.encode_failure(call_id, RuntaraError())
        finally:
            if self._calls.get(call_id) is call:
                del self._calls[call_id]
        self._send(frame)

    def _fail(self, call_id: int, error: RuntaraError) -> None:
        self._send(framing.encode_failure(call_id, error))

    def _send(self, frame: bytes) -> None:
        # Of many answers that are ready at once, the first finds out that the client is gone; asyncio warns of the others.
        if not self._transport.is_closing():
            self._transport.write(frame)

    def _oversized(self, frame: framing.Oversized) -> None:
        limit = self._reader.limit
        self._fail(
            frame.id,
            PayloadTooLarge(
                f"the request has {frame.size} bytes and this server takes {limit}", size=frame.size, limit=limit
            ),
        )

    def _chunk(self, frame: framing.Chunk) -> None:
        # Chunks of a call that has ended already may still be on their way: they are dropped.
        if (call := self._calls.get(frame.id)) is not None:
            if call.body is None:
                raise ProtocolError(f"request {frame.id} is of an operation that takes no body")
            call.body.push(frame.data)

    def _cancel(self, frame: framing.Cancel) -> None:
        if (call := self._calls.pop(frame.id, None)) is not None:
            call.task.cancel()
            self._leaving.add(call.task)
            call.task.add_done_callback(self._leaving.discard)


class _Call:
    """A request that waits for its answer."""

    __slots__ = ("body", "task")
    task: asyncio.Task[None]

    def __init__(self) -> None:
        self.body: _Body | None = None


class _Body:
    """The chunks of an upload, as the endpoint iterates over them; holds at most `framing.WINDOW` bytes."""

    def __init__(self, transport: asyncio.Transport, call_id: int) -> None:
        self._transport = transport
        self._call_id = call_id
        self._chunks: deque[bytes] = deque()
        self._credit = framing.WINDOW
        self._ended = False
        self._arrived: asyncio.Future[None] | None = None

    def push(self, data: bytes) -> None:
        if self._ended:
            raise ProtocolError(f"a chunk follows the end of the body of request {self._call_id}")
        self._credit -= len(data)
        if self._credit < 0:
            raise ProtocolError(f"the body of request {self._call_id} exceeds its window")
        if data:
            self._chunks.append(data)
        else:
            self._ended = True
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._ended:
                raise StopAsyncIteration
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        data = self._chunks.popleft()
        self._credit += len(data)
        self._transport.write(framing.encode(framing.Credit(self._call_id, len(data))))
        return data
