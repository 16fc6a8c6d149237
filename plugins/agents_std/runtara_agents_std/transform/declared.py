"""What all capabilities of `transform` have in common."""

from __future__ import annotations

from functools import partial
from typing import Final

from runtara_agents_std.values import INVALID_INPUT
from runtara_framework.agents import capability, permanent

PATH: Final = "Where to look in each item, such as `customer.name` or `$.lines.0`; empty or `$` for the item itself"
INVALID: Final = permanent(
    INVALID_INPUT, "The path is malformed or asks an array for a named key, or a value does not fit"
)

pure = partial(capability, side_effects=False, deterministic=True, errors=[INVALID])
