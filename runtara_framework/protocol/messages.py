"""Every request and response, by protocol. Plain records; the codec of a transport decides how they look on the wire.

Two protocols. *core* is spoken by instances: each request names the instance, and the token of the connection proves the
launch. *environment* is spoken by products: each request names the tenant. `bytes` belong to the user and are opaque;
`Any` is a JSON value. Fields end in their unit (`_ms`, `_bytes`). Requests refuse unknown fields, so that a misspelt one
is an error; responses ignore them, so that an old client understands a new server.
"""

from __future__ import annotations

from typing import Any, dataclass_transform

import msgspec

from runtara_framework.model import CheckpointSummary, InstanceSummary
from runtara_framework.states import Status


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all requests."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Response(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all responses."""


class Done(Response):
    """The answer of an operation that has nothing to tell but that it is committed."""

    success: bool = True


# -- core: what an instance asks --------------------------------------------------------------------------


class SignalInfo(Response):
    """A cancel, pause or resume that waits to be acknowledged."""

    signal_id: int
    signal_type: str
    payload: bytes = b""


class SavedCheckpoint(Response):
    """A checkpoint as a replay needs it."""

    checkpoint_id: str
    state: bytes


class Register(Request):
    """The first message of a launch. An instance that no server launched may name itself and has no token yet."""

    instance_id: str
    tenant_id: str | None = None
    checkpoint_id: str | None = None  # must exist if given


class Registered(Response):
    """All that a launch needs to go on from where the one before it was."""

    instance_id: str
    tenant_id: str
    epoch: int
    token: str  # to be used for this launch from now on (equals the one in use, if there is one)
    input: bytes
    checkpoints: list[SavedCheckpoint]
    next_seq: int | None  # not None: fetch the rest with `load_checkpoints`
    signals: list[SignalInfo]
    now_ms: int
    started_at_ms: int  # when the instance first ran: the same on every replay
    hold_below_ms: int  # a sleep or wait that is longer leaves the process
    heartbeat_within_ms: int | None = None  # a sign of life is expected so often; None: as the instance likes
    remaining_ms: int | None = None  # running time that is left to the instance; None: no limit


class LoadCheckpoints(Request):
    """The next page of checkpoints for a replay."""

    instance_id: str
    after_seq: int


class LoadedCheckpoints(Response):
    checkpoints: list[SavedCheckpoint]
    next_seq: int | None


class SaveCheckpoint(Request):
    """Write once: the first value stored under an id is the one returned ever after."""

    instance_id: str
    checkpoint_id: str
    state: bytes


class CheckpointSaved(Response):
    """`found` says that the id existed; then `state` is the stored value and the sent one is ignored."""

    found: bool
    state: bytes | None = None
    signals: list[SignalInfo] = []


class GetCheckpoint(Request):
    instance_id: str
    checkpoint_id: str


class GotCheckpoint(Response):
    found: bool
    state: bytes | None = None


class TakeSignal(Request):
    """Consume the custom signal of a wait key and record its payload as a checkpoint, in one transaction."""

    instance_id: str
    signal_key: str
    checkpoint_id: str
    wait_ms: int = 0  # hold the answer this long for the signal to come


class SignalTaken(Response):
    """`found`: the payload, from the signal or from the checkpoint that an earlier take recorded."""

    found: bool
    payload: bytes | None = None
    signals: list[SignalInfo] = []


class Suspend(Request):
    """The instance has nothing to do until `wake_at_ms` or one of `signal_keys`; its process is about to exit."""

    instance_id: str
    reason: str  # paused | sleeping | waiting_signal | draining | breakpoint
    wake_at_ms: int | None = None
    signal_keys: list[str] = []
    waits: list[str] = []  # checkpoints of those waits; one that exists has its answer: not suspended
    reached: list[str] = []  # breakpoints: checkpoints that are written together with the suspension


class Suspended(Response):
    """Not `suspended`: something is due already (a signal has come); look again instead of exiting."""

    suspended: bool


class AppendEvent(Request):
    """Append a `custom` event (or a `heartbeat`). A repeated `key` is dropped."""

    instance_id: str
    event_type: str = "custom"
    subtype: str | None = None
    checkpoint_id: str | None = None
    payload: bytes = b""
    key: str | None = None


class Heartbeat(Request):
    """The instance is alive. Every other call says so too."""

    instance_id: str


class Complete(Request):
    instance_id: str
    output: bytes


class Fail(Request):
    """`error` is the structured failure of DSL.md section 6."""

    instance_id: str
    error: dict[str, Any]


class GetStatus(Request):
    """May name another instance of the same tenant."""

    instance_id: str
    of: str | None = None


class GotStatus(Response):
    instance_id: str
    status: Status
    checkpoint_id: str | None = None
    output: bytes | None = None
    error: dict[str, Any] | None = None


class PollSignals(Request):
    """The signals that wait. `wait_ms` holds the answer until there is one beyond `after_signal_id`."""

    instance_id: str
    after_signal_id: int = 0
    wait_ms: int = 0


class PolledSignals(Response):
    signals: list[SignalInfo]


class AcknowledgeSignal(Request):
    """The instance obeyed: cancel makes it CANCELLED, pause makes it SUSPENDED, resume changes nothing. If a cancel has come
    after the pause, the instance is launched again to obey that."""

    instance_id: str
    signal_type: str


class ResolveConnection(Request):
    """A connection of the instance's tenant. The server asks a plugin or the product's connection service."""

    instance_id: str
    connection_id: str


class ResolvedConnection(Response):
    """`parameters` are secret: they belong into no checkpoint, event or error. It may be kept for `max_age_ms`."""

    integration_id: str
    parameters: dict[str, Any]
    connection_subtype: str | None = None
    max_age_ms: int = 0


# -- environment: what a product asks ---------------------------------------------------------------------


class HealthCheck(Request):
    pass


class Health(Response):
    healthy: bool
    version: str
    uptime_ms: int
    active_instances: int


class ImageInfo(Response):
    """An image, as a product sees it."""

    image_id: str
    tenant_id: str
    name: str
    runner_type: str
    sha256: str
    size_bytes: int
    created_at_ms: int
    description: str | None = None
    manifest: dict[str, Any] = {}
    metadata: dict[str, Any] = {}


class RegisterImage(Request):
    """`runner_type` defaults to the server's `[runner] default`. The bytes come along or, for a large image, follow."""

    tenant_id: str
    name: str
    binary: bytes
    description: str | None = None
    runner_type: str | None = None
    metadata: dict[str, Any] = {}
    sha256: str | None = None


class UploadImage(Request):
    """The image's bytes follow as a stream."""

    tenant_id: str
    name: str
    description: str | None = None
    runner_type: str | None = None
    metadata: dict[str, Any] = {}
    sha256: str | None = None


class ImageRegistered(Response):
    """`deduplicated`: the tenant had the same bytes under the same name already, and this is that image."""

    image_id: str
    image: ImageInfo
    deduplicated: bool = False
    success: bool = True


class ListImages(Request):
    tenant_id: str
    name: str | None = None
    limit: int = 100
    offset: int = 0


class Images(Response):
    images: list[ImageInfo]
    total_count: int


class GetImage(Request):
    """`image_id` may be a name; it means the newest image of that name."""

    tenant_id: str
    image_id: str


class DeleteImage(Request):
    tenant_id: str
    image_id: str


class StartInstance(Request):
    """Idempotent by `instance_id`: the same id, tenant and image is the same instance."""

    tenant_id: str
    image_id: str  # or a name
    instance_id: str | None = None
    input: Any = None
    timeout_seconds: float | None = None
    env: dict[str, str] = {}


class InstanceStarted(Response):
    instance_id: str
    deduplicated: bool = False
    success: bool = True


class StopInstance(Request):
    """End it without asking it: TERM, then KILL after the grace period. The instance becomes CANCELLED."""

    tenant_id: str
    instance_id: str
    grace_period_seconds: float = 5.0
    reason: str = ""


class ResumeInstance(Request):
    tenant_id: str
    instance_id: str


class GetInstance(Request):
    """`wait_ms` holds the answer until the instance ends (or its status differs from `unless_status`)."""

    tenant_id: str
    instance_id: str
    wait_ms: int = 0
    unless_status: str | None = None


class InstanceInfo(Response):
    """An instance, as a product sees it. `input` and `output` are JSON values where the bytes are JSON."""

    instance_id: str
    tenant_id: str
    status: Status
    reason: str | None
    created_at_ms: int
    image_id: str | None = None
    image_name: str | None = None
    started_at_ms: int | None = None
    finished_at_ms: int | None = None
    wake_at_ms: int | None = None
    checkpoint_id: str | None = None
    checkpoint_count: int = 0
    restarts: int = 0
    launches: int = 0
    input: Any = None
    output: Any = None
    error: dict[str, Any] | None = None
    stderr: str | None = None
    exit_code: int | None = None
    heartbeat_at_ms: int | None = None
    memory_peak_bytes: int | None = None
    cpu_usage_usec: int | None = None


class ListInstances(Request):
    """`order_by`: created_at_desc | created_at_asc | finished_at_desc | finished_at_asc. Lower bounds are inclusive, upper
    ones exclusive. Page by `offset`, or by `cursor` (any depth at the same price)."""

    tenant_id: str
    status: str | None = None
    image_id: str | None = None
    image_name_prefix: str | None = None
    created_after_ms: int | None = None
    created_before_ms: int | None = None
    finished_after_ms: int | None = None
    finished_before_ms: int | None = None
    order_by: str = "created_at_desc"
    limit: int = 100
    offset: int = 0
    cursor: str | None = None
    count: bool = True  # false spares the total


class Instances(Response):
    instances: list[InstanceSummary]
    total_count: int | None
    next_cursor: str | None = None


class SendSignal(Request):
    """`signal_type`: cancel | pause | resume. The payload of a cancel is the program's; if it is an object with a member
    `compensate` that is true, the compensations with the trigger `manual` run, too."""

    tenant_id: str
    instance_id: str
    signal_type: str
    payload: Any = None


class SendCustomSignal(Request):
    """A payload for one wait key; may come before the wait does. A second one before the first is consumed replaces it."""

    tenant_id: str
    instance_id: str
    signal_key: str
    payload: Any = None


class ListCheckpoints(Request):
    tenant_id: str
    instance_id: str
    checkpoint_id: str | None = None
    limit: int = 100
    offset: int = 0
    created_after_ms: int | None = None
    created_before_ms: int | None = None


class Checkpoints(Response):
    checkpoints: list[CheckpointSummary]
    total_count: int


class ReadCheckpoint(Request):
    tenant_id: str
    instance_id: str
    checkpoint_id: str


class CheckpointData(Response):
    instance_id: str
    checkpoint_id: str
    created_at_ms: int
    data: Any = None  # the JSON value
    data_bytes: bytes | None = None  # instead, where the state is no JSON


class ListEvents(Request):
    """Newest first unless `sort_order` is asc."""

    tenant_id: str
    instance_id: str
    event_type: str | None = None
    subtype: str | None = None
    limit: int = 100
    offset: int = 0
    after_event_id: int | None = None
    created_after_ms: int | None = None
    created_before_ms: int | None = None
    payload_contains: str | None = None
    sort_order: str = "desc"


class EventInfo(Response):
    event_id: int
    instance_id: str
    event_type: str
    created_at_ms: int
    subtype: str | None = None
    checkpoint_id: str | None = None
    payload: Any = None  # JSON where the bytes are JSON, else text


class Events(Response):
    events: list[EventInfo]
    total_count: int


class ListAgents(Request):
    pass


class Agents(Response):
    agents: list[dict[str, Any]]


class GetCapability(Request):
    agent_id: str
    capability_id: str


class Capability(Response):
    agent_id: str
    capability: dict[str, Any]
