"""A served stage, and a plain HTTP client for what other programs send."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from runtara_transport_http.server import HttpSettings, HttpTransport

from runtara_framework.clock import SystemClock
from runtara_framework.protocol.operations import Protocol
from runtara_framework.spec.driver import DriverContext
from runtara_framework.testing.stage import Stage


@pytest.fixture
def context(tmp_path: Path) -> DriverContext:
    return DriverContext(SystemClock(), tmp_path, "node", logging.getLogger("runtara.tests"))


@pytest.fixture
def transport(context: DriverContext) -> HttpTransport:
    return HttpTransport(HttpSettings(grace_seconds=0.1), context)


@pytest_asyncio.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def core() -> Stage:
    """What is served to instances."""
    return Stage(Protocol.CORE)


@pytest.fixture
def environment() -> Stage:
    """What is served to products."""
    return Stage(Protocol.ENVIRONMENT)


async def _client(transport: HttpTransport, stage: Stage, stack: AsyncExitStack) -> httpx.AsyncClient:
    address = await transport.serve("http://127.0.0.1:0", stage, stack)
    client = httpx.AsyncClient(base_url=address, trust_env=False, timeout=20)
    return await stack.enter_async_context(client)


@pytest_asyncio.fixture
async def instance(transport: HttpTransport, core: Stage, stack: AsyncExitStack) -> httpx.AsyncClient:
    """A client of the core protocol."""
    return await _client(transport, core, stack)


@pytest_asyncio.fixture
async def product(transport: HttpTransport, environment: Stage, stack: AsyncExitStack) -> httpx.AsyncClient:
    """A client of the environment protocol."""
    return await _client(transport, environment, stack)
