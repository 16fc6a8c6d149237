"""The code of a capability can neither stop the program nor keep it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from runtara_framework.agents import running
from runtara_framework.agents.running import Alien, run_in_task, run_in_thread

ALIENS = [
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
    asyncio.CancelledError,
    lambda: BaseExceptionGroup("g", [SystemExit()]),
]


@pytest.mark.parametrize("make", ALIENS)
async def test_what_no_handler_of_exceptions_catches_is_an_exception_outside(make: Callable[[], BaseException]) -> None:
    error = make()

    async def rises() -> None:
        raise error

    def rises_in_thread() -> None:
        raise error

    for call in (run_in_task(rises, "odd/rise"), run_in_thread(rises_in_thread)):
        with pytest.raises(Alien) as caught:
            await call
        assert caught.value.raised is error


async def test_an_ordinary_exception_arrives_as_it_is() -> None:
    error = ValueError("x")

    async def rises() -> None:
        raise error

    with pytest.raises(ValueError) as caught:
        await run_in_task(rises, "odd/rise")
    assert caught.value is error


async def test_a_task_of_its_own_sees_the_context_and_leaves_the_callers_alone() -> None:
    from contextvars import ContextVar

    variable: ContextVar[str] = ContextVar("variable", default="none")
    variable.set("outside")

    async def changes() -> str:
        before = variable.get()
        variable.set("inside")
        return before

    assert await run_in_task(changes, "odd/change") == "outside"
    assert variable.get() == "outside"


async def test_a_cancelled_task_may_clean_up() -> None:
    log: list[str] = []
    begun = asyncio.Event()

    async def works() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            log.append("clean")

    call = asyncio.create_task(run_in_task(works, "odd/work"))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert log == ["clean"]


@pytest.mark.parametrize("answers", [True, False])
async def test_a_task_that_takes_no_notice_is_left_alone(
    answers: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(running, "CLEANUP_SECONDS", 0.01)
    begun, end = asyncio.Event(), asyncio.Event()

    async def ignores() -> str:
        begun.set()
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                if answers:
                    return "late"
        return "later"

    async def called() -> Any:
        return await run_in_task(ignores, "odd/ignore")

    call = asyncio.create_task(called())
    await begun.wait()
    with caplog.at_level(logging.WARNING, "runtara.agents"):
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert [record.message for record in caplog.records] == (
        [] if answers else ["odd/ignore was cancelled and goes on all the same; nobody waits for it any more"]
    )
    end.set()
    for task in list(running._cancelled):
        await task
    await asyncio.sleep(0)
    assert not running._cancelled
