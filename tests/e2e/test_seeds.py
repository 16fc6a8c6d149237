"""The two scenarios of the README that the product was asked for with, byte for byte, run to their results.

Their hosts are served here: the first calls https://api.example.com, so the instance is given a proxy and a certificate
authority by the environment, as a company network would.
"""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import trustme

from runtara_framework.management import ManagementSdk

from .conftest import ROOT, Shop, compiled

SEEDS = ROOT / "tests" / "data" / "seeds"


class Proxy(socketserver.ThreadingTCPServer):
    """A proxy that answers for the host itself: CONNECT, then TLS with a certificate for it, then HTTP."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, authority: trustme.CA) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("api.example.com").configure_cert(self.context)
        self.calls: list[tuple[str, str, Any]] = []


class _Tunnel(socketserver.BaseRequestHandler):
    server: Proxy

    def handle(self) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += self.request.recv(1)
        assert request.startswith(b"CONNECT api.example.com:443 "), request
        self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with self.server.context.wrap_socket(self.request, server_side=True) as tls:
            _Api(tls, self.client_address, self.server)  # type: ignore[arg-type]  # it asks for nothing of its server


class _Api(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.calls.append((self.command, self.path, json.loads(body) if body else None))  # type: ignore[attr-defined]
        content = json.dumps({"path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def api(authority: trustme.CA) -> Iterator[Proxy]:
    with Proxy(authority) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join()


async def test_order_processing(sdk: ManagementSdk, api: Proxy, authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    document = json.loads((SEEDS / "order_processing.json").read_text())
    image = await sdk.register_image(name="order", binary=compiled(document))
    info = await sdk.run_instance(
        image_id=image.image_id,
        input={"order": {"order_id": "ORD-456"}},
        env={
            "HTTPS_PROXY": f"http://127.0.0.1:{api.server_address[1]}",
            "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
        },
    )
    assert info.status == "completed", info.error
    assert info.output["result"]["body"] == {"path": "/notify"}
    assert info.output["result"]["status_code"] == 200
    # No method is given, so both are GET; a GET carries no body.
    assert [(method, path) for method, path, _ in api.calls] == [("GET", "/validate"), ("GET", "/notify")]


async def test_data_processing(sdk: ManagementSdk, shop: Shop) -> None:
    document = json.loads((SEEDS / "data_processing.json").read_text())
    image = await sdk.register_image(name="data", binary=compiled(document))
    info = await sdk.run_instance(image_id=image.image_id, input={"endpoint": f"{shop.url}/products"})
    assert info.status == "completed", info.error
    # Without mappings map-fields passes its source through (DSL.md section 8).
    assert info.output["result"]["result"]["body"] == {"products": ["TEA-1", "CUP-7"]}
