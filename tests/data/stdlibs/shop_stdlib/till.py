"""Agents that have no entry point of their own."""

from __future__ import annotations

from pydantic import BaseModel

from runtara_framework.agents import agent, capability


class Sale(BaseModel):
    n: int


@agent(id="shop")
class Till:
    @capability(id="sell")
    def sell(self, input: Sale) -> int:
        """Has an effect, so it is checkpointed."""
        return input.n + 1

    @capability(id="price", side_effects=False, deterministic=True)
    def price(self, input: Sale) -> int:
        """Is pure, so it is computed again."""
        return input.n * 100
