"""Attempts: how often a step is tried, how long it waits in between, and what a replay remembers of that.

A failed attempt is a checkpoint, the wait after it is a durable sleep, and so is the result: a relaunch neither repeats
an attempt nor sleeps again (DSL.md 6). What is not durable is tried in the same way and remembers nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

from runtara_framework.errors import RuntaraError
from runtara_framework.memory import OUT_OF_MEMORY
from runtara_framework.runtime.scope import Scope
from runtara_framework.sdk.failure import OUTPUT_TOO_LARGE, Failure
from runtara_framework.sdk.keys import Key
from runtara_framework.sdk.values import decode, encode, plain, shortened

LONGEST_WAIT_MS = 300_000
OUTPUT_LIMIT = 16 * 1024 * 1024
STEP_TIMEOUT = "STEP_TIMEOUT"
RATE_LIMIT_BUDGET_EXCEEDED = "RATE_LIMIT_BUDGET_EXCEEDED"


class Keeps(Enum):
    """What of an attempt is saved. A replay must come to the same end, so of a durable step always that which is not
    certain to be the same again."""

    ALL = "results and failures"
    FAILURES = "failures; the result is secret"
    CHANCE = "failures that come by chance, of time and memory; everything else is computed again"
    NOTHING = "nothing: the step is not durable"


async def attempts(
    s: Scope,
    key: Key,
    once: Callable[[int], Awaitable[Any]],
    *,
    retries: int,
    delay_ms: int,
    timeout_ms: int | None = None,
    keeps: Keeps = Keeps.ALL,
    effect: bool = False,
) -> Any:
    """The value of the first attempt that succeeds. `once` gets the number of the attempt, from 1. Raises the failure of
    the last one. `effect`: an attempt and its checkpoint must not be cut in two by a pause."""
    ctx = s.ctx
    if keeps is Keeps.ALL and (saved := ctx.saved(key)) is not None:
        return decode(saved)
    number = 1
    while True:
        failure = None if keeps is Keeps.NOTHING else _remembered(s, key, number)
        if failure is None:
            if effect and keeps is Keeps.ALL:
                async with ctx.effect():
                    failure, value = await _try(s, key, once, number, timeout_ms, keeps)
            else:
                failure, value = await _try(s, key, once, number, timeout_ms, keeps)
            if failure is None:
                return value
        if not failure.retryable or number > retries:
            raise failure
        await _back_off(s, key, number, failure, delay_ms, keeps in (Keeps.ALL, Keeps.FAILURES))
        number += 1


async def _try(
    s: Scope, key: Key, once: Callable[[int], Awaitable[Any]], number: int, timeout_ms: int | None, keeps: Keeps
) -> tuple[Failure | None, Any]:
    try:
        value = await limited(once(number), timeout_ms)
        return None, value if keeps is Keeps.FAILURES else await _keep(s, key, value, keeps is Keeps.ALL)
    except Exception as error:
        failure = as_failure(error)
        by_chance = isinstance(failure, TimeLimit) or failure.code == OUT_OF_MEMORY
        durable = keeps in (Keeps.ALL, Keeps.FAILURES) or (keeps is Keeps.CHANCE and by_chance)
        return await _record(s, key.attempt(number), failure, durable), None


async def _keep(s: Scope, key: Key, value: Any, durable: bool) -> Any:
    """The value as it will be after a replay. One that cannot be kept is a failure of the attempt like any other: what it
    did is done, so it must not be done again."""
    state = encode(value, "the step's output")
    if len(state) > OUTPUT_LIMIT:
        raise Failure(
            OUTPUT_TOO_LARGE,
            f"the output has {len(state)} bytes; the limit is {OUTPUT_LIMIT}. Store it elsewhere and return where it is",
            attributes={"size": len(state), "limit": OUTPUT_LIMIT},
        )
    if not durable:
        return value
    stored = await s.ctx.checkpoint(key, state)
    return value if stored is state else decode(stored)


async def _record(s: Scope, key: Key, failure: Failure, durable: bool) -> Failure:
    """Save a failed attempt; the failure as handlers see it, in this launch and after a replay alike."""
    wire = plain(failure.to_dict())
    state = encode(wire, "the failure")
    if len(state) > OUTPUT_LIMIT:
        wire = shortened(wire)
        state = encode(wire, "the failure")
    if durable:
        try:
            state = await s.ctx.checkpoint(key, state)
        except Failure:  # the server takes less
            state = await s.ctx.checkpoint(key, encode(shortened(wire), "the failure"))
    told = Failure.from_dict(decode(state))
    told.__cause__ = failure
    return told


def _remembered(s: Scope, key: Key, number: int) -> Failure | None:
    saved = s.ctx.saved(key.attempt(number))
    return None if saved is None else Failure.from_dict(decode(saved))


def as_failure(error: Exception) -> Failure:
    """What a step raised, as a failure. What the platform says of itself is raised again."""
    if isinstance(error, RuntaraError) and not hasattr(error, "to_failure"):
        raise error
    return Failure.of(error)


class TimeLimit(Failure):
    """The time limit of an attempt has struck."""


async def limited(work: Awaitable[Any], timeout_ms: int | None) -> Any:
    """`work`, cut off after `timeout_ms` with a `TimeLimit`: STEP_TIMEOUT."""
    if timeout_ms is None:
        return await work
    try:
        async with asyncio.timeout(timeout_ms / 1000) as limit:
            return await work
    except TimeoutError:
        if not limit.expired():
            raise  # the step's own
        raise TimeLimit(STEP_TIMEOUT, f"an attempt took longer than {timeout_ms} ms", category="timeout") from None


async def _back_off(s: Scope, key: Key, number: int, failure: Failure, delay_ms: int, durable: bool) -> None:
    if failure.retry_after_ms is not None:
        wait_ms = max(0, min(failure.retry_after_ms, LONGEST_WAIT_MS))
    else:
        wait_ms = min(delay_ms * 2 ** min(number - 1, 40), LONGEST_WAIT_MS)
        # Between half and all of it: many instances that failed together do not come back together.
        wait_ms = round(wait_ms * (1 - 0.5 * s.ctx.random(key.attempt(number)).random()))
    place = key.suffix("backoff").index(number)
    if "RATE_LIMIT" in failure.code and not await s.budget.draw(s.ctx, place, wait_ms, durable=durable):
        raise Failure(
            RATE_LIMIT_BUDGET_EXCEEDED,
            f"waiting {wait_ms} ms more for a rate limit would exceed the scenario's rateLimitBudgetMs",
            category="transient",
            attributes={"waitMs": wait_ms, "leftMs": s.budget.left_ms},
            cause=failure,
        )
    if durable:
        await s.ctx.sleep(place, wait_ms)
    else:
        await s.ctx.nap(wait_ms)
