"""What comes in with a request: a JSON body, a stream of bytes, or a form with a file; never more in memory than allowed."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive

from runtara_framework.errors import ConnectionFailed, InvalidRequest, PayloadTooLarge
from runtara_transport_http.binding import STREAM

Headers = dict[bytes, bytes]
"""By lower-case name; of repeated ones the last."""


class ClientGone(ConnectionFailed):
    """The client closed its connection; nobody waits for an answer."""


def too_large(size: int, limit: int) -> PayloadTooLarge:
    """The error for a body over the limit."""
    return PayloadTooLarge(
        f"the request has {size} bytes or more and this server takes {limit}", size=size, limit=limit
    )


async def read_json(receive: Receive, headers: Headers, limit: int) -> bytes:
    """The body, which must say that it is JSON if there is any. Raises `PayloadTooLarge` before more than `limit` bytes are
    held, `WrongContentType`."""
    try:
        announced = int(headers.get(b"content-length", b"0"))
    except ValueError:
        announced = 0  # the parser of the server refuses such a request itself
    if announced > limit:
        raise too_large(announced, limit)
    data, more = await _next(receive)
    if more:
        pieces = bytearray(data)
        while more:
            data, more = await _next(receive)
            pieces += data
            if len(pieces) > limit:
                raise too_large(len(pieces), limit)
        data = bytes(pieces)
    if len(data) > limit:
        raise too_large(len(data), limit)
    if data and not _is_json(headers.get(b"content-type", b"")):
        # Not only for tidiness: a web page may send anything but this type to a server on the reader's own machine.
        raise WrongContentType("the body must be JSON and say so: Content-Type: application/json")
    return data


class WrongContentType(InvalidRequest):
    """The body is not of the type that the operation takes."""


def _is_json(content_type: bytes) -> bool:
    kind = content_type.partition(b";")[0].strip().lower()
    return kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json"))


async def stream(receive: Receive, ended: Callable[[], None]) -> AsyncIterator[bytes]:
    """The body, piece by piece as the consumer takes them; then `ended` is called. Raises `ClientGone`."""
    more = True
    while more:
        data, more = await _next(receive)
        if data:
            yield data
    ended()


async def _next(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone()
    return message.get("body", b""), message.get("more_body", False)


class Form:
    """A multipart/form-data body: text parts, then the file, whose bytes are streamed and never held."""

    def __init__(self, receive: Receive, content_type: bytes, limit: int, ended: Callable[[], None]) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise InvalidRequest("a multipart/form-data body needs a boundary in its Content-Type")
        self._receive: Callable[[], Awaitable[tuple[bytes, bool]]] = lambda: _next(receive)
        self._limit = limit
        self._ended = ended
        self._size = 0  # of the text parts
        self._header = b""
        self._value = bytearray()
        self._name: str | None = None
        self._text: bytearray | None = None
        self._file: deque[bytes] = deque()
        self._in_file = self._complete = False
        self.fields: list[tuple[str, str]] = []
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._part_data,
                "on_part_end": self._part_ends,
                "on_end": self._form_ends,
            },
        )

    async def open(self) -> AsyncIterator[bytes]:
        """Read up to the file; then `fields` is complete. The iterator has the file's bytes. Raises `InvalidRequest`,
        `PayloadTooLarge`."""
        more = True
        while more and not self._in_file:
            more = await self._feed()
        if not self._in_file:
            raise InvalidRequest(f"the form has no file part named `{STREAM}`", field=STREAM)
        return self._stream(more)

    async def _stream(self, more: bool) -> AsyncIterator[bytes]:
        while more or self._file:
            while self._file:
                yield self._file.popleft()
            if more:
                more = await self._feed()
        self._ended()

    async def _feed(self) -> bool:
        data, more = await self._receive()
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise InvalidRequest(f"the form is malformed: {error}") from error
        if not more and not self._complete:
            raise InvalidRequest("the form ends before its last boundary")
        return more

    # -- what the parser finds ------------------------------------------------------------------------------

    def _part_begins(self) -> None:
        if self._in_file:
            raise InvalidRequest(f"a part follows the file; the file `{STREAM}` must be the last part", field=STREAM)
        self._name = None

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _header_ends(self) -> None:
        if self._header.lower() == b"content-disposition":
            name = parse_options_header(bytes(self._value))[1].get(b"name")
            self._name = self._decoded(name, "the name of a part") if name is not None else None
        self._header, self._value = b"", bytearray()

    def _headers_end(self) -> None:
        if not self._name:
            raise InvalidRequest("a part of the form has no name")
        self._in_file = self._name == STREAM
        self._text = None if self._in_file else bytearray()

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._text is None:
            self._file.append(data[start:end])
        else:
            self._count(end - start)
            self._text += data[start:end]

    def _part_ends(self) -> None:
        if self._text is not None and self._name is not None:
            self.fields.append((self._name, self._decoded(self._text, f"part `{self._name}`")))

    def _form_ends(self) -> None:
        self._complete = True

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._limit:
            raise too_large(self._size, self._limit)

    @staticmethod
    def _decoded(data: bytes | bytearray, what: str) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"{what} is not UTF-8") from error
