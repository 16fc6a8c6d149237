"""A kernel inside the test: real storage, real sockets, time that the test moves.

async with running_kernel(tmp_path, clock=FakeClock(), runner={"default": "mock"}) as kernel:
    async with ManagementSdk(kernel.addresses["environment"][0], tenant_id="t") as sdk:
        ...
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from runtara_framework import config, kernel
from runtara_framework.clock import Clock
from runtara_framework.extension.hooks import Hooks


@asynccontextmanager
async def running_kernel(
    data_dir: Path, *, clock: Clock | None = None, hooks: Hooks | None = None, **tables: Mapping[str, Any]
) -> AsyncIterator[kernel.Kernel]:
    """A server on unix sockets in `data_dir`; `tables` are those of runtara.toml, by name. Stops it when the block ends."""
    settings = config.load(
        environ={},
        flags={
            "server.data_dir": str(data_dir),
            "persistence.synchronous": "normal",
            "transports.environment": [kernel.socket_address(data_dir, "environment")],
            **{f"{table}.{key}": value for table, keys in tables.items() for key, value in keys.items()},
        },
    ).settings
    async with AsyncExitStack() as stack:
        yield await kernel.start(settings, stack, clock=clock, hooks=hooks)
