"""Capabilities of `utils` that make values up, hand them through, or wait."""

from __future__ import annotations

import asyncio
import random
import secrets
import string
from typing import Any

from pydantic import BaseModel, Field

from runtara_framework.agents import capability


@capability(id="random-double", side_effects=False)
async def random_double() -> float:
    """A random number, at least 0 and less than 1."""
    return random.random()


class RandomArrayInput(BaseModel):
    size: int = Field(ge=0, le=1_000_000, description="How many numbers, and the largest one possible")


@capability(id="random-array", side_effects=False)
async def random_array(input: RandomArrayInput) -> list[int]:
    """As many random whole numbers as asked for, each from 0 to that size."""
    return [random.randint(0, input.size) for _ in range(input.size)]


class RandomStringInput(BaseModel):
    length: int = Field(16, ge=0, le=1_000_000, description="How many characters")
    alphabet: str = Field(
        string.ascii_letters + string.digits, min_length=1, description="The characters to choose from"
    )


@capability(id="random-string", side_effects=False)
async def random_string(input: RandomStringInput) -> str:
    """A random text that nobody can guess."""
    return "".join(secrets.choice(input.alphabet) for _ in range(input.length))


class StringInput(BaseModel):
    value: str = Field(description="A text")


@capability(id="return-input-string", side_effects=False, deterministic=True)
async def return_input_string(input: StringInput) -> str:
    """The text that was given."""
    return input.value


class AnyInput(BaseModel):
    value: Any = Field(description="Any value")


@capability(id="return-input", side_effects=False, deterministic=True)
async def return_input(input: AnyInput) -> Any:
    """The value that was given."""
    return input.value


@capability(id="do-nothing", side_effects=False, deterministic=True)
async def do_nothing() -> None:
    """Nothing; the answer is null."""


class DelayInput(BaseModel):
    delay_value: int = Field(ge=0, le=86_400_000, description="How long, in milliseconds, at most a day")


# Not deterministic, although it always gives the same answer: a replay must not wait again.
@capability(id="delay-in-ms", side_effects=False)
async def delay_in_ms(input: DelayInput) -> int:
    """Wait inside the running process, then give the number back. A Delay step waits durably, and longer, for less."""
    await asyncio.sleep(input.delay_value / 1000)
    return input.delay_value
