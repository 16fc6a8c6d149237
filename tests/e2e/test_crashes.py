"""Kills: of the instance, of the server, at every named point. Nothing is lost, no finished step is repeated."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from runtara_framework.errors import ConnectionFailed, RuntaraError
from runtara_framework.management import ManagementSdk

from . import programs
from .conftest import Server, Shop, compiled, order_input, order_scenario, processes_of, until_status
from .test_instances import _wait_gone, effects

STEPS = 30
FAST = ("runner.restart_delays_ms=[1]",)
INSTANCE_POINTS = [
    "instance.before_register",
    "instance.after_register",
    "instance.before_checkpoint:2",
    "instance.after_checkpoint:2",
    "instance.before_complete",
    "instance.after_complete",
]
SERVER_POINTS = [
    "create.before_commit",
    "create.after_commit",
    "claim.after_commit",
    "launch.after_spawn",
    "launch.after_handle",
    "checkpoint.before_commit:5",
    "checkpoint.after_commit:5",
    "finish.after_commit",
    "settle.before_commit",
    "settle.after_commit",
]


@pytest.mark.parametrize("point", INSTANCE_POINTS)
async def test_an_instance_killed_at_a_named_point_ends_with_the_same_result(
    server: Server, shop: Shop, point: str
) -> None:
    server.start(*FAST)
    image = compiled(order_scenario(), "order")
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        registered = await sdk.register_image(name="order", binary=programs.armed(image, point))
        started = await sdk.start_instance(image_id=registered.image_id, input=order_input(shop))
        info = await until_status(sdk, started.instance_id, "completed", "failed")
        assert info.output["status"] == "accepted"
        assert info.launches == (1 if point == "instance.after_complete" else 2)
    calls = [path for path, _ in shop.calls]
    # Only a step that was done but not yet saved may be called again.
    repeated = ["/notify"] if point == "instance.before_checkpoint:2" else []
    assert calls == ["/validate", "/notify", *repeated]


@pytest.mark.parametrize("kills", [1, 3])
async def test_an_instance_killed_again_and_again_repeats_no_finished_step(server: Server, kills: int) -> None:
    server.start(*FAST)
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="counter", binary=programs.COUNTER)
        started = await sdk.start_instance(image_id=image.image_id, input={"steps": STEPS, "pause": 0.02})
        for launch in range(1, kills + 1):
            # Each launch makes some progress before it is killed.
            while (await sdk.get_instance_status(started.instance_id)).checkpoint_count < launch:
                assert (await until_status(sdk, started.instance_id, "pending", "running")).launches <= launch
            (pid,) = processes_of(started.instance_id)
            os.kill(pid, signal.SIGKILL)
            while (await sdk.get_instance_status(started.instance_id)).launches == launch:
                await until_status(sdk, started.instance_id, "pending", "running")
        info = await until_status(sdk, started.instance_id, "completed")
        assert info.output == {"total": sum(range(STEPS))}
        assert info.launches == kills + 1
    done = effects(server, started.instance_id)
    # A step in flight at the kill may run again; a finished one may not.
    assert sorted(set(done), key=int) == [str(n) for n in range(STEPS)]
    assert len(done) <= STEPS + kills


async def test_a_server_killed_and_started_again_goes_on_with_what_was_running(server: Server) -> None:
    server.start(*FAST)
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="counter", binary=programs.COUNTER)
        started = await sdk.start_instance(image_id=image.image_id, input={"steps": STEPS, "pause": 0.05})
        await until_status(sdk, started.instance_id, "running")
        pids = processes_of(started.instance_id)
    server.kill()
    assert processes_of(started.instance_id) == pids, "the instance outlives the server"
    server.start(*FAST)
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        info = await until_status(sdk, started.instance_id, "completed")
    assert info.output == {"total": sum(range(STEPS))}
    assert info.launches == 1, "it was adopted, not started again"
    assert effects(server, started.instance_id) == [str(n) for n in range(STEPS)]


async def test_a_server_and_its_instance_killed_together_go_on(server: Server) -> None:
    server.start(*FAST)
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="counter", binary=programs.COUNTER)
        started = await sdk.start_instance(image_id=image.image_id, input={"steps": STEPS, "pause": 0.02})
        await until_status(sdk, started.instance_id, "running")
    server.kill()
    for pid in processes_of(started.instance_id):
        os.kill(pid, signal.SIGKILL)
    server.start(*FAST)
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        info = await until_status(sdk, started.instance_id, "completed")
    assert info.output == {"total": sum(range(STEPS))}
    assert info.launches == 2


@pytest.mark.parametrize("point", SERVER_POINTS)
async def test_the_server_killed_at_a_named_point_loses_nothing(server: Server, point: str) -> None:
    server.start(*FAST, fault=point)
    try:
        async with ManagementSdk(server.address, tenant_id="acme") as sdk:
            image = await sdk.register_image(name="counter", binary=programs.COUNTER)
            await sdk.start_instance(image_id=image.image_id, instance_id="it", input={"steps": STEPS})
            await until_status(sdk, "it", "completed")
    except RuntaraError as error:
        assert isinstance(error, ConnectionFailed)
    assert server.wait_dead() == -signal.SIGKILL
    server.start(*FAST)
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="counter", binary=programs.COUNTER)
        assert image.deduplicated
        await sdk.start_instance(image_id=image.image_id, instance_id="it", input={"steps": STEPS})
        info = await until_status(sdk, "it", "completed", "failed", "cancelled")
        assert (info.status, info.output) == ("completed", {"total": sum(range(STEPS))})
        assert (await sdk.list_checkpoints("it")).total_count == STEPS
    done = effects(server, "it")
    assert sorted(set(done), key=int) == [str(n) for n in range(STEPS)]
    assert len(done) <= STEPS + 1
    await asyncio.to_thread(_wait_gone, "it")


async def test_a_sleeper_whose_time_came_while_the_server_was_down_wakes_at_its_start(server: Server) -> None:
    server.start("sleep.hold_below_seconds=0.1")
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="sleeper", binary=programs.SLEEPER)
        started = await sdk.start_instance(image_id=image.image_id, input={"sleep_ms": 500})
        await until_status(sdk, started.instance_id, "suspended")
    server.kill()
    server.start("sleep.hold_below_seconds=0.1")
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        assert (await until_status(sdk, started.instance_id, "completed")).output == {"slept": True}


async def test_a_server_killed_just_after_it_woke_somebody_wakes_it_again(server: Server) -> None:
    server.start("sleep.hold_below_seconds=0.1", fault="wake.after_claim")
    with pytest.raises(ConnectionFailed):
        async with ManagementSdk(server.address, tenant_id="acme") as sdk:
            image = await sdk.register_image(name="sleeper", binary=programs.SLEEPER)
            await sdk.start_instance(image_id=image.image_id, instance_id="it", input={"sleep_ms": 300})
            await until_status(sdk, "it", "completed")
    assert server.wait_dead() == -signal.SIGKILL
    server.start("sleep.hold_below_seconds=0.1")
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        info = await until_status(sdk, "it", "completed")
    assert (info.output, info.launches) == ({"slept": True}, 2)


async def test_a_clean_stop_ends_the_processes_and_a_start_goes_on(server: Server) -> None:
    server.start(*FAST)
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="counter", binary=programs.COUNTER)
        started = await sdk.start_instance(image_id=image.image_id, input={"steps": STEPS, "pause": 0.05})
        await until_status(sdk, started.instance_id, "running")
    assert server.stop() == 0
    assert processes_of(started.instance_id) == []
    server.start(*FAST)
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        info = await until_status(sdk, started.instance_id, "completed")
    assert info.output == {"total": sum(range(STEPS))}
    assert info.restarts == 0
