"""Connections: plugins first, then the product's service over real HTTP; secrets are in no error."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from runtara_framework.config import ConnectionSettings
from runtara_framework.errors import (
    ConfigError,
    ConnectionFetchFailed,
    ConnectionRateLimited,
    ConnectionServiceMissing,
    ConnectionUnknown,
)
from runtara_framework.extension.hooks import Hooks
from runtara_framework.services.connections import ConnectionService
from runtara_framework.spec.lifecycle import hookimpl

GOOD = {"integration_id": "http_bearer", "parameters": {"token": "s3cret"}, "connection_subtype": None}


class Service(ThreadingHTTPServer):
    """Answers what the test says, and remembers what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, json.dumps(GOOD).encode())
        self.asked: list[tuple[str, str | None]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        status, headers, body = self.server.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as service:
        thread = threading.Thread(target=service.serve_forever, daemon=True)
        thread.start()
        yield service
        service.shutdown()
        thread.join()


@pytest.fixture
def connections(service: Service) -> ConnectionService:
    url = f"http://127.0.0.1:{service.server_port}/api/connections/"
    return ConnectionService(ConnectionSettings(url=url, token="t0ken"), Hooks())


async def test_the_service_is_asked_for_the_tenants_connection_with_our_token(
    service: Service, connections: ConnectionService
) -> None:
    service.answer = (200, {"Cache-Control": "private, max-age=60"}, service.answer[2])
    found = await connections.resolve("acme/eu", "crm 1")
    assert (found.integration_id, found.parameters, found.max_age_ms) == ("http_bearer", {"token": "s3cret"}, 60_000)
    assert service.asked == [("/api/connections/acme%2Feu/crm%201", "Bearer t0ken")]


@pytest.mark.parametrize(
    ("answer", "error", "wait_ms"),
    [
        ((404, {}, b""), ConnectionUnknown, None),
        ((500, {}, b"oops"), ConnectionFetchFailed, None),
        ((200, {}, b"no json"), ConnectionFetchFailed, None),
        ((200, {}, b'{"parameters": {"token": "s3cret"}}'), ConnectionFetchFailed, None),
        ((429, {"Retry-After": "7"}, b""), ConnectionRateLimited, 7_000),
        ((429, {}, b""), ConnectionRateLimited, 60_000),
        ((200, {}, b'{"rate_limit": {"is_limited": true, "retry_after_ms": 250}}'), ConnectionRateLimited, 250),
        ((200, {}, b"x" * (2**20 + 1)), ConnectionFetchFailed, None),
    ],
)
async def test_what_goes_wrong_has_a_code_and_no_secret(
    service: Service,
    connections: ConnectionService,
    answer: tuple[int, dict[str, str], bytes],
    error: type[Exception],
    wait_ms: int | None,
) -> None:
    service.answer = answer
    with pytest.raises(error) as caught:
        await connections.resolve("acme", "crm")
    assert "s3cret" not in str(caught.value)
    assert getattr(caught.value, "details", {}).get("retry_after_ms") == wait_ms


async def test_a_service_that_is_away_can_be_tried_again() -> None:
    away = ConnectionService(ConnectionSettings(url="http://127.0.0.1:9/x", timeout_seconds=1), Hooks())
    with pytest.raises(ConnectionFetchFailed) as caught:
        await away.resolve("acme", "crm")
    assert caught.value.retryable


async def test_a_plugin_is_asked_before_the_service(service: Service) -> None:
    class Vault:
        @hookimpl
        async def runtara_resolve_connection(self, tenant_id: str, connection_id: str) -> dict[str, Any] | None:
            return {**GOOD, "parameters": {"of": tenant_id}} if connection_id == "mine" else None

    hooks = Hooks()
    hooks.register(Vault(), "vault")
    settings = ConnectionSettings(url=f"http://127.0.0.1:{service.server_port}")
    both = ConnectionService(settings, hooks)
    assert (await both.resolve("acme", "mine")).parameters == {"of": "acme"}
    assert service.asked == []
    assert (await both.resolve("acme", "theirs")).parameters == {"token": "s3cret"}


async def test_without_anybody_to_ask_the_error_says_what_to_configure() -> None:
    with pytest.raises(ConnectionServiceMissing, match=r"\[connections\] url"):
        await ConnectionService(ConnectionSettings(), Hooks()).resolve("acme", "crm")


def test_an_address_that_is_none_is_refused_at_start() -> None:
    with pytest.raises(ConfigError, match=r"\[connections\] url"):
        ConnectionService(ConnectionSettings(url="vault:secret"), Hooks())
