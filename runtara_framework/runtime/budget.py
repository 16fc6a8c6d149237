"""The budget of a scenario for waiting on rate limits. What was drawn is recorded, so that a relaunch begins with what is
left and not with all of it (DSL.md 6, 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtara_framework.sdk.keys import Key
from runtara_framework.sdk.values import decode, encode

if TYPE_CHECKING:
    from runtara_framework.sdk.context import Context


class Budget:
    """How long one run of a scenario may still wait, in ms."""

    __slots__ = ("_drawn", "_entries", "_key", "left_ms")

    def __init__(self, left_ms: int, key: Key) -> None:
        """`key` is that of the scenario's run."""
        self.left_ms = left_ms
        self._key = key.suffix("rateLimit")
        self._drawn: set[str] = set()  # the waits that have drawn
        self._entries = 0  # recorded draws

    async def draw(self, ctx: Context, place: Key, ms: int, *, durable: bool) -> bool:
        """Take `ms` for the wait at `place`, once in the instance's life; False if there is less left. A wait that is
        refused is refused in every launch, because what is left never grows."""
        while (saved := ctx.saved(self._key.index(self._entries))) is not None:
            self._entries += 1
            self._count(saved)
        if str(place) in self._drawn:
            return True
        if ms > self.left_ms:
            return False
        if not ms:
            return True
        self.left_ms -= ms  # before it is saved: other branches draw meanwhile
        entry = encode({"at": str(place), "ms": ms}, "the wait")
        while durable:
            number, self._entries = self._entries, self._entries + 1
            stored = await ctx.checkpoint(self._key.index(number), entry)
            if stored == entry:
                break
            self._count(stored)  # of a launch that was killed before it had saved all
        self._drawn.add(str(place))
        return True

    def _count(self, saved: bytes) -> None:
        entry = decode(saved)
        if entry["at"] not in self._drawn:
            self._drawn.add(entry["at"])
            self.left_ms -= entry["ms"]
