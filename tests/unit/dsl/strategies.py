"""What the property tests of the DSL draw from."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

scalars = (
    st.none() | st.booleans() | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
    | st.sampled_from(["1", "1.0", "-3e2", "2024-01-31", "2024-01-31T10:00:00Z", "true", "abc", ""])
)  # fmt: skip
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
segments = st.text(max_size=6) | st.integers(-(10**18) + 1, 10**18 - 1)
