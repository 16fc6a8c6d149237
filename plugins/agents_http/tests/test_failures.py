"""What a scenario sees when a request fails."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any

import pytest

from runtara_framework.agents import AgentError

Call = Callable[..., Awaitable[Any]]
Service = Any  # of conftest.py, which importlib mode does not let a test import


async def fails(call: Call, **inputs: Any) -> AgentError:
    with pytest.raises(AgentError) as caught:
        await call(**inputs)
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "category", "severity"),
    [
        (400, "HTTP_4XX", "permanent", "error"),
        (404, "HTTP_4XX", "permanent", "error"),
        (429, "HTTP_429", "transient", "warning"),
        (500, "HTTP_5XX", "transient", "warning"),
        (503, "HTTP_5XX", "transient", "warning"),
        (304, "HTTP_3XX", "permanent", "error"),
        (599, "HTTP_5XX", "transient", "warning"),
    ],
)
async def test_a_status_outside_2xx_fails_by_its_class(
    service: Service, call: Call, status: int, code: str, category: str, severity: str
) -> None:
    service.reply("/f", {"reason": "so"} if status != 304 else b"", status)
    error = await fails(call, url=f"{service.url}/f?key=hidden", method="PUT")
    assert (error.code, error.category, error.severity) == (code, category, severity)
    assert error.message.startswith(f"PUT {service.url}/f answered {status}")
    assert error.attributes == {
        "method": "PUT",
        "url": f"{service.url}/f",
        "status_code": status,
        "body": {"reason": "so"} if status != 304 else None,
    }


async def test_without_fail_on_error_the_status_is_the_answer(service: Service, call: Call) -> None:
    service.reply("/f", {"reason": "so"}, 503)
    output = await call(url=f"{service.url}/f", fail_on_error=False)
    assert (output["status_code"], output["success"], output["body"]) == (503, False, {"reason": "so"})


async def test_a_long_refusal_is_cut(service: Service, call: Call) -> None:
    service.reply("/f", "é" * 1_000_000, 400)
    error = await fails(call, url=f"{service.url}/f", max_response_bytes=10)
    assert len(error.message) < 500
    assert len(error.attributes["body"]) <= 16 * 1024


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_in_seconds_is_honoured(service: Service, call: Call, status: int) -> None:
    service.reply("/f", b"", status, retry_after="7")
    assert (await fails(call, url=f"{service.url}/f")).retry_after_ms == 7000


async def test_retry_after_as_a_date_is_honoured(service: Service, call: Call) -> None:
    service.reply("/f", b"", 429, retry_after=formatdate(time.time() + 3600, usegmt=True))
    wait = (await fails(call, url=f"{service.url}/f")).retry_after_ms
    assert wait is not None and 3_500_000 < wait <= 3_600_000
    service.reply("/f", b"", 429, retry_after=formatdate(0, usegmt=True))
    assert (await fails(call, url=f"{service.url}/f")).retry_after_ms == 0


@pytest.mark.parametrize("value", ["soon", "-5", "1.5", "", "9" * 400, "²"])
async def test_a_strange_retry_after_harms_nobody(service: Service, call: Call, value: str) -> None:
    from starlette.responses import Response

    def reply() -> Response:
        response = Response(b"", 429)
        response.raw_headers.append((b"retry-after", value.encode()))
        return response

    service.replies["/f"] = reply
    wait = (await fails(call, url=f"{service.url}/f")).retry_after_ms
    assert wait is None or wait <= 999_999_999_000


async def test_a_permanent_failure_asks_for_no_retry(service: Service, call: Call) -> None:
    service.reply("/f", b"", 400, retry_after="7")
    assert (await fails(call, url=f"{service.url}/f")).retry_after_ms is None


async def test_a_slow_service_times_out(service: Service, call: Call) -> None:
    error = await fails(call, url=f"{service.url}/hang", timeout_ms=50)
    assert (error.code, error.category, error.retryable) == ("HTTP_TIMEOUT", "timeout", True)
    assert error.message == f"GET {service.url}/hang took longer than 50 ms"


async def test_cancelling_is_no_failure_of_the_request(service: Service, call: Call) -> None:
    task = asyncio.ensure_future(call(url=f"{service.url}/hang"))
    await asyncio.to_thread(service.called.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nobody_listening_is_a_transient_failure(call: Call) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x"
        error = await fails(call, url=url)
    assert (error.code, error.category) == ("NETWORK_ERROR", "transient")
    assert error.message.startswith(f"GET {url} failed: ")


async def test_a_name_that_does_not_exist_is_a_transient_failure(call: Call) -> None:
    assert (await fails(call, url="http://no-such-host.invalid/")).code == "NETWORK_ERROR"


@pytest.mark.parametrize("answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"])
async def test_a_service_that_breaks_the_protocol_is_a_transient_failure(call: Call, answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await fails(call, url=f"http://127.0.0.1:{port}/")
    assert (error.code, error.category) == ("NETWORK_ERROR", "transient")


async def test_plain_http_on_a_tls_port_is_a_transient_failure(service: Service, call: Call) -> None:
    error = await fails(call, url=service.url.replace("http:", "https:"))
    assert error.code == "NETWORK_ERROR"


async def test_the_pool_follows_the_event_loop() -> None:
    """A registry that is used from a second event loop opens new connections instead of touching those of the first."""
    from runtara_framework.agents import CapabilityContext
    from runtara_framework.agents.registry import AgentRegistry

    context = CapabilityContext(tenant_id="t", instance_id="i", step_key="s")
    registry = AgentRegistry()

    async def one() -> str:
        with pytest.raises(AgentError) as caught:
            await registry.invoke("http", "request", {"url": "http://127.0.0.1:9/"}, context)
        return caught.value.code

    for _ in range(2):
        assert await asyncio.to_thread(asyncio.run, one()) == "NETWORK_ERROR"
