"""Persistence: where instances, checkpoints, events, signals and images live. Group `runtara.persistence`.

The services are the only callers. This contract carries the platform's promises, so it is written as promises:

* **Every method is one transaction.** When it returns, what it says is durable (it survives a power cut); when it raises,
  nothing of it happened. A driver may let concurrent calls share a transaction; callers never see it.
* **Writes are fenced.** A method that takes a `LaunchRef` writes only if `ref.epoch` is the instance's current epoch and the
  tenant is the instance's; otherwise it raises `StaleLaunch` (an older epoch) or `InstanceNotFound`, and writes nothing.
* **Transitions are compare-and-set.** A status changes only along `states.TRANSITIONS`, in an update that is conditional on
  the status it starts from. Of two racing callers one wins; the other gets `InvalidState` or an answer that says so.
* **Tenants are walls.** A row of another tenant does not exist: `InstanceNotFound`, `ImageNotFound`, an empty page.
* **Time comes from the caller** (`now_ms`); a driver never asks a clock what to write.
* `Change`s returned tell exactly the transitions that were committed by this call.

Any method may raise `StorageError` (retryable: the database is away) or `StorageCorrupt`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from runtara_framework.model import (
    Change,
    Checkpoint,
    CheckpointSummary,
    Event,
    Exit,
    Image,
    Instance,
    InstanceSummary,
    Launch,
    LaunchRef,
    NewEvent,
    NewInstance,
    Record,
    Signal,
)
from runtara_framework.spec.driver import Driver, Kind
from runtara_framework.states import Reason, Status

# -- answers ----------------------------------------------------------------------------------------------


class Created(Record):
    """`change` is None if the instance existed already (same tenant, image: the existing one is meant)."""

    instance: Instance
    change: Change | None


class Registration(Record):
    """What a launch needs to begin. `change` is None if this launch had registered before (a repeated call)."""

    instance: Instance
    checkpoints: list[Checkpoint]
    next_seq: int | None  # not None: `load_checkpoints(after_seq=next_seq)` has more
    signals: list[Signal]
    change: Change | None


class CheckpointPage(Record):
    checkpoints: list[Checkpoint]
    next_seq: int | None


class SavedState(Record):
    """`existing` is the stored state if the id existed (the sent one was ignored), else None."""

    existing: bytes | None
    signals: list[Signal]


class TakenSignal(Record):
    """`payload` is None if neither the checkpoint nor the signal exists."""

    payload: bytes | None
    signals: list[Signal]


class SignalSent(Record):
    """`signal` is set if it now waits for the instance; `change` if the status changed at once (both: the instance is
    launched to obey it)."""

    signal: Signal | None
    change: Change | None


class Page(Record):
    """One page of instances. `total` is None if it was not asked for."""

    instances: list[InstanceSummary]
    total: int | None
    next_cursor: str | None


# -- questions --------------------------------------------------------------------------------------------


class InstanceFilter(Record):
    """Lower bounds are inclusive, upper ones exclusive. `order_by`: created_at_desc | created_at_asc | finished_at_desc |
    finished_at_asc (unfinished last). `cursor` continues where a page of the same filter ended and beats `offset`."""

    tenant_id: str
    status: Status | None = None
    image_id: str | None = None
    image_name_prefix: str | None = None  # literal: % and _ mean themselves
    created_after_ms: int | None = None
    created_before_ms: int | None = None
    finished_after_ms: int | None = None
    finished_before_ms: int | None = None
    order_by: str = "created_at_desc"
    limit: int = 100
    offset: int = 0
    cursor: str | None = None
    count: bool = True


class EventFilter(Record):
    tenant_id: str
    instance_id: str
    event_type: str | None = None
    subtype: str | None = None
    after_event_id: int | None = None
    created_after_ms: int | None = None
    created_before_ms: int | None = None
    payload_contains: str | None = None  # case-insensitive, literal, on the payload as UTF-8 text
    ascending: bool = False
    limit: int = 100
    offset: int = 0


class CheckpointFilter(Record):
    tenant_id: str
    instance_id: str
    checkpoint_id: str | None = None
    created_after_ms: int | None = None
    created_before_ms: int | None = None
    limit: int = 100
    offset: int = 0


# -- verdicts: what the launcher decided about an ended launch --------------------------------------------


class Requeue(Record):
    """Not the instance's fault (the server stops, a node died): PENDING again at once, no restart is counted."""


class Restart(Record):
    """It crashed: PENDING again after `delay_ms`, unless `max_restarts` launches in a row made no new checkpoint; then
    FAILED with `reason` and `error`. `delays_ms[n]` is the delay after the n-th crash in a row (the last one repeats)."""

    max_restarts: int
    delays_ms: tuple[int, ...]
    reason: Reason
    error: dict[str, Any]


class Fail(Record):
    """FAILED for this reason, at once."""

    reason: Reason
    error: dict[str, Any]


class Cancel(Record):
    """CANCELLED for this reason (stopped, or cancelled and the process did not obey)."""

    reason: Reason


Verdict = Requeue | Restart | Fail | Cancel


class Persistence(Driver, ABC):
    """Contract of a persistence driver."""

    # -- schema -----------------------------------------------------------------------------------------

    @abstractmethod
    async def migrate(self, extra: Sequence[Path] = ()) -> str:
        """Bring the schema to this version's; return the revision. Called before anything else; idempotent; safe if two
        servers do it at once. `extra` are directories of alembic revisions, branches of their own that plugins bring.
        Raises `MigrationError` for a database that is newer than this version."""

    @abstractmethod
    async def secret(self, name: str, candidate: bytes) -> bytes:
        """The secret of that name; `candidate` becomes it if there is none. All servers on a database get the same."""

    # -- instances ----------------------------------------------------------------------------------------

    @abstractmethod
    async def create_instance(self, new: NewInstance, *, max_pending: int, now_ms: int) -> Created:
        """Create it PENDING, due at once. Idempotent: the same instance id, tenant and image is the existing instance,
        whatever the input. Raises `InstanceConflict` (the id exists for another image or tenant; says nothing about the
        other), `ImageNotFound`, `QueueFull` (`max_pending` instances are PENDING and not yet claimed)."""

    @abstractmethod
    async def get_instance(self, tenant_id: str, instance_id: str) -> Instance:
        """Raises `InstanceNotFound`."""

    @abstractmethod
    async def list_instances(self, query: InstanceFilter) -> Page:
        """A page. With `cursor`, any depth costs the same."""

    @abstractmethod
    async def count_active(self) -> int:
        """Instances that are PENDING, RUNNING or SUSPENDED, over all tenants."""

    @abstractmethod
    async def send_signal(
        self, tenant_id: str, instance_id: str, signal_type: str, payload: bytes, *, deliver: bool = False, now_ms: int
    ) -> SignalSent:
        """cancel: it waits to be delivered if a launch runs or has claimed the instance. Otherwise (SUSPENDED, or PENDING
        and unclaimed) the instance is CANCELLED at once, unless `deliver` (its program does something when it is
        cancelled) and it has run before: then it becomes PENDING, due now, and its next launch obeys. pause:
        SUSPENDED/paused at once if it is SUSPENDED for another reason (its due time is dropped), nothing if it is paused,
        else it waits. resume: SUSPENDED becomes PENDING; a pause that still waits is withdrawn; otherwise `InvalidState`.
        Any signal to an ended instance: `InvalidState`. A signal that waits already is not doubled.
        Raises `InstanceNotFound`."""

    @abstractmethod
    async def send_custom_signal(
        self, tenant_id: str, instance_id: str, signal_key: str, payload: bytes, *, now_ms: int
    ) -> Change | None:
        """Store the payload for the key, replacing one that was not consumed; if the instance is SUSPENDED/waiting_signal
        on that key, make it PENDING in the same transaction. Raises `InvalidState` if it has ended."""

    @abstractmethod
    async def stop_instance(self, tenant_id: str, instance_id: str, *, now_ms: int) -> Change:
        """CANCELLED/stopped from any active status; the epoch moves on, so whatever still runs is stale. Raises
        `InvalidState` if it has ended."""

    # -- one launch ---------------------------------------------------------------------------------------

    @abstractmethod
    async def claim_launches(self, node_id: str, *, limit: int, now_ms: int) -> list[Launch]:
        """Claim up to `limit` PENDING instances that have an image, are due and unclaimed, in order of creation (those
        that were queued again: by the time they became due). Each gets epoch + 1 and a launch row of `node_id`. No two
        callers ever get the same one."""

    @abstractmethod
    async def claim_self(self, tenant_id: str, instance_id: str, *, node_id: str, now_ms: int) -> LaunchRef:
        """A program that nobody launched wants to register: create the instance if it does not exist (no image, input
        `{}`), else claim its next epoch if it is active. Raises `InvalidState` if it has an image or has ended."""

    @abstractmethod
    async def launch_started(self, ref: LaunchRef, handle: dict[str, Any]) -> None:
        """Keep what the runner needs to adopt the process. Not fenced: a fast instance may have ended already."""

    @abstractmethod
    async def live_launches(self, node_id: str) -> list[Launch]:
        """The launches that this node claimed and that have not been settled."""

    @abstractmethod
    async def settle_launch(
        self, ref: LaunchRef, exit: Exit | None, verdict: Verdict, *, deliver: bool = False, now_ms: int
    ) -> Change | None:
        """The process is gone. Records how (usage adds up, stderr and exit code are kept, running time is added to the
        instance's) and ends the launch row; idempotent. If the instance is still PENDING or RUNNING in this epoch (so the
        program did not report how it ended), applies the verdict; a later epoch or any other status is left alone. A
        signal `cancel` that waits turns Requeue and Restart into CANCELLED, a waiting `pause` into SUSPENDED/paused. With
        `deliver` (as for `send_signal`), an instance that has run is launched again to obey the cancel, as the verdict
        says, so that what it does when it is cancelled goes on after a crash; a used-up Restart is then CANCELLED."""

    @abstractmethod
    async def register(self, ref: LaunchRef, *, checkpoint_id: str | None, now_ms: int) -> Registration:
        """PENDING becomes RUNNING; a repeated call of the same epoch answers the same. Answers the checkpoints in order
        of creation, up to about 8 MiB of state. Raises `CheckpointNotFound` for an unknown `checkpoint_id`."""

    @abstractmethod
    async def load_checkpoints(self, ref: LaunchRef, *, after_seq: int) -> CheckpointPage:
        """The next page, up to about 8 MiB of state."""

    @abstractmethod
    async def checkpoint(self, ref: LaunchRef, checkpoint_id: str, state: bytes, *, now_ms: int) -> SavedState:
        """Write once. Needs RUNNING (`InvalidState` otherwise). Answers the signals that wait."""

    @abstractmethod
    async def take_signal(self, ref: LaunchRef, signal_key: str, checkpoint_id: str, *, now_ms: int) -> TakenSignal:
        """If the checkpoint exists: its state. Else, if a custom signal of the key is stored: delete it and record its
        payload as the checkpoint, in this transaction. Else: nothing. Needs RUNNING."""

    @abstractmethod
    async def suspend(
        self,
        ref: LaunchRef,
        reason: Reason,
        *,
        wake_at_ms: int | None,
        signal_keys: Sequence[str],
        waits: Sequence[str] = (),
        reached: Sequence[str] = (),
        now_ms: int,
    ) -> Change | None:
        """RUNNING becomes SUSPENDED. None, and nothing written, if it would have to wake at once: `wake_at_ms` has passed,
        a custom signal of one of the keys is stored, one of the checkpoints `waits` exists (a `take_signal` whose answer was
        lost has consumed the signal), a cancel waits, or a pause waits (which the reasons paused and breakpoint obey). The
        checkpoints `reached` (breakpoints; those that do not exist yet, as `true`) are written with the transition. A
        repeated call of this epoch while it is SUSPENDED answers a change with `before` SUSPENDED."""

    @abstractmethod
    async def finish(
        self,
        ref: LaunchRef,
        status: Status,
        *,
        reason: Reason | None,
        output: bytes | None,
        error: dict[str, Any] | None,
        now_ms: int,
    ) -> Change | None:
        """RUNNING becomes COMPLETED or FAILED. None if this epoch has finished with the same status already (a repeated
        call). `InvalidState` otherwise."""

    @abstractmethod
    async def acknowledge_signal(self, ref: LaunchRef, signal_type: str, *, now_ms: int) -> Change | None:
        """The instance obeyed: the waiting signals of this type are done with; cancel makes it CANCELLED/cancelled, pause
        SUSPENDED/paused. A cancel that waits beside the pause is not lost with the process: RUNNING becomes PENDING, so that
        the next launch obeys it (CANCELLED without an image: nobody would launch it). None if there is nothing of the kind
        or it was acknowledged before (a repeated call)."""

    @abstractmethod
    async def pending_signals(self, ref: LaunchRef) -> list[Signal]:
        """The signals that wait, cancel first, then by age. Fenced like a write."""

    @abstractmethod
    async def heartbeat(self, ref: LaunchRef, *, now_ms: int) -> None:
        """Remember that it is alive."""

    # -- wake -----------------------------------------------------------------------------------------------

    @abstractmethod
    async def claim_due(self, *, limit: int, now_ms: int) -> list[Change]:
        """SUSPENDED instances whose wake time has come become PENDING, the most overdue first. No two callers ever claim
        the same one."""

    @abstractmethod
    async def next_due_ms(self, *, after_ms: int) -> int | None:
        """The earliest moment after `after_ms` at which something becomes due: a SUSPENDED instance's wake time or an
        unclaimed PENDING instance's due time; None if nothing does."""

    # -- checkpoints and events -----------------------------------------------------------------------------

    @abstractmethod
    async def get_checkpoint(self, tenant_id: str, instance_id: str, checkpoint_id: str) -> Checkpoint | None:
        """Raises `InstanceNotFound`."""

    @abstractmethod
    async def list_checkpoints(self, query: CheckpointFilter) -> tuple[list[CheckpointSummary], int]:
        """A page, newest first, and the total. Raises `InstanceNotFound`."""

    @abstractmethod
    async def append_events(self, ref: LaunchRef, events: Sequence[NewEvent], *, now_ms: int) -> None:
        """Append in order; an event whose `key` the instance has already is dropped. Needs the current epoch, any status.
        Transitions append their own events (started, suspended, completed, failed, cancelled) in their transactions."""

    @abstractmethod
    async def list_events(self, query: EventFilter) -> tuple[list[Event], int]:
        """A page and the total. Raises `InstanceNotFound`."""

    # -- images -----------------------------------------------------------------------------------------------

    @abstractmethod
    async def write_blob(self, chunks: AsyncIterator[bytes], *, max_bytes: int, now_ms: int) -> tuple[str, int]:
        """Store bytes by content; return their SHA-256 (lower-case hex) and size. Storing the same bytes twice stores
        them once. Raises `PayloadTooLarge` beyond `max_bytes`. What a killed or failed write leaves behind is never readable
        and is removed by a later start. Memory stays bounded whatever the size."""

    @abstractmethod
    def read_blob(self, sha256: str) -> AsyncIterator[bytes]:
        """The bytes, in chunks. Raises `ImageNotFound`."""

    @abstractmethod
    async def put_image(self, image: Image) -> tuple[Image, bool]:
        """Store the record (its blob exists). If the newest image of that tenant and name has the same bytes, runner,
        description and metadata, nothing is written and that image is returned with True (deduplicated)."""

    @abstractmethod
    async def get_image(self, tenant_id: str, image_id: str) -> Image:
        """By id, else the newest of that name. Raises `ImageNotFound`."""

    @abstractmethod
    async def list_images(
        self, tenant_id: str, *, name: str | None, limit: int, offset: int
    ) -> tuple[list[Image], int]:
        """A page, newest first, and the total."""

    @abstractmethod
    async def delete_image(self, tenant_id: str, image_id: str) -> tuple[Image, bool]:
        """Remove the record, and the bytes if no other image has them (then True). Ended instances keep their history and
        the name of the image. Raises `ImageNotFound`, `ImageInUse`."""


PERSISTENCE = Kind(name="persistence", group="runtara.persistence", base=Persistence, api=1)  # type: ignore[type-abstract]  # mypy 4717
