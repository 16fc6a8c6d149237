"""The connection service's protocol: how a product gives credentials to whoever asks on behalf of a tenant.

    GET {url}/{tenant}/{connection}     Authorization: Bearer {token}

answers `{parameters, integration_id, connection_subtype?, rate_limit?}`; `Cache-Control: max-age` says how long the answer
may be kept, 404 that there is no such connection, 429 (or `rate_limit.is_limited`) that it must not be used for a while.
The server asks it for instances (`services.connections`); an instance asks by itself if its image was compiled so
(`runtime.connection`).
Parameters are secret: no error here has any.
"""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote, urlsplit

from runtara_framework.errors import ConnectionFetchFailed, ConnectionRateLimited, ConnectionUnknown
from runtara_framework.protocol.messages import ResolvedConnection

ANSWER_LIMIT = 2**20
DEFAULT_WAIT_MS = 60_000


def ask(url: str, tenant_id: str, connection_id: str, *, token: str | None, timeout: float) -> ResolvedConnection:
    """Ask the service. Blocks, for `timeout` seconds at most between two of its bytes: call it in a thread.

    Raises `ConnectionUnknown`, `ConnectionRateLimited` (details: `retry_after_ms`), `ConnectionFetchFailed`."""
    target = f"{url.rstrip('/')}/{quote(tenant_id, safe='')}/{quote(connection_id, safe='')}"
    try:
        status, headers, body = _get(target, token, timeout)
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
    return parse(connection_id, answer, max_age_ms=1000 * _max_age(headers.get("cache-control", "")))


def parse(connection_id: str, answer: Any, *, max_age_ms: int) -> ResolvedConnection:
    """The connection in an answer. Raises `ConnectionFetchFailed` for what is none, and says nothing of what is in it."""
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
    return ResolvedConnection(
        integration_id=answer["integration_id"],
        parameters=answer["parameters"],
        connection_subtype=answer.get("connection_subtype"),
        max_age_ms=max_age_ms,
    )


def _get(url: str, token: str | None, timeout: float) -> tuple[int, dict[str, str], bytes]:
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise OSError("the service's address is none of http or https")
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    client = kind(parts.hostname or "", parts.port, timeout=timeout)
    headers = {"Accept": "application/json"}
    if token:
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
