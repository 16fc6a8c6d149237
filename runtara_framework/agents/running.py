"""Runs the code of a capability so that it can neither stop the program nor keep it: in a task or a thread of its own.

Cancelling the call ends the wait for it. A task is cancelled too, and has `CLEANUP_SECONDS` to clean up; one that takes no
notice is abandoned as a thread is, and what it answers is dropped.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from runtara_framework.memory import LIMIT, lighten, ran_out

CLEANUP_SECONDS = 1.0
"""What a capability that is cancelled may take to clean up; then nobody waits for it any more."""

_LOGGER = logging.getLogger("runtara.agents")


class Alien(Exception):
    """The code raised what no `except Exception` catches: KeyboardInterrupt, SystemExit, a CancelledError of its own, …"""

    def __init__(self, raised: BaseException) -> None:
        super().__init__(f"{type(raised).__name__}: {raised}")
        self.raised = raised


async def run_in_task(function: Callable[[], Awaitable[Any]], name: str) -> Any:
    """Run `async` code in a task of its own; `name` is what the log calls it. Raises what it raises, or `Alien`."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(_contained(function), name="runtara-capability")
    task.add_done_callback(lambda _: None if done.done() else done.set_result(None))
    try:
        await done
    except asyncio.CancelledError:
        task.cancel()
        _cancelled.add(task)
        task.add_done_callback(_cancelled.discard)
        await asyncio.wait((task,), timeout=CLEANUP_SECONDS)
        if not task.done():
            _LOGGER.warning("%s was cancelled and goes on all the same; nobody waits for it any more", name)
        raise
    # It is cancelled, and not what it runs, only if that happened before it began.
    return _outcome(False, asyncio.CancelledError()) if task.cancelled() else _outcome(*task.result())


_cancelled: set[asyncio.Task[tuple[bool, Any]]] = set()  # the event loop itself keeps weak references only


async def _contained(function: Callable[[], Awaitable[Any]]) -> tuple[bool, Any]:
    """Whether it succeeded, and its value or what it raised: some of that would end the event loop."""
    try:
        return True, await function()
    except BaseException as error:  # handed over to the caller, whatever it is
        if ran_out(error):
            lighten(error)
        return False, error


async def run_in_thread(function: Callable[[], Any]) -> Any:
    """Run blocking code beside the event loop. Cancelling returns at once and leaves the thread to finish alone.

    A daemon thread of its own, not the loop's executor: that one has few threads, which a wide Split would exhaust, and
    waits at exit for a call that nobody wants any more. Raises what the code raises, or `Alien`.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[bool, Any]] = loop.create_future()
    variables = contextvars.copy_context()

    def settle(succeeded: bool, value: Any) -> None:
        if not done.done():
            done.set_result((succeeded, value))

    def target() -> None:
        try:
            outcome = (True, variables.run(function))
        except BaseException as error:  # handed over to the caller, whatever it is
            if ran_out(error):
                lighten(error)
            outcome = (False, error)
        try:
            loop.call_soon_threadsafe(settle, *outcome)
        except RuntimeError:
            pass  # the loop has closed: nobody waits for this any more
        finally:
            LIMIT.remove_thread()

    LIMIT.add_thread()
    try:
        threading.Thread(target=target, name="runtara-capability", daemon=True).start()
    except BaseException:
        LIMIT.remove_thread()
        raise
    return _outcome(*await done)


def _outcome(succeeded: bool, value: Any) -> Any:
    if not succeeded:
        raise value if isinstance(value, Exception) else Alien(value)
    return value
