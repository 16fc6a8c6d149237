"""The shop's services for the examples that call one, as small as can be: stock, prices, payments, and its connections.

`python examples/steps/service.py` serves on port 8090 until it is stopped, and prints a line for each call.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PORT = 8090
TOKEN = "a-secret-of-the-shop"
CARD_LIMIT_CENTS = 10_000


class Services(ThreadingHTTPServer):
    """Remembers every call (`calls`: path and body), and the idempotency keys of the reservations that it was asked for."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.calls: list[tuple[str, Any]] = []
        self.asked: set[str | None] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Services

    def do_GET(self) -> None:
        self.server.calls.append((self.path, None))
        match self.path.strip("/").split("/"):
            case ["stock", sku]:
                self._answer(200, {"sku": sku, "quantity": 12})
            case ["prices", sku]:
                self._answer(200, {"sku": sku, "cents": 450})
            case ["connections", _tenant, "shop"]:
                parameters = {"token": TOKEN, "base_url": self.server.url}
                self._answer(200, {"parameters": parameters, "integration_id": "http_bearer"})
            case ["orders"] if self.headers["Authorization"] == f"Bearer {TOKEN}":
                self._answer(200, {"orders": ["ORD-1", "ORD-2"]})
            case ["orders"]:
                self._answer(401, {"error": "who are you?"})
            case _:
                self._answer(404, {"error": f"no such path: {self.path}"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.calls.append((self.path, body))
        match self.path:
            case "/reservations" if self._asked_before():
                self._answer(200, {"id": f"R-{body['sku']}"})
            case "/reservations":
                self._answer(503, {"error": "busy, try again"})
            case "/payments" if body["cents"] > CARD_LIMIT_CENTS:
                self._answer(402, {"error": "the card is declined"})
            case "/payments":
                self._answer(200, {"id": "P-1"})
            case "/releases":
                self._answer(200, {"released": body})
            case _:
                self._answer(404, {"error": f"no such path: {self.path}"})

    def _asked_before(self) -> bool:
        """The first attempt of every reservation finds the service busy; all its attempts carry the same key."""
        key = self.headers["Idempotency-Key"]
        known = key in self.server.asked
        self.server.asked.add(key)
        return known

    def _answer(self, status: int, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        print(f"service: {format % args}", file=sys.stderr)


@contextmanager
def serving(port: int = 0) -> Iterator[Services]:
    """The services, open for as long as the block lasts."""
    with Services(port) as services:
        thread = threading.Thread(target=services.serve_forever, daemon=True)
        thread.start()
        try:
            yield services
        finally:
            services.shutdown()
            thread.join()


if __name__ == "__main__":
    with Services(PORT) as services:
        print(f"service: {services.url}", file=sys.stderr)
        services.serve_forever()
