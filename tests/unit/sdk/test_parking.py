"""Random programs of branches, sleeps and waits: they all end, nothing is done twice, no signal is lost."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runtara_framework.sdk.context import Context
from runtara_framework.sdk.keys import Key
from runtara_framework.states import Reason, Status
from runtara_framework.testing.memory_core import MemoryCore, run_in_process

leaves = st.one_of(
    st.tuples(st.just("sleep"), st.sampled_from([1, 5_000, 9_999, 10_001, 60_000, 3_600_000])),
    st.tuples(st.just("wait"), st.sampled_from([None, 4_000, 30_000])),
    st.tuples(st.just("effect"), st.integers(0, 3)),
    st.tuples(st.just("yield"), st.integers(1, 30)),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(st.just("seq"), st.lists(inner, max_size=4)),
        st.tuples(st.just("par"), st.lists(inner, max_size=4)),
        st.tuples(st.just("bare"), st.lists(inner, max_size=3)),  # an asyncio.gather that nobody was told of
    ),
    max_leaves=10,
)
Tree = tuple[str, Any]


def waits(tree: Tree, key: Key) -> Iterator[str]:
    """The signal keys of all waits."""
    kind, value = tree
    if kind == "wait":
        yield str(key)
    elif kind in ("seq", "par", "bare"):
        for number, inner in enumerate(value):
            yield from waits(inner, key.index(number))


def effects(tree: Tree) -> int:
    kind, value = tree
    return sum(map(effects, value)) if kind in ("seq", "par", "bare") else int(kind == "effect")


def program(tree: Tree, done: Counter[str]) -> Any:
    async def run(ctx: Context, tree: Tree, key: Key) -> Any:
        kind, value = tree
        if kind == "sleep":
            await ctx.sleep(key, value)
        elif kind == "wait":
            try:
                return (await ctx.wait_signal(key, str(key), value)).decode()
            except Exception as error:
                return type(error).__name__
        elif kind == "effect":
            if ctx.saved(key) is None:
                async with ctx.effect():
                    for _ in range(value):
                        await asyncio.sleep(0)
                    done[str(key)] += 1
                    await ctx.checkpoint(key, b"1")
        elif kind == "yield":
            for _ in range(value):
                await asyncio.sleep(0)
        elif kind == "seq":
            return [await run(ctx, inner, key.index(number)) for number, inner in enumerate(value)]
        else:
            branches = [run(ctx, inner, key.index(number)) for number, inner in enumerate(value)]
            return list(await (ctx.gather(*branches) if kind == "par" else asyncio.gather(*branches)))
        return kind

    return lambda ctx: run(ctx, tree, Key.root().step("s"))


async def drive(tree: Tree, order: list[int], pauses: Collection[int] = (), **kills: Any) -> tuple[Any, Counter[str]]:
    """Run it to its end, sending the signals one at a time, in some order, whenever it waits for nothing else. It is
    paused before the calls of these numbers, and resumed whenever it has stopped for that."""
    core = MemoryCore()
    instance = core.create()
    calls = itertools.count()

    def pause(_: Any, operation: str, request: Any) -> None:
        if next(calls) in pauses and instance.status is Status.RUNNING:
            core.pause(instance.instance_id)

    core.on_call = pause
    done: Counter[str] = Counter()
    unsent = sorted(set(waits(tree, Key.root().step("s"))))
    while instance.status is not Status.COMPLETED:
        async with asyncio.timeout(20):
            outcome = await run_in_process(program(tree, done), core=core, instance=instance, max_launches=200, **kills)
        assert outcome.status in (Status.COMPLETED, Status.SUSPENDED), outcome.error
        if outcome.reason is Reason.PAUSED:
            core.resume(instance.instance_id)
        elif outcome.status is Status.SUSPENDED:
            assert outcome.reason is Reason.WAITING_SIGNAL
            assert instance.signal_keys, "it waits for a moment that run_in_process should have waited for"
            waiting = [key for key in unsent if key in instance.signal_keys]
            chosen = waiting[order.pop() % len(waiting)] if order else waiting[0]
            unsent.remove(chosen)
            core.send_custom_signal(instance.instance_id, chosen, "come")
    return outcome.output, done


def has_bare_waits(tree: Tree) -> bool:
    """A wait without a limit in a branch that nobody was told of keeps its process, and nobody would send the signal."""
    kind, value = tree
    if kind == "bare":
        return any(True for _ in waits(tree, Key.root()))
    return kind in ("seq", "par") and any(has_bare_waits(inner) for inner in value)


@settings(max_examples=150, deadline=None)
@given(trees, st.lists(st.integers(0, 100), max_size=10), st.sets(st.integers(0, 25), max_size=4))
async def test_any_program_ends_and_does_everything_once(tree: Tree, order: list[int], pauses: set[int]) -> None:
    if has_bare_waits(tree):
        return
    output, done = await drive(tree, list(order))
    assert set(done.values()) <= {1}
    assert len(done) == effects(tree)
    # Killed at every checkpoint, it comes to the same, though an effect beside a killed one may have run twice.
    again, repeated = await drive(tree, list(order), kill_at="each")
    assert again == output
    assert set(repeated) == set(done)
    # Paused anywhere, it comes to the same, and not even an effect in another branch has run twice.
    again, repeated = await drive(tree, list(order), pauses)
    assert again == output
    assert repeated == done


async def test_a_process_is_kept_by_bare_branches_and_their_signals_still_come() -> None:
    core = MemoryCore()

    async def main(ctx: Context) -> Any:
        async def sends() -> None:
            await ctx.sleep("nap", 30_000)  # held: the parent of a bare gather is at work, for all we know
            core.send_custom_signal(ctx.instance_id, "go", 1)

        return (await asyncio.gather(ctx.wait_signal("w", "go"), sends()))[0].decode()

    outcome = await run_in_process(main, core=core)
    assert (outcome.output, outcome.launches) == ("1", 1)
