"""JSON text of a value, the one way that coercion and templates write it: compact, keys in order, no escapes."""

from __future__ import annotations

import json
from typing import Any

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def json_text(value: Any) -> str:
    """`value` as compact JSON. Raises `ValueError` or `TypeError` for what is not JSON."""
    try:
        return _encode(value)
    except RecursionError:
        raise ValueError("the value is nested too deeply to be written as JSON") from None


def plain_text(value: Any) -> str:
    """A text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json_text(value)
