"""What went wrong, as the `AgentError` that the scenario sees."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

import httpx

from runtara_agents_http import bodies, urls
from runtara_framework.agents import AgentError
from runtara_framework.agents.errors import Category

ERROR_BODY_BYTES: Final = 16 * 1024
"""How much of the body of a refusal is read; the rest is of no use to a handler."""

_EXCERPT = 300


def from_status(request: httpx.Request, response: httpx.Response, content: bytes) -> AgentError:
    """The failure that a status outside 2xx means."""
    status = response.status_code
    category: Category = "permanent"
    if status == 429:
        code, category = "HTTP_429", "transient"
    elif status >= 500:
        code, category = "HTTP_5XX", "transient"
    elif status >= 400:
        code = "HTTP_4XX"
    else:
        code = "HTTP_3XX"
    body: Any = bodies.decode(content, "json", response.headers.get("content-type", ""))
    text = body if isinstance(body, str) else content.decode("utf-8", "replace")
    excerpt = " ".join(text.split())
    if len(excerpt) > _EXCERPT:
        excerpt = f"{excerpt[:_EXCERPT]}…"
    return AgentError(
        code,
        f"{request.method} {urls.shown(request.url)} answered {_status(status)}{': ' if excerpt else ''}{excerpt}",
        category=category,
        retry_after_ms=_retry_after_ms(response.headers.get("retry-after")) if category == "transient" else None,
        attributes={**_where(request.method, request.url), "status_code": status, "body": body},
    )


def network(method: str, url: httpx.URL, error: Exception) -> AgentError:
    """No answer came back."""
    text = str(error) or type(error).__name__
    return AgentError(
        "NETWORK_ERROR",
        f"{method} {urls.shown(url)} failed: {text}",
        category="transient",
        attributes=_where(method, url),
    )


def timed_out(method: str, url: httpx.URL, timeout_ms: int) -> AgentError:
    """The exchange took too long."""
    return AgentError(
        "HTTP_TIMEOUT",
        f"{method} {urls.shown(url)} took longer than {timeout_ms} ms",
        category="timeout",
        attributes=_where(method, url) | {"timeout_ms": timeout_ms},
    )


def too_large(method: str, url: httpx.URL, limit: int) -> AgentError:
    """The response is longer than its limit."""
    return AgentError(
        "RESPONSE_TOO_LARGE",
        f"{method} {urls.shown(url)} answered more than {limit} bytes (max_response_bytes)",
        attributes=_where(method, url) | {"max_response_bytes": limit},
    )


def too_many_redirects(method: str, url: httpx.URL, limit: int) -> AgentError:
    """The service sends us round and round."""
    return AgentError(
        "TOO_MANY_REDIRECTS",
        f"{method} {urls.shown(url)} redirected more often than {limit} times",
        attributes=_where(method, url),
    )


def _where(method: str, url: httpx.URL) -> dict[str, Any]:
    return {"method": method, "url": urls.shown(url)}


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _retry_after_ms(value: str | None) -> int | None:
    """`Retry-After` in milliseconds: seconds, or a date (RFC 9110 section 10.2.3). What is neither is ignored."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return int(value[:9]) * 1000
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0, int(moment.timestamp() * 1000) - time.time_ns() // 1_000_000)
