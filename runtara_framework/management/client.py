"""`ManagementSdk`: the environment protocol as a product speaks it.

    async with ManagementSdk("http://127.0.0.1:8002", tenant_id="acme") as sdk:
        info = await sdk.run_instance(image_id="order", input={"id": 1})

Every method takes keywords, and where there is one its option object instead. The tenant is the SDK's unless a call names
another. Any call raises the server's `RuntaraError`. A call that may be repeated without harm (it reads, starts an
instance by its id, or registers an image) is sent once more if the connection broke; of any other a `ConnectionFailed`
says only that nobody knows whether it was done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from os import PathLike
from types import TracebackType
from typing import Any, Self, TypeVar

from runtara_framework.errors import CallTimeout, ConnectionFailed, InvalidRequest
from runtara_framework.management.config import ManagementConfig
from runtara_framework.management.options import (
    ListCheckpointsOptions,
    ListEventsOptions,
    ListImagesOptions,
    ListInstancesOptions,
    Moment,
    RegisterImageOptions,
    RegisterImageStreamOptions,
    Source,
    StartInstanceOptions,
    StopInstanceOptions,
    milliseconds,
)
from runtara_framework.protocol import messages as m
from runtara_framework.protocol import operations as op
from runtara_framework.protocol.channel import Body, Channel, Dial
from runtara_framework.protocol.operations import Access, Operation
from runtara_framework.sdk.dial import dial as dial_any
from runtara_framework.sdk.values import not_a_number
from runtara_framework.states import TERMINAL

UPLOAD_ABOVE_BYTES = 4 * 2**20
"""A larger image is streamed, whoever registers it: one message has a limit."""
CHUNK_BYTES = 256 * 1024
HOLD_MS = 30_000
"""How long one question of a long wait is held."""
MOMENTS = frozenset({"created_after", "created_before", "finished_after", "finished_before"})
REPEATABLE = frozenset({op.START_INSTANCE.name, op.REGISTER_IMAGE.name})

Req = TypeVar("Req")
Res = TypeVar("Res")


class ManagementSdk:
    """A product's line to the server. Connects when it is first used. Safe for concurrent calls of one event loop."""

    def __init__(
        self,
        server_addr: str | ManagementConfig | None = None,
        *,
        tenant_id: str | None = None,
        token: str | None = None,
        connect_timeout_ms: int | None = None,
        request_timeout_ms: int | None = None,
        dial: Dial = dial_any,
    ) -> None:
        """`server_addr` may be a whole configuration; what is given beside it wins over it. Without one, see
        `ManagementConfig.from_env`."""
        base = server_addr if isinstance(server_addr, ManagementConfig) else ManagementConfig.from_env()
        self.config = ManagementConfig(
            server_addr=server_addr if isinstance(server_addr, str) else base.server_addr,
            tenant_id=base.tenant_id if tenant_id is None else tenant_id,
            token=base.token if token is None else token,
            connect_timeout_ms=base.connect_timeout_ms if connect_timeout_ms is None else connect_timeout_ms,
            request_timeout_ms=base.request_timeout_ms if request_timeout_ms is None else request_timeout_ms,
        )
        self._dial = dial
        self._channel: Channel | None = None
        self._dialing = asyncio.Lock()

    @staticmethod
    def from_env() -> ManagementSdk:
        """See `ManagementConfig.from_env`."""
        return ManagementSdk(ManagementConfig.from_env())

    @staticmethod
    def localhost() -> ManagementSdk:
        """See `ManagementConfig.localhost`."""
        return ManagementSdk(ManagementConfig.localhost())

    # -- connection -----------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Connect now rather than at the first call. Raises `ConnectionFailed`, `CallTimeout`, `ConfigError`."""
        await self._open()

    @property
    def is_connected(self) -> bool:
        return self._channel is not None

    async def close(self) -> None:
        """Close the connection; calls under way raise `ConnectionFailed`. A later call connects again."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _open(self) -> Channel:
        async with self._dialing:
            if self._channel is None:
                self._channel = await self._dial(
                    self.config.server_addr, token=self.config.token, timeout=self.config.connect_timeout_ms / 1000
                )
            return self._channel

    async def _call(
        self, operation: Operation[Req, Res], request: Req, *, hold_ms: int = 0, body: Body | None = None
    ) -> Res:
        timeout = None if body is not None else (self.config.request_timeout_ms + hold_ms) / 1000
        again = operation.access in (Access.READ, Access.PUBLIC) or operation.name in REPEATABLE
        while True:
            channel = self._channel or await self._open()
            try:
                return await channel.call(operation, request, body=body, timeout=timeout)
            except ConnectionFailed:
                if self._channel is channel:
                    await self.close()
                if not again:
                    raise
                again = False

    def _tenant(self, tenant_id: str | None) -> str:
        chosen = tenant_id if tenant_id is not None else self.config.tenant_id
        if not chosen:
            raise InvalidRequest("no tenant: give tenant_id to the call or the SDK, or set RUNTARA_TENANT_ID")
        return chosen

    def _request(self, kind: type[Req], options: Any, **more: Any) -> Req:
        """The request that the options ask for: the same names, but for moments, which the wire has in milliseconds."""
        fields = {name: getattr(options, name) for name in options.__struct_fields__} | more
        fields["tenant_id"] = self._tenant(options.tenant_id)
        for name in MOMENTS & fields.keys():
            fields[f"{name}_ms"] = milliseconds(fields.pop(name))
        return kind(**fields)

    # -- the server -----------------------------------------------------------------------------------------

    async def health_check(self) -> m.Health:
        """Is the server up, and how much runs?"""
        return await self._call(op.HEALTH_CHECK, m.HealthCheck())

    async def list_agents(self) -> list[dict[str, Any]]:
        """The agents that scenarios can use, with their capabilities."""
        return (await self._call(op.LIST_AGENTS, m.ListAgents())).agents

    async def get_capability(self, agent_id: str, capability_id: str) -> dict[str, Any]:
        """One capability with its schemas."""
        request = m.GetCapability(agent_id=agent_id, capability_id=capability_id)
        return (await self._call(op.GET_CAPABILITY, request)).capability

    # -- images -----------------------------------------------------------------------------------------------

    async def register_image(
        self,
        options: RegisterImageOptions | None = None,
        *,
        name: str | None = None,
        binary: bytes | None = None,
        description: str | None = None,
        runner_type: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        sha256: str | None = None,
        tenant_id: str | None = None,
    ) -> m.ImageRegistered:
        """Register an executable. The same bytes under the same name are the same image (`deduplicated`)."""
        chosen = _chosen(
            RegisterImageOptions,
            options,
            name=name,
            binary=binary,
            description=description,
            runner_type=runner_type,
            metadata=metadata,
            sha256=sha256,
            tenant_id=tenant_id,
        )
        if len(chosen.binary) > UPLOAD_ABOVE_BYTES:
            fields = {name: getattr(chosen, name) for name in RegisterImageStreamOptions.__struct_fields__}
            return await self.register_image_stream(RegisterImageStreamOptions(**fields), chosen.binary)
        return await self._call(op.REGISTER_IMAGE, self._request(m.RegisterImage, chosen))

    async def register_image_stream(
        self,
        options: RegisterImageStreamOptions | None = None,
        source: Source = b"",
        *,
        name: str | None = None,
        description: str | None = None,
        runner_type: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        sha256: str | None = None,
        tenant_id: str | None = None,
    ) -> m.ImageRegistered:
        """Register an executable of any size. `source`: its path, its bytes, or an iterator over pieces of them. With
        `sha256`, bytes of another content are refused (`ChecksumMismatch`)."""
        chosen = _chosen(
            RegisterImageStreamOptions,
            options,
            name=name,
            description=description,
            runner_type=runner_type,
            metadata=metadata,
            sha256=sha256,
            tenant_id=tenant_id,
        )
        return await self._call(op.UPLOAD_IMAGE, self._request(m.UploadImage, chosen), body=_pieces(source))

    async def list_images(
        self,
        options: ListImagesOptions | None = None,
        *,
        name: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        tenant_id: str | None = None,
    ) -> m.Images:
        """A page, newest first, and the total."""
        chosen = _chosen(ListImagesOptions, options, name=name, limit=limit, offset=offset, tenant_id=tenant_id)
        return await self._call(op.LIST_IMAGES, self._request(m.ListImages, chosen))

    async def get_image(self, image_id: str, *, tenant_id: str | None = None) -> m.ImageInfo:
        """By id, or the newest of that name. Raises `ImageNotFound`."""
        return await self._call(op.GET_IMAGE, m.GetImage(tenant_id=self._tenant(tenant_id), image_id=image_id))

    async def delete_image(self, image_id: str, *, tenant_id: str | None = None) -> None:
        """By id; a name is not enough to destroy something. Raises `ImageNotFound`, `ImageInUse`."""
        await self._call(op.DELETE_IMAGE, m.DeleteImage(tenant_id=self._tenant(tenant_id), image_id=image_id))

    # -- instances --------------------------------------------------------------------------------------------

    async def start_instance(
        self,
        options: StartInstanceOptions | None = None,
        *,
        image_id: str | None = None,
        instance_id: str | None = None,
        input: Any = None,
        timeout_seconds: float | None = None,
        env: Mapping[str, str] | None = None,
        tenant_id: str | None = None,
    ) -> m.InstanceStarted:
        """Start an image (an id, or a name and its newest). The same `instance_id` and image is the same instance
        (`deduplicated`), so a start may be repeated; without an id a new one is made here. Raises `ImageNotFound`,
        `InputInvalid`, `InstanceConflict`, `QueueFull`."""
        chosen = _chosen(
            StartInstanceOptions,
            options,
            image_id=image_id,
            instance_id=instance_id,
            input=input,
            timeout_seconds=timeout_seconds,
            env=env,
            tenant_id=tenant_id,
        )
        _json({"input": chosen.input, "timeout_seconds": chosen.timeout_seconds}, "start_instance")
        request = self._request(
            m.StartInstance, chosen, instance_id=_new_id() if chosen.instance_id is None else chosen.instance_id
        )
        return await self._call(op.START_INSTANCE, request)

    async def run_instance(
        self,
        options: StartInstanceOptions | None = None,
        *,
        image_id: str | None = None,
        instance_id: str | None = None,
        input: Any = None,
        timeout_seconds: float | None = None,
        env: Mapping[str, str] | None = None,
        tenant_id: str | None = None,
        wait_seconds: float | None = None,
    ) -> m.InstanceInfo:
        """`start_instance` and `wait_for_completion` (for `wait_seconds`)."""
        started = await self.start_instance(
            options,
            image_id=image_id,
            instance_id=instance_id,
            input=input,
            timeout_seconds=timeout_seconds,
            env=env,
            tenant_id=tenant_id,
        )
        owner = options.tenant_id if options is not None else tenant_id
        return await self.wait_for_completion(started.instance_id, tenant_id=owner, timeout=wait_seconds)

    async def wait_for_completion(
        self, instance_id: str, *, timeout: float | None = None, tenant_id: str | None = None
    ) -> m.InstanceInfo:
        """Return when it is completed, failed or cancelled, however long it sleeps; not by asking again and again. Raises
        `CallTimeout` after `timeout` seconds, and leaves the instance alone."""
        loop = asyncio.get_running_loop()
        ends = None if timeout is None else loop.time() + timeout
        while True:
            rest_ms = HOLD_MS if ends is None else min(HOLD_MS, max(0, round((ends - loop.time()) * 1000)))
            info = await self.get_instance_status(instance_id, wait_ms=rest_ms, tenant_id=tenant_id)
            if info.status in TERMINAL:
                return info
            if ends is not None and loop.time() >= ends:
                raise CallTimeout(
                    f"instance {instance_id!r} is still {info.status} after {timeout:g} seconds",
                    instance_id=instance_id,
                    status=str(info.status),
                )

    async def get_instance_status(
        self,
        instance_id: str,
        *,
        wait_ms: int = 0,
        unless_status: str | None = None,
        tenant_id: str | None = None,
    ) -> m.InstanceInfo:
        """One instance. `wait_ms` holds the answer until it ends or its status is not `unless_status`. Raises
        `InstanceNotFound`."""
        request = m.GetInstance(
            tenant_id=self._tenant(tenant_id), instance_id=instance_id, wait_ms=wait_ms, unless_status=unless_status
        )
        return await self._call(op.GET_INSTANCE, request, hold_ms=wait_ms)

    async def list_instances(
        self,
        options: ListInstancesOptions | None = None,
        *,
        status: str | None = None,
        image_id: str | None = None,
        image_name_prefix: str | None = None,
        created_after: Moment | None = None,
        created_before: Moment | None = None,
        finished_after: Moment | None = None,
        finished_before: Moment | None = None,
        order_by: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        cursor: str | None = None,
        count: bool | None = None,
        tenant_id: str | None = None,
    ) -> m.Instances:
        """A page, and the total unless `count` is False. `cursor` is `next_cursor` of the page before."""
        chosen = _chosen(
            ListInstancesOptions,
            options,
            status=status,
            image_id=image_id,
            image_name_prefix=image_name_prefix,
            created_after=created_after,
            created_before=created_before,
            finished_after=finished_after,
            finished_before=finished_before,
            order_by=order_by,
            limit=limit,
            offset=offset,
            cursor=cursor,
            count=count,
            tenant_id=tenant_id,
        )
        return await self._call(op.LIST_INSTANCES, self._request(m.ListInstances, chosen))

    # -- signals ------------------------------------------------------------------------------------------------

    async def stop_instance(
        self,
        instance: str | StopInstanceOptions,
        *,
        grace_period_seconds: float = 5.0,
        reason: str = "",
        tenant_id: str | None = None,
    ) -> None:
        """End it without asking it: TERM, then KILL after the grace period; it becomes CANCELLED. Takes the id, or the
        options. Raises `InvalidState` if it has ended."""
        if isinstance(instance, str):
            instance = StopInstanceOptions(instance, tenant_id, grace_period_seconds, reason)
        request = self._request(m.StopInstance, instance)
        await self._call(op.STOP_INSTANCE, request, hold_ms=round(instance.grace_period_seconds * 1000))

    async def resume_instance(self, instance_id: str, *, tenant_id: str | None = None) -> None:
        """Let a suspended instance go on, or withdraw a pause that it has not obeyed yet."""
        request = m.ResumeInstance(tenant_id=self._tenant(tenant_id), instance_id=instance_id)
        await self._call(op.RESUME_INSTANCE, request)

    async def cancel_instance(
        self, instance_id: str, reason: str | None = None, *, compensate: bool = False, tenant_id: str | None = None
    ) -> None:
        """Ask it to end. It runs its compensations for that case and its `onCancel`, and becomes CANCELLED; for that, one
        that does not run is launched. `compensate`: also the compensations whose trigger is `manual`."""
        payload: dict[str, Any] = {} if reason is None else {"reason": reason}
        if compensate:
            payload["compensate"] = True
        await self.send_signal(instance_id, "cancel", payload or None, tenant_id=tenant_id)

    async def pause_instance(self, instance_id: str, *, tenant_id: str | None = None) -> None:
        """Suspend it at its next step."""
        await self.send_signal(instance_id, "pause", tenant_id=tenant_id)

    async def send_signal(
        self, instance_id: str, signal_type: str, payload: Any = None, *, tenant_id: str | None = None
    ) -> None:
        """`cancel`, `pause` or `resume`. Raises `InstanceNotFound`, `InvalidState`."""
        request = m.SendSignal(
            tenant_id=self._tenant(tenant_id), instance_id=instance_id, signal_type=signal_type, payload=payload
        )
        await self._call(op.SEND_SIGNAL, request)

    async def send_custom_signal(
        self, instance_id: str, signal_key: str, payload: Any = None, *, tenant_id: str | None = None
    ) -> None:
        """A payload for a wait of that key; may come before the wait does."""
        _json({"payload": payload}, "send_custom_signal")
        request = m.SendCustomSignal(
            tenant_id=self._tenant(tenant_id), instance_id=instance_id, signal_key=signal_key, payload=payload
        )
        await self._call(op.SEND_CUSTOM_SIGNAL, request)

    # -- checkpoints and events -----------------------------------------------------------------------------------

    async def list_checkpoints(
        self,
        instance_id: str,
        options: ListCheckpointsOptions | None = None,
        *,
        checkpoint_id: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        created_after: Moment | None = None,
        created_before: Moment | None = None,
        tenant_id: str | None = None,
    ) -> m.Checkpoints:
        """A page, newest first, and the total."""
        chosen = _chosen(
            ListCheckpointsOptions,
            options,
            checkpoint_id=checkpoint_id,
            limit=limit,
            offset=offset,
            created_after=created_after,
            created_before=created_before,
            tenant_id=tenant_id,
        )
        request = self._request(m.ListCheckpoints, chosen, instance_id=instance_id)
        return await self._call(op.LIST_CHECKPOINTS, request)

    async def get_checkpoint(
        self, instance_id: str, checkpoint_id: str, *, tenant_id: str | None = None
    ) -> m.CheckpointData:
        """One checkpoint with its data. Raises `CheckpointNotFound`."""
        request = m.ReadCheckpoint(
            tenant_id=self._tenant(tenant_id), instance_id=instance_id, checkpoint_id=checkpoint_id
        )
        return await self._call(op.READ_CHECKPOINT, request)

    async def list_events(
        self,
        instance_id: str,
        options: ListEventsOptions | None = None,
        *,
        event_type: str | None = None,
        subtype: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        after_event_id: int | None = None,
        created_after: Moment | None = None,
        created_before: Moment | None = None,
        payload_contains: str | None = None,
        sort_order: str | None = None,
        tenant_id: str | None = None,
    ) -> m.Events:
        """A page, newest first unless `sort_order` is asc, and the total."""
        chosen = _chosen(
            ListEventsOptions,
            options,
            event_type=event_type,
            subtype=subtype,
            limit=limit,
            offset=offset,
            after_event_id=after_event_id,
            created_after=created_after,
            created_before=created_before,
            payload_contains=payload_contains,
            sort_order=sort_order,
            tenant_id=tenant_id,
        )
        request = self._request(m.ListEvents, chosen, instance_id=instance_id)
        return await self._call(op.LIST_EVENTS, request)


Options = TypeVar("Options")


def _chosen(kind: type[Options], options: Options | None, **keywords: Any) -> Options:
    """The option object, or one made of the keywords. Raises `InvalidRequest` if both say something."""
    given = {name: value for name, value in keywords.items() if value is not None}
    if options is None:
        try:
            return kind(**given)
        except TypeError as error:
            raise InvalidRequest(f"{kind.__name__}: {error}") from error
    if not isinstance(options, kind):
        raise InvalidRequest(f"expected {kind.__name__} or keywords, not {type(options).__name__}")
    if given:
        raise InvalidRequest(f"give {', '.join(given)} in the {kind.__name__} or as keywords, not both")
    return options


def _new_id() -> str:
    from uuid import uuid4

    return str(uuid4())


async def _pieces(source: Source) -> AsyncIterator[bytes]:
    if isinstance(source, bytes):
        view = memoryview(source)
        for start in range(0, len(view), CHUNK_BYTES):
            yield bytes(view[start : start + CHUNK_BYTES])
    elif isinstance(source, AsyncIterable):
        async for piece in source:
            yield piece
    elif isinstance(source, (str, PathLike)):
        with open(source, "rb") as file:  # noqa: ASYNC230  # read in a thread below; opening is quick
            while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield piece
    else:
        for piece in source:
            yield piece


def _json(value: Any, what: str) -> None:
    """Raises `InvalidRequest` for a NaN or an infinity: JSON has none, and on the wire they would become null."""
    if (place := not_a_number(value, what)) is not None:
        raise InvalidRequest(f"{place} is no finite number; JSON has no NaN and no infinity")
