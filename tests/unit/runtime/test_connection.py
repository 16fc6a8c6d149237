"""Connections: fetched from a real service, kept as long as it says, never shown."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from runtara_framework.agents import CapabilityContext, agent, capability
from runtara_framework.agents.connections import ConnectionParameters
from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.compiler import CompilationInput, compile_scenario
from runtara_framework.runtime.agent import use_agents
from runtara_framework.testing.memory_core import Outcome, run_in_process

SECRET = "s3cr3t-value"


class Token(ConnectionParameters):
    integration_id: ClassVar[str] = "vault_token"

    token: SecretStr


class Nothing(BaseModel):
    model_config = ConfigDict(extra="allow")


class Pin(BaseModel):
    pin: SecretStr
    code: SecretStr | None = None
    name: str = ""


@agent(id="vault", connection_types=[Token], secure=True)
class Vault:
    @capability(id="unlock", input_aliases={"key": "pin"})
    async def unlock(self, given: Pin) -> str:
        return given.name

    @capability(id="open")
    async def open(self, given: Nothing, context: CapabilityContext) -> dict[str, Any]:
        assert context.connection is not None
        assert context.connection.typed.token.get_secret_value() == SECRET
        return {"opened": True, "subtype": context.connection.connection_subtype}


class Service(ThreadingHTTPServer):
    """A connection service as a product has it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, dict[str, str], Any]] = []
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/connections"


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("authorization")))
        answers = self.server.answers
        status, headers, body = answers.pop(0) if len(answers) > 1 else answers[0]
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


GOOD = {"parameters": {"token": SECRET}, "integration_id": "vault_token", "connection_subtype": "prod"}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    server = Service()
    server.answers = [(200, {}, GOOD)]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("CONNECTION_SERVICE_URL", server.url)
    monkeypatch.setenv("CONNECTION_SERVICE_TOKEN", "service-token")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def step(step_id: str, **fields: Any) -> dict[str, Any]:
    return {"stepType": "Agent", "id": step_id, "agentId": "vault", "capabilityId": "open", "retryDelay": 1, **fields}


async def run(*steps: dict[str, Any], debug: bool = False, url: str | None = None, **options: Any) -> Outcome:
    ids = [one["id"] for one in steps]
    graph = {
        "entryPoint": ids[0],
        "steps": {one["id"]: one for one in steps},
        "executionPlan": [{"fromStep": a, "toStep": b} for a, b in pairwise(ids)],
    }
    registry = AgentRegistry()
    registry.add(Vault)
    use_agents(registry)
    result = compile_scenario(
        CompilationInput(scenario_id="c", execution_graph=graph, debug_mode=debug, connection_service_url=url),
        agents=registry,
    )
    namespace: dict[str, Any] = {"__name__": "program"}
    exec(compile(result.source, "program.py", "exec"), namespace)  # noqa: S102  # this is what an image does
    return await run_in_process(namespace["main"], {}, tenant_id="acme", **options)


def finish(of: str) -> dict[str, Any]:
    value = {"valueType": "reference", "value": f"steps.{of}.outputs"}
    return {"stepType": "Finish", "id": "done", "inputMapping": {"outputs": value}}


def everything(outcome: Outcome) -> str:
    instance = outcome.instance
    parts = [
        repr(instance.checkpoints),
        repr([e.payload for e in instance.events]),
        repr(outcome.error),
        repr(outcome.output),
    ]
    return " ".join(parts)


@pytest.mark.parametrize("debug", [False, True])
async def test_an_agent_gets_its_connection(service: Service, debug: bool) -> None:
    outcome = await run(step("a", connectionId="my vault/1"), finish("a"), debug=debug)
    assert outcome.output == {"opened": True, "subtype": "prod"}
    assert service.asked == [("/connections/acme/my%20vault%2F1", "Bearer service-token")]
    assert SECRET not in everything(outcome)


@pytest.mark.parametrize("debug", [False, True])
async def test_a_connection_step_hands_it_to_a_secure_agent(service: Service, debug: bool) -> None:
    fetch = {"stepType": "Connection", "id": "fetch", "connectionId": "v", "integrationId": "vault_token"}
    given = {"_connection": {"valueType": "reference", "value": "steps.fetch.outputs"}}
    outcome = await run(fetch, step("a", inputMapping=given), finish("a"), debug=debug)
    assert outcome.output == {"opened": True, "subtype": "prod"}
    assert SECRET not in everything(outcome)


async def test_a_connection_is_kept_as_long_as_the_service_says(service: Service) -> None:
    await run(step("a", connectionId="v"), step("b", connectionId="v"), step("c", connectionId="w"), finish("c"))
    assert len(service.asked) == 3
    service.asked.clear()
    service.answers = [(200, {"Cache-Control": "private, max-age=60"}, GOOD)]
    await run(step("a", connectionId="v"), step("b", connectionId="v"), step("c", connectionId="w"), finish("c"))
    assert [path for path, _ in service.asked] == ["/connections/acme/v", "/connections/acme/w"]


@pytest.mark.parametrize(
    ("status", "body", "code", "calls"),
    [
        (404, {}, "CONNECTION_NOT_FOUND", 1),
        (500, {}, "CONNECTION_FETCH_FAILED", 2),
        (200, b"no json", "CONNECTION_FETCH_FAILED", 2),
        (200, {"parameters": SECRET}, "CONNECTION_FETCH_FAILED", 2),
    ],
)
async def test_what_the_service_may_answer(service: Service, status: int, body: Any, code: str, calls: int) -> None:
    service.answers = [(status, {}, body)]
    outcome = await run(step("a", connectionId="v", maxRetries=1), finish("a"))
    assert outcome.error is not None
    assert (outcome.error["code"], outcome.error["stepId"]) == (code, "a")
    assert len(service.asked) == calls
    assert SECRET not in everything(outcome)


@pytest.mark.parametrize(
    "limited",
    [
        (429, {"Retry-After": "5"}, {}),
        (200, {}, {**GOOD, "rate_limit": {"is_limited": True, "retry_after_ms": 5000}}),
    ],
)
async def test_a_rate_limited_connection_is_waited_for(
    service: Service, limited: tuple[int, dict[str, str], Any]
) -> None:
    service.answers = [limited, (200, {}, GOOD)]
    outcome = await run(step("a", connectionId="v"), finish("a"))
    assert outcome.output == {"opened": True, "subtype": "prod"}
    assert len(service.asked) == 2


async def test_the_wrong_type_is_refused(service: Service) -> None:
    service.answers = [(200, {}, {**GOOD, "integration_id": "other"})]
    fetch = {"stepType": "Connection", "id": "fetch", "connectionId": "v", "integrationId": "vault_token"}
    outcome = await run(fetch, step("a"), finish("a"))
    assert outcome.error is not None
    assert (outcome.error["code"], outcome.error["stepId"]) == ("CONNECTION_MISMATCH", "fetch")


async def test_the_address_may_be_compiled_in(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONNECTION_SERVICE_URL")
    outcome = await run(step("a", connectionId="v"), finish("a"), url=service.url)
    assert outcome.output == {"opened": True, "subtype": "prod"}


async def test_without_a_service_the_step_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONNECTION_SERVICE_URL", raising=False)
    outcome = await run(step("a", connectionId="v"), finish("a"))
    assert outcome.error is not None
    assert outcome.error["code"] == "CONNECTION_SERVICE_MISSING"
    assert "[connections] url" in outcome.error["message"]


FETCH = {"stepType": "Connection", "id": "fetch", "connectionId": "v", "integrationId": "vault_token"}
HANDED = {"_connection": {"valueType": "reference", "value": "steps.fetch.outputs"}}


async def test_a_breakpoint_shows_the_steps_before_it_but_no_connection(service: Service) -> None:
    outcome = await run(
        FETCH, step("a", inputMapping=HANDED), step("b", inputMapping=HANDED, breakpoint=True), debug=True
    )
    (hit,) = outcome.events("breakpoint_hit")
    assert hit["inputs"] == {"_connection": "***"}
    assert hit["steps"]["fetch"]["outputs"] == "***"
    assert hit["steps"]["a"]["outputs"] == {"opened": True, "subtype": "prod"}
    assert SECRET not in everything(outcome)


async def test_inputs_that_an_agent_calls_secret_are_in_no_event(service: Service) -> None:
    def imm(value: str) -> dict[str, Any]:
        return {"valueType": "immediate", "value": value}

    mapping = {"key": imm(SECRET), "code": imm(SECRET), "name": imm("n")}
    outcome = await run(step("a", capabilityId="unlock", inputMapping=mapping, breakpoint=True), debug=True)
    (hit,) = outcome.events("breakpoint_hit")
    assert hit["inputs"] == {"key": "***", "code": "***", "name": "n"}
    assert outcome.events("step_debug_start")[0]["inputs"] == hit["inputs"]
    assert SECRET not in everything(outcome)


@pytest.mark.parametrize(
    "limited",
    [(429, {"Retry-After": "5"}, {}), (500, {}, {})],
)
async def test_a_connection_step_waits_and_tries_again(
    service: Service, limited: tuple[int, dict[str, str], Any]
) -> None:
    service.answers = [limited, (200, {}, GOOD)]
    outcome = await run(FETCH, step("a", inputMapping=HANDED), finish("a"), kill_at="each")
    assert outcome.output == {"opened": True, "subtype": "prod"}
    assert "fetch#attempt[1]" in outcome.checkpoints
    assert "fetch" not in outcome.checkpoints
    assert SECRET not in everything(outcome)


async def test_a_connection_that_could_not_be_had_is_not_to_be_had_after_a_relaunch(service: Service) -> None:
    service.answers = [(404, {}, {}), (200, {}, GOOD)]
    outcome = await run(FETCH, step("a", inputMapping=HANDED), finish("a"), kill_at="each")
    assert outcome.error is not None
    assert (outcome.error["code"], outcome.error["stepId"]) == ("CONNECTION_NOT_FOUND", "fetch")
    assert len(service.asked) == 1
