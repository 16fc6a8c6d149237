"""What products ask: one method an operation of the environment protocol.

Every request names its tenant, and storage lets no call see another tenant's row.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import msgspec

from runtara_framework import __version__
from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.clock import Clock
from runtara_framework.config import Settings
from runtara_framework.dsl.bounds import MAX_SECONDS
from runtara_framework.dsl.schemas import check_input
from runtara_framework.errors import (
    CheckpointNotFound,
    InputInvalid,
    InvalidRequest,
    PayloadTooLarge,
    ServerStopping,
)
from runtara_framework.model import Event, Image, Instance, NewInstance
from runtara_framework.protocol import messages as m
from runtara_framework.protocol.channel import Body
from runtara_framework.services.core import MAX_HOLD_MS
from runtara_framework.services.images import ImageService, obeys, single
from runtara_framework.services.launcher import OWN_VARIABLES, Launcher
from runtara_framework.services.notifier import Notifier, wait_set
from runtara_framework.spec.persistence import CheckpointFilter, EventFilter, InstanceFilter, Persistence
from runtara_framework.states import TERMINAL, Status

ORDERS = ("created_at_desc", "created_at_asc", "finished_at_desc", "finished_at_asc")
MAX_PAGE = 1000


class EnvironmentService:
    """The service behind the environment protocol."""

    def __init__(
        self,
        *,
        persistence: Persistence,
        launcher: Launcher,
        images: ImageService,
        agents: AgentRegistry,
        settings: Settings,
        clock: Clock,
        notifier: Notifier,
    ) -> None:
        self._persistence = persistence
        self._launcher = launcher
        self._images = images
        self._agents = agents
        self._settings = settings
        self._clock = clock
        self._notifier = notifier
        self._started = time.monotonic()
        self.stopping = False

    async def health_check(self, request: m.HealthCheck) -> m.Health:
        active = await self._persistence.count_active()
        return m.Health(
            healthy=not self.stopping,
            version=__version__,
            uptime_ms=int((time.monotonic() - self._started) * 1000),
            active_instances=active,
        )

    # -- images -----------------------------------------------------------------------------------------

    async def register_image(self, request: m.RegisterImage) -> m.ImageRegistered:
        return await self._register(request, single(request.binary))

    async def upload_image(self, request: m.UploadImage, body: Body) -> m.ImageRegistered:
        return await self._register(request, body)

    async def _register(self, request: m.RegisterImage | m.UploadImage, chunks: Body) -> m.ImageRegistered:
        image, deduplicated = await self._images.register(
            tenant_id=request.tenant_id,
            name=request.name,
            chunks=chunks,
            description=request.description,
            runner_type=request.runner_type,
            metadata=request.metadata,
            sha256=request.sha256,
        )
        return m.ImageRegistered(image_id=image.image_id, image=_image(image), deduplicated=deduplicated)

    async def list_images(self, request: m.ListImages) -> m.Images:
        _page(request.limit, request.offset)
        images, total = await self._persistence.list_images(
            request.tenant_id, name=request.name, limit=request.limit, offset=request.offset
        )
        return m.Images(images=[_image(image) for image in images], total_count=total)

    async def get_image(self, request: m.GetImage) -> m.ImageInfo:
        return _image(await self._persistence.get_image(request.tenant_id, request.image_id))

    async def delete_image(self, request: m.DeleteImage) -> m.Done:
        await self._images.delete(request.tenant_id, request.image_id)
        return m.Done()

    # -- instances --------------------------------------------------------------------------------------

    async def start_instance(self, request: m.StartInstance) -> m.InstanceStarted:
        if self.stopping:
            raise ServerStopping
        _check_start(request)
        instance_id = str(uuid.uuid4()) if request.instance_id is None else request.instance_id
        image = await self._persistence.get_image(request.tenant_id, request.image_id)
        created = await self._persistence.create_instance(
            NewInstance(
                tenant_id=request.tenant_id,
                instance_id=instance_id,
                image_id=image.image_id,
                input=self._input(image, request.input),
                env=request.env,
                timeout_ms=self._timeout_ms(image, request.timeout_seconds),
            ),
            max_pending=self._settings.server.max_pending_instances,
            now_ms=self._clock.now_ms(),
        )
        self._notifier.changed(created.change)
        return m.InstanceStarted(instance_id=instance_id, deduplicated=created.change is None)

    def _input(self, image: Image, value: Any) -> bytes:
        if image.manifest.get("kind") == "scenario":
            envelope, violations = check_input(
                image.manifest.get("inputSchema") or {}, image.manifest.get("variables") or {}, value
            )
            if violations:
                listed = "; ".join(f"{v.path}: {v.message}" for v in violations)
                raise InputInvalid(
                    f"the input does not fit image {image.name!r}: {listed}",
                    violations=[{"path": v.path, "message": v.message} for v in violations],
                )
            value = {"data": envelope.data, "variables": envelope.variables}
        return _encode({} if value is None else value, "the input", self._settings.limits.input_bytes)

    def _timeout_ms(self, image: Image, asked: float | None) -> int:
        declared = image.manifest.get("executionTimeoutSeconds")
        return int(1000 * (asked or declared or self._settings.runner.timeout_seconds))

    async def get_instance(self, request: m.GetInstance) -> m.InstanceInfo:
        ends = time.monotonic() + min(request.wait_ms, MAX_HOLD_MS) / 1000
        with self._notifier.watching(request.instance_id) as event:
            while True:
                instance = await self._persistence.get_instance(request.tenant_id, request.instance_id)
                changed = request.unless_status is not None and instance.status != request.unless_status
                rest = ends - time.monotonic()
                if instance.status in TERMINAL or changed or rest <= 0:
                    return _instance(instance)
                await wait_set(event, rest)

    async def list_instances(self, request: m.ListInstances) -> m.Instances:
        _page(request.limit, request.offset)
        if request.order_by not in ORDERS:
            raise InvalidRequest(f"order_by is one of {', '.join(ORDERS)}, not {request.order_by!r}")
        if request.status is not None and request.status not in set(Status):
            raise InvalidRequest(f"status is one of {', '.join(Status)}, not {request.status!r}")
        page = await self._persistence.list_instances(
            InstanceFilter(
                tenant_id=request.tenant_id,
                status=Status(request.status) if request.status else None,
                image_id=request.image_id,
                image_name_prefix=request.image_name_prefix,
                created_after_ms=request.created_after_ms,
                created_before_ms=request.created_before_ms,
                finished_after_ms=request.finished_after_ms,
                finished_before_ms=request.finished_before_ms,
                order_by=request.order_by,
                limit=request.limit,
                offset=request.offset,
                cursor=request.cursor,
                count=request.count,
            )
        )
        return m.Instances(instances=page.instances, total_count=page.total, next_cursor=page.next_cursor)

    async def stop_instance(self, request: m.StopInstance) -> m.Done:
        if request.grace_period_seconds < 0:
            raise InvalidRequest("grace_period_seconds must not be negative")
        # Cancelled first: whatever the process still writes is stale. Then the process goes.
        change = await self._persistence.stop_instance(
            request.tenant_id, request.instance_id, now_ms=self._clock.now_ms()
        )
        self._notifier.changed(change)
        await self._launcher.kill(request.tenant_id, request.instance_id, request.grace_period_seconds)
        return m.Done()

    async def resume_instance(self, request: m.ResumeInstance) -> m.Done:
        return await self._signal(request.tenant_id, request.instance_id, "resume", b"")

    async def send_signal(self, request: m.SendSignal) -> m.Done:
        if request.signal_type not in ("cancel", "pause", "resume"):
            raise InvalidRequest(f"signal_type is cancel, pause or resume, not {request.signal_type!r}")
        tenant_id, instance_id, payload = request.tenant_id, request.instance_id, self._payload(request.payload)
        if request.signal_type != "cancel":
            return await self._signal(tenant_id, instance_id, request.signal_type, payload)
        compensate = request.payload.get("compensate", False) if isinstance(request.payload, dict) else False
        if not isinstance(compensate, bool):
            raise InvalidRequest(f"compensate, in the payload of a cancel, is true or false, not {compensate!r}")
        instance = await self._persistence.get_instance(tenant_id, instance_id)
        deliver = False
        if instance.image_id is not None and instance.status not in TERMINAL:
            image = await self._persistence.get_image(tenant_id, instance.image_id)
            deliver = obeys(image.manifest, compensate)
        return await self._signal(tenant_id, instance_id, "cancel", payload, deliver=deliver)

    async def _signal(
        self, tenant_id: str, instance_id: str, signal_type: str, payload: bytes, *, deliver: bool = False
    ) -> m.Done:
        sent = await self._persistence.send_signal(
            tenant_id, instance_id, signal_type, payload, deliver=deliver, now_ms=self._clock.now_ms()
        )
        self._notifier.changed(sent.change)
        if sent.signal is not None:
            self._notifier.touched(instance_id)
            if signal_type == "cancel":
                self._launcher.cancel_sent(tenant_id, instance_id)
        return m.Done()

    async def send_custom_signal(self, request: m.SendCustomSignal) -> m.Done:
        if not request.signal_key:
            raise InvalidRequest("signal_key must not be empty; it is the key that the instance waits for")
        change = await self._persistence.send_custom_signal(
            request.tenant_id,
            request.instance_id,
            request.signal_key,
            self._payload(request.payload),
            now_ms=self._clock.now_ms(),
        )
        self._notifier.changed(change)
        self._notifier.touched(request.instance_id)
        return m.Done()

    def _payload(self, value: Any) -> bytes:
        return _encode(value, "the payload", self._settings.limits.event_bytes)

    # -- history ----------------------------------------------------------------------------------------

    async def list_checkpoints(self, request: m.ListCheckpoints) -> m.Checkpoints:
        _page(request.limit, request.offset)
        checkpoints, total = await self._persistence.list_checkpoints(
            CheckpointFilter(
                tenant_id=request.tenant_id,
                instance_id=request.instance_id,
                checkpoint_id=request.checkpoint_id,
                created_after_ms=request.created_after_ms,
                created_before_ms=request.created_before_ms,
                limit=request.limit,
                offset=request.offset,
            )
        )
        return m.Checkpoints(checkpoints=checkpoints, total_count=total)

    async def read_checkpoint(self, request: m.ReadCheckpoint) -> m.CheckpointData:
        found = await self._persistence.get_checkpoint(request.tenant_id, request.instance_id, request.checkpoint_id)
        if found is None:
            raise CheckpointNotFound(f"instance {request.instance_id!r} has no checkpoint {request.checkpoint_id!r}")
        data, is_json = _json(found.state)
        return m.CheckpointData(
            instance_id=found.instance_id,
            checkpoint_id=found.checkpoint_id,
            created_at_ms=found.created_at_ms,
            data=data if is_json else None,
            data_bytes=None if is_json else found.state,
        )

    async def list_events(self, request: m.ListEvents) -> m.Events:
        _page(request.limit, request.offset)
        if request.sort_order not in ("asc", "desc"):
            raise InvalidRequest(f"sort_order is asc or desc, not {request.sort_order!r}")
        events, total = await self._persistence.list_events(
            EventFilter(
                tenant_id=request.tenant_id,
                instance_id=request.instance_id,
                event_type=request.event_type,
                subtype=request.subtype,
                after_event_id=request.after_event_id,
                created_after_ms=request.created_after_ms,
                created_before_ms=request.created_before_ms,
                payload_contains=request.payload_contains,
                ascending=request.sort_order == "asc",
                limit=request.limit,
                offset=request.offset,
            )
        )
        return m.Events(events=[_event(event) for event in events], total_count=total)

    # -- agents -----------------------------------------------------------------------------------------

    async def list_agents(self, request: m.ListAgents) -> m.Agents:
        return m.Agents(agents=[msgspec.to_builtins(agent) for agent in self._agents.listing().agents])

    async def get_capability(self, request: m.GetCapability) -> m.Capability:
        agent = self._agents.info(request.agent_id)
        capability = agent.require(request.capability_id)
        return m.Capability(agent_id=agent.id, capability=msgspec.to_builtins(capability))


def _check_start(request: m.StartInstance) -> None:
    """Refuse now what could only fail later, when there is a process to start."""
    given = request.instance_id
    # An empty id is a variable that was not set, not a wish for a random one: that would lose idempotency in silence.
    if given is not None and (not 0 < len(given) <= 255 or not given.isprintable()):
        raise InvalidRequest("instance_id has 1 to 255 printable characters; leave it out to get a random one")
    seconds = request.timeout_seconds
    if seconds is not None and not 0 < seconds <= MAX_SECONDS:
        raise InvalidRequest(f"timeout_seconds is more than 0 and at most {MAX_SECONDS} (ten years)")
    for name, value in request.env.items():
        if not name or "=" in name or "\0" in name + value:
            raise InvalidRequest(f"env: {name!r} cannot be set: a name is not empty, has no '=', and nothing has a NUL")
        if name in OWN_VARIABLES:
            raise InvalidRequest(f"env: {name} is what the server tells the instance; a start cannot set it")


def _encode(value: Any, what: str, limit: int) -> bytes:
    """A JSON value as bytes. Raises `InvalidRequest` for what is no JSON (a binary transport can carry more than JSON can),
    `PayloadTooLarge`."""
    try:
        encoded = msgspec.json.encode(value)
        if b"null" in encoded:  # msgspec writes NaN and infinities as null: look only where there is one
            json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidRequest(f"{what} is no JSON value: {error}") from None
    if len(encoded) > limit:
        raise PayloadTooLarge(f"{what} has {len(encoded)} bytes, the limit is {limit}", limit_bytes=limit)
    return encoded


def _page(limit: int, offset: int) -> None:
    if not 0 <= limit <= MAX_PAGE:
        raise InvalidRequest(f"limit is 0 to {MAX_PAGE}, not {limit}")
    if offset < 0:
        raise InvalidRequest(f"offset must not be negative, it is {offset}")


def _json(content: bytes | None) -> tuple[Any, bool]:
    """The JSON value of the bytes, or their text; and whether they were JSON."""
    if content is None:
        return None, True
    try:
        return json.loads(content), True
    except (ValueError, RecursionError):
        return content.decode("utf-8", "replace"), False


def _image(image: Image) -> m.ImageInfo:
    return msgspec.convert(image, m.ImageInfo, from_attributes=True)


def _event(event: Event) -> m.EventInfo:
    return m.EventInfo(
        event_id=event.event_id,
        instance_id=event.instance_id,
        event_type=event.event_type,
        created_at_ms=event.created_at_ms,
        subtype=event.subtype,
        checkpoint_id=event.checkpoint_id,
        payload=_json(event.payload)[0] if event.payload else None,
    )


def _instance(instance: Instance) -> m.InstanceInfo:
    return m.InstanceInfo(
        instance_id=instance.instance_id,
        tenant_id=instance.tenant_id,
        status=instance.status,
        reason=instance.reason,
        created_at_ms=instance.created_at_ms,
        image_id=instance.image_id,
        image_name=instance.image_name,
        started_at_ms=instance.started_at_ms,
        finished_at_ms=instance.finished_at_ms,
        wake_at_ms=instance.wake_at_ms,
        checkpoint_id=instance.checkpoint_id,
        checkpoint_count=instance.checkpoint_count,
        restarts=instance.restarts,
        launches=instance.epoch,
        input=_json(instance.input)[0],
        output=_json(instance.output)[0],
        error=instance.error,
        stderr=instance.stderr,
        exit_code=instance.exit_code,
        heartbeat_at_ms=instance.heartbeat_at_ms,
        memory_peak_bytes=instance.memory_peak_bytes,
        cpu_usage_usec=instance.cpu_usage_usec,
    )
