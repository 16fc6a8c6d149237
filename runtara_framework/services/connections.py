"""Resolves connections for instances: asks the plugins, then the product's connection service.

Instances ask the server, not the service, so that no credential of the service is ever inside an instance, and an instance
can only ask for its own tenant. The service's protocol is that of `reference/behaviour-1.4.md` 8.6:

    GET {url}/{tenant}/{connection}     Authorization: Bearer {token}

answers `{parameters, integration_id, connection_subtype?, rate_limit?}`; `Cache-Control: max-age` says how long the instance
may keep it. Parameters are secret: no error and no log here has any.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from urllib.parse import quote, urlsplit

from runtara_framework.config import ConnectionSettings
from runtara_framework.errors import (
    ConfigError,
    ConnectionFetchFailed,
    ConnectionRateLimited,
    ConnectionServiceMissing,
    ConnectionUnknown,
    InvalidRequest,
)
from runtara_framework.extension.hooks import Hooks
from runtara_framework.protocol import messages as m

ANSWER_LIMIT = 2**20
DEFAULT_WAIT_MS = 60_000


class ConnectionService:
    """One per server."""

    def __init__(self, settings: ConnectionSettings, hooks: Hooks) -> None:
        self._settings = settings
        self._hooks = hooks
        if settings.url is not None and urlsplit(settings.url).scheme not in ("http", "https"):
            raise ConfigError(f"[connections] url must begin with http:// or https://, it is {settings.url!r}")

    async def resolve(self, tenant_id: str, connection_id: str) -> m.ResolvedConnection:
        """Raises `ConnectionUnknown`, `ConnectionRateLimited`, `ConnectionFetchFailed`, `ConnectionServiceMissing`."""
        if not connection_id:
            raise InvalidRequest("resolve_connection: connection_id must not be empty")
        found = await self._hooks.first("runtara_resolve_connection", tenant_id=tenant_id, connection_id=connection_id)
        if found is not None:
            return _resolved(connection_id, found, max_age_ms=0)
        if self._settings.url is None:
            raise ConnectionServiceMissing(
                f"connection {connection_id!r} is needed, and nobody can be asked for it: configure [connections] url, "
                "or install a plugin that resolves connections"
            )
        return await self._ask(tenant_id, connection_id)

    async def _ask(self, tenant_id: str, connection_id: str) -> m.ResolvedConnection:
        base = (self._settings.url or "").rstrip("/")
        url = f"{base}/{quote(tenant_id, safe='')}/{quote(connection_id, safe='')}"
        try:
            status, headers, body = await asyncio.to_thread(self._get, url)
        except OSError as error:
            raise ConnectionFetchFailed(
                f"connection {connection_id!r}: the connection service did not answer ({type(error).__name__})"
            ) from None
        if status == 404:
            raise ConnectionUnknown(f"the connection service knows no connection {connection_id!r}")
        if status == 429:
            raise _limited(connection_id, _seconds(headers.get("retry-after")))
        if status != 200:
            raise ConnectionFetchFailed(f"connection {connection_id!r}: the service answered with status {status}")
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        limit = answer.get("rate_limit") if isinstance(answer, dict) else None
        if isinstance(limit, dict) and limit.get("is_limited"):
            raise _limited(connection_id, _wait_ms(limit))
        return _resolved(connection_id, answer, max_age_ms=1000 * _max_age(headers.get("cache-control", "")))

    def _get(self, url: str) -> tuple[int, dict[str, str], bytes]:
        from http.client import HTTPConnection, HTTPException, HTTPSConnection

        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        client = kind(parts.hostname or "", parts.port, timeout=self._settings.timeout_seconds)
        headers = {"Accept": "application/json"}
        if self._settings.token:
            headers["Authorization"] = f"Bearer {self._settings.token}"
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


def _resolved(connection_id: str, answer: Any, *, max_age_ms: int) -> m.ResolvedConnection:
    """Raises `ConnectionFetchFailed` for an answer that is no connection; says nothing of what is in it."""
    valid = (
        isinstance(answer, dict)
        and isinstance(answer.get("integration_id"), str)
        and isinstance(answer.get("parameters"), dict)
        and isinstance(answer.get("connection_subtype"), str | None)
    )
    if not valid:
        raise ConnectionFetchFailed(
            f"connection {connection_id!r}: the answer is no connection; it must be an object with integration_id and "
            "parameters"
        )
    return m.ResolvedConnection(
        integration_id=answer["integration_id"],
        parameters=answer["parameters"],
        connection_subtype=answer.get("connection_subtype"),
        max_age_ms=max_age_ms,
    )


def _limited(connection_id: str, wait_ms: int) -> ConnectionRateLimited:
    return ConnectionRateLimited(f"connection {connection_id!r} is rate-limited", retry_after_ms=wait_ms)


def _wait_ms(limit: dict[str, Any]) -> int:
    wait, reset = limit.get("retry_after_ms"), limit.get("reset_at")
    if isinstance(wait, int | float):
        return max(0, round(wait))
    if isinstance(reset, int | float):
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
