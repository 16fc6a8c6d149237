"""Connections: fetched at run time, kept as long as whoever gave them says, never stored.

An image that was compiled with a connection service (or an instance whose environment names one) asks it by itself, with the
token in CONNECTION_SERVICE_TOKEN. Every other instance asks its server, which asks the plugins and the service of
`[connections] url`: then no credential of the service is ever inside an instance. Parameters are secret: they are in no
checkpoint, event or error.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any, ClassVar

from runtara_framework.errors import (
    ConnectionFetchFailed,
    ConnectionRateLimited,
    ConnectionServiceMissing,
    ConnectionUnknown,
)
from runtara_framework.runtime.attempts import Keeps, attempts
from runtara_framework.runtime.scope import Scope
from runtara_framework.runtime.step import Step
from runtara_framework.sdk.failure import Failure

if TYPE_CHECKING:
    from runtara_framework.agents.context import Connection as Fetched
    from runtara_framework.protocol.messages import ResolvedConnection

URL_VARIABLE = "CONNECTION_SERVICE_URL"
TOKEN_VARIABLE = "CONNECTION_SERVICE_TOKEN"  # the name of a variable
TIMEOUT_S = 30.0


RETRIES = 3
DELAY_MS = 1000


class Connection(Step, frozen=True, kw_only=True):
    """Fetches a connection, for secure agents only, and again in every launch. What is saved is that it could not be had,
    because the flow goes on from there."""

    kind: ClassVar[str] = "Connection"

    connection: str
    integration: str

    async def perform(self, s: Scope, given: Any) -> dict[str, Any]:
        outputs = await attempts(
            s,
            s.key.step(self.id),
            lambda number: self._once(s),
            retries=RETRIES,
            delay_ms=DELAY_MS,
            keeps=Keeps.FAILURES if s.durable else Keeps.NOTHING,
        )
        return self.result(outputs)

    async def _once(self, s: Scope) -> dict[str, Any]:
        fetched = await fetch(s, self.connection, self.id)
        if fetched.integration_id != self.integration:
            raise Failure(
                "CONNECTION_MISMATCH",
                f"connection {self.connection!r} is of type {fetched.integration_id!r}, not {self.integration!r}",
            )
        return {
            "parameters": dict(fetched.parameters),
            "integration_id": fetched.integration_id,
            "connection_subtype": fetched.connection_subtype,
        }


async def fetch(s: Scope, connection_id: str, step_id: str) -> Fetched:
    """The connection. Raises `Failure`: CONNECTION_NOT_FOUND, CONNECTION_RATE_LIMITED (transient, with how long to wait),
    CONNECTION_FETCH_FAILED (transient), CONNECTION_SERVICE_MISSING."""
    from runtara_framework.agents.context import Connection as Fetched

    kept = s.run.connections.get(connection_id)
    if kept is not None and kept[0] > time.monotonic():
        known: Fetched = kept[1]
        return known
    try:
        answer = await _resolve(s, connection_id)
    except (ConnectionUnknown, ConnectionServiceMissing, ConnectionFetchFailed, ConnectionRateLimited) as error:
        raise Failure(
            error.code,
            f"step {step_id!r}: {error.message}",
            category="transient" if error.retryable else "permanent",
            retry_after_ms=error.details.get("retry_after_ms"),
        ) from None
    fetched = Fetched(
        integration_id=answer.integration_id,
        parameters=answer.parameters,
        connection_subtype=answer.connection_subtype,
    )
    if answer.max_age_ms > 0:
        s.run.connections[connection_id] = (time.monotonic() + answer.max_age_ms / 1000, fetched)
    return fetched


async def _resolve(s: Scope, connection_id: str) -> ResolvedConnection:
    base = os.environ.get(URL_VARIABLE) or s.run.connection_url
    if not base:
        return await s.ctx.resolve_connection(connection_id)
    from runtara_framework import connections
    from runtara_framework.agents.running import run_in_thread

    token = os.environ.get(TOKEN_VARIABLE)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            answer: ResolvedConnection = await run_in_thread(
                lambda: connections.ask(base, s.ctx.tenant_id, connection_id, token=token, timeout=TIMEOUT_S)
            )
            return answer
    except TimeoutError:
        raise ConnectionFetchFailed(
            f"connection {connection_id!r}: the connection service did not answer in {TIMEOUT_S:g} s"
        ) from None
