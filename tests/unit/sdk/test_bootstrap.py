"""Programs as processes of their own, against a real socket: what is reported, and with which code they exit."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from runtara_framework.faults import arm
from runtara_framework.sdk.bootstrap import execute
from runtara_framework.sdk.client import InstanceClient
from runtara_framework.sdk.config import SdkConfig
from runtara_framework.sdk.context import Context
from runtara_framework.sdk.failure import Failure
from runtara_framework.sdk.package import build
from runtara_framework.states import Reason, Status
from runtara_framework.testing.memory_core import MemoryCore, MemoryInstance, run_in_process
from tests.unit.sdk.conftest import CoreServer, listening

PROGRAM = """
import asyncio, sys, time
from runtara_framework.sdk.bootstrap import run
from runtara_framework.sdk.failure import Failure

async def main(ctx):
{body}

run(main)
"""


async def start(server: CoreServer, instance: MemoryInstance, body: str, **environ: str) -> asyncio.subprocess.Process:
    program = PROGRAM.format(body="\n".join(f"    {line}" for line in body.strip().splitlines()))
    return await spawn(server, instance, ["-c", program], **environ)


async def spawn(
    server: CoreServer, instance: MemoryInstance, arguments: list[str], **environ: str
) -> asyncio.subprocess.Process:
    config = server.launch(instance)
    env = {
        "PATH": os.environ["PATH"],
        "RUNTARA_INSTANCE_ID": config.instance_id,
        "RUNTARA_TENANT_ID": config.tenant_id,
        "RUNTARA_SERVER_ADDR": server.address,
        "RUNTARA_TOKEN": config.token or "",
        **environ,
    }
    return await asyncio.create_subprocess_exec(sys.executable, *arguments, env=env, stderr=asyncio.subprocess.PIPE)


async def run(server: CoreServer, body: str, **environ: str) -> tuple[int | None, str, MemoryInstance]:
    """Exit code, stderr and the instance after one launch."""
    instance = server.core.create({"x": 1})
    process = await start(server, instance, body, **environ)
    _, stderr = await process.communicate()
    return process.returncode, stderr.decode(), instance


async def test_a_program_that_returns_is_completed(server: CoreServer) -> None:
    code, stderr, instance = await run(server, "return {'got': ctx.input}")
    assert (code, stderr) == (0, "")
    assert (instance.status, instance.output) == (Status.COMPLETED, b'{"got":{"x":1}}')


async def test_a_failure_is_reported_as_it_is(server: CoreServer) -> None:
    code, stderr, instance = await run(server, "raise Failure('NO_STOCK', 'none left', attributes={'sku': 7})")
    assert (code, stderr) == (0, "")
    assert instance.status is Status.FAILED
    assert instance.error == {
        "code": "NO_STOCK",
        "message": "none left",
        "category": "permanent",
        "severity": "error",
        "attributes": {"sku": 7},
    }


async def test_any_other_exception_is_reported_with_its_type_and_shown_with_its_traceback(server: CoreServer) -> None:
    code, stderr, instance = await run(server, "return {}['missing']")
    assert code == 0
    assert instance.error is not None
    assert instance.error["code"] == "UNHANDLED_ERROR"
    assert instance.error["message"] == "KeyError: 'missing'"
    assert instance.error["attributes"] == {"type": "KeyError"}
    assert "Traceback" in stderr
    assert "KeyError: 'missing'" in stderr


@pytest.mark.parametrize(
    ("body", "error_code", "message"),
    [
        ("return object()", "OUTPUT_INVALID", "the output cannot be written as JSON"),
        ("return [1, {'a': float('nan')}]", "OUTPUT_INVALID", r"the output[1].a is no finite number"),
        ("a = []; a.append(a); return a", "OUTPUT_INVALID", "contains itself"),
        ("return 'x' * (17 * 2**20)", "OUTPUT_TOO_LARGE", "the limit is 16777216"),
        ("sys.exit(3)", "UNHANDLED_ERROR", "sys.exit(3)"),
        ("raise asyncio.CancelledError", "UNHANDLED_ERROR", "cancelled itself"),
        ("raise Failure('BIG', 'm' * 2**25)", "BIG", "mmm"),
        ("raise Failure('ODD', 'odd', attributes={'x': 2**100, 'y': object()})", "ODD", "odd"),
    ],
)
async def test_what_cannot_be_an_output_is_a_clear_failure(
    server: CoreServer, body: str, error_code: str, message: str
) -> None:
    code, _, instance = await run(server, body)
    assert code == 0
    assert instance.error is not None
    assert instance.error["code"] == error_code
    assert message in instance.error["message"]


async def test_an_input_that_is_no_json_is_a_clear_failure(server: CoreServer) -> None:
    instance = server.core.create(b"{not json")
    process = await start(server, instance, "return 1")
    await process.communicate()
    assert instance.error is not None
    assert instance.error["code"] == "INPUT_INVALID"


async def test_a_suspended_program_exits_quietly(server: CoreServer) -> None:
    code, stderr, instance = await run(server, "await ctx.sleep('night', 3_600_000)")
    assert (code, stderr) == (0, "")
    assert (instance.status, instance.reason) == (Status.SUSPENDED, Reason.SLEEPING)


async def test_a_cancelled_program_acknowledges_and_exits(server: CoreServer) -> None:
    instance = server.core.create()
    listens = listening(server.core)
    process = await start(server, instance, "await ctx.checkpoint('a', b'1')\nawait asyncio.Event().wait()")
    async with asyncio.timeout(20):
        await listens.wait()
        server.core.cancel(instance.instance_id)
        _, stderr = await process.communicate()
    assert (process.returncode, stderr) == (0, b"")
    assert instance.status is Status.CANCELLED


async def test_a_stale_program_exits_with_a_code_of_its_own(server: CoreServer) -> None:
    def overtake(instance: MemoryInstance, operation: str, request: Any) -> None:
        if operation == "save_checkpoint":
            server.core.launch(instance.instance_id)
            server.core.fenced(f"{instance.instance_id}:1", instance.instance_id)

    server.core.on_call = overtake
    body = "try:\n    await ctx.checkpoint('a', b'1')\nexcept Exception:\n    return 'caught'"
    code, stderr, instance = await run(server, body)
    assert (code, stderr) == (3, "")
    assert instance.status is Status.PENDING


async def test_a_program_that_cannot_report_says_so(server: CoreServer) -> None:
    await server.close()
    code, stderr, _ = await run(server, "return 1", RUNTARA_CONNECT_TIMEOUT_MS="100")
    assert code == 1
    assert "CONNECTION_FAILED" in stderr


async def test_a_program_that_nobody_configured_says_what_is_missing() -> None:
    program = PROGRAM.format(body="    return 1")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, env={}, stderr=asyncio.subprocess.PIPE
    )
    _, stderr = await process.communicate()
    assert process.returncode == 1
    assert b"RUNTARA_INSTANCE_ID is not set" in stderr


async def test_terminate_ends_a_program_at_once(server: CoreServer) -> None:
    instance = server.core.create()
    process = await start(server, instance, "print('up', file=sys.stderr, flush=True)\ntime.sleep(600)")
    assert process.stderr is not None
    assert await process.stderr.readline() == b"up\n"
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 143


async def test_neither_threads_nor_tasks_nor_exit_handlers_are_in_the_way(server: CoreServer) -> None:
    body = """
import atexit, threading
atexit.register(lambda: print("exit handler", file=sys.stderr))
async def rest():
    try:
        await asyncio.sleep(600)
    finally:
        print("cleaned", file=sys.stderr)
task = asyncio.create_task(rest())
hangs = asyncio.create_task(asyncio.to_thread(time.sleep, 600))
await asyncio.sleep(0)
return 1
"""
    code, stderr, instance = await run(server, body)
    assert code == 0
    assert instance.status is Status.COMPLETED
    assert stderr.split("\n") == ["cleaned", "exit handler", ""]


POINTS = [
    ("instance.before_register", Status.PENDING, 0),
    ("instance.after_register", Status.RUNNING, 0),
    ("instance.before_checkpoint", Status.RUNNING, 0),
    ("instance.after_checkpoint", Status.RUNNING, 1),
    ("instance.before_suspend", Status.RUNNING, 2),
    ("instance.after_suspend", Status.SUSPENDED, 2),
]


@pytest.mark.parametrize(("point", "status", "checkpoints"), POINTS)
async def test_a_program_dies_at_the_fault_point_that_is_asked_for(
    server: CoreServer, point: str, status: Status, checkpoints: int
) -> None:
    body = "await ctx.checkpoint('a', b'1')\nawait ctx.sleep('night', 3_600_000)"
    code, _, instance = await run(server, body, RUNTARA_FAULT=point)
    assert code == -signal.SIGKILL
    assert (instance.status, len(instance.checkpoints)) == (status, checkpoints)


@pytest.mark.parametrize(
    ("point", "status"),
    [("instance.before_complete", Status.RUNNING), ("instance.after_complete", Status.COMPLETED)],
)
async def test_a_program_dies_around_its_completion(server: CoreServer, point: str, status: Status) -> None:
    code, _, instance = await run(server, "return 1", RUNTARA_FAULT=point)
    assert (code, instance.status) == (-signal.SIGKILL, status)


async def test_of_several_fault_points_the_first_that_a_program_comes_to_kills_it(server: CoreServer) -> None:
    instance = server.core.create()
    server.core.send_custom_signal(instance.instance_id, "go", 1)
    body = "await ctx.checkpoint('a', b'1')\nawait ctx.wait_signal('b', 'go')\nawait ctx.checkpoint('c', b'1')"
    points = "instance.before_complete,instance.after_signal,instance.after_checkpoint:2"
    process = await start(server, instance, body, RUNTARA_FAULT=points)
    assert await process.wait() == -signal.SIGKILL
    assert (instance.status, list(instance.checkpoints)) == (Status.RUNNING, ["a", "b"])


async def test_a_program_can_arm_a_fault_point_itself(server: CoreServer) -> None:
    body = (
        "from runtara_framework import faults\nfaults.arm('instance.after_checkpoint')\nawait ctx.checkpoint('a', b'1')"
    )
    code, _, instance = await run(server, body)
    assert (code, list(instance.checkpoints)) == (-signal.SIGKILL, ["a"])


@pytest.mark.parametrize(
    "text", ["instance.after_lunch", "instance.after_checkpoint,no", "instance.after_checkpoint:x"]
)
def test_a_fault_point_that_does_not_exist_cannot_be_armed(text: str) -> None:
    with pytest.raises(ValueError):
        arm(text)


async def test_a_packaged_workflow_runs_sleeps_and_ends(
    server: CoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "night_shift.py").write_text(
        """
from runtara_framework.sdk.durable import durable, workflow

@durable
async def note(text):
    return text.upper()

@workflow
async def shift(ctx, input):
    first = await note("evening")
    await ctx.sleep("night", 60_000)
    return [first, await note("morning"), input["x"]]
"""
    )
    monkeypatch.chdir(tmp_path)
    image = tmp_path / "shift.pyz"
    image.write_bytes(build("night_shift:shift"))
    sys.modules.pop("night_shift")
    instance = server.core.create({"x": 5})
    process = await spawn(server, instance, [str(image)])
    await process.communicate()
    assert (process.returncode, instance.status) == (0, Status.SUSPENDED)
    server.core.resume(instance.instance_id)
    deadline = instance.checkpoints["night#deadline"]
    instance.checkpoints["night#deadline"] = b"1"  # the night is over
    process = await spawn(server, instance, [str(image)])
    await process.communicate()
    assert instance.output == b'["EVENING","MORNING",5]'
    assert int(deadline) > 1


# -- in this process --------------------------------------------------------------------------------------------------


async def test_on_cancel_has_its_time_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    core = MemoryCore()
    instance = core.create()

    async def main(ctx: Context) -> None:
        async def clean() -> None:
            await asyncio.Event().wait()

        ctx.on_cancel = clean
        core.cancel(ctx.instance_id)
        await ctx.checkpoint("a", b"1")

    config = SdkConfig(
        instance_id=instance.instance_id,
        tenant_id="test",
        token=core.launch(instance.instance_id),
        heartbeat_interval_ms=0,
    )
    outcome = await execute(main, InstanceClient(config, dial=core.dial), clock=core.clock, cancel_seconds=0.01)
    assert outcome == "cancelled"
    assert instance.status is Status.CANCELLED
    assert "on_cancel took longer than 0.01 s" in capsys.readouterr().err


async def test_a_program_cannot_hold_its_launch_by_swallowing_the_end(server: CoreServer) -> None:
    async def main(ctx: Context) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if give_up.is_set():
                    raise

    give_up = asyncio.Event()
    instance = server.core.create()
    client = InstanceClient(server.launch(instance))
    listens = listening(server.core)
    running = asyncio.create_task(execute(main, client, unwind_seconds=0.01))
    async with asyncio.timeout(20):
        await listens.wait()
        server.core.cancel(instance.instance_id)
        assert await running == "cancelled"
    give_up.set()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        if "main" in repr(task.get_coro()) or "_called" in repr(task.get_coro()):
            task.cancel()
            await asyncio.wait((task,))


async def test_an_exception_with_a_description_of_itself_is_reported_by_it() -> None:
    class Described(Exception):
        def to_failure(self) -> dict[str, Any]:
            return {"code": "DESCRIBED", "message": "by itself", "category": "transient", "retryAfterMs": 5}

    async def main(ctx: Context) -> None:
        raise Described

    outcome = await run_in_process(main)
    assert outcome.error == {
        "code": "DESCRIBED",
        "message": "by itself",
        "category": "transient",
        "severity": "error",
        "retryAfterMs": 5,
        "attributes": {},
    }


async def test_causes_are_reported_with_what_they_caused() -> None:
    async def main(ctx: Context) -> None:
        raise Failure("OUTER", "o", step_id="s", step_type="Agent", cause=Failure("INNER", "i", category="timeout"))

    outcome = await run_in_process(main)
    assert outcome.error is not None
    assert (outcome.error["stepId"], outcome.error["stepType"]) == ("s", "Agent")
    assert outcome.error["cause"]["code"] == "INNER"
    assert Failure.from_dict(outcome.error).to_dict() == outcome.error
