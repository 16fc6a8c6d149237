"""Agent `my-prices`: what an article costs. It needs no entry point of its own: the stdlib lists it."""

from __future__ import annotations

from pydantic import BaseModel, Field

from runtara_framework.agents import AgentError, agent, capability, permanent

PRICES = {"A-1": 1250, "B-2": 399}


class QuoteInput(BaseModel):
    sku: str = Field(description="What is asked for")
    quantity: int = Field(1, ge=1, description="How many")


class QuoteOutput(BaseModel):
    net_cents: int = Field(alias="netCents", description="What all of them cost, without tax")


@agent(id="my-prices", title="My prices", description="Knows what the articles of my product cost")
class Prices:
    @capability(
        id="quote",
        side_effects=False,
        deterministic=True,
        errors=[permanent("PRICES_UNKNOWN_SKU", "There is no such article")],
    )
    def quote(self, input: QuoteInput) -> QuoteOutput:
        """The net price of an article."""
        if (price := PRICES.get(input.sku)) is None:
            raise AgentError("PRICES_UNKNOWN_SKU", f"no article {input.sku!r}", attributes={"sku": input.sku})
        return QuoteOutput(netCents=price * input.quantity)
