"""Connections on a real server: the instance asks it, it asks the product; no credential of the service leaves it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from runtara_framework.management import ManagementSdk

from .conftest import Server, compiled

SECRET = "crm-s3cret"
TOKEN = "service-t0ken"


class Product(ThreadingHTTPServer):
    """The product: its connection service, and the CRM that the connection is for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Product

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        answers: dict[str, Any] = {
            "/connections/acme/crm": {
                "integration_id": "http_bearer",
                "parameters": {"token": SECRET, "base_url": f"{self.server.url}/crm"},
            },
            "/crm/customers": ["ada"],
        }
        found = answers.get(self.path)
        body = json.dumps(found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def product() -> Iterator[Product]:
    with Product() as product:
        thread = threading.Thread(target=product.serve_forever, daemon=True)
        thread.start()
        yield product
        product.shutdown()
        thread.join()


def scenario(connection_id: str) -> dict[str, Any]:
    return {
        "entryPoint": "call",
        "steps": {
            "call": {
                "stepType": "Agent",
                "id": "call",
                "agentId": "http",
                "capabilityId": "http-request",
                "connectionId": connection_id,
                "maxRetries": 0,
                "inputMapping": {"url": {"valueType": "immediate", "value": "/customers"}},
            },
            "end": {
                "stepType": "Finish",
                "id": "end",
                "inputMapping": {"customers": {"valueType": "reference", "value": "steps.call.outputs.body"}},
            },
        },
        "executionPlan": [{"fromStep": "call", "toStep": "end"}],
    }


async def test_an_instance_uses_a_connection_and_nothing_shows_its_secret(server: Server, product: Product) -> None:
    server.start(f'connections.url="{product.url}/connections"', f'connections.token="{TOKEN}"')
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="crm", binary=compiled(scenario("crm")))
        info = await sdk.run_instance(image_id=image.image_id)
        assert info.output == {"customers": ["ada"]}, info.error
        assert product.asked == [
            ("/connections/acme/crm", f"Bearer {TOKEN}"),
            ("/crm/customers", f"Bearer {SECRET}"),
        ]
        seen = [event.payload for event in (await sdk.list_events(info.instance_id)).events]
        for checkpoint in (await sdk.list_checkpoints(info.instance_id)).checkpoints:
            seen.append((await sdk.get_checkpoint(info.instance_id, checkpoint.checkpoint_id)).data)
    server.stop()
    everything = json.dumps([*seen, *server.log, info.stderr])
    assert SECRET not in everything
    assert TOKEN not in everything
    files = [path for path in server.data_dir.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path
        assert TOKEN.encode() not in path.read_bytes(), path


async def test_an_unknown_connection_fails_the_step_by_name(server: Server, product: Product) -> None:
    server.start(f'connections.url="{product.url}/connections"')
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="crm", binary=compiled(scenario("nope")))
        info = await sdk.run_instance(image_id=image.image_id)
        assert (info.error["code"], info.error["stepId"]) == ("CONNECTION_NOT_FOUND", "call")
        assert "'nope'" in info.error["message"]
