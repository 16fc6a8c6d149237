"""One connection of the client: one request at a time, an answer parsed by httptools."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, cast

import httptools

from runtara_framework.errors import ConnectionFailed, ProtocolError
from runtara_framework.memory import LIMIT
from runtara_framework.protocol.channel import Body

ANSWER_LIMIT = 1024 * 1024 * 1024  # of one answer; the server is trusted, garbage is not
HEAD_LIMIT = 64 * 1024
PIECE_BYTES = 256 * 1024


class Answer(NamedTuple):
    """What the server said."""

    status: int
    body: bytes


class Connection(asyncio.BufferedProtocol):
    """A connection that is kept alive. `buffer` is read into; connections of one loop may share it."""

    def __init__(self, buffer: memoryview, address: str) -> None:
        self.usable = False  # connected, and between two requests
        self.used = 0  # requests that were answered
        self._idle_since = 0.0
        self._buffer = buffer
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._writable = asyncio.Event()
        self._writable.set()
        self._answer: asyncio.Future[Answer] | None = None
        self._heard = False  # something of the answer has come
        self._in_head = True
        self._head_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._sending = False

    @property
    def unheard(self) -> bool:
        """The server has said nothing to the last request."""
        return not self._heard

    @property
    def idle_seconds(self) -> float:
        """For how long it has had nothing to do."""
        return self._loop.time() - self._idle_since

    async def exchange(self, request: bytes, body: Body | None = None) -> Answer:
        """Send a request and wait for the answer; `body` follows in chunks until the server answers. Raises
        `ConnectionFailed`, `ProtocolError`, and whatever `body` raises; then the connection is closed."""
        self.usable = self._heard = False
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._answer = answer
        with LIMIT.lifted:
            self._transport.write(request)
        pump = self._loop.create_task(self._pump(body, answer)) if body is not None else None
        try:
            return await answer
        except BaseException:
            self.close()
            raise
        finally:
            if pump is not None:
                pump.cancel()
                await asyncio.wait([pump])

    def close(self) -> None:
        """Close at once."""
        self.usable = False
        self._transport.abort()

    # -- asyncio --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)
        self._idle_since = self._loop.time()
        self.usable = True

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._answer is None:
            return self._fail(ProtocolError(f"{self._address} sent what nobody asked for"))
        self._heard = True
        if self._in_head:
            self._head_bytes += nbytes
        try:
            with LIMIT.lifted:
                self._parser.feed_data(self._buffer[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            return self._fail(ProtocolError(f"{self._address} does not answer in HTTP: {error}"))
        if (self._in_head and self._head_bytes > HEAD_LIMIT) or self._body_bytes > ANSWER_LIMIT:
            self._fail(ProtocolError(f"the answer of {self._address} is too large"))
        return None

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        reason = f": {exc}" if exc else ""
        self._fail(ConnectionFailed(f"the connection to {self._address} broke{reason}"))

    # -- httptools ------------------------------------------------------------------------------------------

    def on_headers_complete(self) -> None:
        self._in_head = False

    def on_body(self, body: bytes) -> None:
        self._body.append(body)
        self._body_bytes += len(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        body, self._body = b"".join(self._body), []
        self._head_bytes = self._body_bytes = 0
        self._in_head = True
        if status < 200:  # 100 Continue and its like announce the answer
            return
        if self._answer is not None and not self._answer.done():
            self.usable = self._parser.should_keep_alive() and not self._sending
            self.used += 1
            self._idle_since = self._loop.time()
            self._answer.set_result(Answer(status, body))
        self._answer = None
        if not self.usable:
            self._transport.abort()

    # -- inside ---------------------------------------------------------------------------------------------

    def _fail(self, error: ConnectionFailed | ProtocolError) -> None:
        self.usable = False
        self._writable.set()
        self._transport.abort()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self._answer = None

    async def _pump(self, body: Body, answer: asyncio.Future[Answer]) -> None:
        self._sending = True
        try:
            async for data in body:
                for start in range(0, len(data), PIECE_BYTES):
                    piece = data[start : start + PIECE_BYTES]
                    self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    await self._writable.wait()
            self._transport.write(b"0\r\n\r\n")
            self._sending = False
        except (
            Exception
        ) as error:  # the caller's own iterator failed: its caller hears of it, the server only of the end
            if not answer.done():
                answer.set_exception(error)
        finally:
            if (end := getattr(body, "aclose", None)) is not None:
                await end()
