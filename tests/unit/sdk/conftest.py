"""The core in memory behind a real unix socket, which a test may close and open again as a server that restarts does."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from runtara_framework.clock import SystemClock
from runtara_framework.protocol.channel import Body
from runtara_framework.protocol.operations import OPERATIONS, REGISTER, Operation, Protocol
from runtara_framework.sdk.config import SdkConfig
from runtara_framework.spec.driver import DriverContext
from runtara_framework.spec.transport import Caller
from runtara_framework.testing.memory_core import MemoryCore, MemoryInstance
from runtara_framework.transport_local.server import LocalSettings, LocalTransport


class CoreServer:
    """Serves a `MemoryCore`."""

    max_message_bytes = 64 * 2**20

    def __init__(self, folder: Path) -> None:
        self.core = MemoryCore(SystemClock())
        self.address = f"unix://{folder}/core.sock"
        self.folder = folder
        self._stack: AsyncExitStack | None = None

    @property
    def operations(self) -> Mapping[str, Operation[Any, Any]]:
        return OPERATIONS[Protocol.CORE]

    async def handle(
        self, operation: Operation[Any, Any], request: Any, caller: Caller, body: Body | None = None
    ) -> Any:
        token = caller.token
        if token is None and operation is REGISTER:  # a program that nobody launched
            if request.instance_id not in self.core.instances:
                self.core.create(instance_id=request.instance_id, tenant_id=request.tenant_id)
            token = self.core.launch(request.instance_id)
        instance = self.core.fenced(token, request.instance_id)
        instance.calls[operation.name] += 1
        self.core.on_call(instance, operation.name, request)
        return await getattr(self.core, operation.name)(instance, request)

    async def open(self) -> None:
        context = DriverContext(
            clock=SystemClock(), data_dir=self.folder, node_id="n", logger=logging.getLogger("runtara.test")
        )
        self._stack = AsyncExitStack()
        await LocalTransport(LocalSettings(grace_seconds=0), context).serve(self.address, self, self._stack)

    async def close(self) -> None:
        """As a killed server: calls under way are cut."""
        if self._stack is not None:
            await self._stack.aclose()
            self._stack = None

    def launch(self, instance: MemoryInstance, **changes: Any) -> SdkConfig:
        """The configuration of a new launch."""
        return SdkConfig(
            instance_id=instance.instance_id,
            tenant_id=instance.tenant_id,
            server_addr=self.address,
            token=self.core.launch(instance.instance_id),
            **changes,
        )


def listening(core: MemoryCore) -> asyncio.Event:
    """Set when the program listens for signals, which it does as soon as its run is longer than a moment."""
    event = asyncio.Event()

    def note(_: Any, operation: str, request: Any) -> None:
        if operation == "poll_signals":
            event.set()

    core.on_call = note
    return event


@pytest.fixture
async def server() -> AsyncIterator[CoreServer]:
    with tempfile.TemporaryDirectory() as folder:  # a short path: a socket's has a limit
        server = CoreServer(Path(folder))
        await server.open()
        yield server
        await server.close()
