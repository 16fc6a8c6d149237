"""The agent honours the contract of agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from runtara_framework.agents import Connection
from runtara_framework.testing.agents import AgentConformance, Failing, Sample

Service = Any  # of conftest.py, which importlib mode does not let a test import


class TestHttp(AgentConformance):
    @pytest.fixture
    def agent(self) -> Any:
        return "http"

    @pytest.fixture
    def samples(self, service: Service) -> Sequence[Sample]:
        return [
            Sample("http-request", {"url": service.url}),
            Sample(
                "request",
                {"url": "/x", "method": "POST", "body": {"a": 1}, "query_parameters": {"q": [1, True]}},
                Connection("http_bearer", {"token": "token-1", "base_url": service.url}),
            ),
        ]

    @pytest.fixture
    def failures(self, service: Service) -> Sequence[Failing]:
        service.reply("/400", "no", 400)
        service.reply("/429", "no", 429)
        service.reply("/500", "no", 500)
        service.reply("/304", b"", 304)
        service.reply("/loop", b"", 302, location="/loop")
        url = service.url
        return [
            Failing("request", {"url": f"{url}/400"}, "HTTP_4XX"),
            Failing("request", {"url": f"{url}/429"}, "HTTP_429"),
            Failing("request", {"url": f"{url}/500"}, "HTTP_5XX"),
            Failing("request", {"url": f"{url}/304"}, "HTTP_3XX"),
            Failing("request", {"url": f"{url}/loop"}, "TOO_MANY_REDIRECTS"),
            Failing("request", {"url": f"{url}/hang", "timeout_ms": 20}, "HTTP_TIMEOUT"),
            Failing("request", {"url": "http://no-such-host.invalid/"}, "NETWORK_ERROR"),
            Failing("request", {"url": url, "max_response_bytes": 3}, "RESPONSE_TOO_LARGE"),
            Failing("request", {"url": "nowhere"}, "URL_INVALID"),
            Failing("request", {"url": url, "body": "!", "body_type": "binary"}, "BODY_INVALID"),
            Failing(
                "request",
                {"url": url, "headers": {"Host": "x"}},
                "HEADER_INVALID",
                Connection("http_bearer", {"token": "token-1"}),
            ),
            Failing(
                "request",
                {"url": url},
                "URL_OUTSIDE_CONNECTION",
                Connection("http_bearer", {"token": "token-1", "base_url": "http://else.invalid"}),
            ),
        ]

    @pytest.fixture
    def secret_connections(self, service: Service) -> Sequence[Connection]:
        return [
            Connection("http_bearer", {"token": "canary-token", "base_url": service.url}),
            Connection("http_api_key", {"api_key": "canary-key"}),
            Connection("http_basic", {"username": "me", "password": "canary-password"}),
        ]

    def test_importing_the_agent_does_not_import_httpx(self) -> None:
        import subprocess
        import sys

        code = "import sys, runtara_agents_http; print('httpx' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "False"
