"""Where in a program a call stands: the prefix of the keys that are made for it, and what was counted there.

The main program is one scope, each branch of `ctx.gather` or `ctx.spawn` is one, and the body of each durable step is one.
A scope counts what happens in it in the order of its own code, which is the same in every launch, whatever other branches
do meanwhile. A task that was created past the context (a bare `asyncio.gather`) shares the scope that it was created in.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

from runtara_framework.sdk.keys import Key


class Scope:
    """One place."""

    __slots__ = ("_counts", "attempts", "key", "owner")

    def __init__(self, key: Key, attempts: tuple[int, ...] = ()) -> None:
        """Of the current task. `attempts`: which attempt of each durable function around it this is."""
        self.key = key
        self.attempts = attempts
        self.owner = asyncio.current_task()
        self._counts: dict[str, int] = {}

    def occurrence(self, name: str) -> int:
        """How often this was asked for that name before."""
        number = self._counts.get(name, 0)
        self._counts[name] = number + 1
        return number

    def branches(self) -> Key | None:
        """The prefix of the branches that begin here. None in a task that shares this scope with others: which of them
        comes first is chance, so its branches share the scope, too."""
        if self.owner is not asyncio.current_task():
            return None
        return self.key.suffix("branches").index(self.occurrence("#branches"))


_current: ContextVar[Scope] = ContextVar("runtara_scope")


def scope() -> Scope:
    """The scope of the code that runs; the root if nobody entered one."""
    inner = _current.get(None)
    if inner is None:
        inner = Scope(Key.root())
        _current.set(inner)
    return inner


def enter(inner: Scope) -> None:
    """Make it the scope of this context."""
    _current.set(inner)
