"""Connections: fetched at run time, kept as long as whoever gave them says, never stored.

An image that was compiled with a connection service (or an instance whose environment names one) asks it by itself:

    GET {url}/{tenant}/{connection}     Authorization: Bearer {CONNECTION_SERVICE_TOKEN}

answers `{parameters, integration_id, connection_subtype?, rate_limit?}`; `Cache-Control: max-age` says how long it may be
kept. Every other instance asks its server, which asks the plugins and the service of `[connections] url`: then no
credential of the service is ever inside an instance. Parameters are secret: they are in no checkpoint, event or error.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlsplit

from runtara_framework.errors import (
    ConnectionFetchFailed,
    ConnectionRateLimited,
    ConnectionServiceMissing,
    ConnectionUnknown,
)
from runtara_framework.runtime.scope import Scope
from runtara_framework.runtime.step import Step
from runtara_framework.sdk.failure import Failure
from runtara_framework.sdk.values import decode

if TYPE_CHECKING:
    from runtara_framework.agents.context import Connection as Fetched

URL_VARIABLE = "CONNECTION_SERVICE_URL"
TOKEN_VARIABLE = "CONNECTION_SERVICE_TOKEN"  # the name of a variable
TIMEOUT_S = 30.0
ANSWER_LIMIT = 1024 * 1024
RATE_LIMITED = "CONNECTION_RATE_LIMITED"
DEFAULT_WAIT_MS = 60_000


class Connection(Step, frozen=True, kw_only=True):
    """Fetches a connection, for secure agents only. Never checkpointed."""

    kind: ClassVar[str] = "Connection"

    connection: str
    integration: str

    async def perform(self, s: Scope, given: Any) -> dict[str, Any]:
        fetched = await fetch(s, self.connection, self.id)
        if fetched.integration_id != self.integration:
            raise Failure(
                "CONNECTION_MISMATCH",
                f"connection {self.connection!r} is of type {fetched.integration_id!r}, not {self.integration!r}",
            )
        return self.result(
            {
                "parameters": dict(fetched.parameters),
                "integration_id": fetched.integration_id,
                "connection_subtype": fetched.connection_subtype,
            }
        )


async def fetch(s: Scope, connection_id: str, step_id: str) -> Fetched:
    """The connection. Raises `Failure`: CONNECTION_NOT_FOUND, CONNECTION_RATE_LIMITED (transient, with how long to wait),
    CONNECTION_FETCH_FAILED (transient), CONNECTION_SERVICE_MISSING."""
    from runtara_framework.agents.context import Connection as Fetched
    from runtara_framework.agents.invoke import run_in_thread

    kept = s.run.connections.get(connection_id)
    if kept is not None and kept[0] > time.monotonic():
        known: Fetched = kept[1]
        return known
    base = os.environ.get(URL_VARIABLE) or s.run.connection_url
    if not base:
        fetched, max_age = await _from_server(s, connection_id, step_id)
        if max_age > 0:
            s.run.connections[connection_id] = (time.monotonic() + max_age, fetched)
        return fetched
    url = f"{base.rstrip('/')}/{quote(s.ctx.tenant_id, safe='')}/{quote(connection_id, safe='')}"
    try:
        async with asyncio.timeout(TIMEOUT_S):
            status, headers, body = await run_in_thread(lambda: _get(url))
    except (OSError, TimeoutError) as error:
        raise _fetch_failed(connection_id, type(error).__name__) from None
    if status == 404:
        raise Failure("CONNECTION_NOT_FOUND", f"the connection service knows no connection {connection_id!r}")
    if status == 429:
        raise _rate_limited(connection_id, _seconds(headers.get("retry-after")))
    if status != 200:
        raise _fetch_failed(connection_id, f"status {status}")
    try:
        answer = decode(body)
        fetched = Fetched.from_wire(answer)
    except (ValueError, AttributeError):
        raise _fetch_failed(connection_id, "an answer that is no connection") from None
    limit = answer.get("rate_limit")
    if isinstance(limit, dict) and limit.get("is_limited"):
        raise _rate_limited(connection_id, _wait_ms(limit))
    if (max_age := _max_age(headers.get("cache-control", ""))) > 0:
        s.run.connections[connection_id] = (time.monotonic() + max_age, fetched)
    return fetched


async def _from_server(s: Scope, connection_id: str, step_id: str) -> tuple[Fetched, float]:
    """What the server answers, and for how many seconds it may be kept."""
    from runtara_framework.agents.context import Connection as Fetched

    try:
        answer = await s.ctx.resolve_connection(connection_id)
    except ConnectionRateLimited as error:
        raise _rate_limited(connection_id, error.details.get("retry_after_ms", DEFAULT_WAIT_MS)) from None
    except (ConnectionUnknown, ConnectionServiceMissing, ConnectionFetchFailed) as error:
        raise Failure(
            error.code,
            f"step {step_id!r}: {error.message}",
            category="transient" if error.retryable else "permanent",
        ) from None
    fetched = Fetched(
        integration_id=answer.integration_id,
        parameters=answer.parameters,
        connection_subtype=answer.connection_subtype,
    )
    return fetched, answer.max_age_ms / 1000


def _get(url: str) -> tuple[int, dict[str, str], bytes]:
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Failure("CONNECTION_SERVICE_MISSING", f"{URL_VARIABLE} must be an http or https address")
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    client = kind(parts.hostname, parts.port, timeout=TIMEOUT_S)
    headers = {"Accept": "application/json"}
    if token := os.environ.get(TOKEN_VARIABLE):
        headers["Authorization"] = f"Bearer {token}"
    try:
        client.request("GET", parts.path, headers=headers)
        response = client.getresponse()
        body = response.read(ANSWER_LIMIT + 1)
        if len(body) > ANSWER_LIMIT:
            raise OSError("the answer is too large")
        return response.status, {name.lower(): value for name, value in response.getheaders()}, body
    except HTTPException as error:
        raise OSError(type(error).__name__) from error
    finally:
        client.close()


def _fetch_failed(connection_id: str, reason: str) -> Failure:
    return Failure(
        "CONNECTION_FETCH_FAILED",
        f"connection {connection_id!r} could not be fetched from the connection service: {reason}",
        category="transient",
    )


def _rate_limited(connection_id: str, wait_ms: int) -> Failure:
    return Failure(
        RATE_LIMITED, f"connection {connection_id!r} is rate-limited", category="transient", retry_after_ms=wait_ms
    )


def _wait_ms(limit: dict[str, Any]) -> int:
    wait, reset = limit.get("retry_after_ms"), limit.get("reset_at")
    if isinstance(wait, (int, float)):
        return max(0, round(wait))
    if isinstance(reset, (int, float)):
        return max(0, round((reset - time.time()) * 1000))
    return DEFAULT_WAIT_MS


def _seconds(text: str | None) -> int:
    return int(text) * 1000 if text and text.isascii() and text.isdigit() else DEFAULT_WAIT_MS


def _max_age(text: str) -> int:
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        if name.lower() == "max-age" and value.isascii() and value.isdigit():
            return int(value)
    return 0
