"""What transports serve: authenticates, authorizes, finds the service's method, and lets nothing but `RuntaraError` out."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from runtara_framework.config import Settings
from runtara_framework.errors import Forbidden, InvalidRequest, RuntaraError, Unauthenticated
from runtara_framework.extension.hooks import Hooks
from runtara_framework.protocol.channel import Body
from runtara_framework.protocol.operations import OPERATIONS, REGISTER, Access, Operation, Protocol
from runtara_framework.services.core import CoreService
from runtara_framework.services.environment import EnvironmentService
from runtara_framework.services.identity import ApiTokens, LaunchTokens
from runtara_framework.spec.transport import Caller

logger = logging.getLogger(__name__)


class _Endpoint(ABC):
    protocol: Protocol

    def __init__(self, settings: Settings, uninterrupted: frozenset[str]) -> None:
        self._settings = settings
        self._uninterrupted = uninterrupted
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def operations(self) -> Mapping[str, Operation[Any, Any]]:
        return OPERATIONS[self.protocol]

    @property
    def max_message_bytes(self) -> int:
        return self._settings.limits.message_bytes

    async def handle(
        self, operation: Operation[Any, Any], request: Any, caller: Caller, body: Body | None = None
    ) -> Any:
        """Answer one request. Raises `RuntaraError` and nothing else.

        What follows a commit (telling the launcher, waking those who wait, killing a process) must not be lost because the
        caller hung up in this very moment, so such an operation goes on to its end without its caller."""
        if operation.name not in self._uninterrupted:
            return await self._guarded(operation, request, caller, body)
        task = asyncio.create_task(self._guarded(operation, request, caller, body))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the caller has it, or nobody wants it

    async def drain(self) -> None:
        """Wait for operations whose callers are gone. For the end, after the transports have closed."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _guarded(self, operation: Operation[Any, Any], request: Any, caller: Caller, body: Body | None) -> Any:
        try:
            return await self._answer(operation, request, caller, body)
        except (RuntaraError, asyncio.CancelledError):
            raise
        except Exception as error:  # a defect: the caller gets a stable code, the log gets the traceback
            logger.exception("operation %s failed", operation.name)
            raise RuntaraError(f"{operation.name} failed inside the server; its log has the details") from error

    @abstractmethod
    async def _answer(self, operation: Operation[Any, Any], request: Any, caller: Caller, body: Body | None) -> Any:
        """Authenticate, authorize, answer."""


class CoreEndpoint(_Endpoint):
    """Serves instances. The token says which launch is calling; the request must be about the same instance."""

    protocol = Protocol.CORE

    def __init__(self, service: CoreService, tokens: LaunchTokens, settings: Settings) -> None:
        # Of the others nothing but the answer follows, and they are the ones that a program makes a thousand times.
        super().__init__(settings, frozenset({"register", "complete", "fail", "suspend", "acknowledge_signal"}))
        self._service = service
        self._tokens = tokens
        self._methods = {name: getattr(service, name) for name in self.operations}

    async def _answer(self, operation: Operation[Any, Any], request: Any, caller: Caller, body: Body | None) -> Any:
        if caller.token:
            ref = self._tokens.verify(caller.token)
            if ref.instance_id != request.instance_id:
                raise Forbidden(f"this token is bound to instance {ref.instance_id!r}, not {request.instance_id!r}")
        elif operation is REGISTER and self._settings.auth.mode == "none":
            ref = await self._service.claim_self(request)
        else:
            raise Unauthenticated(
                "the call carries no token; use the RUNTARA_TOKEN of the launch, or the token that register answered"
            )
        self._service.seen(ref)
        return await self._methods[operation.name](request, ref)


class EnvironmentEndpoint(_Endpoint):
    """Serves products."""

    protocol = Protocol.ENVIRONMENT

    def __init__(self, service: EnvironmentService, tokens: ApiTokens, hooks: Hooks, settings: Settings) -> None:
        writes = (Access.WRITE, Access.SIGNAL)
        # Not an upload: without its caller it has no body to go on with, and nothing follows its commit.
        names = (name for name, op in self.operations.items() if op.access in writes and not op.upload)
        super().__init__(settings, frozenset(names))
        self._tokens = tokens
        self._hooks = hooks
        self._methods = {name: getattr(service, name) for name in self.operations}

    async def _answer(self, operation: Operation[Any, Any], request: Any, caller: Caller, body: Body | None) -> Any:
        principal = self._tokens.identify(caller.token, operation.access)
        tenant_id: str | None = getattr(request, "tenant_id", None)
        if tenant_id is not None and not 0 < len(tenant_id) <= 255:
            raise InvalidRequest(f"{operation.name}: tenant_id has 1 to 255 characters, not {len(tenant_id)}")
        principal.check(operation.access, tenant_id)
        if self._hooks.has("runtara_authorize"):
            await self._authorize(operation, tenant_id, principal.name)
        method = self._methods[operation.name]
        return await (method(request, body) if operation.upload else method(request))

    async def _authorize(self, operation: Operation[Any, Any], tenant_id: str | None, principal: str) -> None:
        try:
            answers = await self._hooks.collect(
                "runtara_authorize",
                operation=operation.name,
                access=operation.access.value,
                tenant_id=tenant_id,
                principal=principal,
            )
        except Exception as error:  # an authorizer that cannot answer must not open the door
            logger.exception("runtara_authorize failed; %s is refused", operation.name)
            raise Forbidden(f"{operation.name} is refused: a plugin could not decide; see the server's log") from error
        if not all(answers):
            raise Forbidden(f"{operation.name} is refused by a plugin")
