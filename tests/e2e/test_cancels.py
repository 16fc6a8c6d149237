"""Cancels and time limits on a real server: what is undone, also of instances that have no process, and after kills."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from typing import Any

import pytest

from runtara_framework.errors import InvalidRequest
from runtara_framework.management import ManagementSdk
from runtara_framework.packaging import write_zipapp

from . import programs
from .conftest import BIN, Server, Shop, compiled, until_status

QUICK = ("sleep.hold_below_seconds=0", "runner.restart_delays_ms=[1]")


def immediate(value: Any) -> dict[str, Any]:
    return {"valueType": "immediate", "value": value}


def post(step_id: str, email: str, **more: Any) -> dict[str, Any]:
    """A step that tells the shop something."""
    url = {"valueType": "template", "value": "{{ variables.service }}/notify"}
    inputs = {"method": immediate("POST"), "url": url, "body.email": immediate(email)}
    return {
        "id": step_id,
        "stepType": "Agent",
        "agentId": "http",
        "capabilityId": "request",
        "inputMapping": inputs,
        **more,
    }


def booking(*, last: dict[str, Any] | None = None, on_cancel: bool = True) -> dict[str, Any]:
    """Two bookings, one undone after any error and one by hand, then a wait; and a handler."""
    steps = {
        "hotel": post(
            "hotel",
            "hotel",
            compensation={"compensationStep": "unhotel", "trigger": "on_any_error"} if on_cancel else None,
        ),
        "train": post("train", "train", compensation={"compensationStep": "untrain", "trigger": "manual"}),
        "ask": last or {"id": "ask", "stepType": "WaitForSignal"},
        "unhotel": post("unhotel", "undo hotel"),
        "untrain": post("untrain", "undo train"),
    }
    if not on_cancel:
        del steps["hotel"]["compensation"], steps["unhotel"]
    edges = [{"fromStep": "hotel", "toStep": "train"}, {"fromStep": "train", "toStep": steps["ask"]["id"]}]
    steps = {step["id"]: step for step in steps.values()}
    graph: dict[str, Any] = {
        "variables": {"service": {"type": "string", "value": "http://127.0.0.1:1"}},
        "steps": steps,
        "entryPoint": "hotel",
        "executionPlan": edges,
    }
    if on_cancel:
        graph["onCancel"] = {"steps": {"tell": post("tell", "cancelled")}, "entryPoint": "tell"}
    return graph


def told(shop: Shop) -> list[str]:
    return [body["email"] for _, body in shop.calls]


async def waiting(sdk: ManagementSdk, shop: Shop, graph: dict[str, Any]) -> str:
    """An instance that has booked and now waits without a process."""
    image = await sdk.register_image(name="booking", binary=compiled(graph, "booking"))
    started = await sdk.start_instance(image_id=image.image_id, input={"variables": {"service": shop.url}})
    info = await until_status(sdk, started.instance_id, "suspended", "failed")
    assert info.reason == "waiting_signal", info.error
    return started.instance_id


@pytest.mark.parametrize("compensate", [False, True])
@pytest.mark.parametrize("paused", [False, True], ids=["waiting", "paused"])
async def test_a_suspended_instance_is_cancelled_with_everything_undone(
    server: Server, shop: Shop, compensate: bool, paused: bool
) -> None:
    server.start(*QUICK)
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        instance_id = await waiting(sdk, shop, booking())
        if paused:
            await sdk.pause_instance(instance_id)
        await sdk.cancel_instance(instance_id, "no budget", compensate=compensate)
        info = await until_status(sdk, instance_id, "cancelled", "failed")
        events = (await sdk.list_events(instance_id, subtype="compensation", sort_order="asc")).events
    assert (info.status, info.reason, info.launches) == ("cancelled", "cancelled", 2)
    undone = ["undo train", "undo hotel"] if compensate else ["undo hotel"]
    assert told(shop) == ["hotel", "train", *undone, "cancelled"]
    assert [event.payload["step_id"] for event in events] == [name.removeprefix("undo ") for name in undone]


async def test_an_instance_without_anything_to_do_is_cancelled_at_once(server: Server, shop: Shop) -> None:
    server.start(*QUICK)
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        instance_id = await waiting(sdk, shop, booking(on_cancel=False))
        await sdk.cancel_instance(instance_id)
        info = await sdk.get_instance_status(instance_id)
    assert (info.status, info.launches, told(shop)) == ("cancelled", 1, ["hotel", "train"])


async def test_an_instance_that_sleeps_while_it_undoes_a_failure_undoes_the_rest_when_it_is_cancelled(
    server: Server, shop: Shop
) -> None:
    server.start(*QUICK)
    rest = {"id": "rest", "stepType": "Delay", "durationMs": immediate(1_500)}
    steps = [
        post("hotel", "hotel", compensation={"compensationStep": "unhotel"}),
        post("train", "train", compensation={"compensationStep": "rest"}),
        {"id": "no", "stepType": "Error", "code": "NO", "message": "no room"},
        post("unhotel", "undo hotel"),
        rest,
    ]
    edges = [{"fromStep": "hotel", "toStep": "train"}, {"fromStep": "train", "toStep": "no"}]
    graph = booking() | {"steps": {step["id"]: step for step in steps}, "executionPlan": edges, "onCancel": None}
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="booking", binary=compiled(graph, "booking"))
        started = await sdk.start_instance(image_id=image.image_id, input={"variables": {"service": shop.url}})
        assert (await until_status(sdk, started.instance_id, "suspended", "failed")).reason == "sleeping"
        await sdk.cancel_instance(started.instance_id)
        info = await until_status(sdk, started.instance_id, "cancelled", "failed")
    assert (info.status, told(shop)) == ("cancelled", ["hotel", "train", "undo hotel"])


async def test_the_command_line_cancels_with_compensation(server: Server, shop: Shop) -> None:
    server.start(*QUICK)
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        instance_id = await waiting(sdk, shop, booking(on_cancel=False))
        command = [str(BIN / "runtara"), "instances", "cancel", instance_id, "--compensate"]
        await asyncio.to_thread(
            subprocess.run, [*command, "--server", server.address, "--tenant", "acme"], check=True, capture_output=True
        )
        assert (await until_status(sdk, instance_id, "cancelled", "failed")).status == "cancelled"
    assert told(shop) == ["hotel", "train", "undo train"]


async def test_a_running_instance_is_cancelled_with_compensation(server: Server, shop: Shop) -> None:
    server.start()  # a short sleep stays in its process
    nap = {"id": "nap", "stepType": "Delay", "durationMs": immediate(9_000)}
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="booking", binary=compiled(booking(last=nap), "booking"))
        started = await sdk.start_instance(image_id=image.image_id, input={"variables": {"service": shop.url}})
        while (await sdk.list_checkpoints(started.instance_id)).total_count < 3:
            assert (await until_status(sdk, started.instance_id, "pending", "running")).error is None
        await sdk.cancel_instance(started.instance_id, compensate=True)
        info = await until_status(sdk, started.instance_id, "cancelled", "failed", "completed")
    assert (info.status, info.launches) == ("cancelled", 1)
    assert told(shop) == ["hotel", "train", "undo train", "undo hotel", "cancelled"]


async def test_whether_to_compensate_is_true_or_false(sdk: ManagementSdk) -> None:
    image = await sdk.register_image(name="waiter", binary=programs.WAITER)
    started = await sdk.start_instance(image_id=image.image_id)
    with pytest.raises(InvalidRequest, match="compensate"):
        await sdk.send_signal(started.instance_id, "cancel", {"compensate": "yes"})


@pytest.mark.parametrize(
    "point", ["instance.after_register", "instance.after_checkpoint", "instance.before_checkpoint:2"]
)
async def test_a_process_killed_while_it_obeys_a_cancel_is_launched_again_and_goes_on(
    server: Server, shop: Shop, point: str
) -> None:
    server.start(*QUICK)
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = write_zipapp({"__main__.py": _armed_when_cancelled(compiled(booking(), "booking"), point)}, MANIFEST)
        registered = await sdk.register_image(name="booking", binary=image)
        started = await sdk.start_instance(image_id=registered.image_id, input={"variables": {"service": shop.url}})
        await until_status(sdk, started.instance_id, "suspended", "failed")
        (server.data_dir / "runs" / "acme" / started.instance_id / "armed").touch()
        await sdk.cancel_instance(started.instance_id)
        info = await until_status(sdk, started.instance_id, "cancelled", "failed")
    assert (info.status, info.reason, info.launches) == ("cancelled", "cancelled", 3)
    # What was done but not yet saved when it was killed is done again; what was saved is not.
    again = ["cancelled"] if point == "instance.before_checkpoint:2" else []
    assert told(shop) == ["hotel", "train", "undo hotel", "cancelled", *again]


MANIFEST = {"kind": "python", "onCancel": True}


def _armed_when_cancelled(image: bytes, point: str) -> bytes:
    """The archive; if the file `armed` is there, it kills itself once at the point."""
    return (
        programs.armed(image, point)
        .split(b"\n", 1)[1]
        .replace(b"not marker.exists()", b"marker.exists()")
        .replace(b"marker.touch()", b"marker.unlink()")
    )


async def test_a_server_killed_after_the_cancel_does_what_was_promised(server: Server, shop: Shop) -> None:
    server.start(*QUICK, fault="claim.after_commit:2")
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        instance_id = await waiting(sdk, shop, booking())
        await sdk.cancel_instance(instance_id)  # the server dies when it is about to launch it
    assert await asyncio.to_thread(server.wait_dead) == -signal.SIGKILL
    server.start(*QUICK)
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        assert (await until_status(sdk, instance_id, "cancelled", "failed")).status == "cancelled"
    assert told(shop) == ["hotel", "train", "undo hotel", "cancelled"]


async def test_an_instance_whose_running_time_is_used_up_cleans_up_and_fails(server: Server, shop: Shop) -> None:
    server.start()
    nap = {"id": "nap", "stepType": "Delay", "durationMs": immediate(9_000)}
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="booking", binary=compiled(booking(last=nap), "booking"))
        started = await sdk.start_instance(
            image_id=image.image_id, input={"variables": {"service": shop.url}}, timeout_seconds=2.0
        )
        info = await until_status(sdk, started.instance_id, "cancelled", "failed", "completed")
    assert (info.status, info.reason, info.error["code"]) == ("failed", "timeout", "EXECUTION_TIMEOUT")
    assert info.error["category"] == "timeout"
    assert told(shop) == ["hotel", "train", "undo hotel", "cancelled"]


async def test_running_time_counts_over_launches_and_not_while_suspended(server: Server) -> None:
    server.start(*QUICK)
    source = programs.python(
        """
        import asyncio
        from runtara_framework.sdk import bootstrap
        async def main(ctx):
            for number in range(4):
                await asyncio.sleep(0.5)
                await ctx.checkpoint(f"worked-{number}", b"1")
                await ctx.wait_signal(f"wait-{number}", f"go-{number}")
            return "done"
        bootstrap.run(main)
        """
    )
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="worker", binary=source)
        started = await sdk.start_instance(image_id=image.image_id, timeout_seconds=2.4)
        launches = 0
        for number in range(4):
            info = await until_status(sdk, started.instance_id, "suspended", "failed", "completed")
            if info.status != "suspended":
                break
            launches = info.launches
            await sdk.send_custom_signal(started.instance_id, f"go-{number}", None)
            info = await until_status(sdk, started.instance_id, "pending", "running", "failed", "completed")
        info = await until_status(sdk, started.instance_id, "failed", "completed")
    # Each launch sleeps through what earlier ones slept, too: 0.5 + 1 s, and the third is cut off.
    assert (info.status, info.reason, info.error["code"]) == ("failed", "timeout", "EXECUTION_TIMEOUT")
    assert launches == 2


@pytest.mark.parametrize("point", ["instance.before_suspend", "instance.after_suspend"])
async def test_a_kill_at_a_breakpoint_does_not_skip_the_stop(server: Server, point: str) -> None:
    server.start(*QUICK)
    program = programs.python(
        f"""
        import os, pathlib
        marker = pathlib.Path("armed")
        if not marker.exists():
            marker.touch()
            os.environ["RUNTARA_FAULT"] = {point!r}
        from runtara_framework.sdk import bootstrap
        async def main(ctx):
            await ctx.breakpoint("here")
            with open("passed.txt", "a") as passed:
                passed.write("passed ")
            return "done"
        bootstrap.run(main)
        """
    )
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="stops", binary=program)
        started = await sdk.start_instance(image_id=image.image_id)
        info = await until_status(sdk, started.instance_id, "suspended", "failed", "completed")
        passed = server.data_dir / "runs" / "acme" / started.instance_id / "passed.txt"
        assert (info.status, info.reason, passed.exists()) == ("suspended", "breakpoint", False)
        assert info.launches == (2 if point == "instance.before_suspend" else 1)
        await sdk.resume_instance(started.instance_id)
        assert (await until_status(sdk, started.instance_id, "failed", "completed")).output == "done"
        assert passed.read_text() == "passed "
