"""Runner: starts the processes of instances, waits for them, stops them. Group `runtara.runners`.

The launcher is the only caller. A runner knows nothing of statuses, checkpoints or retries: it turns an image and an
environment into something that runs, and tells how that ended. Two promises carry the platform's durability:

* What it launches survives the death of the server (SIGKILL included), and `adopt` finds it again from its handle.
* After `stop` returns, nothing of that launch runs any more: no process, no child of it, no container.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from runtara_framework.model import Exit, Image, LaunchRef, Record
from runtara_framework.spec.driver import Driver, Kind

Handle = dict[str, Any]
"""What finds a process again: JSON, small, stored by the launcher. Its content is the runner's own business."""

ReadBlob = Callable[[], AsyncIterator[bytes]]
"""Opens the image's bytes from the start."""


class LaunchSpec(Record):
    """One launch."""

    ref: LaunchRef
    image: Image
    env: dict[str, str]  # complete: the process sees these variables and no others of the server's
    workdir: Path  # exists, private to the instance, kept from launch to launch
    memory_limit_bytes: int | None = None
    """What the program may use beside `memory.RUNTIME_BYTES`, which are the runtime's. A runner with the capability "memory"
    sees to it: an allocation beyond it fails, or the process is killed (then `Exit.out_of_memory`). None: no limit."""


class Runner(Driver, ABC):
    """Contract of a runner. `capabilities`: see `RUNNER_CAPABILITIES`."""

    @abstractmethod
    async def prepare(self, image: Image, read: ReadBlob) -> None:
        """Make the image ready to launch on this machine. Idempotent, safe to call concurrently, and safe to be killed
        in the middle of. Raises `ImageInvalid` if this runner can never run these bytes."""

    @abstractmethod
    async def launch(self, spec: LaunchSpec) -> Handle:
        """Start the process and return at once. `prepare(spec.image)` has returned before. Raises `LaunchFailed`, after
        which nothing of this launch runs."""

    @abstractmethod
    async def wait(self, handle: Handle) -> Exit:
        """Return when the process has ended; without polling. Called once for each handle from `launch`, and for each
        handle that `adopt` found alive. Cancelling the call leaves the process alone."""

    @abstractmethod
    async def stop(self, handle: Handle, grace_seconds: float) -> None:
        """Ask the process to end, kill it after `grace_seconds` (0: at once), and return when nothing of it is left.
        Does nothing for a process that has ended. `wait` still reports the exit."""

    @abstractmethod
    async def adopt(self, handle: Handle) -> bool:
        """After a restart of the server: is what this handle names still running? Must not mistake another process for
        it (a reused pid, a container of another launch)."""

    @abstractmethod
    async def discard(self, image: Image) -> None:
        """Remove what `prepare` made for these bytes (`image.sha256`). Does nothing if there is nothing."""


RUNNER_CAPABILITIES = frozenset(
    {
        "processes",  # launches real operating-system processes from any executable
        "adopt",  # finds its processes again after the server died
        "usage",  # reports cpu time and peak memory
        "stderr",  # reports the tail of stderr
        "memory",  # enforces `LaunchSpec.memory_limit_bytes`
    }
)

RUNNER = Kind(name="runner", group="runtara.runners", base=Runner, api=1)  # type: ignore[type-abstract]  # mypy 4717
