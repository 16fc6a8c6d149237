"""A program whose memory is limited, as a process of its own: whatever it does with its memory, it says how it ended."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from typing import Any

import pytest

from runtara_framework.memory import MIB, TIERS, VARIABLE
from runtara_framework.states import Reason, Status
from tests.unit.sdk.conftest import CoreServer

LIMIT = TIERS["S"]
PROGRAM = """
import asyncio, json, resource, time, msgspec
from typing import Any
from pydantic import BaseModel, TypeAdapter
from runtara_framework.agents import AgentError, agent, capability
from runtara_framework.agents.context import CapabilityContext
from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.memory import LIMIT
from runtara_framework.sdk.bootstrap import run
from runtara_framework.sdk.durable import durable, program, workflow
from runtara_framework.sdk.failure import Failure

def fill():
    held = []
    while True:
        held.append({{"number": len(held)}})

class Size(BaseModel):
    size: int

@agent(id="greedy")
class Greedy:
    @capability(id="in-a-thread")
    def in_a_thread(self, input: Size) -> int:
        return len(bytearray(input.size << 20))

    @capability(id="in-the-loop")
    async def in_the_loop(self, input: Size) -> int:
        return len(bytearray(input.size << 20))

    @capability(id="fills")
    def fills(self) -> None:
        fill()

    @capability(id="answers")
    async def answers(self, input: Size) -> str:
        return "x" * (input.size << 20)

    @capability(id="panics")
    async def panics(self) -> int:
        held = bytearray(40 << 20)
        return len(TypeAdapter(Any).dump_json(["x" * 1000 for _ in range(50_000)])) + len(held)

    @capability(id="naps")
    def naps(self) -> None:
        time.sleep(0.2)

registry = AgentRegistry()
registry.add(Greedy)

async def call(name, **inputs):
    context = CapabilityContext(tenant_id="t", instance_id="i", step_key="s")
    return await registry.invoke("greedy", name, inputs, context)

runs = []

@durable(delay_ms=1)
async def build(size: int) -> int:
    runs.append(size)
    return len(bytearray(size << 20))

@durable(delay_ms=1)
def build_in_a_thread() -> None:
    fill()

@workflow
async def main(ctx, input):
{body}

run(program(main))
"""


async def run(server: CoreServer, body: str, given: Any = None) -> tuple[Any, str]:
    """The instance and its stderr after one launch under the limit, as a runner would launch it."""
    instance = server.core.create(given)
    config = server.launch(instance)
    program = PROGRAM.format(body="\n".join(f"    {line}" for line in body.strip().splitlines()))
    env = {
        "RUNTARA_INSTANCE_ID": config.instance_id,
        "RUNTARA_TENANT_ID": config.tenant_id,
        "RUNTARA_SERVER_ADDR": server.address,
        "RUNTARA_TOKEN": config.token or "",
        VARIABLE: str(LIMIT),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, env=env, stderr=asyncio.subprocess.PIPE
    )
    resource.prlimit(process.pid, resource.RLIMIT_DATA, (LIMIT + 64 * MIB, resource.RLIM_INFINITY))
    _, stderr = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, stderr.decode()
    return instance, stderr.decode()


def failed(instance: Any) -> dict[str, Any]:
    assert (instance.status, instance.reason) == (Status.FAILED, Reason.OUT_OF_MEMORY), instance.error
    error: dict[str, Any] = instance.error
    assert (error["code"], error["category"]) == ("OUT_OF_MEMORY", "permanent")
    assert "more memory was needed than the 64 MiB of memoryTier S" in error["message"]
    assert "choose a larger memoryTier (M: 128 MiB)" in error["message"]
    assert error["attributes"]["limitBytes"] == LIMIT
    return error


ENDS = {
    "at once": ("bytearray(200 << 20)", "in main"),
    "little by little": ("fill()", None),
    "in a thread": ("await asyncio.to_thread(fill)", None),
    "in a durable step": ("await build(200)", "in build"),
    "in a durable step in a thread": ("await build_in_a_thread()", None),
    "in a capability": ("await call('in-the-loop', size=200)", "in Greedy.in_the_loop"),
    "in a capability in a thread": ("await call('in-a-thread', size=200)", "in Greedy.in_a_thread"),
    "in a full capability in a thread": ("await call('fills')", None),
    "where a library panics": ("await call('panics')", None),
    "as the cause of another error": (
        "try:\n    bytearray(200 << 20)\nexcept Exception as error:\n    raise RuntimeError('no') from error",
        "in main",
    ),
    "among others": (
        "async with asyncio.TaskGroup() as group:\n    group.create_task(call('in-the-loop', size=200))\n"
        "    group.create_task(asyncio.to_thread(fill))",
        None,
    ),
}


@pytest.mark.parametrize(("body", "where"), ENDS.values(), ids=ENDS.keys())
async def test_a_program_that_needs_more_says_so_and_where(server: CoreServer, body: str, where: str | None) -> None:
    error = failed((await run(server, body))[0])
    assert where is None or error["attributes"]["where"].endswith(where)


@pytest.mark.parametrize("branch", ["asyncio.gather", "ctx.gather"])
async def test_branches_that_fill_the_memory_together_do_not_hang(server: CoreServer, branch: str) -> None:
    # Whatever the event loop does meanwhile may be what gets no memory.
    body = f"""
async def fills():
    held = []
    while True:
        held.append({{"number": len(held)}})
        if not len(held) % 1000:
            await asyncio.sleep(0)
await {branch}(*(fills() for _ in range(3)))
"""
    for _ in range(5):
        failed((await run(server, body))[0])


async def test_a_step_that_needs_more_is_not_tried_again(server: CoreServer) -> None:
    body = """
try:
    await build(200)
except Failure as failure:
    return [failure.code, failure.category, len(runs)]
"""
    instance, _ = await run(server, body)
    assert json.loads(instance.output) == ["OUT_OF_MEMORY", "permanent", 1]


async def test_a_program_may_handle_it_and_has_its_memory_back(server: CoreServer) -> None:
    body = """
try:
    await call("fills")
except AgentError as error:
    return [error.code, len(bytearray(48 << 20))]
"""
    instance, _ = await run(server, body)
    assert json.loads(instance.output) == ["OUT_OF_MEMORY", 48 << 20]


async def test_a_failure_of_the_programs_own_is_left_as_it_is(server: CoreServer) -> None:
    body = """
try:
    bytearray(200 << 20)
except MemoryError:
    raise Failure("ORDER_TOO_LARGE", "split the order")
"""
    instance, _ = await run(server, body)
    assert (instance.error["code"], instance.reason) == ("ORDER_TOO_LARGE", Reason.APPLICATION_ERROR)


@pytest.mark.parametrize("size", [8, 16, 24, 30])
async def test_what_the_platform_does_with_a_large_value_ends_no_process(server: CoreServer, size: int) -> None:
    # msgspec crashes and pydantic-core aborts where they get no memory.
    body = f"""
held = bytearray((48 - {size}) << 20)
text = await call("answers", size={size})
await ctx.checkpoint("text", json.dumps(text).encode())
return len(text)
"""
    instance, stderr = await run(server, body)
    assert instance.status in (Status.COMPLETED, Status.FAILED)
    if instance.status is Status.FAILED:
        assert instance.error["code"] in ("OUT_OF_MEMORY", "OUTPUT_TOO_LARGE"), stderr


async def test_an_input_that_is_too_large_is_told(server: CoreServer) -> None:
    instance, _ = await run(server, "return len(input)", [{} for _ in range(2_000_000)])
    failed(instance)


async def test_threads_that_hardly_use_their_stacks_do_not_use_up_the_memory(server: CoreServer) -> None:
    body = """
await asyncio.gather(*(call("naps") for _ in range(100)), *(asyncio.to_thread(time.sleep, 0.2) for _ in range(20)))
return len(bytearray(48 << 20))
"""
    instance, stderr = await run(server, body)
    assert instance.status is Status.COMPLETED, (instance.error, stderr)
    assert json.loads(instance.output) == 48 << 20


async def test_the_room_for_the_stacks_of_threads_is_not_lent_to_the_program(server: CoreServer) -> None:
    body = """
await asyncio.gather(*(call("naps") for _ in range(5)))
await call("in-the-loop", size=200)
"""
    failed((await run(server, body))[0])
