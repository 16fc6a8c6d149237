"""Durable steps: done once, whatever happens; proven with the core in memory."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from typing import Any

import msgspec
import pydantic
import pytest

from runtara_framework.errors import NotAWorkflow
from runtara_framework.sdk.context import Context, current
from runtara_framework.sdk.durable import durable, program, workflow
from runtara_framework.sdk.failure import Failure
from runtara_framework.states import Status
from runtara_framework.testing.memory_core import MemoryCore, Outcome, run_in_process

HOUR = 3_600_000


class Calls:
    """What really ran."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    def __call__(self, what: Any) -> int:
        self.made.append(what)
        return len(self.made)


async def test_a_step_runs_once_over_all_launches() -> None:
    ran = Calls()

    @durable
    async def charge(order: str, cents: int) -> dict[str, Any]:
        return {"order": order, "number": ran((order, cents))}

    @workflow
    async def wf(ctx: Context, input: Any) -> Any:
        first = await charge("a", 100)
        await ctx.sleep("night", HOUR)
        second = await charge(order="b", cents=1)
        return [first, second, input]

    outcome = await run_in_process(program(wf), {"x": 1}, kill_at="each")
    assert outcome.output == [{"order": "a", "number": 1}, {"order": "b", "number": 2}, {"x": 1}]
    assert ran.made == [("a", 100), ("b", 1)]


async def test_equal_calls_are_two_steps_and_stay_apart_over_replays() -> None:
    ran = Calls()

    @durable
    async def roll() -> int:
        return ran("roll")

    @workflow
    async def wf(ctx: Context) -> Any:
        values = [await roll(), await roll()]
        await ctx.sleep("night", HOUR)
        return [*values, await roll()]

    outcome = await run_in_process(program(wf), kill_at="each")
    assert outcome.output == [1, 2, 3]


async def test_calls_by_position_and_by_name_are_the_same_call() -> None:
    @durable
    async def add(a: int, b: int) -> int:
        return a + b

    async def keys_of(*args: Any, **kwargs: Any) -> list[str]:
        @workflow
        async def wf(ctx: Context) -> None:
            await add(*args, **kwargs)

        return list((await run_in_process(program(wf))).checkpoints)

    assert await keys_of(1, 2) == await keys_of(1, b=2) == await keys_of(b=2, a=1)
    assert await keys_of(1, 2) != await keys_of(2, 1)


async def test_a_key_can_be_read_and_does_not_change_when_others_are_added() -> None:
    @durable(name="orders.charge")
    async def charge(order: str) -> None: ...

    @durable
    async def other() -> None: ...

    @workflow
    async def before(ctx: Context) -> None:
        await charge("a")

    @workflow
    async def after(ctx: Context) -> None:
        await other()
        await charge("b")
        await charge("a")

    old, new = await run_in_process(program(before)), await run_in_process(program(after))
    (key,) = old.checkpoints
    assert key.startswith("orders.charge@")
    assert key in new.checkpoints


async def test_arguments_that_are_no_json_do_not_count() -> None:
    class Connection:
        pass

    ran = Calls()

    @durable
    async def send(ctx: Context, connection: Connection, text: str) -> int:
        return ran(text)

    @workflow
    async def wf(ctx: Context) -> int:
        result = await send(ctx, Connection(), "hi")
        await ctx.sleep("night", HOUR)
        return result

    assert (await run_in_process(program(wf))).output == 1


@pytest.mark.parametrize("gather", ["ctx", "asyncio"])
async def test_steps_in_branches_keep_their_results_whoever_comes_first(gather: str) -> None:
    """Each launch has another order of the branches; every branch must find its own results again."""
    launches = Calls()
    ran = Calls()

    @durable
    async def token() -> int:
        return ran("token")  # the same call in every branch

    @durable
    async def use(branch: int, token: int) -> list[int]:
        ran(("use", branch, token))
        return [branch, token]

    @workflow
    async def wf(ctx: Context) -> Any:
        launch = launches("launch")

        async def branch(number: int) -> list[int]:
            for _ in range(20 * (number if launch % 2 else 3 - number)):
                await asyncio.sleep(0)
            mine = await token() if gather == "ctx" else number
            return await use(number, mine)

        branches = [branch(number) for number in range(4)]
        return await (ctx.gather(*branches) if gather == "ctx" else asyncio.gather(*branches))

    outcome = await run_in_process(program(wf), kill_at="each")
    assert sorted(pair[0] for pair in outcome.output) == [0, 1, 2, 3]
    assert len(ran.made) == len(set(map(str, ran.made))) + (3 if gather == "ctx" else 0)
    assert len([call for call in ran.made if call != "token"]) == 4


async def test_nested_branches_and_steps_have_places_of_their_own() -> None:
    ran = Calls()

    @durable(name="leaf")
    async def leaf() -> int:
        return ran("leaf")

    @durable(name="node")
    async def node(number: int) -> list[int]:
        return [await leaf(), await leaf()]

    @workflow
    async def wf(ctx: Context) -> Any:
        async def branch(number: int) -> Any:
            inner = await ctx.gather(leaf(), leaf())
            return [inner, await node(number)]

        return await ctx.gather(branch(0), branch(1))

    for kills in ((), "each"):
        outcome = await run_in_process(program(wf), kill_at=kills)
        assert len({value for branch in outcome.output for part in branch for value in part}) == 8
        assert len(outcome.checkpoints) == 10


async def test_calls_with_one_key_are_one_step() -> None:
    ran = Calls()

    @durable(key=lambda order, note: order)
    async def charge(order: str, note: str) -> int:
        await asyncio.sleep(0)
        return ran(note)

    @workflow
    async def wf(ctx: Context) -> Any:
        both = await ctx.gather(charge("a", "one"), charge("a", "two"))
        third = await charge("a", "three")
        await ctx.sleep("night", HOUR)
        return [*both, third, await charge("a", "four"), await charge("b", "five")]

    outcome = await run_in_process(program(wf))
    assert outcome.output == [1, 1, 1, 1, 2]
    assert ran.made == ["one", "five"]


async def test_a_shared_step_fails_for_all_its_callers() -> None:
    @durable(key=lambda: "one", max_retries=0)
    async def breaks() -> None:
        raise Failure("BROKEN", "no")

    @workflow
    async def wf(ctx: Context) -> Any:
        results = await ctx.gather(breaks(), breaks(), return_exceptions=True)
        return [result.code for result in results if isinstance(result, Failure)]

    assert (await run_in_process(program(wf))).output == ["BROKEN", "BROKEN"]


async def test_a_plain_function_runs_in_a_thread_and_knows_its_context() -> None:
    @durable
    def work(number: int) -> list[Any]:
        return [number * 2, threading.current_thread() is threading.main_thread(), current().instance_id]

    @workflow
    async def wf(ctx: Context) -> Any:
        return [await work(21), ctx.instance_id]

    outcome = await run_in_process(program(wf))
    assert outcome.output == [[42, False, outcome.instance.instance_id], outcome.instance.instance_id]


# -- failures ---------------------------------------------------------------------------------------------------------


class Flaky:
    """Fails some times, then answers."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.left = failures
        self.attempts = 0
        self.error = error or ConnectionError("reset")

    def __call__(self) -> str:
        self.attempts += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "ok"


async def run_flaky(flaky: Flaky, kills: Any = (), **options: Any) -> Outcome:
    @durable(name="flaky", **options)
    async def step() -> str:
        return flaky()

    @workflow
    async def wf(ctx: Context) -> Any:
        try:
            result = await step()
        except Failure as failure:
            result = failure.code
            assert failure.attributes.get("type", "ConnectionError")
        return [result, await ctx.now_ms("end") - ctx.started_at_ms]

    return await run_in_process(program(wf), kill_at=kills)


@pytest.mark.parametrize("kills", [(), "each"])
async def test_failed_attempts_are_repeated_with_growing_waits_and_survive_kills(kills: Any) -> None:
    flaky = Flaky(3)
    outcome = await run_flaky(flaky, kills)
    assert outcome.output[0] == "ok"
    assert flaky.attempts == 4
    assert 3_500 <= outcome.output[1] <= 7_000  # 1 + 2 + 4 seconds, each shortened by up to half
    attempts = [key for key in outcome.checkpoints if "#attempt[" in key]
    assert len(attempts) == 3


async def test_jitter_is_the_same_over_replays() -> None:
    core_outputs = []
    for kills in ((), "each"):
        core = MemoryCore()
        instance = core.create(instance_id="fixed")
        flaky = Flaky(2)

        @durable(name="flaky")
        async def step(flaky: Flaky = flaky) -> str:
            return flaky()

        @workflow
        async def wf(ctx: Context) -> int:
            await step()
            return await ctx.now_ms("end") - ctx.started_at_ms

        core_outputs.append((await run_in_process(program(wf), core=core, instance=instance, kill_at=kills)).output)
    assert core_outputs[0] == core_outputs[1]


@pytest.mark.parametrize("kills", [(), "each"])
async def test_used_up_retries_raise_the_same_failure_in_every_launch(kills: Any) -> None:
    flaky = Flaky(99)
    outcome = await run_flaky(flaky, kills, max_retries=2)
    assert outcome.output[0] == "UNHANDLED_ERROR"
    assert flaky.attempts == 3


class NoRetry(Exception):
    retry = False


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (Failure("DECLINED", "no", category="permanent"), {}),
        (NoRetry("no"), {}),
        (ValueError("no"), {"retry_on": (OSError,)}),
        (asyncio.InvalidStateError("no"), {"max_retries": 0}),
    ],
)
async def test_permanent_failures_are_not_repeated(error: Exception, options: Any) -> None:
    flaky = Flaky(99, error)
    await run_flaky(flaky, **options)
    assert flaky.attempts == 1


async def test_a_transient_failure_says_how_long_to_wait() -> None:
    flaky = Flaky(1, Failure("BUSY", "later", category="transient", retry_after_ms=30_000))
    outcome = await run_flaky(flaky)
    assert outcome.output == ["ok", 30_000]
    assert outcome.launches == 2  # a wait that long leaves the process

    flaky = Flaky(1, Failure("BUSY", "later", category="transient", retry_after_ms=10**9))
    assert (await run_flaky(flaky, cap_ms=60_000)).output == ["ok", 60_000]


async def test_a_failure_ends_the_instance_with_its_structure() -> None:
    @durable(max_retries=0)
    async def charge() -> None:
        raise Failure("DECLINED", "card declined", attributes={"card": "…1"}, severity="warning")

    @workflow
    async def wf(ctx: Context) -> None:
        await charge()

    outcome = await run_in_process(program(wf))
    assert outcome.status is Status.FAILED
    assert outcome.error == {
        "code": "DECLINED",
        "message": "card declined",
        "category": "permanent",
        "severity": "warning",
        "attributes": {"card": "…1"},
    }


async def test_an_outer_step_tries_its_failed_inner_steps_anew_and_keeps_the_others() -> None:
    charged, notified = Calls(), Flaky(2)

    @durable
    async def charge() -> int:
        return charged("charge")

    @durable(max_retries=0)
    async def notify() -> str:
        return notified()

    @durable(max_retries=5, name="both")
    async def both() -> list[Any]:
        return [await charge(), await notify()]

    @workflow
    async def wf(ctx: Context) -> Any:
        return await both()

    outcome = await run_in_process(program(wf), kill_at="each")
    assert outcome.output == [1, "ok"]
    assert charged.made == ["charge"]
    assert notified.attempts == 3


async def test_a_result_that_is_no_json_is_a_failure_that_is_not_repeated() -> None:
    ran = Calls()

    @durable
    async def bad() -> Any:
        ran("bad")
        return {"x": object()}

    @workflow
    async def wf(ctx: Context) -> None:
        await bad()

    outcome = await run_in_process(program(wf))
    assert outcome.error is not None
    assert outcome.error["code"] == "OUTPUT_INVALID"
    assert "bad" in outcome.error["message"]
    assert ran.made == ["bad"]


async def test_attributes_that_are_no_json_do_not_hide_the_failure() -> None:
    @durable(max_retries=0)
    async def bad() -> None:
        raise Failure("BAD", "broken", attributes={"x": object()})

    @workflow
    async def wf(ctx: Context) -> None:
        await bad()

    outcome = await run_in_process(program(wf))
    assert outcome.error is not None
    assert (outcome.error["code"], outcome.error["message"]) == ("BAD", "broken")


async def test_outside_of_a_workflow_the_plain_function_is_there() -> None:
    @durable
    async def step(x: int) -> int:
        return x + 1

    assert await step.__wrapped__(1) == 2
    with pytest.raises(LookupError, match="only inside a program"):
        await step(1)


def test_nonsense_is_refused_when_it_is_written() -> None:
    with pytest.raises(ValueError, match="cannot be negative"):
        durable(max_retries=-1)


# -- workflows --------------------------------------------------------------------------------------------------------


class Order(pydantic.BaseModel):
    id: str
    cents: int = pydantic.Field(gt=0)


class Record(msgspec.Struct):
    id: str


@dataclasses.dataclass
class Plain:
    id: str


@workflow
async def typed(ctx: Context, input: Order) -> Any:
    return [input.id, input.cents]


@workflow
async def with_struct(ctx: Context, input: Record) -> Any:
    return input.id


@workflow
async def with_dataclass(ctx: Context, input: Plain) -> Any:
    return input


async def test_an_annotated_input_is_checked_and_built() -> None:
    assert (await run_in_process(program(typed), {"id": "a", "cents": 5})).output == ["a", 5]
    assert (await run_in_process(program(with_struct), {"id": "a"})).output == "a"
    assert (await run_in_process(program(with_dataclass), {"id": "a"})).output == {"id": "a"}


async def test_an_input_that_does_not_fit_fails_with_every_violation() -> None:
    outcome = await run_in_process(program(typed), {"cents": 0})
    assert outcome.error is not None
    assert outcome.error["code"] == "INPUT_INVALID"
    assert [violation["path"] for violation in outcome.error["attributes"]["violations"]] == ["id", "cents"]
    other = await run_in_process(program(with_struct), {"id": 5})
    assert other.error is not None
    assert other.error["code"] == "INPUT_INVALID"
    assert [violation["path"] for violation in other.error["attributes"]["violations"]] == ["id"]
    assert "id" in other.error["message"]


def test_what_cannot_be_a_workflow_is_refused() -> None:
    with pytest.raises(NotAWorkflow, match="must be an `async def`"):
        workflow(lambda ctx: None)  # type: ignore[arg-type, return-value]  # the mistake under test

    async def too_many(a: Any, b: Any, c: Any) -> None: ...

    with pytest.raises(NotAWorkflow, match="not 3 parameters"):
        workflow(too_many)
    with pytest.raises(NotAWorkflow, match="not marked with @workflow"):
        program(too_many)
