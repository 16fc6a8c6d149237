"""One exchange: build the request, follow its redirects, read the answer; and the pool of connections behind it.

Redirects are followed here, not by httpx, because whether credentials may go along is decided for each hop: once a hop
leaves the connection's base_url (or, without one, the origin that was called), every header that might be a secret is
left behind, for good. Which header is a secret nobody can know, so the ones that are certainly none are kept.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpx

from runtara_agents_http import bodies, failures, urls
from runtara_agents_http.connections import HttpConnection
from runtara_agents_http.models import HttpRequest, HttpResponse, text_of
from runtara_framework import __version__
from runtara_framework.agents import AgentError, CapabilityContext

MAX_REDIRECTS: Final = 10

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_NO_SECRETS = frozenset(
    {"accept", "accept-encoding", "accept-language", "content-type", "idempotency-key", "user-agent"}
)

Headers = dict[str, tuple[str, str]]
"""By lower-case name: the name as written, and the value."""


def tls_context() -> ssl.SSLContext:
    """The trusted certificates. Reading them takes tens of milliseconds, so one context serves the whole process, and those
    that are forked from it unless their environment names other certificates."""
    return _tls_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _tls_context(file: str | None, folder: str | None) -> ssl.SSLContext:
    return httpx.create_ssl_context()  # it looks at the two variables itself


class Client:
    """A pool of connections, bound to the event loop that it is first used on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._http = httpx.AsyncClient(
            verify=tls_context(),
            timeout=None,  # timeout_ms is for the whole exchange; asyncio enforces it
            follow_redirects=False,
            # A cookie that one step was given must not turn up in another.
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
        )
        self._http.headers.clear()

    @property
    def usable(self) -> bool:
        """Whether this is still the loop that the pool belongs to."""
        return self._loop is asyncio.get_running_loop() and not self._http.is_closed

    async def aclose(self) -> None:
        """Close the pooled connections."""
        if self._loop is asyncio.get_running_loop():
            await self._http.aclose()

    async def request(self, request: HttpRequest, context: CapabilityContext) -> HttpResponse:
        """Do what `http-request` promises. Raises `AgentError`."""
        connection = context.connection.typed if context.connection else None
        assert connection is None or isinstance(connection, HttpConnection)
        base_url = connection.base_url if connection else None
        url = urls.target(request.url, base_url, connected=connection is not None)
        url = urls.with_query(url, request.query_parameters)
        body = bodies.encode(request)
        headers = _headers(request, connection, body, context)
        home = httpx.URL(base_url) if base_url else None
        try:
            async with asyncio.timeout(request.timeout_ms / 1000):
                return await self._exchange(request, url, headers, body, home)
        except TimeoutError:
            raise failures.timed_out(request.method, url, request.timeout_ms) from None

    async def _exchange(
        self, request: HttpRequest, url: httpx.URL, headers: Headers, body: bodies.Body | None, home: httpx.URL | None
    ) -> HttpResponse:
        method, start = request.method, url
        content = body.content if body else None
        for _ in range(MAX_REDIRECTS + 1):
            sent = self._http.build_request(method, url, headers=_on_the_wire(headers), content=content)
            response = await self._send(sent)
            try:
                location = response.headers.get("location")
                if response.status_code not in _REDIRECTS or location is None:
                    return await self._answer(request, sent, response)
            finally:
                await response.aclose()
            url = urls.redirected(url, location)
            inside = urls.contains(home, url) if home else urls.same_origin(start, url)
            if not inside:
                headers = {name: pair for name, pair in headers.items() if name in _NO_SECRETS}
            if response.status_code == 303 or (response.status_code in (301, 302) and method == "POST"):
                method, content = ("HEAD" if method == "HEAD" else "GET"), None
                headers = {n: pair for n, pair in headers.items() if n not in ("content-type", "idempotency-key")}
        raise failures.too_many_redirects(request.method, start, MAX_REDIRECTS)

    async def _send(self, sent: httpx.Request) -> httpx.Response:
        try:
            return await self._http.send(sent, stream=True)
        except httpx.LocalProtocolError as error:
            raise AgentError("HEADER_INVALID", f"the request cannot be sent: {error}") from error
        except httpx.HTTPError as error:
            raise failures.network(sent.method, sent.url, error) from error

    async def _answer(self, request: HttpRequest, sent: httpx.Request, response: httpx.Response) -> HttpResponse:
        success = 200 <= response.status_code < 300
        refused = request.fail_on_error and not success
        limit = failures.ERROR_BODY_BYTES if refused else request.max_response_bytes
        try:
            content = await bodies.read(response, limit, cut=refused)
        except bodies.TooLarge:
            raise failures.too_large(sent.method, sent.url, limit) from None
        except (httpx.HTTPError, bodies.Undecodable) as error:
            raise failures.network(sent.method, sent.url, error) from error
        if refused:
            raise failures.from_status(sent, response, content)
        return HttpResponse(
            status_code=response.status_code,
            headers=dict(response.headers.items()),
            body=bodies.decode(content, request.response_type, response.headers.get("content-type", "")),
            success=success,
        )


def _headers(
    request: HttpRequest, connection: HttpConnection | None, body: bodies.Body | None, context: CapabilityContext
) -> Headers:
    accept = "application/json, */*;q=0.8" if request.response_type == "json" else "*/*"
    wanted: dict[str, Any] = {
        "Accept": accept,
        "Accept-Encoding": "gzip, deflate",
        "User-Agent": f"runtara/{__version__}",
    }
    if request.method not in _SAFE_METHODS:
        wanted["Idempotency-Key"] = context.idempotency_key
    if body is not None:
        wanted["Content-Type"] = body.content_type
    headers: Headers = {}
    for source in (wanted, connection.auth_headers() if connection else {}, request.headers):
        for name, value in source.items():
            headers[name.lower()] = (name, text_of(value))
    if body is not None and body.forced:
        headers["content-type"] = ("Content-Type", body.content_type)
    if connection is not None and "host" in headers:
        raise AgentError(
            "HEADER_INVALID",
            "with a connection the header Host may not be given: it would send the credentials elsewhere",
        )
    return headers


def _on_the_wire(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode()) for name, value in headers.values()]
