"""The regular expressions of schemas: matched in time linear in the text, so that no pattern can hang whoever checks it.

Inputs are checked in the server, where a pattern such as `(a+)+$` must not stop everybody else's work. Python's own engine
tries every way to match; the one that pydantic brings along does not, and therefore has no look-around and no
back-references. It is loaded when the first pattern is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

MAX_PATTERN = 1_000
"""Characters of a pattern."""


@lru_cache(maxsize=256)
def matcher(pattern: str) -> Callable[[str], bool]:
    """Tells whether a text contains a match. Raises `ValueError` for what is no such expression, or is too large."""
    from pydantic_core import SchemaError, SchemaValidator, core_schema  # most scenarios have no pattern

    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"it is longer than {MAX_PATTERN} characters")
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, strict=True)).isinstance_python
    except SchemaError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ValueError(reason.removeprefix("error: ").removeprefix("SchemaError: ")) from None
