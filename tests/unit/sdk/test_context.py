"""What a program may rely on, proven in this process with the core in memory; time skips whatever is slept."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from runtara_framework.errors import InvalidRequest
from runtara_framework.sdk.bootstrap import Outcome, execute
from runtara_framework.sdk.client import InstanceClient
from runtara_framework.sdk.config import SdkConfig
from runtara_framework.sdk.context import Context, current
from runtara_framework.sdk.failure import OUTPUT_TOO_LARGE, Failure, WaitTimeout
from runtara_framework.sdk.keys import Key
from runtara_framework.states import Reason, Status
from runtara_framework.testing.clock import FakeClock
from runtara_framework.testing.memory_core import MAX_BYTES, MemoryCore, run_in_process
from runtara_framework.testing.skipping import SkippingClock
from tests.unit.sdk.conftest import listening

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


# -- checkpoints ----------------------------------------------------------------------------------------------------


async def test_the_first_value_of_a_checkpoint_is_the_one_returned_ever_after() -> None:
    async def main(ctx: Context) -> Any:
        values = [await ctx.checkpoint("a", b"%d" % number) for number in (1, 2)]
        await ctx.sleep("night", HOUR)
        return [int(value) for value in (*values, await ctx.checkpoint("a", b"3"), ctx.saved("a") or b"0")]

    assert (await run_in_process(main)).output == [1, 1, 1, 1]


async def test_a_replay_makes_no_call_for_what_it_did_before() -> None:
    async def main(ctx: Context) -> None:
        for number in range(50):
            await ctx.checkpoint(Key.root().step("loop").index(number), b"x")
        await ctx.sleep("night", HOUR)

    outcome = await run_in_process(main)
    assert outcome.launches == 2
    assert outcome.instance.calls == {"register": 2, "save_checkpoint": 51, "suspend": 1, "complete": 1}


async def test_checkpoints_beyond_one_answer_are_fetched_in_pages() -> None:
    async def main(ctx: Context) -> Any:
        known = [ctx.saved(str(number)) for number in range(6)]
        for number in range(6):
            await ctx.checkpoint(str(number), b"%d" % number * 3_000_000)
        await ctx.sleep("night", HOUR)
        return [len(state or b"") for state in known]

    outcome = await run_in_process(main)
    assert outcome.output == [3_000_000] * 6
    assert outcome.instance.calls["load_checkpoints"] == 2


async def test_a_state_that_is_too_large_is_a_failure_that_says_so() -> None:
    async def main(ctx: Context) -> None:
        await ctx.checkpoint("big", b"x" * (MAX_BYTES + 1))

    outcome = await run_in_process(main)
    assert outcome.error is not None
    assert outcome.error["code"] == OUTPUT_TOO_LARGE
    assert str(MAX_BYTES) in outcome.error["message"]


async def test_what_the_server_refuses_as_invalid_is_the_programs_to_mend() -> None:
    core = MemoryCore()

    def refuse(instance: Any, operation: str, request: Any) -> None:
        if operation == "append_event":
            raise InvalidRequest("no such subtype")

    core.on_call = refuse

    async def main(ctx: Context) -> str:
        with pytest.raises(InvalidRequest):
            await ctx.emit("x", b"")
        return "went on"

    assert (await run_in_process(main, core=core)).output == "went on"


# -- time -----------------------------------------------------------------------------------------------------------


async def test_a_deadline_is_never_computed_again() -> None:
    async def main(ctx: Context) -> Any:
        await ctx.sleep("nap", 60_000)
        return await ctx.now_ms("after") - ctx.started_at_ms

    core = MemoryCore()
    # Dies right after the deadline was stored; nobody looks for a while.
    instance = core.create()
    outcome = await run_in_process(main, core=core, instance=instance, kill_at=1)
    assert outcome.output == 60_000


async def test_a_short_sleep_stays_in_the_process_and_a_long_one_leaves_it() -> None:
    async def main(ctx: Context, ms: int) -> None:
        await ctx.sleep("nap", ms)

    held = await run_in_process(lambda ctx: main(ctx, 10_000))
    left = await run_in_process(lambda ctx: main(ctx, 10_001))
    assert (held.launches, held.instance.calls["suspend"]) == (1, 0)
    assert (left.launches, left.instance.calls["suspend"]) == (2, 1)


async def test_a_sleep_of_nothing_writes_nothing() -> None:
    async def main(ctx: Context) -> None:
        await ctx.sleep("no", 0)
        await ctx.sleep("no", -5)

    assert (await run_in_process(main)).checkpoints == {}


async def test_a_durable_timeout_interrupts_and_is_remembered() -> None:
    runs: list[str] = []

    async def main(ctx: Context) -> Any:
        try:
            async with ctx.timeout("limit", 30_000):
                runs.append("body")
                await ctx.wait_signal("never", "never")
        except TimeoutError:
            await ctx.sleep("later", HOUR)
            return await ctx.now_ms("now") - ctx.started_at_ms
        return "in time"

    outcome = await run_in_process(main)
    # The wait left the process, although it waits for a signal only: the limit is what wakes it.
    assert outcome.output == 30_000 + HOUR
    assert runs == ["body", "body"]  # the third launch knows that the limit struck
    assert outcome.checkpoints["limit#timeout"] is True


async def test_a_durable_timeout_that_does_not_strike_leaves_no_trace() -> None:
    async def main(ctx: Context) -> str:
        async with ctx.timeout("limit", 30_000):
            await ctx.sleep("short", 1_000)
        await ctx.sleep("long", HOUR)
        with pytest.raises(TimeoutError, match="my own"):
            async with ctx.timeout("other", 30_000):
                raise TimeoutError("my own")
        return "in time"

    outcome = await run_in_process(main)
    assert outcome.output == "in time"
    assert set(outcome.checkpoints) == {"limit#deadline", "short#deadline", "long#deadline", "other#deadline"}


# -- signals --------------------------------------------------------------------------------------------------------


async def test_a_wait_leaves_the_process_and_a_signal_brings_it_back() -> None:
    async def main(ctx: Context) -> Any:
        return (await ctx.wait_signal("approval", "ok")).decode()

    core = MemoryCore()
    waiting = await run_in_process(main, core=core)
    assert (waiting.status, waiting.reason) == (Status.SUSPENDED, Reason.WAITING_SIGNAL)
    assert waiting.instance.signal_keys == {"ok"}

    core.send_custom_signal(waiting.instance.instance_id, "other", 1)
    assert waiting.instance.status is Status.SUSPENDED
    core.send_custom_signal(waiting.instance.instance_id, "ok", {"by": "ann"})
    done = await run_in_process(main, core=core, instance=waiting.instance, kill_at=1)
    assert done.output == '{"by":"ann"}'
    assert done.launches == 2
    assert done.instance.custom_signals.keys() == {"other"}


async def test_a_wait_that_runs_out_is_remembered_even_if_the_signal_comes_later() -> None:
    async def main(ctx: Context) -> Any:
        try:
            await ctx.wait_signal("approval", "ok", timeout_ms=HOUR)
        except WaitTimeout as error:
            await ctx.sleep("later", HOUR)
            return {"code": error.code, "category": error.category, "slept": await ctx.now_ms("t") - ctx.started_at_ms}
        return "came"

    core = MemoryCore()
    instance = core.create()

    def late(_: Any, operation: str, request: Any) -> None:
        if operation == "save_checkpoint" and request.checkpoint_id == "later#deadline":
            core.send_custom_signal(instance.instance_id, "ok", "late")

    core.on_call = late
    outcome = await run_in_process(main, core=core, instance=instance, kill_at="each")
    assert outcome.output == {"code": "WAIT_TIMEOUT", "category": "timeout", "slept": 2 * HOUR}


async def test_a_wait_beside_a_running_branch_is_answered_in_the_process() -> None:
    core = MemoryCore()

    async def main(ctx: Context) -> Any:
        came = asyncio.Event()

        async def waits() -> str:
            payload = await ctx.wait_signal("w", "ok")
            came.set()
            return payload.decode()

        async def works() -> str:
            while not came.is_set():
                core.send_custom_signal(ctx.instance_id, "ok", "now")
                await asyncio.sleep(0)
            return "worked"

        return await ctx.gather(waits(), works())

    outcome = await run_in_process(main, core=core)
    assert outcome.output == ['"now"', "worked"]
    assert outcome.launches == 1


async def test_the_process_leaves_only_when_every_branch_is_parked() -> None:
    async def main(ctx: Context) -> Any:
        async def worker() -> None:
            for number in range(3):
                await ctx.sleep(Key.root().step("short").index(number), 9_000)
                await ctx.checkpoint(Key.root().step("work").index(number), b"1")

        await ctx.gather(ctx.sleep("long", HOUR), worker())

    outcome = await run_in_process(main)
    assert outcome.status is Status.COMPLETED
    assert outcome.launches == 2  # it left once, after the worker's last checkpoint
    assert list(outcome.checkpoints)[-1] == "work[2]"


async def test_the_earliest_of_many_moments_and_all_signal_keys_are_told() -> None:
    async def main(ctx: Context) -> None:
        await ctx.gather(
            ctx.sleep("far", 5 * HOUR),
            ctx.wait_signal("a", "key-a"),
            ctx.wait_signal("b", "key-b", timeout_ms=2 * HOUR),
        )

    core = MemoryCore()
    suspends: list[Any] = []

    def note(_: Any, operation: str, request: Any) -> None:
        if operation == "suspend":
            suspends.append((request.reason, request.wake_at_ms, request.signal_keys))

    core.on_call = note
    outcome = await run_in_process(main, core=core)
    started = outcome.instance.started_at_ms
    assert started is not None
    assert suspends[0] == ("waiting_signal", started + 2 * HOUR, ["key-a", "key-b"])
    assert outcome.error is not None
    assert outcome.error["code"] == "WAIT_TIMEOUT"


@pytest.mark.parametrize("error", [InvalidRequest("no such reason"), OverflowError("too large for the wire")])
async def test_a_program_that_cannot_leave_ends_and_does_not_wait_for_ever(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    core = MemoryCore()

    def refuse(instance: object, operation: str, request: object) -> None:
        if operation == "suspend":
            raise error

    core.on_call = refuse
    with pytest.raises(RuntimeError, match="not ended after 2 launches"):
        await run_in_process(lambda ctx: ctx.sleep("nap", HOUR), core=core, max_launches=2)
    assert str(error) in capsys.readouterr().err


async def test_a_signal_that_comes_while_the_program_leaves_is_not_lost() -> None:
    core = MemoryCore()
    instance = core.create()

    def race(_: Any, operation: str, request: Any) -> None:
        if operation == "suspend":
            core.send_custom_signal(instance.instance_id, "ok", "just in time")

    core.on_call = race

    async def main(ctx: Context) -> str:
        return (await ctx.wait_signal("w", "ok")).decode()

    outcome = await run_in_process(main, core=core, instance=instance)
    assert outcome.output == '"just in time"'
    assert outcome.launches == 1


async def test_branches_that_nobody_told_of_keep_the_process() -> None:
    async def main(ctx: Context) -> str:
        await asyncio.gather(ctx.sleep("a", HOUR), ctx.sleep("b", 2 * HOUR))
        return "held"

    outcome = await run_in_process(main)
    assert (outcome.output, outcome.launches) == ("held", 1)


async def test_a_step_in_a_task_of_its_own_keeps_the_process() -> None:
    clock = SkippingClock()
    core = MemoryCore(clock)

    async def main(ctx: Context) -> Any:
        async def step() -> bytes:
            async with ctx.effect():
                await clock.sleep_until(clock.now_ms() + HOUR)  # real work, not a durable sleep
                return await ctx.checkpoint("step", b"1")

        task = asyncio.create_task(step())
        await asyncio.sleep(0)
        await ctx.sleep("nap", 2 * HOUR)
        return int(await task)

    outcome = await run_in_process(main, core=core)
    assert outcome.output == 1
    assert list(outcome.checkpoints) == ["nap#deadline", "step"]
    assert outcome.launches == 2  # it left after the step, for the rest of the nap


# -- branches -------------------------------------------------------------------------------------------------------


async def test_gather_raises_the_first_failure_after_the_others_have_ended() -> None:
    ended: list[str] = []

    async def main(ctx: Context) -> None:
        async def fails() -> None:
            raise Failure("BAD", "broken")

        async def lasts() -> None:
            try:
                await ctx.sleep("nap", HOUR)
            finally:
                ended.append("cleaned")

        await ctx.gather(lasts(), fails())

    outcome = await run_in_process(main)
    assert outcome.error is not None
    assert outcome.error["code"] == "BAD"
    assert ended == ["cleaned"]


async def test_gather_may_collect_failures() -> None:
    async def main(ctx: Context) -> Any:
        async def maybe(number: int) -> int:
            if number % 2:
                raise Failure("ODD", str(number))
            return number

        results = await ctx.gather(*(maybe(number) for number in range(4)), return_exceptions=True)
        return [result.code if isinstance(result, Failure) else result for result in results]

    assert (await run_in_process(main)).output == [0, "ODD", 2, "ODD"]


async def test_nested_branches_leave_together() -> None:
    async def main(ctx: Context) -> Any:
        async def leaf(number: int) -> int:
            await ctx.sleep(f"leaf-{number}", HOUR * (number + 1))
            return number

        async def node(number: int) -> list[int]:
            return await ctx.gather(leaf(2 * number), leaf(2 * number + 1))

        return await ctx.gather(node(0), node(1))

    outcome = await run_in_process(main)
    assert outcome.output == [[0, 1], [2, 3]]
    assert outcome.launches == 5


async def test_a_branch_may_wait_for_another_one() -> None:
    async def main(ctx: Context) -> Any:
        ready = asyncio.Event()

        async def first() -> None:
            await ctx.sleep("nap", HOUR)
            ready.set()
            await ctx.sleep("nap-2", HOUR)

        async def second() -> str:
            with ctx.idle():
                await ready.wait()
            return (await ctx.checkpoint("second", b"ran")).decode()

        async def foreign() -> None:
            with ctx.branch():
                await ctx.sleep("nap-3", HOUR)

        task = asyncio.create_task(foreign())
        results = await ctx.gather(first(), second())
        with ctx.idle():
            await task
        return results[1]

    outcome = await run_in_process(main)
    assert outcome.output == "ran"
    assert outcome.launches == 3
    # The second branch ran as soon as the first was through its nap, not after the next one.
    assert list(outcome.checkpoints).index("second") < len(outcome.checkpoints)


# -- cancel and pause -----------------------------------------------------------------------------------------------


async def test_a_cancel_in_the_answer_of_a_checkpoint_interrupts_at_once() -> None:
    core = MemoryCore()
    after: list[str] = []

    async def main(ctx: Context) -> None:
        core.cancel(ctx.instance_id)
        try:
            await ctx.checkpoint("a", b"1")
            after.append("went on")
        except Exception:
            after.append("caught")
        finally:
            with pytest.raises(asyncio.CancelledError):
                await ctx.checkpoint("b", b"1")  # nothing happens in a program that is being ended

    outcome = await run_in_process(main, core=core)
    assert (outcome.status, outcome.reason) == (Status.CANCELLED, Reason.CANCELLED)
    assert after == []
    assert list(outcome.checkpoints) == ["a"]


async def test_a_cancel_is_pushed_to_a_program_that_asks_for_nothing() -> None:
    core = MemoryCore()
    listens = listening(core)

    async def main(ctx: Context) -> None:
        await listens.wait()
        core.cancel(ctx.instance_id)
        await asyncio.Event().wait()

    assert (await run_in_process(main, core=core)).status is Status.CANCELLED


async def test_a_short_run_pays_nothing_for_listening() -> None:
    async def main(ctx: Context) -> None:
        await ctx.checkpoint("a", b"1")

    assert (await run_in_process(main)).instance.calls == {"register": 1, "save_checkpoint": 1, "complete": 1}


async def test_on_cancel_may_use_the_context_and_is_bounded() -> None:
    core = MemoryCore()

    async def main(ctx: Context) -> None:
        async def clean() -> None:
            await ctx.checkpoint("cleaned", b"1")
            await ctx.sleep("breath", 60_000)  # stays in the process now, however long
            await ctx.emit("cleaned", "yes")

        ctx.on_cancel = clean
        core.cancel(ctx.instance_id)
        await ctx.checkpoint("a", b"1")

    outcome = await run_in_process(main, core=core)
    assert outcome.status is Status.CANCELLED
    assert "cleaned" in outcome.checkpoints
    assert outcome.events("cleaned") == ["yes"]
    assert outcome.launches == 1


async def test_a_failing_on_cancel_does_not_keep_the_instance(capsys: pytest.CaptureFixture[str]) -> None:
    core = MemoryCore()

    async def main(ctx: Context) -> None:
        async def clean() -> None:
            raise ValueError("cannot clean")

        ctx.on_cancel = clean
        core.cancel(ctx.instance_id)
        await ctx.checkpoint("a", b"1")

    assert (await run_in_process(main, core=core)).status is Status.CANCELLED
    assert "cannot clean" in capsys.readouterr().err


async def test_a_program_that_swallows_its_cancellation_ends_all_the_same() -> None:
    core = MemoryCore()

    async def main(ctx: Context) -> str:
        core.cancel(ctx.instance_id)
        try:
            await ctx.checkpoint("a", b"1")
        except asyncio.CancelledError:
            pass
        return "completed?"

    outcome = await run_in_process(main, core=core)
    assert (outcome.status, outcome.output) == (Status.CANCELLED, None)


async def test_a_program_that_takes_no_notice_of_its_end_has_no_say_while_it_is_cleaned_up_after() -> None:
    core = MemoryCore()
    log: list[str] = []
    go_on, gone = asyncio.Event(), asyncio.Event()

    async def main(ctx: Context) -> str:
        async def clean() -> None:
            go_on.set()
            await gone.wait()
            await ctx.checkpoint("cleaned", b"1")

        ctx.on_cancel = clean
        core.cancel(ctx.instance_id)
        while not go_on.is_set():
            try:
                await ctx._client.poll_signals()
                await go_on.wait()
            except asyncio.CancelledError:
                log.append("ignored")
        try:
            await ctx.checkpoint("too late", b"1")
        except asyncio.CancelledError:
            log.append("over")
        gone.set()
        return "completed?"

    instance = core.create()
    config = SdkConfig(instance_id=instance.instance_id, tenant_id="test", token=core.launch(instance.instance_id))
    client = InstanceClient(config, dial=core.dial)
    assert await execute(main, client, clock=core.clock, unwind_seconds=0.01) is Outcome.CANCELLED
    assert log[-1] == "over"
    assert list(instance.checkpoints) == ["cleaned"]


async def test_a_pause_takes_effect_at_the_next_boundary_and_resume_goes_on() -> None:
    core = MemoryCore()
    ran: list[str] = []

    async def main(ctx: Context) -> str:
        if ctx.saved("a") is None:
            core.pause(ctx.instance_id)
        await ctx.checkpoint("a", b"1")
        ran.append("after a")
        return "done"

    paused = await run_in_process(main, core=core)
    assert (paused.status, paused.reason) == (Status.SUSPENDED, Reason.PAUSED)
    assert ran == []
    core.resume(paused.instance.instance_id)
    done = await run_in_process(main, core=core, instance=paused.instance)
    assert (done.output, ran) == ("done", ["after a"])


async def test_a_pause_waits_for_effects_in_other_branches() -> None:
    core = MemoryCore()
    log: list[str] = []

    async def main(ctx: Context) -> None:
        begun = asyncio.Event()

        async def effect() -> None:
            async with ctx.effect():
                begun.set()
                for _ in range(100):
                    await asyncio.sleep(0)
                log.append("effect")
                await ctx.checkpoint("effect", b"1")
            log.append("never")

        async def pauses() -> None:
            await begun.wait()
            core.pause(ctx.instance_id)
            await ctx.checkpoint("other", b"1")
            log.append("never")

        await asyncio.gather(effect(), pauses())  # not even told of

    paused = await run_in_process(main, core=core)
    assert paused.reason is Reason.PAUSED
    assert log == ["effect"]
    assert set(paused.checkpoints) == {"effect", "other"}


async def test_a_pause_waits_for_the_inner_of_nested_effects_only() -> None:
    core = MemoryCore()

    async def main(ctx: Context) -> None:
        async def inner(name: str) -> None:
            async with ctx.effect():
                await asyncio.sleep(0)
                await ctx.checkpoint(name, b"1")

        async with ctx.effect():
            await inner("a")
            core.pause(ctx.instance_id)
            await asyncio.gather(inner("b"), inner("c"))
            await ctx.checkpoint("never", b"1")

    paused = await run_in_process(main, core=core)
    assert paused.reason is Reason.PAUSED
    assert set(paused.checkpoints) == {"a", "b", "c"}


async def test_a_pause_reaches_a_program_that_is_parked_in_the_process() -> None:
    core = MemoryCore(FakeClock())  # time stands still
    listens = listening(core)

    async def main(ctx: Context) -> None:
        async def pause() -> None:
            await listens.wait()
            core.pause(ctx.instance_id)

        task = asyncio.create_task(pause())
        await ctx.sleep("nap", 5_000)
        await task

    paused = await run_in_process(main, core=core)
    assert (paused.status, paused.reason) == (Status.SUSPENDED, Reason.PAUSED)


async def test_a_pause_that_was_withdrawn_is_forgotten() -> None:
    core = MemoryCore()

    def withdraw(_: Any, operation: str, request: Any) -> None:
        if operation == "acknowledge_signal":
            core.resume(request.instance_id)

    core.on_call = withdraw

    async def main(ctx: Context) -> str:
        core.pause(ctx.instance_id)
        await ctx.checkpoint("a", b"1")
        await ctx.sleep("night", HOUR)
        return "went on"

    outcome = await run_in_process(main, core=core)
    assert (outcome.output, outcome.launches) == ("went on", 2)


async def test_a_cancel_beats_a_pause() -> None:
    core = MemoryCore()

    async def main(ctx: Context) -> None:
        core.pause(ctx.instance_id)
        core.cancel(ctx.instance_id)
        await ctx.checkpoint("a", b"1")

    assert (await run_in_process(main, core=core)).status is Status.CANCELLED


async def test_a_cancel_refuses_a_suspension_and_is_obeyed() -> None:
    core = MemoryCore()

    def race(_: Any, operation: str, request: Any) -> None:
        if operation == "suspend":
            core.cancel(request.instance_id)

    core.on_call = race

    async def main(ctx: Context) -> None:
        await ctx.sleep("night", HOUR)

    assert (await run_in_process(main, core=core)).status is Status.CANCELLED


async def test_a_breakpoint_suspends_once() -> None:
    core = MemoryCore()

    async def main(ctx: Context) -> str:
        await ctx.breakpoint("here")
        return "passed"

    stopped = await run_in_process(main, core=core)
    assert (stopped.status, stopped.reason) == (Status.SUSPENDED, Reason.BREAKPOINT)
    core.resume(stopped.instance.instance_id)
    assert (await run_in_process(main, core=core, instance=stopped.instance)).output == "passed"


async def test_a_pause_at_a_breakpoint_is_one_stop() -> None:
    core = MemoryCore()

    def race(_: Any, operation: str, request: Any) -> None:
        if operation == "suspend":
            core.pause(request.instance_id)

    core.on_call = race

    async def main(ctx: Context) -> str:
        await ctx.breakpoint("here")
        return "passed"

    stopped = await run_in_process(main, core=core)
    assert (stopped.status, stopped.reason) == (Status.SUSPENDED, Reason.BREAKPOINT)
    core.on_call = lambda *_: None
    core.resume(stopped.instance.instance_id)
    assert (await run_in_process(main, core=core, instance=stopped.instance)).output == "passed"


@pytest.mark.parametrize("kill", ["kill_at", "kill_before"])
async def test_a_kill_at_a_breakpoint_does_not_skip_the_stop(kill: str) -> None:
    core = MemoryCore()
    passed: list[str] = []

    async def main(ctx: Context) -> str:
        await ctx.checkpoint("before", b"1")
        await ctx.breakpoint("here")
        passed.append("here")
        return "passed"

    fate: Any = {kill: {2}}  # before or after the checkpoint of the breakpoint, which is its suspension
    stopped = await run_in_process(main, core=core, **fate)
    assert (stopped.status, stopped.reason) == (Status.SUSPENDED, Reason.BREAKPOINT)
    assert (stopped.launches, passed) == (1 if kill == "kill_at" else 2, [])
    core.resume(stopped.instance.instance_id)
    done = await run_in_process(main, core=core, instance=stopped.instance)
    assert (done.output, done.launches, passed) == ("passed", 1, ["here"])


async def test_breakpoints_that_are_reached_together_are_one_stop() -> None:
    core = MemoryCore()

    async def main(ctx: Context) -> list[None]:
        return await ctx.gather(ctx.breakpoint("left"), ctx.breakpoint("right"))

    stopped = await run_in_process(main, core=core)
    assert stopped.reason is Reason.BREAKPOINT
    core.resume(stopped.instance.instance_id)
    assert (await run_in_process(main, core=core, instance=stopped.instance)).output == [None, None]


async def test_a_cancel_at_a_breakpoint_is_obeyed() -> None:
    core = MemoryCore()

    def race(_: Any, operation: str, request: Any) -> None:
        if operation == "suspend":
            core.cancel(request.instance_id)

    core.on_call = race
    passed: list[str] = []

    async def main(ctx: Context) -> None:
        await ctx.breakpoint("here")
        passed.append("here")

    outcome = await run_in_process(main, core=core)
    assert (outcome.status, passed, list(outcome.checkpoints)) == (Status.CANCELLED, [], [])


# -- replay-stable values -------------------------------------------------------------------------------------------


async def test_random_numbers_and_ids_are_of_the_instance_and_the_key() -> None:
    async def main(ctx: Context) -> Any:
        return [ctx.random("a").random(), ctx.random("b").random(), ctx.uuid("a"), ctx.uuid("b")]

    core = MemoryCore()
    one, again, other = [
        (await run_in_process(main, core=core, instance=core.create(instance_id=name))).output
        for name in ("i", "i", "j")
    ]
    assert one == again
    assert len({*one, *other}) == 8
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", one[2])


async def test_there_is_a_current_context_only_inside_a_program() -> None:
    async def main(ctx: Context) -> bool:
        return await asyncio.to_thread(current) is ctx and current() is ctx

    assert (await run_in_process(main)).output is True
    with pytest.raises(LookupError, match="only inside a program"):
        current()


async def test_branches_that_a_program_leaves_behind_are_ended_with_it() -> None:
    ended: list[str] = []

    async def main(ctx: Context) -> str:
        async def lasts() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("cleaned")

        ctx.spawn(lasts())
        await asyncio.sleep(0)
        return "done"

    assert (await run_in_process(main)).output == "done"
    assert ended == ["cleaned"]
