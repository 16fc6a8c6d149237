"""What a launch may use of memory, and how its process stands the limit.

A scenario names a tier. A runner that can limits each process of the launch to that much beside `RUNTIME_BYTES`, which are
for the interpreter, the runtime and the agents. Where it does so with the soft limit on private writable memory
(`RLIMIT_DATA`), an allocation beyond it fails, and three things need care:

* **C libraries.** Python raises `MemoryError`. msgspec crashes instead, pydantic-core aborts. So the limit is lifted while
  they work for the platform (`with LIMIT.lifted`), and what is kept of their work is checked afterwards (`LIMIT.check`).
* **Threads.** The stack of a thread counts with its 8 MiB, although hardly any of that is ever touched. So a thread that
  the platform starts brings the room for its stack (`LIMIT.add_thread`).
* **The end.** As long as the traceback of a `MemoryError` lives, so do the variables of its frames, and nothing may work,
  not even handing the error on. So it is made light first (`lighten`), wherever it would be handed to another task or thread.
"""

from __future__ import annotations

import errno
import resource
from collections.abc import Awaitable, Callable, Iterator, Mapping
from threading import Lock
from typing import Any, Literal, ParamSpec, TypeVar

from runtara_framework.errors import ImageInvalid

P = ParamSpec("P")
T = TypeVar("T")

MemoryTier = Literal["S", "M", "L", "XL"]

MIB = 2**20
TIERS: dict[MemoryTier, int] = {"S": 64 * MIB, "M": 128 * MIB, "L": 256 * MIB, "XL": 512 * MIB}
"""DSL.md section 1. In order."""
RUNTIME_BYTES = 64 * MIB
"""What every process may use beside its tier. Measured: 15 MiB before the first step, 33 MiB with ten agents imported."""
VARIABLE = "RUNTARA_MEMORY_LIMIT_BYTES"
"""Tells a process that it is limited, and to what beside the runtime."""
OUT_OF_MEMORY = "OUT_OF_MEMORY"

_LARGE = 64 * 1024
_LONGEST_CHAIN = 100
"""Of causes; Python lets a program make a ring of them."""
_LIMIT = resource.RLIMIT_DATA
_STACK_BYTES = 8 * MIB
_THREAD_BYTES = MIB // 4
"""What a thread takes beside its stack: its guard page, and what malloc sets aside for it."""


def limit_of(manifest: Mapping[str, Any]) -> int | None:
    """What a program may use according to its image's manifest, in bytes; None: as much as there is. Raises
    `ImageInvalid` for a tier that does not exist."""
    tier = manifest.get("memoryTier")
    if tier is None:
        return None
    for name, size in TIERS.items():
        if name == tier:
            return size
    raise ImageInvalid(f"the image's manifest has the memoryTier {tier!r}; there are {', '.join(TIERS)}")


def shown(limit: int) -> str:
    """A limit for people: "the 64 MiB of memoryTier S"."""
    tier = next((name for name, size in TIERS.items() if size == limit), None)
    return f"{limit / MIB:g} MiB" if tier is None else f"the {limit // MIB} MiB of memoryTier {tier}"


def advice(limit: int) -> str:
    """What to do about a limit that was too small."""
    larger = next((f"{name}: {size // MIB} MiB" for name, size in TIERS.items() if size > limit), None)
    choice = f"choose a larger memoryTier ({larger})" if larger else "leave the memoryTier out"
    return f"{choice} or hold less at a time"


class Limit:
    """The limit of this process. Without one nothing here does anything."""

    def __init__(self) -> None:
        self.bytes: int | None = None
        """What the program may use beside the runtime."""
        self.lifted = _Lifted(self)
        """`with`: an allocation beyond the limit succeeds. For what does not survive that it fails."""
        self.exhausted: BaseException | None = None
        """Why the event loop was stopped, if it was because its own callbacks got no memory."""
        self._lock = Lock()
        # Kept ready: lifting the limit must need no memory.
        self._limits: tuple[int, int] | None = None
        self._lifted_limits: tuple[int, int] | None = None
        self._lifts = 0
        self._threads = 0
        self._most_threads = 0

    def begin(self, environ: Mapping[str, str]) -> None:
        """This process was launched with that environment."""
        text = environ.get(VARIABLE, "")
        if text.isascii() and text.isdigit():
            self.bytes = int(text)
            self._look()

    def _look(self) -> None:
        limits = resource.getrlimit(_LIMIT)
        if limits[0] != limits[1]:  # else nobody limits it, or not in this way, or not yet
            self._limits, self._lifted_limits = limits, (limits[1], limits[1])

    def lift(self) -> None:
        """Lift it, until `lower` was called as often."""
        if self.bytes is None:
            return
        if self._lifted_limits is None:
            self._look()
        elif not self._lifts:
            resource.setrlimit(_LIMIT, self._lifted_limits)  # now already: even to take the lock needs memory
        with self._lock:
            self._lifts += 1
            if self._lifts == 1 and self._lifted_limits is not None:
                resource.setrlimit(_LIMIT, self._lifted_limits)

    def lower(self) -> None:
        """Undo one `lift`."""
        if self.bytes is None:
            return
        with self._lock:
            self._lifts -= 1
            if not self._lifts and self._limits is not None:
                resource.setrlimit(_LIMIT, self._limits)

    def add_thread(self) -> None:
        """Make room for the stack of a thread that is about to start."""
        if self.bytes is None:
            return
        with self._lock:
            self._threads += 1
            if self._threads <= self._most_threads:
                return  # glibc keeps stacks for the next thread, so the room for them stays too
            self._most_threads = self._threads
            if self._limits is not None:
                soft, hard = self._limits
                stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
                soft += (_STACK_BYTES if stack == resource.RLIM_INFINITY else stack) + _THREAD_BYTES
                self._limits = soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard
                if not self._lifts:
                    resource.setrlimit(_LIMIT, self._limits)

    def check(self, size: int) -> None:
        """Raise `MemoryError` if there is more now than the limit allows. `size`: of the text of a value that was made while
        it was lifted; the memory that malloc has back from that work may do for the next allocations, so none would fail."""
        if self._limits is not None and size > _LARGE:
            with open("/proc/self/statm", "rb") as file:
                pages = int(file.read().split()[5])
            if self._limits[0] < pages * resource.getpagesize():
                raise MemoryError

    def remove_thread(self) -> None:
        """One that was added has ended."""
        if self.bytes is not None:
            with self._lock:
                self._threads -= 1


class _Lifted:
    __slots__ = ("_limit",)

    def __init__(self, limit: Limit) -> None:
        self._limit = limit

    def __enter__(self) -> None:
        if self._limit.bytes is not None:  # the usual case costs no more than this
            self._limit.lift()

    def __exit__(self, *_: object) -> None:
        if self._limit.bytes is not None:
            self._limit.lower()


LIMIT = Limit()
"""That of this process: there is one, as there is one kernel limit."""


# -- when it is reached -------------------------------------------------------------------------------------
#
# Nothing of this needs memory before the limit is lifted. So these are functions: `LIMIT.lift()` in a module that has
# imported `LIMIT` makes an object of the method first.


def end_limit() -> None:
    """From now on there is no limit: the program is over, and what is left to do is to say so."""
    LIMIT.lift()


def ran_out(error: BaseException) -> bool:
    """Whether that, or what it was raised from, says that memory has run out."""
    LIMIT.lift()
    try:
        return any(
            isinstance(one, MemoryError)
            or (isinstance(one, OSError) and one.errno == errno.ENOMEM)
            or (isinstance(one, BaseExceptionGroup) and any(map(ran_out, one.exceptions)))
            # No other limit of threads is as near.
            or (LIMIT.bytes is not None and isinstance(one, RuntimeError) and str(one) == "can't start new thread")
            or _panicked(one)
            or getattr(one, "code", None) == OUT_OF_MEMORY  # it is told already
            for one in _chain(error)
        )
    finally:
        LIMIT.lower()


def _panicked(error: BaseException) -> bool:
    """Whether, under a limit, a library in Rust got no memory: pyo3 panics then, and a panic is no `Exception`."""
    return LIMIT.bytes is not None and type(error).__name__ == "PanicException"


def lighten(error: BaseException) -> None:
    """Let go of the frames of an error that says that memory has run out, and so of what their variables held. A note says
    where it was."""
    LIMIT.lift()
    try:
        where = None
        for one in _chain(error):
            trace = one.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            if trace is not None and (names := trace.tb_frame.f_globals) is not globals():
                code = trace.tb_frame.f_code
                where = f"{names.get('__name__')}:{trace.tb_lineno} in {code.co_qualname}"
            one.__traceback__ = trace = None
            if isinstance(one, BaseExceptionGroup):
                for member in one.exceptions:
                    lighten(member)
        # Where it was made light first is the innermost place.
        if where is not None and not hasattr(error, "__notes__"):
            error.add_note(where)
    finally:
        LIMIT.lower()


def told(error: BaseException) -> tuple[str, dict[str, Any]]:
    """What to say of such an error: a message, and facts. Makes it light."""
    lighten(error)
    facts: dict[str, Any] = {}
    if LIMIT.bytes is None:
        message = "there was not enough memory on this machine"
    else:
        facts["limitBytes"] = LIMIT.bytes
        message = f"more memory was needed than {shown(LIMIT.bytes)}; {advice(LIMIT.bytes)}"
    if notes := getattr(error, "__notes__", None):
        facts["where"] = notes[0]
    text = str(error)
    return (f"{message} ({text})" if text else message), facts


def _chain(error: BaseException) -> Iterator[BaseException]:
    """It, and what each was raised from."""
    one: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if one is None:
            break
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def spared(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a thread: a `MemoryError` of it leaves light."""
    try:
        return function(*args, **kwargs)
    except MemoryError as error:
        lighten(error)
        raise


async def spared_task(work: Awaitable[T]) -> T:
    """The same for what a task runs."""
    try:
        return await work
    except MemoryError as error:
        lighten(error)
        raise
