"""`ManagementConfig`: where the server is. The names and defaults are the documented ones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import dataclass_transform

import msgspec

from runtara_framework.sdk.config import milliseconds

DEFAULT_ADDRESS = "127.0.0.1:8002"


@dataclass_transform(frozen_default=True, kw_only_default=True)
class _Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the configuration."""


class ManagementConfig(_Frozen):
    """How a product talks to the environment protocol. TLS is the business of the dialer of the address's scheme."""

    server_addr: str = DEFAULT_ADDRESS  # unix:///path, http://host:port, …; a bare host:port means http
    token: str | None = None  # an API token, if the server asks for one
    tenant_id: str | None = None  # for calls that name none
    connect_timeout_ms: int = 10_000
    request_timeout_ms: int = 30_000  # for one answer; a call that waits on purpose gets that much more

    @staticmethod
    def from_env(environ: Mapping[str, str] | None = None) -> ManagementConfig:
        """From `RUNTARA_ENVIRONMENT_ADDR`, `RUNTARA_TOKEN`, `RUNTARA_TENANT_ID`, `RUNTARA_CONNECT_TIMEOUT_MS`,
        `RUNTARA_REQUEST_TIMEOUT_MS`; all optional. Raises `ConfigError`."""
        env = os.environ if environ is None else environ
        return ManagementConfig(
            server_addr=env.get("RUNTARA_ENVIRONMENT_ADDR") or DEFAULT_ADDRESS,
            token=env.get("RUNTARA_TOKEN") or None,
            tenant_id=env.get("RUNTARA_TENANT_ID") or None,
            connect_timeout_ms=milliseconds(env, "RUNTARA_CONNECT_TIMEOUT_MS", 10_000, least=1),
            request_timeout_ms=milliseconds(env, "RUNTARA_REQUEST_TIMEOUT_MS", 30_000, least=1),
        )

    @staticmethod
    def localhost() -> ManagementConfig:
        """For a server on this machine at its default port."""
        return ManagementConfig()
