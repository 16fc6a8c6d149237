"""The entry of a process that the server launched: register, run the program, report how it ended, exit.

An image's `__main__.py` ends in `run(main)`. Exit codes tell the launcher what the server was told: 0, how it ended
(completed, failed, suspended, cancelled); 3, nothing, because a newer launch exists; 1, nothing, because it could not be.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn

from runtara_framework.clock import Clock
from runtara_framework.errors import PayloadTooLarge, RuntaraError, StaleLaunch
from runtara_framework.memory import LIMIT, OUT_OF_MEMORY, end_limit, lighten, ran_out
from runtara_framework.sdk.client import InstanceClient
from runtara_framework.sdk.context import Context, enter
from runtara_framework.sdk.ending import Stop
from runtara_framework.sdk.failure import EXECUTION_TIMEOUT, OUTPUT_TOO_LARGE, UNHANDLED_ERROR, Failure
from runtara_framework.sdk.keys import Key
from runtara_framework.sdk.scope import Scope
from runtara_framework.sdk.scope import enter as enter_scope
from runtara_framework.sdk.values import encode, plain, shortened

if TYPE_CHECKING:
    from types import FrameType

Program = Callable[[Context], Awaitable[Any]]
"""What an image runs: gets the context, returns the output (a JSON value)."""

UNWIND_SECONDS = 5.0
"""What the `finally` blocks of a program that is being ended may take together."""
CANCEL_SECONDS = 30.0
"""What a program's `on_cancel` may take."""
RELEASE_SECONDS = 2.0
"""What closing pooled connections may take, when everything is reported."""
TERMINATED = 128 + 15
TIMED_OUT = (
    "the instance has used up its running time (`timeout_seconds` of its start, else `executionTimeoutSeconds`; time "
    "suspended does not count)"
)


class Outcome(StrEnum):
    """How a launch ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    SUSPENDED = "suspended"  # also: paused
    CANCELLED = "cancelled"
    STALE = "stale"
    LOST = "lost"

    @property
    def exit_code(self) -> int:
        return {Outcome.STALE: 3, Outcome.LOST: 1}.get(self, 0)


def run(main: Program) -> NoReturn:
    """Run the program as this process: configuration from the environment (`SdkConfig.from_env`), exit code as above.

    Leaves without waiting for threads: a blocking call that was given up must not keep the process. `atexit` is honoured.
    """
    code = Outcome.LOST.exit_code
    try:
        LIMIT.begin(os.environ)
        _obey_terminate()
        client = InstanceClient.from_env()
        # Not closed: closing waits for every thread of the executor.
        code = asyncio.Runner().run(_launch(main, client)).exit_code
    except KeyboardInterrupt:
        code = 130
    except RuntaraError as error:
        _complain(f"{error.code}: {error.message}")
    except BaseException as error:
        code = _broken(LIMIT.exhausted or error).exit_code
    finally:
        import atexit

        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                pass  # nobody reads it any more
        os._exit(code)


def _broken(error: BaseException) -> Outcome:
    """The event loop has ended before the program. If it got no memory, another one can still tell the server."""
    end_limit()
    if not ran_out(error):
        _show(error)
        return Outcome.LOST
    return asyncio.Runner().run(_give_up(Failure.of(error)))


async def _give_up(failure: Failure) -> Outcome:
    client = InstanceClient.from_env()
    try:
        return await _fail(client, failure)
    finally:
        await client.close()


async def _launch(main: Program, client: InstanceClient) -> Outcome:
    if LIMIT.bytes is not None:
        from runtara_framework.sdk.limited import prepare

        prepare(asyncio.get_running_loop())
    outcome = await execute(main, client)
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    if rest:  # what the program left behind may clean up, as it might under asyncio.run
        for task in rest:
            task.cancel()
        await asyncio.wait(rest, timeout=1.0)
    return outcome


async def execute(
    main: Program,
    client: InstanceClient,
    *,
    clock: Clock | None = None,
    unwind_seconds: float = UNWIND_SECONDS,
    cancel_seconds: float = CANCEL_SECONDS,
) -> Outcome:
    """One launch, from registration to report. Closes the client. Raises nothing but what cancels it."""
    context: Context | None = None
    try:
        await client.register()
        context = Context(client, clock)
        enter(context)
        program = asyncio.create_task(_called(main, context))
        context.begin(program)
        await context.ended()
        if context.stopped is None:
            return await _report(client, program)
        await _unwind(program, unwind_seconds)
        if context.stopped is Stop.CANCELLED:
            await _on_cancel(context, cancel_seconds)
            await client.acknowledge_signal("cancel")
            return Outcome.CANCELLED
        if context.stopped is Stop.TIMED_OUT:
            await _on_cancel(context, cancel_seconds)
            return await _fail(client, Failure(EXECUTION_TIMEOUT, TIMED_OUT, category="timeout"))
        if context.lost is not None and context.stopped is Stop.LOST:
            _complain(f"gave up, nothing was reported: {context.lost.code}: {context.lost.message}")
        return Outcome(context.stopped)
    except Failure as failure:
        return await _fail(client, failure)
    except MemoryError as error:
        return await _fail(client, Failure.of(error))
    except StaleLaunch:
        return Outcome.STALE
    except RuntaraError as error:
        _complain(f"could not report how it ended: {error.code}: {error.message}")
        return Outcome.LOST
    finally:
        if context is not None:
            context.stop(Stop.LOST)  # whatever still runs of it has no say any more
            if rest := context.close():
                await asyncio.wait(rest, timeout=unwind_seconds)
            await context.release(RELEASE_SECONDS)
        await client.close()


async def _called(main: Program, context: Context) -> Any:
    enter_scope(Scope(Key.root()))
    try:
        return await main(context)
    except MemoryError as error:
        lighten(error)
        raise
    except SystemExit as error:
        # It would end the event loop before anybody is told.
        raise Failure(UNHANDLED_ERROR, f"the program called sys.exit({error.code!r})") from error


async def _unwind(program: asyncio.Task[Any], seconds: float) -> None:
    program.cancel()
    await asyncio.wait((program,), timeout=seconds)
    if program.done() and not program.cancelled():
        program.exception()  # seen; it was to end anyway


async def _on_cancel(context: Context, seconds: float) -> None:
    if context.on_cancel is None:
        return
    context.reopen()
    cleaning = asyncio.create_task(_cleaned(context.on_cancel))
    await asyncio.wait((cleaning,), timeout=seconds)
    if not cleaning.done():
        _complain(f"on_cancel took longer than {seconds:g} s and was interrupted")
        await _unwind(cleaning, 1.0)
    elif not cleaning.cancelled() and (error := cleaning.exception()) is not None:
        _show(error)
    if context.lost is not None:
        raise context.lost


async def _cleaned(on_cancel: Callable[[], Awaitable[Any]]) -> None:
    enter_scope(Scope(Key.root().suffix("cancel")))
    await on_cancel()


async def _report(client: InstanceClient, program: asyncio.Task[Any]) -> Outcome:
    if program.cancelled():
        return await _fail(client, Failure(UNHANDLED_ERROR, "the program cancelled itself"))
    error = program.exception()
    if error is not None:
        failure = Failure.of(error)
        if failure.code == UNHANDLED_ERROR:
            _show(error)
        elif failure.code == OUT_OF_MEMORY:
            _complain(f"{failure.code}: {failure.message}")
        return await _fail(client, failure)
    output = encode(program.result(), "the output")
    try:
        await client.completed(output)
    except PayloadTooLarge as refused:
        raise Failure(OUTPUT_TOO_LARGE, refused.message, attributes=refused.details) from refused
    return Outcome.COMPLETED


async def _fail(client: InstanceClient, failure: Failure) -> Outcome:
    end_limit()  # the report goes out whatever the program still holds
    try:
        try:
            await client.failed(plain(failure.to_dict()))
        except (PayloadTooLarge, OverflowError):  # the latter: of a number that JSON can write and the wire cannot
            await client.failed(shortened(plain(failure.to_dict())))
    except StaleLaunch:
        return Outcome.STALE
    except RuntaraError as error:
        _complain(f"could not report {failure!r}: {error.code}: {error.message}")
        return Outcome.LOST
    return Outcome.FAILED


def _obey_terminate() -> None:
    # As process 1 of a container, a process without a handler does not hear SIGTERM at all.
    import signal

    def terminated(number: int, frame: FrameType | None) -> None:
        os._exit(TERMINATED)

    signal.signal(signal.SIGTERM, terminated)


def _complain(text: str) -> None:
    print(f"runtara: {text}", file=sys.stderr)


def _show(error: BaseException) -> None:
    import traceback

    traceback.print_exception(error)
