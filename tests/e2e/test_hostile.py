"""Callers that hang up, values that are no JSON, ids that are none: nothing is lost, and nothing strange gets in."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest

from runtara_framework.errors import InvalidRequest
from runtara_framework.management import ManagementSdk
from runtara_framework.protocol import messages as m
from runtara_framework.protocol import operations as ops
from runtara_framework.sdk.dial import dial

from . import programs
from .conftest import Server, processes_of, until_status
from .test_cli import runtara
from .test_instances import _wait_gone, _wait_started, start


async def test_a_start_whose_caller_hangs_up_runs_all_the_same(sdk: ManagementSdk, server: Server) -> None:
    image = await sdk.register_image(name="counter", binary=programs.COUNTER)
    for number in range(25):
        channel = await dial(server.address)
        request = m.StartInstance(
            tenant_id="acme", image_id=image.image_id, instance_id=f"it-{number}", input={"steps": 1}
        )
        call = asyncio.create_task(channel.call(ops.START_INSTANCE, request))
        for _ in range(number):  # a little later each time: before, during and after the commit
            await asyncio.sleep(0)
        await channel.close()
        await asyncio.gather(call, return_exceptions=True)
    page = await sdk.list_instances()
    for instance in page.instances:
        assert (await until_status(sdk, instance.instance_id, "completed")).output == {"total": 0}


async def test_a_stop_whose_caller_hangs_up_kills_the_process(sdk: ManagementSdk, server: Server) -> None:
    instance_id = await start(sdk, programs.IGNORES_TERM, None)
    await asyncio.to_thread(_wait_started, instance_id)
    channel = await dial(server.address)
    request = m.StopInstance(tenant_id="acme", instance_id=instance_id, grace_period_seconds=0.5)
    call = asyncio.create_task(channel.call(ops.STOP_INSTANCE, request))
    await until_status(sdk, instance_id, "cancelled")
    await channel.close()
    await asyncio.gather(call, return_exceptions=True)
    await asyncio.to_thread(_wait_gone, instance_id)


async def test_a_server_stops_although_an_instance_is_being_stopped_slowly(server: Server) -> None:
    server.start()
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        instance_id = await start(sdk, programs.IGNORES_TERM, None)
        await asyncio.to_thread(_wait_started, instance_id)
        slow = asyncio.create_task(sdk.stop_instance(instance_id, grace_period_seconds=600))
        await until_status(sdk, instance_id, "cancelled")
        assert await asyncio.to_thread(server.stop) == 0
        await asyncio.gather(slow, return_exceptions=True)
    assert processes_of(instance_id) == []


async def test_a_server_stops_although_an_upload_was_abandoned(server: Server) -> None:
    server.start()
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"#!/bin/sh\n"
        begun.set()
        await asyncio.Event().wait()

    channel = await dial(server.address)
    request = m.UploadImage(tenant_id="acme", name="half")
    call = asyncio.create_task(channel.call(ops.UPLOAD_IMAGE, request, body=endless()))
    await begun.wait()
    await channel.close()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    async with asyncio.timeout(20):
        assert await asyncio.to_thread(server.stop) == 0


async def test_an_instance_that_waits_in_its_process_beats_as_often_as_the_server_expects(server: Server) -> None:
    server.start("runner.heartbeat_timeout_seconds=1.0")
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        instance_id = await start(sdk, programs.COUNTER, {"steps": 1, "pause": 3})
        assert (await until_status(sdk, instance_id, "completed", "failed")).status == "completed"


@pytest.mark.parametrize(
    "value",
    [math.nan, [math.inf], {"deep": [{"x": -math.inf}]}, {None: 1}, [10**5000]],
    ids=["nan", "inf", "deep", "key", "huge"],
)
async def test_what_is_no_json_is_refused_and_never_becomes_null(sdk: ManagementSdk, value: Any) -> None:
    image = await sdk.register_image(name="waiter", binary=programs.WAITER)
    with pytest.raises(InvalidRequest):
        await sdk.start_instance(image_id=image.image_id, input=value)
    assert (await sdk.list_instances()).total_count == 0


@pytest.mark.parametrize(
    "options",
    [
        {"instance_id": ""},
        {"instance_id": "a\0b"},
        {"instance_id": "line\nbreak"},
        {"instance_id": "x" * 256},
        {"timeout_seconds": math.nan},
        {"timeout_seconds": math.inf},
        {"timeout_seconds": 1e16},
        {"timeout_seconds": -1.0},
        {"env": {"A=B": "x"}},
        {"env": {"": "x"}},
        {"env": {"RUNTARA_TOKEN": "x"}},
        {"env": {"A": "x\0y"}},
    ],
)
async def test_what_could_never_be_launched_is_refused_at_the_start(sdk: ManagementSdk, options: Any) -> None:
    image = await sdk.register_image(name="waiter", binary=programs.WAITER)
    with pytest.raises(InvalidRequest):
        await sdk.start_instance(image_id=image.image_id, **options)


async def test_the_longest_id_in_the_widest_characters_runs(sdk: ManagementSdk, server: Server) -> None:
    instance_id = await start(sdk, programs.COUNTER, {"steps": 1}, instance_id="💥" * 255)
    assert (await until_status(sdk, instance_id, "completed", "failed")).status == "completed"


async def test_an_instance_that_leaves_nothing_leaves_no_directory(sdk: ManagementSdk, server: Server) -> None:
    instance_id = await start(sdk, programs.SLEEPER, {"sleep_ms": 0})
    await until_status(sdk, instance_id, "completed")
    server.stop()
    assert not (server.data_dir / "runs" / "acme" / instance_id).exists()


def test_the_command_line_refuses_numbers_that_json_has_not(server: Server) -> None:
    server.start()
    for text in ("NaN", "[1e999]", '{"x": -Infinity}'):
        done = runtara("instances", "start", "any", "--input", text, "--server", server.address)
        assert done.returncode == 2
        assert json.loads(done.stderr.splitlines()[-1])["code"] == "INVALID_REQUEST"


def test_a_directory_is_no_image(server: Server) -> None:
    done = runtara("images", "register", "/tmp", "--server", "unix:///nowhere.sock")
    assert done.returncode in (2, 5)
    assert "Traceback" not in done.stderr
