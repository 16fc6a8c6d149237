"""Databases in files, opened the way a server opens them, and read without the code under test."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from runtara_framework.spec.driver import DriverContext
from runtara_framework.storage.sqlite import SqlitePersistence, SqliteSettings
from runtara_framework.testing.clock import FakeClock
from runtara_framework.testing.persistence_world import NODE, Connect, Snapshot, World


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of this test's database."""
    return tmp_path / "runtara.db"


Make = Callable[..., SqlitePersistence]


@pytest.fixture
def make(path: Path) -> Make:
    """A driver that was not started."""

    def make(node_id: str = NODE, **settings: Any) -> SqlitePersistence:
        context = DriverContext(FakeClock(), path.parent, node_id, logging.getLogger("runtara.tests"))
        return SqlitePersistence(SqliteSettings(url=f"sqlite:///{path}", **settings), context)

    return make


@pytest_asyncio.fixture
async def connect(make: Make) -> AsyncIterator[Connect]:
    """Opens handles on the database; closes them at the end."""
    async with AsyncExitStack() as stack:

        async def connect(node_id: str = NODE) -> SqlitePersistence:
            driver = make(node_id, synchronous="normal")  # what is proven here does not depend on the flush
            await driver.start(stack)
            await driver.migrate()
            return driver

        yield connect


@pytest_asyncio.fixture
async def persistence(connect: Connect) -> SqlitePersistence:
    """A started driver."""
    driver = await connect()
    assert isinstance(driver, SqlitePersistence)
    return driver


@pytest.fixture
def world(persistence: SqlitePersistence) -> World:
    """Images, instances and a clock."""
    return World(persistence)


def dump(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables."""
    connection = sqlite3.connect(path)
    try:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in sorted(names)}
    finally:
        connection.close()


@pytest.fixture
def snapshot(path: Path) -> Snapshot:
    """All rows of all tables, read by another connection."""

    async def snapshot() -> dict[str, list[tuple[Any, ...]]]:
        return dump(path)

    return snapshot
