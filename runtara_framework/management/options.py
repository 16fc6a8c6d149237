"""Option objects: the arguments of a call as a value, built by keywords or step by step.

    StartInstanceOptions("order", "acme").with_input({"id": 1}).with_timeout_seconds(60)

They are immutable; each `with_…` answers a new one. `tenant_id` None means the SDK's own. Times are `datetime`s, or
milliseconds since the epoch; lower bounds are inclusive, upper ones exclusive.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from datetime import UTC, datetime
from os import PathLike
from typing import Any, Self

import msgspec

from runtara_framework.errors import InvalidRequest

Moment = datetime | int
Source = str | PathLike[str] | bytes | Iterable[bytes] | AsyncIterable[bytes]
"""Where the bytes of an image come from: a path, the bytes, or pieces of them in order."""


def milliseconds(moment: Moment | None) -> int | None:
    """Milliseconds since the epoch. Raises `InvalidRequest` for a `datetime` without a zone, which could mean anything."""
    if not isinstance(moment, datetime):
        return moment
    if moment.tzinfo is None:
        raise InvalidRequest(f"{moment!r} has no time zone; say datetime(…, tzinfo=UTC)")
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)


class _Options(msgspec.Struct, frozen=True):
    def _with(self, **changes: Any) -> Self:
        return msgspec.structs.replace(self, **changes)

    def with_tenant_id(self, tenant_id: str) -> Self:
        return self._with(tenant_id=tenant_id)


class _Page(_Options, frozen=True):
    def with_limit(self, limit: int) -> Self:
        return self._with(limit=limit)

    def with_offset(self, offset: int) -> Self:
        return self._with(offset=offset)


class _Created(_Page, frozen=True):
    def with_created_after(self, moment: Moment) -> Self:
        return self._with(created_after=moment)

    def with_created_before(self, moment: Moment) -> Self:
        return self._with(created_before=moment)


class StartInstanceOptions(_Options, frozen=True):
    """`image_id` is an id, or a name and means the newest image of that name. `env` is for the program."""

    image_id: str
    tenant_id: str | None = None
    instance_id: str | None = None
    input: Any = None
    timeout_seconds: float | None = None
    env: Mapping[str, str] = {}

    def with_instance_id(self, instance_id: str) -> Self:
        return self._with(instance_id=instance_id)

    def with_input(self, input: Any) -> Self:
        return self._with(input=input)

    def with_timeout_seconds(self, seconds: float) -> Self:
        return self._with(timeout_seconds=seconds)

    with_timeout = with_timeout_seconds

    def with_env(self, env: Mapping[str, str]) -> Self:
        return self._with(env=env)


class StopInstanceOptions(_Options, frozen=True):
    """TERM, then KILL after the grace period."""

    instance_id: str
    tenant_id: str | None = None
    grace_period_seconds: float = 5.0
    reason: str = ""

    def with_grace_period_seconds(self, seconds: float) -> Self:
        return self._with(grace_period_seconds=seconds)

    with_grace_period = with_grace_period_seconds

    def with_reason(self, reason: str) -> Self:
        return self._with(reason=reason)


class RegisterImageOptions(_Options, frozen=True):
    """`runner_type` None means the server's default."""

    tenant_id: str | None = None
    name: str = ""
    binary: bytes = b""
    description: str | None = None
    runner_type: str | None = None
    metadata: Mapping[str, Any] = {}
    sha256: str | None = None

    def with_description(self, description: str) -> Self:
        return self._with(description=description)

    def with_runner_type(self, runner_type: str) -> Self:
        return self._with(runner_type=runner_type)

    def with_metadata(self, metadata: Mapping[str, Any]) -> Self:
        return self._with(metadata=metadata)

    def with_sha256(self, sha256: str) -> Self:
        return self._with(sha256=sha256)


class RegisterImageStreamOptions(_Options, frozen=True):
    """As `RegisterImageOptions`; the bytes are given to the call."""

    tenant_id: str | None = None
    name: str = ""
    description: str | None = None
    runner_type: str | None = None
    metadata: Mapping[str, Any] = {}
    sha256: str | None = None

    with_description = RegisterImageOptions.with_description
    with_runner_type = RegisterImageOptions.with_runner_type
    with_metadata = RegisterImageOptions.with_metadata
    with_sha256 = RegisterImageOptions.with_sha256


class ListImagesOptions(_Page, frozen=True):
    tenant_id: str | None = None
    name: str | None = None
    limit: int = 100
    offset: int = 0

    def with_name(self, name: str) -> Self:
        return self._with(name=name)


class ListInstancesOptions(_Created, frozen=True):
    """`order_by`: created_at_desc, created_at_asc, finished_at_desc or finished_at_asc. `cursor` (from the page before)
    beats `offset`. `count` False spares the total."""

    tenant_id: str | None = None
    status: str | None = None
    image_id: str | None = None
    image_name_prefix: str | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    finished_after: Moment | None = None
    finished_before: Moment | None = None
    order_by: str = "created_at_desc"
    limit: int = 100
    offset: int = 0
    cursor: str | None = None
    count: bool = True

    def with_status(self, status: str) -> Self:
        return self._with(status=status)

    def with_image_id(self, image_id: str) -> Self:
        return self._with(image_id=image_id)

    def with_image_name_prefix(self, prefix: str) -> Self:
        return self._with(image_name_prefix=prefix)

    def with_finished_after(self, moment: Moment) -> Self:
        return self._with(finished_after=moment)

    def with_finished_before(self, moment: Moment) -> Self:
        return self._with(finished_before=moment)

    def with_order_by(self, order_by: str) -> Self:
        return self._with(order_by=order_by)

    def with_cursor(self, cursor: str) -> Self:
        return self._with(cursor=cursor)

    def with_count(self, count: bool) -> Self:
        return self._with(count=count)


class ListCheckpointsOptions(_Created, frozen=True):
    tenant_id: str | None = None
    checkpoint_id: str | None = None
    limit: int = 100
    offset: int = 0
    created_after: Moment | None = None
    created_before: Moment | None = None

    def with_checkpoint_id(self, checkpoint_id: str) -> Self:
        return self._with(checkpoint_id=checkpoint_id)


class ListEventsOptions(_Created, frozen=True):
    """Newest first unless `sort_order` is asc. `after_event_id` continues where a page ended."""

    tenant_id: str | None = None
    event_type: str | None = None
    subtype: str | None = None
    limit: int = 100
    offset: int = 0
    after_event_id: int | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    payload_contains: str | None = None
    sort_order: str = "desc"

    def with_event_type(self, event_type: str) -> Self:
        return self._with(event_type=event_type)

    def with_subtype(self, subtype: str) -> Self:
        return self._with(subtype=subtype)

    def with_after_event_id(self, event_id: int) -> Self:
        return self._with(after_event_id=event_id)

    def with_payload_contains(self, text: str) -> Self:
        return self._with(payload_contains=text)

    def with_sort_order(self, sort_order: str) -> Self:
        return self._with(sort_order=sort_order)
