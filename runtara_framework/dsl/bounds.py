"""How large the numbers of a scenario may be, for the models and for what is computed while it runs (DSL.md 6)."""

from __future__ import annotations

MAX_ITERATIONS = 1_000_000
"""Of one loop; items of a Split."""
MAX_SECONDS = 10 * 366 * 86_400
"""Of a time limit or a sleep: ten years, far below what clocks and databases can hold."""
MAX_MILLIS = MAX_SECONDS * 1000
"""The same in milliseconds."""
