"""Time limits of loops: a deadline that is stored when the loop begins, and that interrupts whatever runs when it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from runtara_framework.runtime.scope import Scope
from runtara_framework.runtime.step import Step
from runtara_framework.sdk.failure import Failure
from runtara_framework.sdk.keys import Key

T = TypeVar("T")


async def time_limit(
    s: Scope, key: Key, timeout_ms: int | None, code: str, step: Step, work: Callable[[], Awaitable[T]], durable: bool
) -> T:
    """`work`, interrupted with `code` (category timeout) after `timeout_ms`. `durable`: the time goes on while the process
    is away."""
    if timeout_ms is None:
        return await work()
    if durable:
        try:
            async with s.ctx.timeout(key, timeout_ms):
                return await work()
        except TimeoutError:
            expired = True  # ctx.timeout is the only one that raises it: failures of steps are `Failure`s
    else:
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await work()
        except TimeoutError:
            expired = True
    assert expired
    raise Failure(code, f"{step.kind} {step.id!r} took longer than {timeout_ms} ms", category="timeout")
