"""Welcomes a new customer: two letters, and an answer to them if it comes in time."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtara_framework.sdk.context import Context
from runtara_framework.sdk.durable import durable, workflow
from runtara_framework.sdk.failure import WaitTimeout


@dataclass
class Customer:
    """What an instance is started with."""

    name: str
    outbox: str  # a file: our mail server, for now
    answer_within_ms: int = 60_000


@durable
def send(outbox: str, text: str) -> int:
    """Send a letter; answer how many have been sent."""
    with Path(outbox).open("a") as file:
        file.write(text + "\n")
    return len(Path(outbox).read_text().splitlines())


def crash_once(outbox: str) -> None:
    """Kill this process the first time it comes here, to see what happens."""
    crashed = Path(outbox).with_suffix(".crashed")
    if not crashed.exists():
        crashed.touch()
        os.kill(os.getpid(), signal.SIGKILL)


@workflow
async def welcome(ctx: Context, customer: Customer) -> dict[str, Any]:
    await send(customer.outbox, f"Welcome, {customer.name}")
    crash_once(customer.outbox)
    await ctx.sleep("a while", 500)
    letters = await send(customer.outbox, f"How are you, {customer.name}?")
    try:
        answer = json.loads(await ctx.wait_signal("answer", "answer", customer.answer_within_ms))
    except WaitTimeout:
        answer = None
    return {"letters": letters, "answer": answer}
