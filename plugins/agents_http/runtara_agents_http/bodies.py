"""Bytes out and bytes in: the body of a request by its type, and the body of a response within its limit."""

from __future__ import annotations

import base64
import json
import os
import re
import zlib
from dataclasses import dataclass
from typing import Any, assert_never

import httpx
import msgspec
from pydantic import TypeAdapter, ValidationError

from runtara_agents_http.models import HttpRequest, Part
from runtara_framework.agents import AgentError
from runtara_framework.agents.files import BytesInput, FileData, to_bytes
from runtara_framework.memory import LIMIT

_PARTS = TypeAdapter(list[Part])
_BYTES: TypeAdapter[BytesInput] = TypeAdapter(BytesInput)


@dataclass(frozen=True)
class Body:
    """What goes out. `content_type` is the default; `forced` if a header of the scenario may not replace it."""

    content: bytes
    content_type: str
    forced: bool = False


def encode(request: HttpRequest) -> Body | None:
    """The body that the input asks for, or None. Raises `AgentError` BODY_INVALID."""
    body = request.body
    if request.multipart and request.body_type != "multipart":
        raise _invalid("`multipart` is given, but body_type is not multipart")
    if request.body_type == "multipart":
        return _multipart(_parts(request))
    if body is None or body == "":
        return None
    match request.body_type:
        case "json":
            # A text is JSON already written, for example by a template.
            return Body(body.encode() if isinstance(body, str) else _json(body), "application/json")
        case "text":
            return Body(_text(body).encode(), "text/plain; charset=utf-8")
        case "binary":
            return _binary(body)
        case _:
            assert_never(request.body_type)


def _binary(body: Any) -> Body:
    try:
        given = _BYTES.validate_python(body)
        mime_type = given.mime_type if isinstance(given, FileData) else None
        return Body(to_bytes(given), mime_type or "application/octet-stream")
    except ValidationError:
        raise _invalid(
            "a binary body is base64 text, an array of byte numbers, or {content, filename?, mimeType?}"
        ) from None
    except ValueError as error:
        raise _invalid(f"the binary body is malformed: {error}") from None


def _parts(request: HttpRequest) -> list[Part]:
    if request.multipart and request.body not in (None, ""):
        raise _invalid("give the parts in `multipart` or in `body`, not in both")
    if request.multipart:
        parts = request.multipart
    else:
        try:
            parts = _PARTS.validate_python(request.body)
        except ValidationError:
            raise _invalid(
                "a multipart body is an array of {name, value} and {name, content, filename?, contentType?}"
            ) from None
    if not parts:
        raise _invalid("a multipart body needs a part")
    return parts


def _multipart(parts: list[Part]) -> Body:
    boundary = f"runtara-{os.urandom(16).hex()}"  # random: no content can contain it by design
    lines: list[bytes] = []
    for part in parts:
        disposition = f'form-data; name="{_quoted(part.name)}"'
        if part.content is not None:
            try:
                content = to_bytes(part.content)
            except ValueError as error:
                raise _invalid(f"part {part.name!r} is malformed: {error}") from None
            if part.value is not None:
                raise _invalid(f"part {part.name!r} has both a value and a content")
            disposition += f'; filename="{_quoted(part.filename or part.name)}"'
            content_type = part.content_type or "application/octet-stream"
        else:
            content = _text(part.value).encode()
            if part.filename is not None:
                disposition += f'; filename="{_quoted(part.filename)}"'
            structured = isinstance(part.value, dict | list)
            content_type = part.content_type or ("application/json" if structured else "")
        if re.search(r"[\x00-\x1f\x7f]", content_type):
            raise _invalid(f"part {part.name!r} has a malformed contentType")
        head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\n"
        head += f"Content-Type: {content_type}\r\n\r\n" if content_type else "\r\n"
        lines += [head.encode(), content, b"\r\n"]
    lines.append(f"--{boundary}--\r\n".encode())
    return Body(b"".join(lines), f"multipart/form-data; boundary={boundary}", forced=True)


def _quoted(name: str) -> str:
    """A name inside the quotes of Content-Disposition, as browsers escape it (WHATWG HTML, multipart/form-data)."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else _json(value).decode()


def _json(value: Any) -> bytes:
    with LIMIT.lifted:
        return msgspec.json.encode(value)


# -- in ---------------------------------------------------------------------------------------------------


class TooLarge(Exception):
    """The response is longer than it may be."""


class Undecodable(Exception):
    """The response is not compressed as its headers say."""


async def read(response: httpx.Response, limit: int, *, cut: bool = False) -> bytes:
    """The body, decompressed, of at most `limit` bytes. A longer one raises `TooLarge`, or is cut.

    Decompression is bounded too: a few kilobytes can unfold to gigabytes, and httpx would unfold them."""
    raw = bytearray()
    async for chunk in response.aiter_raw():
        raw += chunk
        if len(raw) > limit:
            if not cut:
                raise TooLarge
            break
    content = bytes(raw)
    for coding in reversed(response.headers.get("content-encoding", "").lower().replace(" ", "").split(",")):
        if coding in ("gzip", "x-gzip", "deflate"):
            try:
                content = _inflate(content, limit, zlib.MAX_WBITS | 16 if coding != "deflate" else None)
            except zlib.error as error:
                raise Undecodable(f"the response is not {coding}: {error}") from None
    if len(content) > limit:
        if not cut:
            raise TooLarge
        content = content[:limit]
    return content


def _inflate(content: bytes, limit: int, wbits: int | None) -> bytes:
    """At most `limit` + 1 bytes of what is packed in `content`. `wbits` None: deflate, with or without its header."""
    if wbits is None:
        try:
            return _inflate(content, limit, zlib.MAX_WBITS)
        except zlib.error:
            wbits = -zlib.MAX_WBITS
    out = bytearray()
    while content and len(out) <= limit:
        member = zlib.decompressobj(wbits)
        out += member.decompress(content, limit + 1 - len(out))
        content = member.unused_data  # a gzip stream may have many members
    return bytes(out)


def decode(content: bytes, response_type: str, content_type: str) -> Any:
    """The body of a response as a JSON value, by the type that was asked for."""
    if response_type == "binary":
        return base64.b64encode(content).decode()
    if response_type == "json":
        if not content.strip():
            return None
        try:
            return json.loads(content, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            pass  # a service that answers text to one who hopes for JSON is served as text
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", content_type, re.IGNORECASE)
    try:
        return content.decode(charset[1] if charset else "utf-8", errors="replace")
    except LookupError:
        return content.decode(errors="replace")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _invalid(message: str) -> AgentError:
    return AgentError("BODY_INVALID", message)
