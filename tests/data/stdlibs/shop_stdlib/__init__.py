"""A stdlib that is not installed: what functions and agents can be, and what they can do wrong."""

from __future__ import annotations

from typing import Any

from runtara_framework.stdlib import function

AGENTS = {"shop": "shop_stdlib.till:Till"}


@function
def double(value: Any) -> Any:
    return value * 2


@function
def clamp(value: float, least: float = 0, most: float = 10) -> float:
    return max(least, min(value, most))


@function
def total(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"count": len(items), "sum": sum(item["n"] for item in items), "all": tuple(item["n"] for item in items)}


@function
def empty(items: list[Any]) -> int:
    """Impure: it changes what it is given."""
    count = len(items)
    items.clear()
    return count


@function
def refuse(text: str) -> str:
    raise ValueError(f"{text!r} is refused")


@function
def unwritable(value: Any) -> Any:
    return {value}
