"""The driver `unix`: listens on a unix socket, one `Connection` for each client."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from contextlib import AsyncExitStack

from pydantic import Field

from runtara_framework.errors import AddressInUse, ConfigError
from runtara_framework.spec.driver import DriverSettings
from runtara_framework.spec.transport import Endpoint, Transport
from runtara_framework.transport_local.address import SCHEME, path_of
from runtara_framework.transport_local.connection import Connection, Table

BACKLOG = 1024  # instances that start at once; the system lowers it to net.core.somaxconn


class LocalSettings(DriverSettings):
    """`[transports.unix]`."""

    grace_seconds: float = Field(2.0, ge=0, description="How long calls under way may take to finish at shutdown.")
    hello_seconds: float = Field(10.0, gt=0, description="A client that has not introduced itself by then is dropped.")


class LocalTransport(Transport):
    """`unix://path`. Only the user that runs the server may connect (mode 0600)."""

    api = 1
    Settings = LocalSettings
    settings: LocalSettings

    async def serve(self, address: str, endpoint: Endpoint, stack: AsyncExitStack) -> str:
        path = path_of(address)
        listener = _bind(path)
        identity = _identity(path)
        connections: set[Connection] = set()
        table = Table(endpoint)
        logger, hello_seconds = self.context.logger, self.settings.hello_seconds

        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(
            lambda: Connection(table, connections, logger, hello_seconds), sock=listener, backlog=BACKLOG
        )

        async def stop() -> None:
            server.close()
            if _identity(path) == identity:  # else another server has taken the path over
                os.unlink(path)
            await asyncio.gather(*(client.stop(self.settings.grace_seconds) for client in connections))
            await server.wait_closed()

        stack.push_async_callback(stop)
        return SCHEME + path


def _bind(path: str) -> socket.socket:
    """A socket bound to the path, for this user only; it does not listen yet, so nobody can connect before the mode is set.
    Replaces the file of a server that is gone. Raises `AddressInUse`, `ConfigError`."""
    for _ in range(2):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(path)
            os.chmod(path, 0o600)
            return listener
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE:
                folder = os.path.dirname(path)
                raise ConfigError(
                    f"cannot create the socket {path}: {error.strerror}; check the folder {folder}"
                ) from error
        _remove_stale(path)
    raise AddressInUse(f"another server has just taken {path}")


def _remove_stale(path: str) -> None:
    identity = _identity(path)
    if identity is None:
        return
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise AddressInUse(f"{path} exists and is no socket; move it away or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            if _identity(path) == identity:
                os.unlink(path)
            return
        except FileNotFoundError:
            return
        except OSError:  # a full backlog, a socket of another user: somebody is there
            pass
    raise AddressInUse(f"another server listens on {path}; stop it or choose another path")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
