"""The application: the endpoint's operations as routes, health, the OpenAPI document, and what plugins add.

Routes are found on the raw path, segment by segment, so that ``%2F`` inside a segment does not split it; a literal segment
wins over a parameter. Whoever hangs up while a call is under way has it cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, NoMatchFound, Route
from starlette.types import Receive, Scope, Send

from runtara_framework.errors import InvalidRequest, RuntaraError, ServerStopping, Unauthenticated, UnknownOperation
from runtara_framework.spec.transport import Caller, Endpoint
from runtara_transport_http import answers, bodies
from runtara_transport_http.binding import STREAM, TENANT_HEADER, Binding, query_pairs
from runtara_transport_http.openapi import document

WATCH_AFTER = 0.05  # seconds; nobody hangs up on a call that is shorter, and watching costs a task


class Calls:
    """The calls under way, so that a stop can end them in good order."""

    def __init__(self) -> None:
        self.stopping = False
        self.tasks: set[asyncio.Task[Any]] = set()

    async def stop(self, grace: float, obey: float) -> None:
        """Take no new calls, give those under way `grace` seconds; the rest is answered with `ServerStopping`."""
        self.stopping = True
        if self.tasks:
            await asyncio.wait(list(self.tasks), timeout=grace)
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(list(self.tasks), timeout=obey)


def build_app(
    endpoint: Endpoint,
    *,
    calls: Calls | None = None,
    extra_routes: Sequence[BaseRoute] = (),
    logger: logging.Logger | None = None,
) -> Starlette:
    """The application for an endpoint. `extra_routes` come after the operations and cannot take their paths."""
    calls = calls or Calls()
    bindings = [Binding(operation) for operation in endpoint.operations.values()]
    openapi = answers.encode(document(bindings))

    async def health(request: Request) -> Response:
        return Response(answers.encode({"status": "healthy"}), media_type="application/json")

    async def describe(request: Request) -> Response:
        return Response(openapi, media_type="application/json")

    async def refuse(request: Request, error: Exception) -> Response:
        """What Starlette itself answers, as JSON."""
        if not isinstance(error, HTTPException):
            return _error(RuntaraError(), 500)
        if error.status_code == 404:
            return _error(UnknownOperation(f"there is no path {request.url.path}; see /openapi.json"), 404)
        return _error(
            InvalidRequest(f"{request.method} {request.url.path}: {error.detail}"), error.status_code, error.headers
        )

    app = Starlette(
        routes=[
            Operations(endpoint, bindings, calls, logger or logging.getLogger(__name__)),
            Route("/health", health),
            Route("/openapi.json", describe),
            *extra_routes,
        ],
        exception_handlers={HTTPException: refuse, Exception: refuse},
    )
    app.router.redirect_slashes = False
    return app


def _error(error: RuntaraError, status: int, headers: Any = None) -> Response:
    return Response(answers.error_body(error.to_wire()), status, headers, "application/json")


class _Node:
    """A place in the tree of paths."""

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.bindings: dict[str, Binding[Any, Any]] = {}  # by method


class Operations(BaseRoute):
    """All operations as one route; finding one takes as long as its path is, however many there are."""

    def __init__(
        self, endpoint: Endpoint, bindings: Sequence[Binding[Any, Any]], calls: Calls, logger: logging.Logger
    ) -> None:
        self._endpoint = endpoint
        self._calls = calls
        self._logger = logger
        self._root = _Node()
        for binding in bindings:
            self._add(binding)

    def _add(self, binding: Binding[Any, Any]) -> None:
        node = self._root
        for segment in binding.template[1:].split("/"):
            if segment.startswith("{"):
                node.parameter = node = node.parameter or _Node()
            else:
                node = node.literals.setdefault(segment, _Node())
        node.bindings[binding.method] = binding
        if binding.method == "GET":
            node.bindings["HEAD"] = binding

    def _find(self, path: str) -> tuple[_Node, list[str]] | None:
        node, parameters = self._root, []
        for segment in path[1:].split("/"):
            if (literal := node.literals.get(segment)) is not None:
                node = literal
            elif node.parameter is not None and segment:
                parameters.append(segment)
                node = node.parameter
            else:
                return None
        return (node, parameters) if node.bindings else None

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http":
            return Match.NONE, {}
        found = self._find(scope["raw_path"].decode("ascii", "replace"))
        if found is None:
            return Match.NONE, {}
        node, parameters = found
        binding = node.bindings.get(scope["method"])
        child = {"runtara": (binding, parameters, node)}
        return (Match.FULL if binding is not None else Match.PARTIAL), child

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        raise NoMatchFound(name, path_params)  # operations are not named routes of Starlette

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        binding, parameters, node = scope["runtara"]
        if binding is None:
            allowed = ", ".join(sorted(node.bindings))
            error = InvalidRequest(f"{scope['method']} is not allowed here; allowed: {allowed}")
            await answers.send_error(send, error, 405, [(b"allow", allowed.encode())])
            return
        if self._calls.stopping:
            await answers.send_error(send, ServerStopping(), headers=[(b"connection", b"close")])
            return
        task = asyncio.current_task()
        assert task is not None
        self._calls.tasks.add(task)
        watch = _Watch(task, receive)
        try:
            body = answers.encode(await self._call(binding, parameters, scope, receive, watch))
        except bodies.ClientGone:
            return
        except asyncio.CancelledError:
            if watch.gone:
                task.uncancel()
                return
            if not self._calls.stopping:
                raise
            task.uncancel()
            await answers.send_error(send, ServerStopping(), headers=[(b"connection", b"close")])
        except RuntaraError as error:
            await answers.send_error(send, error)
        except Exception:
            self._logger.exception("%s failed", binding.operation.name)
            await answers.send_error(send, RuntaraError())
        else:
            await answers.send_json(send, 200, body)
        finally:
            watch.stop()
            self._calls.tasks.discard(task)

    async def _call(
        self, binding: Binding[Any, Any], parameters: list[str], scope: Scope, receive: Receive, watch: _Watch
    ) -> Any:
        headers = dict(scope["headers"])
        caller = _caller(scope, headers)
        limit = self._endpoint.max_message_bytes
        operation = binding.operation
        pairs = query_pairs(scope["query_string"])
        body: AsyncIterator[bytes] | None = None
        if operation.upload:
            content_type = headers.get(b"content-type", b"")
            if is_form := content_type.lower().startswith(b"multipart/form-data"):
                form = bodies.Form(receive, content_type, limit, watch.start)
                body = await form.open()
                pairs += form.fields
            else:
                body = bodies.stream(receive, watch.start)
            try:
                request = binding.from_text(parameters, pairs, caller.tenant_id)
            except InvalidRequest as error:
                if is_form:
                    error.message += f" (parts after the file `{STREAM}` do not count)"
                raise
        elif binding.in_query:
            request = binding.from_text(parameters, pairs, caller.tenant_id)
            watch.start()
        else:
            if pairs:
                raise InvalidRequest(
                    f"{operation.name}: `{pairs[0][0]}` is in the query; a {binding.method} has its fields in the JSON body",
                    operation=operation.name,
                    field=pairs[0][0],
                )
            request = binding.from_body(parameters, await bodies.read_json(receive, headers, limit), caller.tenant_id)
            watch.start()
        return await self._endpoint.handle(operation, request, caller, body)


class _Watch:
    """Cancels a call whose client hangs up. It begins when the body has been read, as both look at the same messages."""

    def __init__(self, task: asyncio.Task[Any], receive: Receive) -> None:
        self.gone = False
        self._task = task
        self._receive = receive
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER, self._begin)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def _begin(self) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._task.cancel()


def _caller(scope: Scope, headers: bodies.Headers) -> Caller:
    token = None
    if (authorization := headers.get(b"authorization")) is not None:
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("the header Authorization must read: Bearer <token>")
    tenant = headers.get(_TENANT)
    client = scope.get("client")
    peer = f"{client[0]}:{client[1]}" if client else "http"
    return Caller(token=token, peer=peer, tenant_id=_decoded(tenant) if tenant else None)


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the header {TENANT_HEADER} is not UTF-8") from error


_TENANT = TENANT_HEADER.lower().encode()
