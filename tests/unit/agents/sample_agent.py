"""An agent that shows every feature of the contract; the tests of this folder call it."""

from __future__ import annotations

import asyncio
import base64
import threading
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from runtara_framework.agents import AgentError, CapabilityContext, agent, capability, permanent, transient
from runtara_framework.agents.connections import ConnectionParameters


class ShopKey(ConnectionParameters):
    """Access to a shop."""

    integration_id: ClassVar[str] = "shop_key"
    title: ClassVar[str] = "Shop key"

    key: SecretStr = Field(description="The shop's key")
    region: str = Field("eu", description="Where the shop is")

    def secret_texts(self) -> list[str]:
        pair = f"shop:{self.key.get_secret_value()}"
        return [*super().secret_texts(), base64.b64encode(pair.encode()).decode()]


class AddInput(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    left: int = Field(description="First number")
    right_side: int = Field(1, alias="rightSide", description="Second number")


class AddOutput(BaseModel):
    total: int = Field(description="The sum")
    ran_in: str = Field(alias="ranIn", description="The name of the thread")

    model_config = ConfigDict(populate_by_name=True)


class OrderInput(BaseModel):
    sku: str = Field(description="What to order")
    quantity: int = Field(1, ge=1, description="How many")
    speed: Literal["slow", "fast"] = Field("slow", description="How fast")
    note: str | None = Field(None, description="A note")
    pin: SecretStr | None = Field(None, description="Confirms the order")
    behaviour: str = Field("work", description="What the shop does")


class OrderOutput(BaseModel):
    order: str = Field(description="The order's number")
    key: str = Field(description="The idempotency key that was sent")


class AnyInput(BaseModel):
    value: Any = Field(None, description="Anything")


@agent(
    id="shop",
    title="Shop",
    description="Orders things",
    connection_types=[ShopKey],
    secure=True,
)
class Shop:
    def __init__(self) -> None:
        self.closed = 0

    @capability(id="add", side_effects=False, deterministic=True, input_aliases={"a": "left", "b": "rightSide"})
    def add(self, input: AddInput) -> AddOutput:
        """Add two numbers.

        Runs in a thread.
        """
        return AddOutput(total=input.left + input.right_side, ran_in=threading.current_thread().name)

    @capability(
        id="order",
        aliases=["buy"],
        errors=[transient("SHOP_BUSY", "Try later"), permanent("SHOP_REFUSED", "It will not sell")],
    )
    async def order(self, input: OrderInput, ctx: CapabilityContext) -> OrderOutput:
        """Order something."""
        assert ctx.connection is None or isinstance(ctx.connection.typed, ShopKey)
        secret = ctx.connection.typed.key.get_secret_value() if ctx.connection else "nothing"
        match input.behaviour:
            case "busy":
                raise AgentError("SHOP_BUSY", "busy", category="transient", retry_after_ms=700)
            case "refuse":
                raise AgentError("SHOP_REFUSED", f"no with {secret}", attributes={"sent": [f"?key={secret}"]})
            case "break":
                raise RuntimeError(f"bad key {secret}")
            case "chain":
                try:
                    raise ValueError(f"inner {secret}")
                except ValueError as error:
                    raise AgentError("SHOP_REFUSED", "clean") from error
            case "network":
                raise ConnectionResetError("reset by peer")
            case "missing":
                raise FileNotFoundError("no file")
            case "exit":
                raise SystemExit(3)
            case "wait":
                await asyncio.Event().wait()
            case "echo":
                return OrderOutput(order=f"you sent key={secret}", key=ctx.idempotency_key)
            case "wrong":
                return {"order": 7}  # type: ignore[return-value]  # what the test is about
        return OrderOutput(order=f"{input.sku} x {input.quantity}", key=ctx.idempotency_key)

    @staticmethod
    @capability(id="echo", side_effects=False, deterministic=True, description="Give it back")
    async def echo(input: AnyInput) -> Any:
        return input.value

    @capability(id="block")
    def block(self, input: AnyInput) -> None:
        """Wait until nobody does any more."""
        input.value["started"].set()
        input.value["release"].wait()

    @capability(id="nothing")
    def nothing(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        self.closed += 1
