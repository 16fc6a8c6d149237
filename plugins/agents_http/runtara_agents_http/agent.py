"""The declaration of agent `http`. Light: httpx is imported by the first call, or by `warm_up`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtara_agents_http.connections import CONNECTION_TYPES
from runtara_agents_http.models import HttpRequest, HttpResponse
from runtara_framework.agents import CapabilityContext, agent, capability, permanent, timeout, transient

if TYPE_CHECKING:
    from runtara_agents_http.request import Client


@agent(
    id="http",
    title="HTTP",
    description="Calls HTTP services",
    connection_types=CONNECTION_TYPES,
    secure=True,
)
class Http:
    """Holds the pool of connections that the requests of one process share."""

    def __init__(self) -> None:
        self._client: Client | None = None

    @capability(
        id="http-request",
        title="HTTP request",
        aliases=["request"],
        side_effects=True,
        harmless={"method": ["GET", "HEAD", "OPTIONS"]},
        errors=[
            transient("NETWORK_ERROR", "No answer: the name, the connection, TLS or the protocol failed"),
            timeout("HTTP_TIMEOUT", "The exchange took longer than timeout_ms"),
            transient("HTTP_429", "The service asks to slow down"),
            transient("HTTP_5XX", "The service failed"),
            permanent("HTTP_4XX", "The service refused the request"),
            permanent("HTTP_3XX", "The service answered with a redirect that leads nowhere"),
            permanent("TOO_MANY_REDIRECTS", "The service redirected more often than 10 times"),
            permanent("RESPONSE_TOO_LARGE", "The response is longer than max_response_bytes"),
            permanent("URL_INVALID", "The URL, or the connection's base_url, is not one that can be called"),
            permanent("URL_OUTSIDE_CONNECTION", "The URL is not below the connection's base_url"),
            permanent("HEADER_INVALID", "A header is not allowed in this request"),
            permanent("BODY_INVALID", "The body does not fit the body_type"),
        ],
    )
    async def http_request(self, input: HttpRequest, ctx: CapabilityContext) -> HttpResponse:
        """Send a request and return the response.

        Redirects are followed, at most 10; the credentials of a connection never leave its base_url (without one, never
        the host that was called). Requests that change something carry an `Idempotency-Key` that is the same for every
        attempt.
        """
        from runtara_agents_http.request import Client

        if self._client is None or not self._client.usable:
            self._client = Client()
        return await self._client.request(input, ctx)

    def warm_up(self) -> None:
        """Import httpx and read the trusted certificates."""
        from runtara_agents_http.request import tls_context

        tls_context()

    async def aclose(self) -> None:
        """Close the pooled connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
