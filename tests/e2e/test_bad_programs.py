"""Programs that misbehave: each ends with a code and a message that a user can act on, and hurts nobody else."""

from __future__ import annotations

import pytest

from runtara_framework.errors import ImageInvalid
from runtara_framework.management import ManagementSdk

from . import programs
from .conftest import Server, until_status

FAST = (
    "runner.restart_delays_ms=[1]",
    "runner.max_restarts=2",
    "runner.register_timeout_seconds=1.0",
    "runner.heartbeat_timeout_seconds=60",
)


async def fate(server: Server, program: bytes, *flags: str, **options: object) -> object:
    """How an instance of the program ends; afterwards a good program still runs."""
    server.start(*FAST, *flags)
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="bad", binary=program)
        started = await sdk.start_instance(image_id=image.image_id, input={}, **options)
        info = await until_status(sdk, started.instance_id, "failed", "completed", "cancelled")
        good = await sdk.register_image(name="good", binary=programs.COUNTER)
        assert (await sdk.run_instance(image_id=good.image_id, input={"steps": 1})).status == "completed"
    return info


async def test_a_program_that_exits_at_once_is_tried_again_and_then_failed(server: Server) -> None:
    info = await fate(server, programs.EXITS_AT_ONCE)
    assert (info.status, info.reason, info.error["code"]) == ("failed", "crashed", "CRASHED")
    assert "exited with code 3 before it registered" in info.error["message"]
    assert "no config file" in info.error["message"]
    assert (info.exit_code, info.launches) == (3, 3)


async def test_a_program_that_ends_well_without_a_result_is_told_what_to_do(server: Server) -> None:
    info = await fate(server, programs.EXITS_WELL)
    assert (info.status, info.reason, info.error["code"]) == ("failed", "launch_failed", "NO_RESULT")
    assert info.launches == 1


async def test_a_program_that_never_registers_is_stopped(server: Server) -> None:
    info = await fate(server, programs.NEVER_REGISTERS)
    assert (info.status, info.reason, info.error["code"]) == ("failed", "launch_failed", "NEVER_REGISTERED")


async def test_a_program_that_floods_stderr_keeps_only_the_end_of_it(server: Server) -> None:
    info = await fate(server, programs.FLOODS_STDERR, "runner.max_restarts=0")
    assert info.reason == "crashed"
    assert "again and again, with an ü in it" in info.stderr
    assert len(info.stderr.encode()) <= 8192


async def test_a_program_that_writes_garbage_hurts_only_itself(server: Server) -> None:
    info = await fate(server, programs.WRITES_GARBAGE)
    assert (info.status, info.reason) == ("failed", "crashed")
    assert "exited with code 7" in info.error["message"]


async def test_a_missing_interpreter_is_a_launch_failure_that_names_it(server: Server) -> None:
    info = await fate(server, b"#!/no/such/interpreter\n")
    assert (info.status, info.reason) == ("failed", "launch_failed")
    assert "/no/such/interpreter" in info.error["message"]


async def test_a_program_that_runs_too_long_is_timed_out(server: Server) -> None:
    info = await fate(
        server,
        programs.COUNTER.replace(b'ctx.input.get("pause", 0)', b"60").replace(b'ctx.input["steps"]', b"2"),
        timeout_seconds=1.0,
    )
    assert (info.status, info.reason, info.error["code"]) == ("failed", "timeout", "EXECUTION_TIMEOUT")


@pytest.mark.parametrize("binary", [b"hello", b"\x00\x01\x02", b"PK\x05\x06" + b"\0" * 18])
async def test_bytes_that_are_no_executable_are_refused_at_registration(sdk: ManagementSdk, binary: bytes) -> None:
    with pytest.raises(ImageInvalid):
        await sdk.register_image(name="nothing", binary=binary)
    assert (await sdk.list_images()).total_count == 0
