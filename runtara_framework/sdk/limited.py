"""The event loop of a program whose memory is limited: its threads bring the room for their stacks, and it ends if its own
callbacks get no memory, because whoever waits for them would wait for ever."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

from runtara_framework.memory import LIMIT, end_limit, ran_out, spared


def prepare(loop: asyncio.AbstractEventLoop) -> None:
    """Make it such a loop."""
    loop.set_default_executor(Threads())
    loop.set_exception_handler(_failed)


def _failed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if "handle" in context and error is not None and ran_out(error):
        LIMIT.exhausted = error
        end_limit()
        loop.stop()
    else:
        loop.default_exception_handler(context)


class Threads(ThreadPoolExecutor):
    """What `asyncio.to_thread` and the look-up of host names use; as large as asyncio's own."""

    def __init__(self) -> None:
        self._most = min(32, (os.cpu_count() or 1) + 4)
        super().__init__(self._most, "asyncio")
        self._counting = Lock()
        self._busy = 0
        self._started = 0  # they stay

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        with self._counting:
            self._busy += 1
            if self._busy > self._started and self._started < self._most:
                self._started += 1
                LIMIT.add_thread()
        try:
            future = super().submit(spared, function, *args, **kwargs)
        except BaseException:
            self._done()
            raise
        future.add_done_callback(self._done)
        return future

    def _done(self, future: Future[Any] | None = None) -> None:
        with self._counting:
            self._busy -= 1
