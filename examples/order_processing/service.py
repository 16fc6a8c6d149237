"""The shop's own service, as small as it can be: it validates orders and sends notifications, over real HTTP.

`python service.py [PORT]` serves until it is stopped and prints a line for each call, so that one can count them.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Shop(ThreadingHTTPServer):
    """Remembers every call: `calls` holds the path and the body of each."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.calls: list[tuple[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Shop

    def do_GET(self) -> None:
        self.server.calls.append((self.path, None))
        if self.path == "/products":
            self._answer(200, {"products": ["TEA-1", "CUP-7"]})
        else:
            self._answer(404, {"error": f"no such path: {self.path}"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.server.calls.append((self.path, body))
        match self.path:
            case "/validate":
                self._answer(200, validate(body))
            case "/notify":
                self._answer(200, {"sent": True, "to": body["email"]})
            case _:
                self._answer(404, {"error": f"no such path: {self.path}"})

    def _answer(self, status: int, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        print(f"shop: {format % args}", file=sys.stderr)


def validate(order: dict[str, Any]) -> dict[str, Any]:
    """An order is valid if it has items and each quantity is positive."""
    reasons = [f"{item['sku']}: quantity must be positive" for item in order["items"] if item["quantity"] <= 0]
    if not order["items"]:
        reasons.append("the order is empty")
    total = sum(item["quantity"] * item["price"] for item in order["items"])
    return {"valid": not reasons, "reasons": reasons, "total": total}


@contextmanager
def serving(port: int = 0) -> Iterator[Shop]:
    """The shop, open for as long as the block lasts."""
    with Shop(port) as shop:
        thread = threading.Thread(target=shop.serve_forever, daemon=True)
        thread.start()
        try:
            yield shop
        finally:
            shop.shutdown()
            thread.join()


if __name__ == "__main__":
    with Shop(int(sys.argv[1]) if len(sys.argv) > 1 else 8080) as shop:
        print(f"shop: {shop.url}", file=sys.stderr)
        shop.serve_forever()
