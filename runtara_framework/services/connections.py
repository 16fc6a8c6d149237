"""Resolves connections for instances: asks the plugins, then the product's connection service.

Instances ask the server, not the service, so that no credential of the service is ever inside an instance, and an instance
can only ask for its own tenant. Parameters are secret: no error and no log has any.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from runtara_framework import connections
from runtara_framework.config import ConnectionSettings
from runtara_framework.errors import ConfigError, ConnectionServiceMissing, InvalidRequest
from runtara_framework.extension.hooks import Hooks
from runtara_framework.protocol import messages as m


class ConnectionService:
    """One per server."""

    def __init__(self, settings: ConnectionSettings, hooks: Hooks) -> None:
        self._settings = settings
        self._hooks = hooks
        if settings.url is not None and urlsplit(settings.url).scheme not in ("http", "https"):
            raise ConfigError(f"[connections] url must begin with http:// or https://, it is {settings.url!r}")

    async def resolve(self, tenant_id: str, connection_id: str) -> m.ResolvedConnection:
        """Raises `ConnectionUnknown`, `ConnectionRateLimited`, `ConnectionFetchFailed`, `ConnectionServiceMissing`."""
        if not connection_id:
            raise InvalidRequest("resolve_connection: connection_id must not be empty")
        found = await self._hooks.first("runtara_resolve_connection", tenant_id=tenant_id, connection_id=connection_id)
        if found is not None:
            return connections.parse(connection_id, found, max_age_ms=0)
        if self._settings.url is None:
            raise ConnectionServiceMissing(
                f"connection {connection_id!r} is needed, and nobody can be asked for it: configure [connections] url, "
                "or install a plugin that resolves connections"
            )
        return await asyncio.to_thread(
            connections.ask,
            self._settings.url,
            tenant_id,
            connection_id,
            token=self._settings.token,
            timeout=self._settings.timeout_seconds,
        )
