# ruff: noqa: ASYNC240  # the files are small, and the loop has nothing else to do
"""SQLite's files: addresses, what a server finds in them, what its errors mean, and what an instance costs."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from runtara_framework.errors import ConfigError, StorageCorrupt, StorageError
from runtara_framework.extension import drivers
from runtara_framework.model import NewInstance
from runtara_framework.spec.persistence import PERSISTENCE, InstanceFilter
from runtara_framework.states import Reason
from runtara_framework.storage import files
from runtara_framework.storage.sqlite import SqlitePersistence
from runtara_framework.testing.persistence_world import DAY_MS, TENANT, Connect, World

from .conftest import Make


def test_it_is_the_driver_of_its_scheme() -> None:
    assert drivers.load(PERSISTENCE, "sqlite") is SqlitePersistence


# -- addresses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "path"), [("sqlite:///a/b.db", "a/b.db"), ("sqlite:////a/b.db", "/a/b.db"), ("sqlite:///c.db", "c.db")]
)
def test_an_address_names_a_file(url: str, path: str) -> None:
    assert files.path_of(url) == Path(path)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "postgresql://x/y", "a.db"])
def test_an_address_without_a_file_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        files.path_of(url)
    assert "sqlite:///relative/path.db" in caught.value.message


# -- a file -----------------------------------------------------------------------------------------------


async def test_a_new_file_is_readable_by_its_owner_only(persistence: SqlitePersistence) -> None:
    assert stat.S_IMODE(persistence.path.stat().st_mode) == 0o600


@pytest.mark.parametrize(("setting", "level"), [("full", 2), ("normal", 1)])
async def test_every_writing_connection_flushes_as_configured(make: Make, setting: str, level: int) -> None:
    driver = make(synchronous=setting)
    async with AsyncExitStack() as stack:
        await driver.start(stack)
        large = b"x" * (1 << 20)  # goes to the other thread
        for argument in (b"", large):
            # Only a transaction tells on which connection it runs; a statement function is the way into one.
            flush = await driver._write(lambda tx, data: tx._execute("PRAGMA synchronous").fetchone(), argument)
            assert flush == (level,)


def test_full_is_the_default(make: Make) -> None:
    assert make().settings.synchronous == "full"


async def test_what_was_written_is_there_after_a_restart(make: Make) -> None:
    async with AsyncExitStack() as stack:
        first = make()
        await first.start(stack)
        await first.migrate()
        ref = await World(first).running("i-1")
        await World(first).save(ref, "step", b"1")
    async with AsyncExitStack() as stack:
        second = make()
        await second.start(stack)
        await second.migrate()
        assert (await second.get_instance(TENANT, "i-1")).checkpoint_id == "step"


async def test_a_driver_that_was_not_started_says_so(make: Make) -> None:
    with pytest.raises(StorageError) as caught:
        await make().count_active()
    assert "not started" in caught.value.message


# -- errors -----------------------------------------------------------------------------------------------


async def test_a_file_that_is_no_database_stops_the_start(path: Path, connect: Connect) -> None:
    path.write_bytes(b"dear diary, " * 1000)
    with pytest.raises(StorageCorrupt) as caught:
        await connect()
    assert str(path) in caught.value.message
    assert "backup" in caught.value.message
    assert not caught.value.retryable
    assert path.read_bytes() == b"dear diary, " * 1000


async def test_a_damaged_page_is_told_with_the_file_and_the_remedy(path: Path, make: Make) -> None:
    async with AsyncExitStack() as stack:
        driver = make()
        await driver.start(stack)
        await driver.migrate()
        world = World(driver)
        for number in range(50):
            await world.create(f"i-{number}", input=b"x" * 500)
    content = bytearray(path.read_bytes())
    for page in range(4096, len(content), 4096):
        content[page : page + 64] = b"\xff" * 64
    path.write_bytes(content)
    async with AsyncExitStack() as stack:
        driver = make()
        with pytest.raises(StorageCorrupt) as caught:
            await driver.start(stack)
            await driver.list_instances(InstanceFilter(tenant_id=TENANT))
        assert str(path) in caught.value.message


async def test_a_directory_that_does_not_exist_is_named(tmp_path: Path, make: Make) -> None:
    driver = make()
    driver.path = tmp_path / "no" / "such" / "runtara.db"
    async with AsyncExitStack() as stack:
        with pytest.raises(StorageError) as caught:
            await driver.start(stack)
    assert "its directory does not exist" in caught.value.message


def test_a_read_only_file_is_told_with_the_remedy(path: Path) -> None:
    files.connect(path).close()
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    translated = files.translate(caught.value, path)
    assert isinstance(translated, StorageError)
    assert "write access" in translated.message
    assert translated.__cause__ is caught.value


def test_a_defect_is_not_disguised_as_a_storage_error(path: Path) -> None:
    for error in (KeyError("x"), ConfigError("y")):
        assert files.translate(error, path) is error


# -- cost -------------------------------------------------------------------------------------------------


async def test_a_suspended_instance_costs_less_than_two_kilobytes(path: Path, make: Make) -> None:
    count = 500
    async with AsyncExitStack() as stack:
        driver = make(synchronous="normal")
        await driver.start(stack)
        await driver.migrate()
        world = World(driver)
        image = await world.image()
        before = _used(path)
        for number in range(count):
            new = NewInstance(
                tenant_id=TENANT,
                instance_id=f"6f9619ff-8b86-d011-b42d-{number:012d}",
                image_id=image.image_id,
                input=b'{"orderId": 7, "sku": "A-1"}',
                env={"REGION": "eu"},
                timeout_ms=300_000,
            )
            await driver.create_instance(new, max_pending=count, now_ms=world.tick())
            (launch,) = await world.claim()
            await driver.launch_started(launch.ref, {"pid": 12345, "started": 1234567890})
            await world.register(launch.ref)
            await world.suspend(launch.ref, Reason.SLEEPING, DAY_MS)
            await world.settle(launch.ref)
        assert (_used(path) - before) / count <= 2048


def _used(path: Path) -> int:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    return int((pages - free) * size)
