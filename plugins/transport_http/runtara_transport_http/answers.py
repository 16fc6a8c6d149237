"""What goes out: JSON in one message, and errors with the status that their kind has."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.types import Send

from runtara_framework.errors import ErrorKind, RuntaraError, Unauthenticated
from runtara_transport_http.bodies import WrongContentType

STATUS: dict[ErrorKind, int] = {
    ErrorKind.INVALID: 400,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.CONFLICT: 409,
    ErrorKind.DENIED: 403,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.EXHAUSTED: 429,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.TIMEOUT: 504,
    ErrorKind.INTERNAL: 500,
}
Headers = list[tuple[bytes, bytes]]

_encoder = msgspec.json.Encoder()


def encode(answer: Any) -> bytes:
    """The JSON of an answer."""
    return _encoder.encode(answer)


def status_of(error: RuntaraError) -> int:
    """The status of HTTP for an error."""
    if isinstance(error, Unauthenticated):
        return 401
    if isinstance(error, WrongContentType):
        return 415
    return STATUS[error.kind]


async def send_json(send: Send, status: int, body: bytes, headers: Headers | None = None) -> None:
    """Send a whole answer."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
                *(headers or ()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def send_error(
    send: Send, error: RuntaraError, status: int | None = None, headers: Headers | None = None
) -> None:
    """Send an error; its status is that of its kind unless HTTP knows a better one."""
    wire = error.to_wire()
    try:
        body = error_body(wire)
    except (TypeError, ValueError, RecursionError):  # details that are no JSON must not lose the error
        wire.pop("details", None)
        body = error_body(wire)
    status = status or status_of(error)
    extra = [*(headers or ()), *([(b"www-authenticate", b"Bearer")] if status == 401 else ())]
    await send_json(send, status, body, extra)


def error_body(wire: dict[str, Any]) -> bytes:
    """The JSON of an error; `error` and `success` are what the published clients look at."""
    return _encoder.encode({"error": wire["message"], "success": False, **wire})
