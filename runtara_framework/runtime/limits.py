"""Time limits of loops: a deadline that is stored when the loop begins, and that interrupts whatever runs when it comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from runtara_framework.runtime.scope import Scope
from runtara_framework.runtime.step import Step
from runtara_framework.sdk.failure import Failure
from runtara_framework.sdk.keys import Key

T = TypeVar("T")


EVERY_SECONDS = 0.005
"""Between two breaths of a loop."""


class Breath:
    """Lets others run now and then beside a loop that may never wait for anything: without it no time limit, cancel or
    heartbeat would reach the program before the loop is over."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = time.monotonic() + EVERY_SECONDS

    async def take(self) -> None:
        now = time.monotonic()
        if now >= self._next:
            await asyncio.sleep(0)
            self._next = time.monotonic() + EVERY_SECONDS


async def time_limit(
    s: Scope,
    key: Key,
    timeout_ms: int | None,
    code: str,
    step: Step,
    work: Callable[[], Awaitable[T]],
    *,
    goes_on: bool,
    durable: bool,
) -> T:
    """`work` of a step, interrupted with `code` (category timeout) after `timeout_ms`. `goes_on`: so does the time while the
    process is away. `durable`: that the limit struck is remembered, because the flow goes on from there."""
    if timeout_ms is None:
        return await work()
    failure = Failure(code, f"{step.kind} {step.id!r} took longer than {timeout_ms} ms", category="timeout")
    return await cut_off_after(s, key, timeout_ms, failure, work, goes_on=goes_on, durable=durable, step_id=step.id)


async def cut_off_after(
    s: Scope,
    key: Key,
    ms: int,
    failure: Failure,
    work: Callable[[], Awaitable[T]],
    *,
    goes_on: bool,
    durable: bool,
    step_id: str | None = None,
) -> T:
    """`work`, interrupted after `ms`; then what it had begun (in that step of `s`) is cleaned up and `failure` raised."""

    async def struck() -> None:
        if s.run.interrupted:
            from runtara_framework.runtime.cleanup import clean_up

            await clean_up(s, failure, step_id)

    # Failures of steps are `Failure`s: a TimeoutError is that of the limit.
    try:
        if goes_on:
            async with s.ctx.timeout(key, ms, struck=struck):
                return await work()
        if durable and s.ctx.saved(key.timeout()) is not None:
            raise failure
        async with asyncio.timeout(ms / 1000):
            return await work()
    except TimeoutError:
        if not goes_on:
            await struck()
            if durable:
                await s.ctx.checkpoint(key.timeout(), b"true")
    raise failure
