"""The addresses of this transport: ``http://host:port``, with an IPv6 address in brackets."""

from __future__ import annotations

from urllib.parse import urlsplit

from runtara_framework.errors import ConfigError


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts. Raises `ConfigError` for anything else."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{address!r} is no address for HTTP: {error}") from error
    if parts.scheme == "https":
        raise ConfigError(f"{address!r}: this transport speaks plain HTTP; put a proxy that ends TLS before it")
    if parts.scheme != "http" or not host or port is None:
        raise ConfigError(
            f"{address!r} is no address for HTTP; write http://host:port, for example http://127.0.0.1:8002"
        )
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigError(f"{address!r} says more than a host and a port; the paths are those of the protocol")
    return host, port


def address_of(host: str, port: int) -> str:
    """The address of the two parts."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
