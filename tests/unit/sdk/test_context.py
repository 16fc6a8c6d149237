"""What a program may rely on, proven in this process with the core in memory; time skips whatever is slept."""

from __future__ import annotations

from typing import Any

import pytest

from runtara_framework.sdk.context import Context
from runtara_framework.sdk.keys import Key
from runtara_framework.states import Status
from runtara_framework.testing.memory_core import MemoryCore, run_in_process

HOUR = 3_600_000


async def everything(ctx: Context) -> Any:
    """A program that uses all of the context."""
    first = await ctx.checkpoint("first", b"1")
    await ctx.sleep("long", HOUR)
    await ctx.sleep("short", 500)
    moment = await ctx.now_ms("moment")

    async def branch(number: int) -> int:
        key = Key.root().step("each").index(number)
        await ctx.sleep(key, (3 - number) * 20_000)
        return int(await ctx.checkpoint(key, b"%d" % number))

    branches = await ctx.gather(*(branch(number) for number in range(3)))
    payload = await ctx.wait_signal("approval", "approved")
    await ctx.emit("done", {"moment": moment}, key="done")
    return {
        "input": ctx.input,
        "first": int(first),
        "branches": branches,
        "payload": payload.decode(),
        "random": ctx.random("dice").randint(1, 10**9),
        "uuid": ctx.uuid("id"),
        "slept": moment - ctx.started_at_ms,
    }


async def run_everything(**kills: Any) -> Any:
    core = MemoryCore()
    instance = core.create({"x": [1]}, instance_id="i-1")
    core.send_custom_signal("i-1", "approved", "yes")  # before anybody waits for it
    return await run_in_process(everything, core=core, instance=instance, **kills)


async def test_a_program_runs_to_its_output() -> None:
    outcome = await run_everything()
    assert outcome.status is Status.COMPLETED
    assert outcome.output["input"] == {"x": [1]}
    assert outcome.output["branches"] == [0, 1, 2]
    assert outcome.output["payload"] == '"yes"'
    assert outcome.output["slept"] == HOUR + 500
    assert outcome.events("done") == [{"moment": outcome.instance.started_at_ms + HOUR + 500}]


@pytest.mark.parametrize(
    "kills", [{"kill_at": "each"}, *({"kill_at": n} for n in range(1, 12)), {"kill_before": [1, 4, 9]}]
)
async def test_a_program_that_is_killed_anywhere_ends_the_same(kills: Any) -> None:
    straight, killed = await run_everything(), await run_everything(**kills)
    assert killed.output == straight.output
    assert killed.checkpoints == straight.checkpoints
    assert killed.events() == straight.events()
    assert killed.launches > straight.launches
