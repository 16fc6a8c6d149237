"""Where credentials go, and where they never go."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from runtara_agents_http import urls

from runtara_framework.agents import AgentError, Connection

Call = Callable[..., Awaitable[Any]]
Service = Any  # of conftest.py, which importlib mode does not let a test import


SECRET = "s3cret-t0ken/with+signs"


def bearer(base_url: str | None = None) -> Connection:
    return Connection("http_bearer", {"token": SECRET, "base_url": base_url})


async def test_each_connection_type_signs_in_its_own_way(service: Service, call: Call) -> None:
    pair = base64.b64encode(f"me:{SECRET}".encode()).decode()
    for connection, header, value in [
        (bearer(service.url), "authorization", f"Bearer {SECRET}"),
        (Connection("http_api_key", {"api_key": SECRET}), "x-api-key", SECRET),
        (Connection("http_api_key", {"api_key": SECRET, "header_name": "X-Mine"}), "x-mine", SECRET),
        (Connection("http_basic", {"username": "me", "password": SECRET}), "authorization", f"Basic {pair}"),
    ]:
        await call(connection, url=f"{service.url}/x")
        assert service.seen[-1]["headers"][header] == value


async def test_headers_of_the_scenario_win_over_those_of_the_connection(service: Service, call: Call) -> None:
    await call(bearer(), url=service.url, headers={"AUTHORIZATION": "mine"})
    assert service.seen[0]["headers"]["authorization"] == "mine"


async def test_a_host_header_cannot_lead_credentials_elsewhere(service: Service, call: Call) -> None:
    with pytest.raises(AgentError) as caught:
        await call(bearer(service.url), url="/x", headers={"host": "evil.example"})
    assert caught.value.code == "HEADER_INVALID"
    await call(url=service.url, headers={"Host": "virtual.example"})
    assert service.seen[0]["headers"]["host"] == "virtual.example"


@pytest.mark.parametrize(
    ("url", "path", "query"),
    [
        ("/orders", "/v2/a/orders", ""),
        ("orders/7", "/v2/a/orders/7", ""),
        ("", "/v2/a", ""),
        ("?page=2", "/v2/a", "page=2"),
        ("orders?next=http://other.example/..", "/v2/a/orders", "next=http://other.example/.."),
        ("a b/%20é", "/v2/a/a%20b/%20%C3%A9", ""),
        ("x..y/...", "/v2/a/x..y/...", ""),
        ("{base}/orders", "/v2/a/orders", ""),
        ("{base}/b/../orders", "/v2/a/orders", ""),
        ("{base}", "/v2/a", ""),
        ("{base}#top", "/v2/a", ""),
    ],
)
@pytest.mark.parametrize("slash", ["", "/"])
async def test_urls_below_the_base_are_called(
    service: Service, call: Call, url: str, path: str, query: str, slash: str
) -> None:
    base = f"{service.url}/v2/a"
    await call(bearer(base + slash), url=url.replace("{base}", base))
    (seen,) = service.seen
    assert (seen["path"].rstrip("/"), seen["query"]) == (path, query)
    assert seen["headers"]["authorization"] == f"Bearer {SECRET}"


HOSTILE = [
    "http://evil.example/v2/a",
    "https://api.example.com/v2/a",  # another scheme
    "http://api.example.com:8080/v2/a",
    "http://api.example.com.evil.example/v2/a",
    "http://api.example.com@evil.example/v2/a",
    "http://evil.example#@api.example.com/v2/a",
    "http://evil.example?@api.example.com/v2/a",
    "http://me:pw@api.example.com/v2/a",
    "http://evil.example\\@api.example.com/v2/a",
    "http:\\\\evil.example/v2/a",
    "//evil.example/v2/a",
    "///evil.example/v2/a",
    "/\\evil.example",
    "\\\\evil.example",
    "http:evil.example",
    "http:/evil.example",
    "http:///evil.example/v2/a",
    "http://api.example.com./v2/a",
    "http://api.example.com%2eevil.example/v2/a",
    "http://api%2eexample.com/v2/a",
    "http://api.example.com/v2/ab",
    "http://api.example.com/v2",
    "http://api.example.com/v2/b",
    "http://api.example.com/V2/A",
    "http://api.example.com//v2/a",
    "http://api.example.com/v2//a",
    "http://api.example.com/v2/a/../b",
    "http://api.example.com/v2/a/../../admin",
    "http://api.example.com/v2/a/%2e%2e/b",
    "http://api.example.com/v2/a/.%2E/b",
    "http://api.example.com/v2/a/%252e%252e/b",
    "http://api.example.com/v2/a/%25252525252e%252e/b",
    "http://api.example.com/v2/a/..%2fb",
    "http://api.example.com/v2/a%2f..%2fb",
    "http://api.example.com/v2/a/..%5cb",
    "http://api.example.com/v2/a/..;/b",
    "http://api.example.com/v2/a/\uff0e\uff0e/b",
    "http://api.example.com/v2%2fa",
    "../b",
    "..",
    "x/../../b",
    "%2e%2e/b",
    "..%2fb",
    "..%255cb",
    "..\\b",
    "\t//evil.example",
    "ht\ntp://evil.example",
    "orders\r\nHost: evil.example",
    "orders\x00",
    "file:///etc/passwd",
    "ftp://api.example.com/v2/a",
    "javascript:alert(1)",
    "gopher://api.example.com/v2/a",
    "http://",
    "http://[::1",
    "http://api.example.com:99999/v2/a",
    "http://api.example.com:port/v2/a",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_url_gets_no_credentials(url: str) -> None:
    with pytest.raises(AgentError) as caught:
        urls.target(url, "http://api.example.com/v2/a", connected=True)
    assert caught.value.code in ("URL_INVALID", "URL_OUTSIDE_CONNECTION")


@pytest.mark.parametrize(
    "base_url",
    [
        "api.example.com",
        "/v2",
        "ftp://h/",
        "http://u:p@h/",
        "http://h/?q=1",
        "http://h/%2e%2e/x",
        "http:///x",
        "http://h\\x/",
    ],
)
def test_a_base_url_that_cannot_be_one_is_refused(base_url: str) -> None:
    with pytest.raises(AgentError, match="base_url") as caught:
        urls.target("x", base_url, connected=True)
    assert caught.value.code == "URL_INVALID"


@pytest.mark.parametrize(
    "url", ["/relative", "relative", "", "?q", "file:///etc/passwd", "http://", "http://h\n/", "mailto:x@y"]
)
async def test_without_a_base_url_an_absolute_http_url_is_needed(call: Call, url: str) -> None:
    for connection in (None, bearer()):
        with pytest.raises(AgentError) as caught:
            await call(connection, url=url)
        assert caught.value.code == "URL_INVALID"


async def test_a_user_in_the_url_is_used_but_never_shown(service: Service, call: Call) -> None:
    service.reply("/f", b"", 400)
    url = service.url.replace("http://", f"http://me:{SECRET.replace('/', '%2F')}@")
    with pytest.raises(AgentError) as caught:
        await call(url=f"{url}/f?token={SECRET}")
    assert service.seen[0]["headers"]["authorization"].startswith("Basic ")
    assert "t0ken" not in json.dumps(caught.value.to_failure()) + repr(caught.value)


async def test_a_service_that_repeats_the_secret_does_not_bring_it_into_the_error(service: Service, call: Call) -> None:
    pair = base64.b64encode(f"me:{SECRET}".encode()).decode()
    for connection, text in [
        (bearer(), f"bad token {SECRET}"),
        (Connection("http_basic", {"username": "me", "password": SECRET}), f"bad pair {pair}"),
    ]:
        service.reply("/f", {"you sent": text}, 401)
        with pytest.raises(AgentError) as caught:
            await call(connection, url=f"{service.url}/f")
        whole = json.dumps(caught.value.to_failure()) + repr(caught.value)
        assert SECRET not in whole and pair not in whole and "***" in whole


# -- redirects --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [
        (301, "POST", "GET", b""),
        (302, "POST", "GET", b""),
        (303, "POST", "GET", b""),
        (303, "PUT", "GET", b""),
        (301, "PUT", "PUT", b"{}"),
        (307, "POST", "POST", b"{}"),
        (308, "DELETE", "DELETE", b"{}"),
        (302, "GET", "GET", b"{}"),
        (303, "HEAD", "HEAD", b""),
    ],
)
async def test_redirects_are_followed_as_browsers_do(
    service: Service, call: Call, status: int, method: str, then: str, body: bytes
) -> None:
    service.reply("/a", b"", status, location="b?x=1#f")
    await call(url=f"{service.url}/a?first=1", method=method, body={})
    second = service.seen[1]
    assert (second["path"], second["query"], second["method"]) == ("/b", "x=1", then)
    assert base64.b64decode(second["body"]) == body
    assert ("content-type" in second["headers"]) == bool(body)


async def test_redirects_are_followed_ten_times_and_no_more(service: Service, call: Call) -> None:
    service.reply("/loop", b"", 302, location="/loop")
    with pytest.raises(AgentError, match="more often than 10 times") as caught:
        await call(url=f"{service.url}/loop")
    assert caught.value.code == "TOO_MANY_REDIRECTS"
    assert len(service.seen) == 11


async def test_a_redirect_below_the_base_keeps_the_credentials(service: Service, call: Call) -> None:
    service.reply("/v2/a/old", b"", 302, location="/v2/a/new")
    await call(bearer(f"{service.url}/v2/a"), url="old", headers={"X-Mine": "kept"})
    assert service.seen[1]["headers"]["authorization"] == f"Bearer {SECRET}"
    assert service.seen[1]["headers"]["x-mine"] == "kept"


@pytest.mark.parametrize("path", ["/v2/ab", "/v2", "/v2/a/..%2fb", "/v2/a/%2e%2e/b"])
async def test_a_redirect_out_of_the_base_loses_the_credentials(service: Service, call: Call, path: str) -> None:
    service.reply("/v2/a/old", b"", 307, location=path)
    await call(bearer(f"{service.url}/v2/a"), url="old", method="POST", body={"a": 1}, headers={"X-Mine": "1"})
    got = service.seen[1]["headers"]
    assert "authorization" not in got and "x-mine" not in got
    assert got["content-type"] == "application/json"


@pytest.mark.parametrize("connection", [bearer(), None])
async def test_a_redirect_to_a_foreign_host_loses_whatever_may_be_secret(
    service: Service, foreign: Service, call: Call, connection: Connection | None
) -> None:
    home = service
    home.reply("/a", b"", 307, location=f"{foreign.url}/b")
    foreign.reply("/b", b"", 307, location=f"{home.url}/c")
    headers = {"Cookie": "c=1", "X-Own-Key": SECRET} | ({} if connection else {"Authorization": f"Bearer {SECRET}"})
    await call(connection, url=f"{home.url}/a", method="POST", headers=headers)
    away, back = foreign.seen[0], home.seen[1]
    for seen in (away, back):  # once dropped, always dropped
        assert SECRET not in json.dumps(seen["headers"])
        assert not {"authorization", "cookie", "x-own-key"} & set(seen["headers"])
    assert away["headers"]["idempotency-key"] == home.seen[0]["headers"]["idempotency-key"]


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://a\\b/", "ftp://h/"])
async def test_a_redirect_to_nowhere_is_refused(service: Service, call: Call, location: str) -> None:
    service.reply("/a", b"", 302, location=location)
    with pytest.raises(AgentError) as caught:
        await call(url=f"{service.url}/a")
    assert caught.value.code == "URL_INVALID"


async def test_a_redirect_cannot_bring_credentials_of_its_own(service: Service, call: Call) -> None:
    service.reply("/a", b"", 302, location=service.url.replace("http://", "http://evil:pw@") + "/b")
    await call(url=f"{service.url}/a")
    assert "authorization" not in service.seen[1]["headers"]


def test_containment_is_by_segment() -> None:
    base = httpx.URL("http://h/v2/a/")
    for url, inside in [
        ("http://h/v2/a", True),
        ("http://h/v2/a/", True),
        ("http://h/v2/a/b", True),
        ("http://h/v2/ab", False),
    ]:
        assert urls.contains(base, httpx.URL(url)) is inside
    assert urls.contains(httpx.URL("http://h"), httpx.URL("http://h:80/x"))


def test_a_process_that_names_other_certificates_trusts_those(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Even if it was forked from one that had read the usual ones."""
    from runtara_agents_http.request import tls_context

    usual = tls_context()
    assert tls_context() is usual
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    other = tls_context()
    assert other is not usual
    assert len(other.get_ca_certs()) == 1
