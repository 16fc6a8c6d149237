"""The driver `http`: the application on uvicorn, inside the loop that is running.

Only uvicorn's protocol class is used. Its `Server` would take the process's signals, look around ten times a second and
end the process if the port is taken; what is left of it, starting and stopping, is below.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from contextlib import AsyncExitStack
from email.utils import formatdate
from typing import cast

import uvicorn
from pydantic import Field
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from runtara_framework.errors import AddressInUse, ConfigError, ProtocolError
from runtara_framework.protocol.operations import HEALTH_CHECK
from runtara_framework.spec.driver import DriverSettings
from runtara_framework.spec.transport import Endpoint, Transport
from runtara_transport_http.address import address_of, host_and_port
from runtara_transport_http.answers import error_body
from runtara_transport_http.app import Calls, build_app

BACKLOG = 1024
READ_BYTES = 256 * 1024
HEAD_LIMIT = 64 * 1024  # request line and headers that have not ended by then are refused
FLUSH_SECONDS = 1.0  # at shutdown: to obey a cancellation, and for clients to read their last answers


class HttpSettings(DriverSettings):
    """`[transports.http]`."""

    grace_seconds: float = Field(2.0, ge=0, description="How long calls under way may take to finish at shutdown.")
    keep_alive_seconds: int = Field(75, ge=1, description="An idle connection is closed after this time.")


class HttpTransport(Transport):
    """`http://host:port`. Plain HTTP/1.1; TLS belongs into a proxy before it."""

    api = 1
    Settings = HttpSettings
    settings: HttpSettings

    async def serve(self, address: str, endpoint: Endpoint, stack: AsyncExitStack) -> str:
        host, port = host_and_port(address)
        calls = Calls()
        # Routes of plugins belong to products, so they stand beside the environment protocol only.
        plugins = self.context.hooks.collect_now("runtara_routes") if HEALTH_CHECK.name in endpoint.operations else []
        routes = [route for answer in plugins for route in answer]
        app = build_app(endpoint, calls=calls, logger=self.context.logger, extra_routes=routes)
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,  # `_Shared` has it; uvicorn's comes from the part of it that is not used
            timeout_keep_alive=self.settings.keep_alive_seconds,
        )
        config.load()
        shared = _Shared(config)
        state = shared.state
        listener = await _bind(host, port)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Protocol(shared), sock=listener, backlog=BACKLOG)

        async def stop() -> None:
            server.close()
            for connection in list(state.connections):
                connection.shutdown()  # an idle one is closed, a busy one after its answer
            await calls.stop(self.settings.grace_seconds, FLUSH_SECONDS)
            if state.tasks:
                await asyncio.wait(list(state.tasks), timeout=FLUSH_SECONDS)
            for connection in list(state.connections):
                cast(_Protocol, connection).abort()
            await server.wait_closed()

        stack.push_async_callback(stop)
        return address_of(host, listener.getsockname()[1])


async def _bind(host: str, port: int) -> socket.socket:
    """A socket that is bound to the first address of the host. Raises `AddressInUse`, `ConfigError`."""
    address = address_of(host, port)
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{address}: there is no host {host!r} ({error})") from error
    family, kind, protocol, _, place = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(f"another program listens on {address}; stop it or choose another port") from error
        raise ConfigError(f"cannot listen on {address}: {error.strerror}") from error
    return listener


class _Shared:
    """What all connections of a listener share."""

    def __init__(self, config: uvicorn.Config) -> None:
        self.config = config
        self.state = ServerState()
        # asyncio reads into it and hands it over in one go. Without it, every read allocates 256 KiB.
        self.buffer = memoryview(bytearray(READ_BYTES))
        self._second = 0

    def tell_the_time(self) -> None:
        """Set the header `Date` of the answers."""
        if (now := int(time.time())) != self._second:
            self._second = now
            self.state.default_headers[:] = [(b"date", formatdate(now, usegmt=True).encode())]


class _Protocol(HttpToolsProtocol, asyncio.BufferedProtocol):
    """uvicorn's protocol with fewer system calls, bounded heads, and errors that are JSON."""

    def __init__(self, shared: _Shared) -> None:
        super().__init__(shared.config, shared.state, {})
        self._shared = shared
        self._in_head = True
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, _Gathered(cast(asyncio.Transport, transport))))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._shared.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._in_head:
            self._head_bytes += nbytes
        self.data_received(bytes(self._shared.buffer[:nbytes]))
        if self._in_head and self._head_bytes > HEAD_LIMIT and not self.transport.is_closing():
            self._refuse(431, f"the head of the request exceeds {HEAD_LIMIT} bytes")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._shared.tell_the_time()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    def abort(self) -> None:
        """End the connection at once."""
        cast(_Gathered, self.transport).abort()

    def _refuse(self, status: int, message: str) -> None:
        body = error_body(ProtocolError(message).to_wire())
        head = f"HTTP/1.1 {status} {'Bad Request' if status == 400 else 'Request Header Fields Too Large'}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + body)
        self.transport.close()


class _Gathered:
    """A transport that sends what is written in one step of the loop at once: uvicorn writes head and body apart."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held = b""
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        if self._held:
            data, self._held = self._held + data, b""
            self._transport.write(data)
        elif data:
            self._held = data
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._held:
            data, self._held = self._held, b""
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._held = b""
        self._transport.abort()
