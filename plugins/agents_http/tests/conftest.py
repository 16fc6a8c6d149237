"""A real HTTP service on a real socket, and the agent as a scenario calls it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtara_framework.agents import CapabilityContext, Connection
from runtara_framework.agents.registry import AgentRegistry

Call = Callable[..., Awaitable[Any]]
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]


class Service:
    """What the tests call. It remembers every request that it got."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.replies: dict[str, Callable[[], Response]] = {}
        self.called = threading.Event()
        self.app = Starlette(routes=[Route("/{path:path}", self.answer, methods=METHODS)])
        self.url = ""

    def forget(self) -> None:
        """As new."""
        self.seen.clear()
        self.replies.clear()
        self.called.clear()

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        one = {
            "method": request.method,
            "path": request.scope["raw_path"].decode(),
            "query": request.url.query,
            "headers": dict(request.headers),
            "body": base64.b64encode(body).decode(),
        }
        self.seen.append(one)
        self.called.set()
        if request.url.path == "/hang":
            while (await request.receive())["type"] != "http.disconnect":
                pass
        reply = self.replies.get(request.url.path)
        return reply() if reply else JSONResponse(one)

    def reply(self, path: str, content: bytes | str | dict[str, Any] = b"", status: int = 200, **headers: str) -> None:
        """What to answer on a path."""
        raw = json.dumps(content).encode() if isinstance(content, dict) else content
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.replies[path] = lambda: Response(raw, status, names)


class Server(uvicorn.Server):
    """Runs in a thread of its own, so that one start serves all tests, and says when it listens and where."""

    def __init__(self, service: Service) -> None:
        super().__init__(uvicorn.Config(service.app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
        self.service = service
        self.listening = threading.Event()
        self.thread = threading.Thread(target=self.run, name="service", daemon=True)

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        self.service.url = f"http://127.0.0.1:{port}"
        self.listening.set()


@pytest.fixture(scope="session")
def services() -> Iterator[list[Service]]:
    servers = [Server(Service()) for _ in range(2)]
    for server in servers:
        server.thread.start()
        server.listening.wait()
    yield [server.service for server in servers]
    for server in servers:
        server.force_exit = server.should_exit = True
        server.thread.join()


@pytest.fixture
def service(services: list[Service]) -> Service:
    services[0].forget()
    return services[0]


@pytest.fixture
def foreign(services: list[Service]) -> Service:
    """A second service, on another port."""
    services[1].forget()
    return services[1]


@pytest.fixture
async def registry() -> AsyncIterator[AgentRegistry]:
    async with AgentRegistry() as registry:
        yield registry


@pytest.fixture
def call(registry: AgentRegistry) -> Call:
    async def call(
        connection: Connection | None = None, *, step_key: str = "step", attempt: int = 1, **inputs: Any
    ) -> Any:
        context = CapabilityContext(
            tenant_id="t", instance_id="i", step_key=step_key, attempt=attempt, connection=connection
        )
        return await registry.invoke("http", "http-request", inputs, context)

    return call
