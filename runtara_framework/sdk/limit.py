"""Time limits in force, as the code inside them knows them."""

from __future__ import annotations

from contextvars import ContextVar

from runtara_framework.sdk.parking import Parking, Spot


class Limit:
    """One of them, around the code that made it until it is over, and around the branches that are born in it."""

    __slots__ = ("_parking", "_spot", "deadline_ms", "struck")

    def __init__(self, deadline_ms: int, parking: Parking) -> None:
        self.deadline_ms = deadline_ms
        self.struck = False
        self._parking = parking
        self._spot = Spot(deadline_ms)
        parking.deadlines.add(self._spot)
        _around.set((*_around.get(), self))

    def over(self) -> None:
        """It is left, or has struck. Again is nothing."""
        self._parking.deadlines.discard(self._spot)
        _around.set(tuple(limit for limit in _around.get() if limit is not self))


def overdue(now_ms: int) -> bool:
    """Is the code that asks about to be interrupted, because a limit around it is over and has not struck yet?"""
    return any(not limit.struck and limit.deadline_ms <= now_ms for limit in _around.get())


_around: ContextVar[tuple[Limit, ...]] = ContextVar("runtara_limits", default=())
