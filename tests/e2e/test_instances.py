"""An instance's life on a real server: start, watch, pause, resume, cancel, stop, sleep, wait, wake."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import pytest

from runtara_framework.errors import (
    ImageNotFound,
    InputInvalid,
    InstanceConflict,
    InstanceNotFound,
    InvalidState,
    PayloadTooLarge,
)
from runtara_framework.management import ManagementSdk

from . import programs
from .conftest import Server, Shop, compiled, order_input, order_scenario, processes_of, until_status


async def start(sdk: ManagementSdk, program: bytes, value: Any, **options: Any) -> str:
    """Register the program and start it; the instance's id."""
    image = await sdk.register_image(name="program", binary=program)
    started = await sdk.start_instance(image_id=image.image_id, input=value, **options)
    return started.instance_id


async def test_the_order_scenario_runs_to_its_result_with_real_calls(sdk: ManagementSdk, shop: Shop) -> None:
    image = await sdk.register_image(name="order", binary=compiled(order_scenario(), "order"))
    info = await sdk.run_instance(image_id=image.image_id, input=order_input(shop))
    assert info.status == "completed"
    assert info.output == {
        "orderId": "ORD-456",
        "status": "accepted",
        "total": 21,
        "notification": {"sent": True, "to": "ada@example.com"},
    }
    assert [path for path, _ in shop.calls] == ["/validate", "/notify"]


async def test_what_a_process_used_is_known_once_it_is_gone(server: Server) -> None:
    server.start()
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        instance_id = await start(sdk, programs.COUNTER, {"steps": 1})
        await until_status(sdk, instance_id, "completed")
        await asyncio.to_thread(_wait_gone, instance_id)
    server.stop()  # a clean stop waits until every launch is settled
    server.start()
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        info = await sdk.get_instance_status(instance_id)
    assert info.exit_code == 0
    assert info.cpu_usage_usec > 1000
    assert info.memory_peak_bytes > 1_000_000


async def test_a_rejected_order_takes_the_other_branch(sdk: ManagementSdk, shop: Shop) -> None:
    image = await sdk.register_image(name="order", binary=compiled(order_scenario(), "order"))
    value = order_input(shop)
    value["data"]["order"]["items"][0]["quantity"] = 0
    info = await sdk.run_instance(image_id=image.image_id, input=value)
    assert info.output["status"] == "rejected"
    assert info.output["reasons"] == ["TEA-1: quantity must be positive"]
    assert [path for path, _ in shop.calls] == ["/validate"]


async def test_an_instance_sleeps_without_a_process_and_wakes_on_time(server: Server) -> None:
    server.start("sleep.hold_below_seconds=0.5")
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        instance_id = await start(sdk, programs.SLEEPER, {"sleep_ms": 3000})
        asleep = await until_status(sdk, instance_id, "suspended")
        assert asleep.reason == "sleeping"
        await asyncio.to_thread(_wait_gone, instance_id)
        info = await until_status(sdk, instance_id, "completed")
        assert info.output == {"slept": True}
        assert info.launches == 2
        assert 0 <= info.finished_at_ms - asleep.wake_at_ms < 2000


async def test_a_signal_wakes_the_instance_that_waits_for_it(server: Server) -> None:
    server.start("sleep.hold_below_seconds=0")
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        instance_id = await start(sdk, programs.WAITER, None)
        waiting = await until_status(sdk, instance_id, "suspended")
        assert waiting.reason == "waiting_signal"
        await sdk.send_custom_signal(instance_id, "somebody-else", {"by": "nobody"})
        await sdk.send_custom_signal(instance_id, "approval", {"by": "ada"})
        info = await until_status(sdk, instance_id, "completed")
        assert info.output == {"approved_by": "ada"}


async def test_a_signal_that_came_before_the_wait_is_not_lost(sdk: ManagementSdk) -> None:
    image = await sdk.register_image(name="waiter", binary=programs.WAITER)
    started = await sdk.start_instance(image_id=image.image_id)
    await sdk.send_custom_signal(started.instance_id, "approval", {"by": "early"})
    info = await until_status(sdk, started.instance_id, "completed")
    assert info.output == {"approved_by": "early"}


async def test_pause_stops_at_a_step_and_resume_goes_on_from_there(sdk: ManagementSdk, server: Server) -> None:
    instance_id = await start(sdk, programs.COUNTER, {"steps": 40, "pause": 0.02})
    await until_status(sdk, instance_id, "running")
    await sdk.pause_instance(instance_id)
    paused = await until_status(sdk, instance_id, "suspended")
    assert paused.reason == "paused"
    assert paused.checkpoint_count < 40
    await sdk.resume_instance(instance_id)
    info = await until_status(sdk, instance_id, "completed")
    assert info.output == {"total": sum(range(40))}
    assert effects(server, instance_id) == [str(n) for n in range(40)]


async def test_cancel_ends_a_running_instance_at_once(sdk: ManagementSdk) -> None:
    instance_id = await start(sdk, programs.COUNTER, {"steps": 1, "pause": 60})
    await until_status(sdk, instance_id, "running")
    await sdk.cancel_instance(instance_id)
    info = await until_status(sdk, instance_id, "cancelled")
    assert info.reason == "cancelled"
    assert info.finished_at_ms is not None
    await asyncio.to_thread(_wait_gone, instance_id)
    with pytest.raises(InvalidState):
        await sdk.cancel_instance(instance_id)


async def test_stop_kills_a_program_that_does_not_listen(sdk: ManagementSdk) -> None:
    instance_id = await start(sdk, programs.IGNORES_TERM, None)
    await asyncio.to_thread(_wait_started, instance_id)
    await sdk.stop_instance(instance_id, grace_period_seconds=0.2)
    info = await sdk.get_instance_status(instance_id)
    assert (info.status, info.reason) == ("cancelled", "stopped")
    assert processes_of(instance_id) == []


async def test_the_same_id_starts_once_and_another_image_is_a_conflict(sdk: ManagementSdk) -> None:
    image = await sdk.register_image(name="sleeper", binary=programs.SLEEPER)
    other = await sdk.register_image(name="waiter", binary=programs.WAITER)
    first = await sdk.start_instance(image_id=image.image_id, instance_id="once", input={"sleep_ms": 0})
    again = await sdk.start_instance(image_id=image.image_id, instance_id="once", input={"sleep_ms": 0})
    assert (first.deduplicated, again.deduplicated) == (False, True)
    with pytest.raises(InstanceConflict):
        await sdk.start_instance(image_id=other.image_id, instance_id="once")


async def test_another_tenant_sees_nothing(sdk: ManagementSdk, server: Server) -> None:
    image = await sdk.register_image(name="waiter", binary=programs.WAITER)
    started = await sdk.start_instance(image_id=image.image_id, instance_id="mine")
    async with ManagementSdk(server.address, tenant_id="intruder") as intruder:
        for call in (
            intruder.get_instance_status(started.instance_id),
            intruder.cancel_instance(started.instance_id),
            intruder.stop_instance(started.instance_id),
            intruder.resume_instance(started.instance_id),
            intruder.send_custom_signal(started.instance_id, "approval", {"by": "evil"}),
            intruder.list_checkpoints(started.instance_id),
            intruder.list_events(started.instance_id),
        ):
            with pytest.raises(InstanceNotFound):
                await call
        with pytest.raises(ImageNotFound):
            await intruder.start_instance(image_id=image.image_id)
        with pytest.raises(ImageNotFound):
            await intruder.delete_image(image.image_id)
        with pytest.raises(InstanceConflict):
            own = await intruder.register_image(name="waiter", binary=programs.WAITER)
            await intruder.start_instance(image_id=own.image_id, instance_id="mine")
        assert (await intruder.list_instances()).total_count == 0
    assert (await sdk.get_instance_status(started.instance_id)).status in ("pending", "running", "suspended")


async def test_an_input_that_breaks_the_schema_starts_nothing(sdk: ManagementSdk) -> None:
    image = await sdk.register_image(name="order", binary=compiled(order_scenario(), "order"))
    with pytest.raises(InputInvalid) as caught:
        await sdk.start_instance(image_id=image.image_id, input={"order": {"id": 5, "items": "none"}})
    paths = {violation["path"] for violation in caught.value.details["violations"]}
    assert len(paths) == 3
    assert (await sdk.list_instances()).total_count == 0


async def test_an_input_over_its_limit_is_refused(server: Server) -> None:
    server.start("limits.input_bytes=1000")
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="waiter", binary=programs.WAITER)
        with pytest.raises(PayloadTooLarge, match="the limit is 1000"):
            await sdk.start_instance(image_id=image.image_id, input="x" * 2000)


async def test_no_more_than_the_configured_number_run_at_once(server: Server) -> None:
    server.start("server.max_concurrent_instances=2")
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="counter", binary=programs.COUNTER)
        ids = [f"run-{n}" for n in range(6)]
        for instance_id in ids:
            await sdk.start_instance(image_id=image.image_id, instance_id=instance_id, input={"steps": 3})
        infos = [await until_status(sdk, instance_id, "completed") for instance_id in ids]
    spans = sorted((info.started_at_ms, info.finished_at_ms) for info in infos)
    most = max(sum(1 for begin, end in spans if begin <= moment < end) for moment, _ in spans)
    assert most <= 2


async def test_those_that_wait_for_a_slot_run_in_the_order_of_their_creation(server: Server) -> None:
    server.start("server.max_concurrent_instances=1")
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="counter", binary=programs.COUNTER)
        ids = [f"run-{n}" for n in range(5)]
        for instance_id in ids:
            await sdk.start_instance(image_id=image.image_id, instance_id=instance_id, input={"steps": 1})
        infos = [await until_status(sdk, instance_id, "completed") for instance_id in ids]
    began = [info.started_at_ms for info in infos]
    assert began == sorted(began)


async def test_a_full_queue_refuses_and_loses_nothing(server: Server) -> None:
    from runtara_framework.errors import QueueFull

    server.start("server.max_concurrent_instances=1", "server.max_pending_instances=2")
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="counter", binary=programs.COUNTER)
        accepted, refused = [], 0
        for _ in range(12):
            instance_id = str(uuid.uuid4())
            try:
                await sdk.start_instance(image_id=image.image_id, instance_id=instance_id, input={"steps": 1})
                accepted.append(instance_id)
            except QueueFull:
                refused += 1
        assert refused
        for instance_id in accepted:
            assert (await until_status(sdk, instance_id, "completed")).output == {"total": 0}


def effects(server: Server, instance_id: str) -> list[str]:
    """What the counter did, in order."""
    return (server.data_dir / "runs" / "acme" / instance_id / "effects.txt").read_text().split()


def _wait_gone(instance_id: str) -> None:
    deadline = time.monotonic() + 20
    while processes_of(instance_id):
        assert time.monotonic() < deadline, "the process is still there"
        time.sleep(0.01)


def _wait_started(instance_id: str) -> None:
    deadline = time.monotonic() + 20
    while not processes_of(instance_id):
        assert time.monotonic() < deadline, "no process was started"
        time.sleep(0.01)
