"""The HTTP transport keeps the contract of transports."""

from __future__ import annotations

import pytest
from runtara_transport_http.client import dial as dial_http
from runtara_transport_http.server import HttpSettings, HttpTransport

from runtara_framework.protocol.channel import Dial
from runtara_framework.spec.driver import DriverContext
from runtara_framework.spec.transport import Transport
from runtara_framework.testing.transport import TransportConformance


class TestHttp(TransportConformance):
    @pytest.fixture
    def transport(self, driver_context: DriverContext) -> Transport:
        return HttpTransport(HttpSettings(grace_seconds=0.1), driver_context)

    @pytest.fixture
    def address(self) -> str:
        return "http://127.0.0.1:0"

    @pytest.fixture
    def dial(self) -> Dial:
        return dial_http

    @pytest.fixture
    def garbage(self) -> list[bytes]:
        return [
            b"",
            b"\0",
            b"\xff" * 5000,
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /%zz%ff HTTP/1.1\r\nhost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100_000,
            b"GET /" + b"a" * 1_000_000,
            b"POST /api/v1/instances/i/checkpoint HTTP/1.1\r\ncontent-length: 10\r\n\r\n{",
            b"POST /api/v1/instances/i/checkpoint HTTP/1.1\r\ncontent-length: -1\r\n\r\n{",
            b"POST /api/v1/instances/i/checkpoint HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            b"POST /api/v1/instances/i/checkpoint HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n" + b"x" * 3_000_000,
        ]
