"""An order in plain Python: reserved in parallel, approved by a person if it is large, charged, and shipped after a while.

Kill its process wherever you like: no line of the ledger is ever written twice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtara_framework.sdk.context import Context
from runtara_framework.sdk.durable import durable, workflow
from runtara_framework.sdk.failure import Failure, WaitTimeout

APPROVAL_ABOVE_CENTS = 10_000
APPROVAL_WITHIN_MS = 24 * 3600 * 1000


@dataclass
class Item:
    sku: str
    quantity: int
    cents: int


@dataclass
class Order:
    """What the workflow is started with; an input that does not fit is refused with every violation."""

    id: str
    items: list[Item]
    ledger: str  # a file: the "other systems" of this example
    packing_ms: int = 1_000


@durable
async def reserve(ledger: str, order: str, sku: str, quantity: int) -> str:
    """A step: it runs once for each item, whatever happens to the process."""
    return book(ledger, {"what": "reserved", "order": order, "sku": sku, "quantity": quantity})


@durable(max_retries=5, delay_ms=50)
def charge(ledger: str, order: str, cents: int) -> str:
    """A plain function runs in a thread. The first call always finds the bank busy, and is tried again."""
    if count(ledger, "refused") == 0:
        book(ledger, {"what": "refused", "order": order})
        raise Failure("BANK_BUSY", "the bank is busy", category="transient", retry_after_ms=100)
    return book(ledger, {"what": "charged", "order": order, "cents": cents})


@durable(max_retries=0)
async def ship(ledger: str, order: str) -> str:
    return book(ledger, {"what": "shipped", "order": order})


@workflow(name="python-order")
async def process(ctx: Context, input: Order) -> dict[str, Any]:
    total = sum(item.quantity * item.cents for item in input.items)
    reserved = await ctx.gather(*(reserve(input.ledger, input.id, item.sku, item.quantity) for item in input.items))
    approval = None
    if total > APPROVAL_ABOVE_CENTS:
        await ctx.emit("approval_requested", {"order": input.id, "cents": total}, key="approval-requested")
        try:
            # The process is gone while a person thinks about it.
            approval = json.loads(await ctx.wait_signal("approval", f"approve-{input.id}", APPROVAL_WITHIN_MS))
        except WaitTimeout as error:
            raise Failure("NOT_APPROVED", f"nobody approved order {input.id} within a day", cause=error) from error
    payment = await charge(input.ledger, input.id, total)
    await ctx.sleep("packing", input.packing_ms)
    parcel = await ship(input.ledger, input.id)
    return {
        "order": input.id,
        "cents": total,
        "reserved": reserved,
        "approval": approval,
        "payment": payment,
        "parcel": parcel,
    }


def book(ledger: str, line: dict[str, Any]) -> str:
    """Write a line and answer its number."""
    path = Path(ledger)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    return f"{line['what']}-{count(ledger)}"


def count(ledger: str, what: str | None = None) -> int:
    """How many lines there are (of one kind)."""
    path = Path(ledger)
    lines = path.read_text().splitlines() if path.exists() else []
    return sum(what is None or json.loads(line)["what"] == what for line in lines)
