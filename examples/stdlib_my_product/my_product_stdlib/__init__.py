"""What the scenarios of my product have beside what every scenario has: two functions and an agent."""

from __future__ import annotations

from runtara_framework.stdlib import function

# Imported when a scenario calls it, and not before.
AGENTS = {"my-prices": "my_product_stdlib.prices:Prices"}


@function
def vat(net_cents: int, percent: int = 19) -> int:
    """The value-added tax on a net amount, in cents, half a cent rounded up."""
    return (net_cents * percent + 50) // 100


@function
def sku_checksum(sku: str) -> str:
    """The check character of an article number: its characters weighted by their place, modulo 36."""
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    characters = sku.replace("-", "").upper()
    if not characters or not set(characters) <= set(alphabet):
        raise ValueError(f"{sku!r} is no article number: letters, digits and dashes")
    return alphabet[sum(place * alphabet.index(one) for place, one in enumerate(characters, 1)) % 36]
