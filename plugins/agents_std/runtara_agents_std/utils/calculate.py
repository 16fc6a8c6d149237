"""Capability `calculate` of `utils`."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

from pydantic import BaseModel, Field

from runtara_agents_std.utils.expression import evaluate
from runtara_framework.agents import capability, permanent


class CalculateInput(BaseModel):
    expression: str = Field(description="Numbers and names with + - * / %, signs and parentheses")
    variables: dict[str, Any] = Field({}, description="The value of each name: a number, or a text that is a number")
    enable_rounding: bool = Field(False, description="Round the result")
    decimal_places: int | None = Field(
        None, ge=0, le=15, description="To how many places, if it is rounded; none: to a whole number"
    )


@capability(
    id="calculate",
    side_effects=False,
    deterministic=True,
    errors=[
        permanent("EXPRESSION_INVALID", "The expression is malformed"),
        permanent("VARIABLE_INVALID", "A name is not among the variables, or its value is no number"),
        permanent("DIVISION_BY_ZERO", "The expression divides by zero, or takes a remainder of it"),
        permanent("NUMBER_OUT_OF_RANGE", "A number is too large"),
    ],
)
async def calculate(input: CalculateInput) -> float:
    """The value of an arithmetic expression. Halves are rounded away from zero."""
    value = evaluate(input.expression, input.variables)
    if input.enable_rounding:
        value = rounded(value, input.decimal_places or 0)
    return value + 0.0  # no negative zero


def rounded(value: float, places: int) -> float:
    """The value at that many decimal places, as one would round what is printed: 2.675 to two places is 2.68."""
    with localcontext() as context:
        context.prec = 400  # more digits than any float has
        return float(Decimal(repr(value)).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP))
