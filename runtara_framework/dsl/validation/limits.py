"""The limits of a scenario (DSL.md 6)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a scenario may be."""

    nesting: int = 32
    """Graphs inside graphs."""
    steps: int = 2_000
    """Steps of one graph."""
    value_depth: int = 64
    """Levels of a mapping, a condition or a literal inside one step."""
