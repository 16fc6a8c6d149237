"""`@durable` steps and `@workflow` functions: durable programs in plain Python.

    @durable(max_retries=5)
    async def charge(order_id: str, cents: int) -> str:
        …

    @workflow
    async def order(ctx: Context, input: dict) -> dict:
        payment = await charge(input["id"], input["cents"])
        await ctx.sleep("cooling-off", 14 * 24 * 3600 * 1000)
        …

A durable function runs once: its result is saved, and every later launch returns what was saved. What is saved is JSON, so
what is returned is what JSON makes of the result (a tuple is a list), in the first launch as in all others.

**Which step is which.** A call's key is made of the function's name, its arguments and, where the same function is called
with the same arguments more than once, the number of the call: `orders.charge@9f86d081884c7d65`, then `…[1]`. So calls may
be added, removed and reordered while instances run. Calls inside a branch of `ctx.gather` and inside another durable
function are counted there, whatever others do meanwhile. Under a bare `asyncio.gather`, two equal calls are counted in the
order in which they begin; if their results must not be swapped, use `ctx.gather`. With `key=` the key is made of what that
function answers and of nothing else: wherever they are, two calls with one key are one step. Arguments that are no JSON (a
connection, the context) do not count.

**Failures.** A failed attempt is saved, too, with the moment of the next one: a launch repeats neither the attempt nor the
wait. After `max_retries` more attempts, or at once if the failure is permanent, the step raises `Failure`, whatever the
function raised (that is its `__cause__` in the launch that saw it), and raises it again in every later launch. Permanent
are a `Failure` of that category, exceptions that say `retry = False` or `retryable = False`, and those not in `retry_on`.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, get_type_hints, overload

import msgspec

from runtara_framework.errors import NotAWorkflow
from runtara_framework.memory import LIMIT, OUT_OF_MEMORY, TIERS, MemoryTier
from runtara_framework.sdk.context import Context, current
from runtara_framework.sdk.failure import INPUT_INVALID, Failure
from runtara_framework.sdk.keys import Key
from runtara_framework.sdk.scope import Scope, enter, scope
from runtara_framework.sdk.values import decode, encode, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Awaitable[Any]])

DEFAULT_RETRIES = 3
DEFAULT_DELAY_MS = 1_000
DEFAULT_CAP_MS = 5 * 60 * 1_000
MARK = "__runtara_workflow__"
ON_CANCEL = "__runtara_on_cancel__"
MEMORY_TIER = "__runtara_memory_tier__"
DIGEST_LENGTH = 16


class Durable(Protocol[P, R_co]):
    """What `@durable` makes of a function."""

    __name__: str
    __qualname__: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R_co]: ...

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        """The plain function, for tests without a workflow."""
        ...


class _Decorator(Protocol):
    @overload
    def __call__(self, function: Callable[P, Awaitable[R]], /) -> Durable[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Durable[P, R]: ...


@overload
def durable(function: Callable[P, Awaitable[R]], /) -> Durable[P, R]: ...
@overload
def durable(function: Callable[P, R], /) -> Durable[P, R]: ...
@overload
def durable(
    *,
    max_retries: int = DEFAULT_RETRIES,
    delay_ms: int = DEFAULT_DELAY_MS,
    cap_ms: int = DEFAULT_CAP_MS,
    retry_on: tuple[type[Exception], ...] = (Exception,),
    key: Callable[..., str] | None = None,
    name: str | None = None,
) -> _Decorator: ...


def durable(
    function: Callable[..., Any] | None = None,
    /,
    *,
    max_retries: int = DEFAULT_RETRIES,
    delay_ms: int = DEFAULT_DELAY_MS,
    cap_ms: int = DEFAULT_CAP_MS,
    retry_on: tuple[type[Exception], ...] = (Exception,),
    key: Callable[..., str] | None = None,
    name: str | None = None,
) -> Any:
    """Make a function a durable step; call it with `await` inside a workflow. A plain function runs in a thread.

    Before attempt n + 1 it waits `delay_ms` · 2^(n-1), at most `cap_ms`, shortened by up to half by chance (the same in
    every launch); a failure's `retry_after_ms` wins, up to `cap_ms`. `key` gets the arguments and answers the key of the
    call. `name` is the function's in keys; by default module and qualified name, so give one before you move a function."""
    if max_retries < 0 or delay_ms < 0 or cap_ms < 0:
        raise ValueError("max_retries, delay_ms and cap_ms cannot be negative")

    def decorate(function: Callable[..., Any]) -> Any:
        step = _Step(function, name or f"{function.__module__}.{function.__qualname__}", key)
        policy = _Policy(max_retries, delay_ms, cap_ms, retry_on)

        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            return await _call(current(), step, policy, args, kwargs)

        return call

    return decorate if function is None else decorate(function)


class _Policy:
    """When to try again."""

    def __init__(self, max_retries: int, delay_ms: int, cap_ms: int, retry_on: tuple[type[Exception], ...]) -> None:
        self.attempts = 1 + max_retries
        self._delay_ms = delay_ms
        self._cap_ms = cap_ms
        self._retry_on = retry_on

    def judge(self, error: Exception) -> tuple[Failure, bool]:
        """The failure that the exception is, and whether another attempt may help."""
        failure = Failure.of(error)
        if isinstance(error, Failure) or failure.code == OUT_OF_MEMORY:
            return failure, failure.retryable
        said = (getattr(error, "retry", True), getattr(error, "retryable", True))
        retried = False not in said and isinstance(error, self._retry_on)
        if failure.retryable != retried:
            failure.category = "transient" if retried else "permanent"
        return failure, retried

    def wait_ms(self, ctx: Context, key: Key, number: int, failure: Failure) -> int:
        """How long to wait after the failed attempt of that number."""
        if failure.retry_after_ms is not None:
            return max(0, min(failure.retry_after_ms, self._cap_ms))
        wait_ms = min(self._delay_ms << min(number - 1, 40), self._cap_ms)
        return round(wait_ms * (1 - ctx.random(key.attempt(number)).random() / 2))


class _Step:
    """A durable function, and how its calls are named."""

    def __init__(self, function: Callable[..., Any], name: str, key: Callable[..., str] | None) -> None:
        self.function = function
        self.shares = key is not None
        self._is_async = inspect.iscoroutinefunction(function)
        self._name = name
        self._key = key
        self._signature = inspect.signature(function)

    def key(self, where: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Key:
        """The key of a call. Raises `TypeError` for arguments that the function does not take."""
        bound = self._signature.bind(*args, **kwargs)
        if self._key is not None:
            return Key.root().step(self._name).suffix("key").step(self._key(*args, **kwargs))
        named = where.key.step(self._name).site(_digest(bound.arguments))
        number = where.occurrence(str(named))
        return named.index(number) if number else named

    async def call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if self._is_async:
            return await self.function(*args, **kwargs)
        return await asyncio.to_thread(self.function, *args, **kwargs)


def _digest(arguments: Mapping[str, Any]) -> str:
    """Of all arguments that are JSON."""
    known: dict[str, Any] = {}
    for name, value in arguments.items():
        if not isinstance(value, Context):
            try:
                known[name] = msgspec.Raw(encode(value, name, stable=True))
            except Failure:
                continue  # a connection, a client, a function: not what tells two steps apart
    from hashlib import sha256

    return sha256(encode(known, "the arguments", stable=True)).hexdigest()[:DIGEST_LENGTH]


async def _call(ctx: Context, step: _Step, policy: _Policy, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    key = step.key(scope(), args, kwargs)
    if not step.shares:
        return await _run(ctx, key, step, policy, args, kwargs)
    # Calls with one key are one step, also if the second comes while the first is at work.
    running = ctx.shared.get(key)
    if running is None:
        running = ctx.shared[key] = asyncio.get_running_loop().create_future()
        try:
            running.set_result(await _run(ctx, key, step, policy, args, kwargs))
        except Exception as error:
            running.set_exception(error)
        finally:
            running.cancel()  # if it is not done, the call was cancelled
    with ctx.idle():
        return await asyncio.shield(running)


async def _run(
    ctx: Context, key: Key, step: _Step, policy: _Policy, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    known = ctx.saved(key)
    if known is not None:
        return decode(known)
    number = 1
    while True:
        record_key = _attempt_key(key, scope().attempts, number)
        stored = ctx.saved(record_key)
        cause: Exception | None = None
        if stored is None:
            async with ctx.effect():
                try:
                    result = await _in_scope(step, key, number, args, kwargs)
                    state = encode(result, f"the result of {step.function.__qualname__}")
                except Exception as error:
                    cause = error
                    failure, retried = policy.judge(error)
                    again = retried and number < policy.attempts
                    wait_ms = policy.wait_ms(ctx, record_key, number, failure) if again else None
                    stored = await _record(ctx, record_key, failure, wait_ms)
                else:
                    return decode(await ctx.checkpoint(key, state))
        record = decode(stored)
        if record["retryAtMs"] is None:
            raise Failure.from_dict(record["error"]) from cause
        await ctx.sleep_until(record["retryAtMs"])
        number += 1


def _attempt_key(key: Key, around: tuple[int, ...], number: int) -> Key:
    """Of a failed attempt. A step that failed inside another is tried anew when that one is, while one that succeeded is
    done for ever; so it is only failures whose keys know the attempts of what is around them."""
    if any(attempt > 1 for attempt in around):
        key = key.suffix("within")
        for attempt in around:
            key = key.index(attempt)
    return key.attempt(number)


async def _record(ctx: Context, key: Key, failure: Failure, wait_ms: int | None) -> bytes:
    """Save a failed attempt. What the failure says of itself is the program's, and may be no JSON."""
    record = {"error": plain(failure.to_dict()), "retryAtMs": None if wait_ms is None else ctx.clock_ms() + wait_ms}
    return await ctx.checkpoint(key, encode(record, "the failure"))


async def _in_scope(step: _Step, key: Key, number: int, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Run the body in a scope of its own: durable steps inside it are counted there."""
    outer = scope()
    enter(Scope(key, (*outer.attempts, number)))
    try:
        return await step.call(args, kwargs)
    finally:
        enter(outer)


# -- workflows ------------------------------------------------------------------------------------------------------


@overload
def workflow(function: F, /) -> F: ...
@overload
def workflow(
    *,
    name: str | None = None,
    on_cancel: Callable[[Context], Awaitable[Any]] | None = None,
    memory_tier: MemoryTier | None = None,
) -> Callable[[F], F]: ...


def workflow(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    on_cancel: Callable[[Context], Awaitable[Any]] | None = None,
    memory_tier: MemoryTier | None = None,
) -> Any:
    """Mark the entry of a Python workflow: `async def wf(ctx)` or `async def wf(ctx, input)`.

    `input` is JSON, or what its annotation says: a pydantic model, a dataclass or a `msgspec.Struct` is checked and built
    (`INPUT_INVALID` otherwise). The result must be JSON. `name` is the image's default name. `on_cancel` is called when an
    instance is cancelled or out of time, also one that sleeps or waits (`Context.on_cancel`, which a running program may
    set itself). `memory_tier` is the `memoryTier` of a scenario: the memory that it may use. `runtara build` and
    `sdk.package.build` make an image of it. Raises `NotAWorkflow` for another kind of function, or tier."""

    def mark(function: Any) -> Any:
        if not inspect.iscoroutinefunction(function):
            raise NotAWorkflow(f"{_named(function)} must be an `async def` to be a workflow")
        parameters = [p for p in inspect.signature(function).parameters.values() if p.kind in _POSITIONAL]
        if not 1 <= len(parameters) <= 2:
            raise NotAWorkflow(f"{_named(function)} must take (ctx) or (ctx, input), not {len(parameters)} parameters")
        setattr(function, MARK, name or function.__name__)
        if memory_tier is not None and memory_tier not in TIERS:
            raise NotAWorkflow(f"{_named(function)}: memory_tier is one of {', '.join(TIERS)}, not {memory_tier!r}")
        setattr(function, ON_CANCEL, on_cancel)
        setattr(function, MEMORY_TIER, memory_tier)
        return function

    return mark if function is None else mark(function)


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _named(function: Any) -> str:
    return str(getattr(function, "__qualname__", None) or repr(function))


def program(function: Callable[..., Awaitable[Any]]) -> Callable[[Context], Awaitable[Any]]:
    """What `bootstrap.run` and `run_in_process` take, of a function marked `@workflow`. Raises `NotAWorkflow`."""
    if getattr(function, MARK, None) is None:
        raise NotAWorkflow(f"{_named(function)} is not marked with @workflow")
    takes_input = len([p for p in inspect.signature(function).parameters.values() if p.kind in _POSITIONAL]) == 2
    kind = input_type(function)

    on_cancel: Callable[[Context], Awaitable[Any]] | None = getattr(function, ON_CANCEL, None)

    async def main(ctx: Context) -> Any:
        if on_cancel is not None:
            ctx.on_cancel = functools.partial(on_cancel, ctx)
        return await (function(ctx, _built(kind, ctx.input)) if takes_input else function(ctx))

    return main


def input_type(function: Callable[..., Any]) -> Any:
    """The annotation of a workflow's input, if it says more than that it is JSON."""
    try:
        hints = get_type_hints(function)
    except NameError:
        return None  # an annotation that exists for type checkers only
    parameters = list(inspect.signature(function).parameters)
    kind = hints.get(parameters[1]) if len(parameters) > 1 else None
    known = (
        hasattr(kind, "model_validate") or hasattr(kind, "__struct_fields__") or hasattr(kind, "__dataclass_fields__")
    )
    return kind if known else None


def _built(kind: Any, value: Any) -> Any:
    if kind is None:
        return value
    from runtara_framework.sdk.inputs import Unfit, built  # most inputs are JSON

    try:
        with LIMIT.lifted:
            return built(kind, value)
    except Unfit as error:
        message = f"the input does not fit the workflow: {error}"
        raise Failure(INPUT_INVALID, message, attributes={"violations": error.violations}) from error
