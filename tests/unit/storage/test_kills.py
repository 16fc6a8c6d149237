"""A server killed (SIGKILL) at each fault point of storage: what was acknowledged is there, and nothing is half done."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from runtara_framework.errors import ImageNotFound
from runtara_framework.model import LaunchRef
from runtara_framework.spec.persistence import CheckpointFilter, InstanceFilter, Requeue
from runtara_framework.states import Status
from runtara_framework.storage.sqlite import SqlitePersistence
from runtara_framework.testing.persistence_world import NODE, TENANT, World

from .conftest import Make

VICTIM = Path(__file__).with_name("victim.py")
REF = LaunchRef(tenant_id=TENANT, instance_id="i-1", epoch=1)


@pytest.fixture
async def prepared(make: Make) -> None:
    """A database with an instance that runs."""
    async with AsyncExitStack() as stack:
        driver = make()
        await driver.start(stack)
        await driver.migrate()
        world = World(driver)
        assert (await world.image()).image_id == "image-1"
        assert await world.running("i-1") == REF
        await world.send_custom(REF, "approval", b"yes")


def killed(path: Path, work: str, fault: str) -> list[str]:
    """Let the victim work until it is killed at the fault point; what it said was acknowledged."""
    run = subprocess.run(
        [sys.executable, str(VICTIM), str(path), work],
        env={**os.environ, "RUNTARA_FAULT": fault},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    return run.stdout.split()


def killed_after(path: Path, patience: int) -> list[str]:
    """Kill a crowd of writers when it was told so many times that something is saved."""
    with subprocess.Popen(
        [sys.executable, str(VICTIM), str(path), "crowd"], stdout=subprocess.PIPE, text=True
    ) as victim:
        assert victim.stdout is not None
        told = [victim.stdout.readline().strip() for _ in range(patience)]
        victim.kill()
        return told + victim.stdout.read().split("\n")[:-1]


async def reopened(stack: AsyncExitStack, make: Make) -> SqlitePersistence:
    """The database as the next server finds it, and whole."""
    driver = make()
    await driver.start(stack)
    await driver.migrate()
    connection = sqlite3.connect(driver.path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    return driver


async def checkpoints(driver: SqlitePersistence) -> set[str]:
    found, total = await driver.list_checkpoints(CheckpointFilter(tenant_id=TENANT, instance_id="i-1", limit=1_000_000))
    assert total == len(found)
    return {checkpoint.checkpoint_id for checkpoint in found}


@pytest.mark.parametrize(("fault", "there"), [("create.before_commit:3", False), ("create.after_commit:3", True)])
async def test_an_instance_is_created_or_not(prepared: None, path: Path, make: Make, fault: str, there: bool) -> None:
    assert killed(path, "create", fault) == ["i-2", "i-3"]
    async with AsyncExitStack() as stack:
        driver = await reopened(stack, make)
        page = await driver.list_instances(InstanceFilter(tenant_id=TENANT, status=Status.PENDING))
        assert {found.instance_id for found in page.instances} == {"i-2", "i-3", *(["i-4"] if there else [])}
        launches = await driver.claim_launches(NODE, limit=9, now_ms=10**13)
        assert len(launches) == page.total


@pytest.mark.parametrize(("fault", "more"), [("checkpoint.before_commit:5", 0), ("checkpoint.after_commit:5", 1)])
async def test_a_checkpoint_is_saved_or_not(prepared: None, path: Path, make: Make, fault: str, more: int) -> None:
    told = killed(path, "checkpoint", fault)
    assert len(told) == 4
    async with AsyncExitStack() as stack:
        driver = await reopened(stack, make)
        assert await checkpoints(driver) == {f"c-{number}" for number in range(4 + more)}
        # The next launch goes on where this one was.
        await driver.settle_launch(REF, None, Requeue(), now_ms=10**13)
        (launch,) = await driver.claim_launches(NODE, limit=1, now_ms=10**13)
        found = await driver.register(launch.ref, checkpoint_id=None, now_ms=10**13)
        assert [c.state for c in found.checkpoints] == [b"%d" % number for number in range(4 + more)]


@pytest.mark.parametrize("fault", ["checkpoint.before_commit:200", "checkpoint.after_commit:200"])
async def test_whatever_a_crowd_was_told_is_there(prepared: None, path: Path, make: Make, fault: str) -> None:
    told = killed(path, "crowd", fault)
    assert len(told) > 100
    async with AsyncExitStack() as stack:
        driver = await reopened(stack, make)
        assert set(told) <= await checkpoints(driver)


@pytest.mark.parametrize("patience", [1, 50, 333])
async def test_a_kill_at_any_moment_loses_nothing_that_was_told(
    prepared: None, path: Path, make: Make, patience: int
) -> None:
    told = killed_after(path, patience)
    async with AsyncExitStack() as stack:
        driver = await reopened(stack, make)
        assert set(told) <= await checkpoints(driver)


@pytest.mark.parametrize(("fault", "taken"), [("checkpoint.before_commit", False), ("checkpoint.after_commit", True)])
async def test_a_signal_is_in_its_place_or_in_the_checkpoint(
    prepared: None, path: Path, make: Make, fault: str, taken: bool
) -> None:
    assert killed(path, "take", fault) == []
    async with AsyncExitStack() as stack:
        driver = await reopened(stack, make)
        assert await checkpoints(driver) == ({"wait"} if taken else set())
        again = await driver.take_signal(REF, "approval", "wait", now_ms=10**13)
        assert again.payload == b"yes"
        assert (await driver.take_signal(REF, "approval", "another", now_ms=10**13)).payload is None


async def test_an_end_that_was_not_answered_has_happened_once(prepared: None, path: Path, make: Make) -> None:
    assert killed(path, "finish", "finish.after_commit") == []
    async with AsyncExitStack() as stack:
        driver = await reopened(stack, make)
        world = World(driver)
        stored = await world.look(REF)
        assert (stored.status, stored.output) == (Status.COMPLETED, b"out")
        assert await world.finish(REF, output=b"again") is None
        assert await world.history(REF) == ["started", "completed"]


@pytest.mark.parametrize(("fault", "settled"), [("settle.before_commit", False), ("settle.after_commit", True)])
async def test_a_settlement_is_whole(prepared: None, path: Path, make: Make, fault: str, settled: bool) -> None:
    assert killed(path, "settle", fault) == []
    async with AsyncExitStack() as stack:
        driver = await reopened(stack, make)
        world = World(driver)
        stored = await world.look(REF)
        assert (stored.status, stored.cpu_usage_usec) == ((Status.PENDING, 7) if settled else (Status.RUNNING, None))
        assert bool(await driver.live_launches(NODE)) is not settled
        await driver.settle_launch(REF, None, Requeue(), now_ms=10**13)
        assert (await world.look(REF)).status is Status.PENDING
        assert await driver.live_launches(NODE) == []


async def test_half_an_upload_is_never_readable_and_swept_by_the_next_start(
    prepared: None, path: Path, make: Make
) -> None:
    whole = hashlib.sha256(b"".join(bytes([number]) * (1 << 20) for number in range(8))).hexdigest()
    half = hashlib.sha256(b"".join(bytes([number]) * (1 << 20) for number in range(3))).hexdigest()
    assert killed(path, "upload", "blob.between_chunks:3") == []

    def chunks() -> int:
        connection = sqlite3.connect(path)
        (number,) = connection.execute("SELECT count(*) FROM blob_chunks").fetchone()
        connection.close()
        return int(number)

    assert chunks() == 1 + 3  # the image that the instance runs, and what is left behind
    async with AsyncExitStack() as stack:
        driver = await reopened(stack, make)
        assert chunks() == 1
        for digest in (whole, half):
            with pytest.raises(ImageNotFound):
                _ = [chunk async for chunk in driver.read_blob(digest)]
