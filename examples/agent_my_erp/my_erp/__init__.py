"""Agent `my-erp`. The ERP system is a SQLite file here, so that the example runs anywhere; yours is a client library."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from pydantic import BaseModel, Field

from runtara_framework.agents import AgentError, CapabilityContext, agent, capability, permanent, transient

PRICES = {"A-1": 1250, "B-2": 399}


class CreateOrderInput(BaseModel):
    sku: str = Field(description="What is ordered")
    quantity: int = Field(1, ge=1, le=1000, description="How many")
    database: str = Field("erp.db", description="The ERP system: a file, relative to the folder of the instance")


class CreateOrderOutput(BaseModel):
    order_id: int = Field(alias="orderId", description="The number of the order")
    total_cents: int = Field(alias="totalCents", description="What it costs")


@agent(id="my-erp", title="My ERP", description="Creates orders in my ERP system")
class MyErp:
    @capability(
        id="create-order",
        idempotent=True,  # the key below makes a repetition harmless
        errors=[
            permanent("ERP_UNKNOWN_SKU", "The ERP system does not sell that"),
            transient("ERP_BUSY", "The ERP system is busy or out of reach"),
        ],
    )
    def create_order(self, input: CreateOrderInput, ctx: CapabilityContext) -> CreateOrderOutput:
        """Create an order, once, however often the step is tried."""
        if (price := PRICES.get(input.sku)) is None:
            raise AgentError("ERP_UNKNOWN_SKU", f"no article {input.sku!r}", attributes={"sku": input.sku})
        ctx.logger.info("ordering %d x %s, attempt %d", input.quantity, input.sku, ctx.attempt)
        try:
            with closing(sqlite3.connect(input.database)) as erp, erp:
                erp.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, key UNIQUE, sku, quantity)")
                order = (ctx.idempotency_key, input.sku, input.quantity)
                erp.execute("INSERT OR IGNORE INTO orders (key, sku, quantity) VALUES (?, ?, ?)", order)
                (order_id,) = erp.execute("SELECT id FROM orders WHERE key = ?", (ctx.idempotency_key,)).fetchone()
        except sqlite3.OperationalError as error:
            raise AgentError("ERP_BUSY", f"the ERP system failed: {error}", category="transient") from error
        return CreateOrderOutput(orderId=order_id, totalCents=price * input.quantity)
