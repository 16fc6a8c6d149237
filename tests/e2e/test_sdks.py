"""Both SDKs against a real server, over its unix socket and over HTTP, and the example in plain Python."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runtara_framework.errors import CheckpointNotFound, ChecksumMismatch, ImageNotFound, InstanceNotFound
from runtara_framework.management import (
    ListInstancesOptions,
    ManagementSdk,
    RegisterImageStreamOptions,
    StartInstanceOptions,
    SyncManagementSdk,
)
from runtara_framework.sdk.client import InstanceClient
from runtara_framework.sdk.config import SdkConfig
from runtara_framework.sdk.package import build

from .conftest import ROOT, Server, processes_of, until_status

WORKFLOW = """
from runtara_framework.sdk.durable import durable, workflow

@durable
async def step(number):
    return number * 2

@workflow
async def wf(ctx, input):
    values = await ctx.gather(*(step(number) for number in range(input["steps"])))
    await ctx.emit("progress", {"done": len(values)}, key="progress")
    if input.get("wait"):
        values.append((await ctx.wait_signal("go", "go", input["wait"])).decode())
    return values
"""


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A Python workflow of the test's own."""
    (tmp_path / "e2e_workflow.py").write_text(WORKFLOW)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("e2e_workflow", None)
    return build("e2e_workflow:wf")


def http_address() -> str:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture(params=["unix", "http"])
def address(request: pytest.FixtureRequest, server: Server) -> str:
    """A started server that listens on both; instances use the same transport."""
    if request.param == "unix":
        server.start()
        return server.address
    environment, core = http_address(), http_address()
    server.start(f'transports.environment=["{server.address}", "{environment}"]', f'transports.core=["{core}"]')
    return environment


async def test_a_workflow_from_registration_to_its_history(address: str, image: bytes) -> None:
    async with ManagementSdk(address, tenant_id="acme") as sdk:
        assert (await sdk.health_check()).healthy
        registered = await sdk.register_image(name="wf", binary=image, description="a test", metadata={"team": "x"})
        assert (
            await sdk.register_image(name="wf", binary=image, description="a test", metadata={"team": "x"})
        ).deduplicated
        shown = await sdk.get_image("wf")
        assert (shown.image_id, shown.description, shown.metadata) == (registered.image_id, "a test", {"team": "x"})
        assert shown.manifest["kind"] == "python"
        assert [each.image_id for each in (await sdk.list_images()).images] == [registered.image_id]

        before = datetime.now(UTC) - timedelta(minutes=1)
        started = await sdk.start_instance(StartInstanceOptions("wf").with_input({"steps": 3, "wait": 60_000}))
        await until_status(sdk, started.instance_id, "suspended")
        await sdk.send_custom_signal(started.instance_id, "go", "now")
        info = await sdk.wait_for_completion(started.instance_id, timeout=30)
        assert info.output == [0, 2, 4, '"now"']
        assert info.launches == 2

        options = ListInstancesOptions().with_status("completed").with_created_after(before)
        page = await sdk.list_instances(options)
        assert [each.instance_id for each in page.instances] == [started.instance_id]
        assert (await sdk.list_instances(created_before=before)).total_count == 0
        checkpoints = await sdk.list_checkpoints(started.instance_id)
        assert checkpoints.total_count == 5  # three steps, the deadline, the signal
        assert (await sdk.get_checkpoint(started.instance_id, "go")).data == "now"
        with pytest.raises(CheckpointNotFound):
            await sdk.get_checkpoint(started.instance_id, "nothing")
        events = await sdk.list_events(started.instance_id, subtype="progress")
        assert [event.payload for event in events.events] == [{"done": 3}]

        unused = await sdk.register_image(name="unused", binary=image)
        await sdk.delete_image(unused.image_id)
        with pytest.raises(ImageNotFound):
            await sdk.get_image("unused")


async def test_an_upload_is_checked_against_its_digest(address: str, image: bytes, tmp_path: Path) -> None:
    path = tmp_path / "image.pyz"
    path.write_bytes(image)
    digest = hashlib.sha256(image).hexdigest()
    async with ManagementSdk(address, tenant_id="acme") as sdk:
        done = await sdk.register_image_stream(RegisterImageStreamOptions(name="wf").with_sha256(digest), path)
        assert done.image.sha256 == digest
        with pytest.raises(ChecksumMismatch):
            await sdk.register_image_stream(name="other", source=path, sha256="0" * 64)


def test_everything_without_an_event_loop(address: str, image: bytes) -> None:
    with SyncManagementSdk(address, tenant_id="acme") as sdk:
        registered = sdk.register_image(name="wf", binary=image)
        info = sdk.run_instance(image_id=registered.image_id, input={"steps": 2})
        assert (info.status, info.output) == ("completed", [0, 2])
        started = sdk.start_instance(image_id="wf", input={"steps": 0, "wait": 3_600_000})
        sdk.cancel_instance(started.instance_id)
        assert sdk.wait_for_completion(started.instance_id, timeout=30).status == "cancelled"
        with pytest.raises(InstanceNotFound):
            sdk.get_instance_status("nobody")


async def test_the_sdk_goes_on_after_the_server_was_killed(server: Server, image: bytes) -> None:
    server.start()
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        await sdk.register_image(name="wf", binary=image)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        info = await sdk.run_instance(image_id="wf", input={"steps": 1})
        assert info.output == [0]


async def test_a_program_that_nobody_launched_is_durable_too(server: Server) -> None:
    server.start()
    core = f"unix://{server.data_dir}/core.sock"
    config = SdkConfig(instance_id="by-hand", tenant_id="acme", server_addr=core)
    first = InstanceClient(config)
    await first.register()
    await first.checkpoint("a", b'"kept"')
    await first.close()
    second = InstanceClient(config)
    await second.register()
    assert second.saved("a") == b'"kept"'
    await second.completed({"ok": True})
    await second.close()
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        assert (await sdk.get_instance_status("by-hand")).output == {"ok": True}


async def test_a_python_program_survives_the_loss_of_its_server(server: Server, image: bytes) -> None:
    """The server is killed while the instance runs; the process reconnects and ends as if nothing had been."""
    server.start("sleep.hold_below_seconds=600")
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        await sdk.register_image(name="wf", binary=image)
        started = await sdk.start_instance(image_id="wf", input={"steps": 2, "wait": 300_000})
        # Two steps and the deadline of the wait: from then on it waits, in its process.
        while (await sdk.list_checkpoints(started.instance_id)).total_count < 3:  # noqa: ASYNC110  # no long poll tells
            await asyncio.sleep(0.02)
        (pid,) = processes_of(started.instance_id)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start, "sleep.hold_below_seconds=600")
        await sdk.connect()
        assert processes_of(started.instance_id) == [pid]
        await sdk.close()
        await sdk.send_custom_signal(started.instance_id, "go", 1)
        info = await sdk.wait_for_completion(started.instance_id, timeout=30)
        assert info.output == [0, 2, "1"]
        assert info.launches == 1


def test_the_example_in_plain_python_ends_with_its_result() -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "python_workflow")], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["parcel"] == "shipped-5"
    assert "without a process" in run.stderr
