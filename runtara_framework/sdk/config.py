"""`SdkConfig`: what an instance must know to find its server. The names and defaults are the documented ones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import dataclass_transform

import msgspec

from runtara_framework.errors import ConfigError

DEFAULT_ADDRESS = "127.0.0.1:8001"


@dataclass_transform(frozen_default=True, kw_only_default=True)
class _Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the configuration."""


class SdkConfig(_Frozen):
    """Who the instance is and how it talks. TLS is the business of the dialer of the address's scheme."""

    instance_id: str
    tenant_id: str
    server_addr: str = DEFAULT_ADDRESS
    token: str | None = None  # proves the launch; a program that no server launched has none
    connect_timeout_ms: int = 10_000
    request_timeout_ms: int = 30_000  # for one answer; a call that waits on purpose gets that much more
    signal_poll_interval_ms: int = 1_000  # `poll_signal` asks the server at most that often
    heartbeat_interval_ms: int = 30_000  # 0 = none
    reconnect_timeout_ms: int = 600_000  # how long to try again once the server is away; instances outlive its restart

    @staticmethod
    def from_env(environ: Mapping[str, str] | None = None) -> SdkConfig:
        """From `RUNTARA_INSTANCE_ID`, `RUNTARA_TENANT_ID` (both required), `RUNTARA_SERVER_ADDR`, `RUNTARA_TOKEN`,
        `RUNTARA_CONNECT_TIMEOUT_MS`, `RUNTARA_REQUEST_TIMEOUT_MS`, `RUNTARA_SIGNAL_POLL_INTERVAL_MS`,
        `RUNTARA_HEARTBEAT_INTERVAL_MS`, `RUNTARA_RECONNECT_TIMEOUT_MS`. Raises `ConfigError`."""
        env = os.environ if environ is None else environ
        return SdkConfig(
            instance_id=_required(env, "RUNTARA_INSTANCE_ID"),
            tenant_id=_required(env, "RUNTARA_TENANT_ID"),
            server_addr=env.get("RUNTARA_SERVER_ADDR") or DEFAULT_ADDRESS,
            token=env.get("RUNTARA_TOKEN") or None,
            connect_timeout_ms=milliseconds(env, "RUNTARA_CONNECT_TIMEOUT_MS", 10_000, least=1),
            request_timeout_ms=milliseconds(env, "RUNTARA_REQUEST_TIMEOUT_MS", 30_000, least=1),
            signal_poll_interval_ms=milliseconds(env, "RUNTARA_SIGNAL_POLL_INTERVAL_MS", 1_000),
            heartbeat_interval_ms=milliseconds(env, "RUNTARA_HEARTBEAT_INTERVAL_MS", 30_000),
            reconnect_timeout_ms=milliseconds(env, "RUNTARA_RECONNECT_TIMEOUT_MS", 600_000),
        )

    @staticmethod
    def localhost(instance_id: str, tenant_id: str) -> SdkConfig:
        """For a server on this machine at its default port."""
        return SdkConfig(instance_id=instance_id, tenant_id=tenant_id)


def milliseconds(env: Mapping[str, str], name: str, default: int, *, least: int = 0) -> int:
    """The variable as a whole number of milliseconds. Raises `ConfigError` if it is none or below `least`."""
    text = env.get(name, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise ConfigError(f"{name} must be a whole number of milliseconds, {least} or more, not {text!r}")
    return int(text)


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not value:
        raise ConfigError(
            f"{name} is not set; the server sets it for what it launches, set it yourself for a program of yours"
        )
    return value
