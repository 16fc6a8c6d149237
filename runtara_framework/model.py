"""The records that rooms hand to each other: frozen, plain, and free of behaviour.

Times are integers in milliseconds since the Unix epoch, UTC. Bytes named `input`, `output`, `state` and `payload`
belong to the user and are opaque to the kernel; by convention they are UTF-8 JSON.
"""

from __future__ import annotations

from typing import Any, dataclass_transform

import msgspec

from runtara_framework.states import Reason, Status


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all records."""


class LaunchRef(Record):
    """Who writes: one launch of one instance. Storage refuses the write if `epoch` is not the current one."""

    tenant_id: str
    instance_id: str
    epoch: int


class Image(Record):
    """A registered executable. A name may have many; the newest is the one that the name means."""

    image_id: str
    tenant_id: str
    name: str
    runner_type: str
    sha256: str
    size_bytes: int
    created_at_ms: int
    description: str | None = None
    manifest: dict[str, Any] = {}  # what the image says of itself (inputSchema, variables, …); empty if it is silent
    metadata: dict[str, Any] = {}  # what its owner says of it


class NewInstance(Record):
    """What `create_instance` is told."""

    tenant_id: str
    instance_id: str
    image_id: str | None  # None: it registers itself, nobody launches it
    input: bytes
    env: dict[str, str] = {}
    timeout_ms: int | None = None  # running time over all launches; None = no limit


class Instance(Record):
    """One durable run, as stored."""

    tenant_id: str
    instance_id: str
    image_id: str | None
    image_name: str | None
    status: Status
    reason: Reason | None
    epoch: int
    created_at_ms: int
    input: bytes
    env: dict[str, str] = {}
    started_at_ms: int | None = None  # first time that it was RUNNING
    finished_at_ms: int | None = None  # set exactly when the status is terminal
    wake_at_ms: int | None = None  # SUSPENDED: due then; PENDING: not launched before then
    checkpoint_id: str | None = None  # the latest one
    checkpoint_count: int = 0
    restarts: int = 0  # crashes since the last new checkpoint
    timeout_ms: int | None = None
    running_ms: int = 0  # time used by finished launches
    heartbeat_at_ms: int | None = None
    output: bytes | None = None
    error: dict[str, Any] | None = None
    stderr: str | None = None
    exit_code: int | None = None
    memory_peak_bytes: int | None = None
    cpu_usage_usec: int | None = None  # over all launches


class InstanceSummary(Record):
    """One line of a listing; carries no payloads."""

    tenant_id: str
    instance_id: str
    image_id: str | None
    image_name: str | None
    status: Status
    reason: Reason | None
    created_at_ms: int
    started_at_ms: int | None = None
    finished_at_ms: int | None = None
    wake_at_ms: int | None = None
    has_error: bool = False


class Launch(Record):
    """One process of an instance, claimed by a node."""

    tenant_id: str
    instance_id: str
    epoch: int
    node_id: str
    claimed_at_ms: int
    image: Image
    env: dict[str, str] = {}
    timeout_ms: int | None = None  # the instance's running time over all launches; None = no limit
    remaining_ms: int | None = None  # what is left of it
    restarts: int = 0
    cancelled: bool = False  # a cancel waits: it is launched, or goes on, to obey that
    handle: dict[str, Any] | None = None  # what the runner needs to find the process again
    ended_at_ms: int | None = None

    @property
    def ref(self) -> LaunchRef:
        return LaunchRef(tenant_id=self.tenant_id, instance_id=self.instance_id, epoch=self.epoch)


class Exit(Record):
    """How a process ended. `code` and `signal` are both None when nobody could observe the exit."""

    code: int | None = None
    signal: int | None = None
    out_of_memory: bool = False
    cpu_usec: int | None = None
    memory_peak_bytes: int | None = None
    stderr: str = ""  # the tail, cut at a character, at most 8 KiB


class Checkpoint(Record):
    """A named result of an instance, written once. `seq` orders those of one instance."""

    instance_id: str
    checkpoint_id: str
    seq: int
    state: bytes
    created_at_ms: int


class CheckpointSummary(Record):
    """One line of a listing of checkpoints."""

    instance_id: str
    checkpoint_id: str
    seq: int
    size_bytes: int
    created_at_ms: int


class NewEvent(Record):
    """An event to append. A second event with the same `key` in one instance is dropped (replays, retries)."""

    event_type: str  # heartbeat | custom | started | suspended | completed | failed | cancelled
    subtype: str | None = None
    checkpoint_id: str | None = None
    payload: bytes = b""
    key: str | None = None


class Event(Record):
    """An append-only record of what happened to an instance. `event_id` orders all events."""

    event_id: int
    instance_id: str
    event_type: str
    subtype: str | None
    checkpoint_id: str | None
    payload: bytes
    created_at_ms: int


class Signal(Record):
    """A cancel, pause or resume that the instance has not acknowledged yet. `signal_id` orders them."""

    signal_id: int
    signal_type: str  # cancel | pause | resume
    payload: bytes
    created_at_ms: int


class Change(Record):
    """A transition that was committed. Told to the launcher, to waiting callers and to hooks."""

    tenant_id: str
    instance_id: str
    before: Status | None  # None: it was created
    after: Status
    reason: Reason | None = None
    wake_at_ms: int | None = None
