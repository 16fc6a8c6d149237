"""Tells everybody in this server what was committed: the launcher, calls that wait, and hooks.

Publishing is synchronous and cheap; nothing here is durable. Whoever needs certainty reads storage after subscribing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runtara_framework.extension.hooks import Hooks
from runtara_framework.model import Change

Listener = Callable[[Change], None]


class Notifier:
    """One per server."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._listeners: list[Listener] = []
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._hook_queue: asyncio.Queue[Change] | None = None

    def listen(self, listener: Listener) -> None:
        """Call `listener` for every change, for as long as the server runs. It must not block or raise."""
        self._listeners.append(listener)

    def changed(self, change: Change | None) -> None:
        """A transition was committed (None: nothing was)."""
        if change is None:
            return
        for listener in self._listeners:
            listener(change)
        self.touched(change.instance_id)
        if self._hooks.has("runtara_instance_changed"):
            self._tell_hooks(change)

    def touched(self, instance_id: str) -> None:
        """Something about the instance is new: a signal has come, say."""
        for event in self._waiting.get(instance_id, ()):
            event.set()

    @contextmanager
    def watching(self, instance_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever the instance is touched. Subscribe first, then read storage, then wait."""
        event = asyncio.Event()
        watchers = self._waiting[instance_id]
        watchers.add(event)
        try:
            yield event
        finally:
            watchers.discard(event)
            if not watchers:
                self._waiting.pop(instance_id, None)

    def _tell_hooks(self, change: Change) -> None:
        # One queue, one task: plugins see the changes of an instance in the order of their commits.
        if self._hook_queue is None:
            self._hook_queue = asyncio.Queue()
            self._hook_task = asyncio.get_running_loop().create_task(self._drain(self._hook_queue))
        self._hook_queue.put_nowait(change)

    async def _drain(self, queue: asyncio.Queue[Change]) -> None:
        while True:
            change = await queue.get()
            await self._hooks.notify("runtara_instance_changed", change=change)
            queue.task_done()

    async def close(self) -> None:
        """Let hooks see what was published, then end."""
        if self._hook_queue is not None:
            await self._hook_queue.join()
            self._hook_task.cancel()


async def wait_set(event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set, at most `seconds`; clear it and say whether it was."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True
