"""The frames of stream transports: bytes in, frames out, without any I/O.

A frame is a length (4 bytes, big-endian, of what follows) and a msgpack array whose first item is the frame's kind. The
kinds and the order of their fields are fixed for ever; a later version may only append fields that have a default.

::

    client                                    server
    Hello(version, token)            ->
                                     <-       Welcome(version, max_calls)    or Failure(0, error), and the end
    Request(id, operation, payload)  ->                                      any number at once, up to max_calls
                                     <-       Answer(id, payload)            or Failure(id, error); in any order
    Chunk(id, data) …                ->                                      for an operation with `upload`
                                     <-       Credit(id, bytes) …            as the chunks are consumed
    Chunk(id, b"")                   ->                                      the end of the stream
    Cancel(id)                       ->                                      the caller does not wait any more

Back-pressure: the chunks of one request that are not yet consumed may hold `WINDOW` bytes; each credit allows that many
more. A reader never holds a frame larger than its limit: a request over it is skipped as it arrives and reported as
`Oversized`, so that it can be answered and the connection stays usable; any other such frame is an error.

`payload` is the message of the operation (`protocol.messages`). JSON knows integers of any size and msgpack does not, so
a larger one inside a JSON value travels as extension type 1, its hexadecimal text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from runtara_framework.errors import ProtocolError, RuntaraError
from runtara_framework.protocol.invalid import MALFORMED, unsendable
from runtara_framework.protocol.operations import VERSION

WINDOW = 1024 * 1024
CHUNK_BYTES = 256 * 1024  # what a client puts into one chunk
HELLO_LIMIT = 64 * 1024  # of all frames until the hello is accepted
ANSWER_LIMIT = 1024 * 1024 * 1024  # what a client takes; its server is trusted, garbage is not

_HEADER = 4
_HEAD = 11  # array mark, kind, and an id of at most nine bytes: enough to say which request is too large
_BIG_INTEGER = 1


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The first frame of a client."""

    version: int
    token: str | None = None


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The server's answer to a hello: the version to speak and how many requests may wait for an answer at once."""

    version: int
    max_calls: int


class Request(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A call. `id` is the client's, above 0, and not in use."""

    id: int
    operation: str
    payload: msgspec.Raw


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The call succeeded."""

    id: int
    payload: msgspec.Raw


class Failure(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The call failed with `error` (`RuntaraError.to_wire`); id 0 means the connection, which then ends."""

    id: int
    error: dict[str, Any]


class Chunk(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """A piece of the body that follows a request; an empty one is its end."""

    id: int
    data: bytes


class Credit(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """So many more bytes of the request's body may be sent."""

    id: int
    size: int


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """The caller gave up; no answer is expected, and one under way is ignored."""

    id: int


class Oversized(msgspec.Struct, frozen=True):
    """No frame, but what the reader says of a request over the limit, whose bytes it skips."""

    id: int
    size: int


FromClient: TypeAlias = Hello | Request | Chunk | Cancel
FromServer: TypeAlias = Welcome | Answer | Failure | Credit
Frame: TypeAlias = FromClient | FromServer
F = TypeVar("F")
T = TypeVar("T")

_REQUEST, _CHUNK = 2, 5
_encoder = msgspec.msgpack.Encoder()


def encode(frame: Frame) -> bytes:
    """The bytes of a frame whose payload, if any, is encoded already."""
    return _sized(_encoder.encode(frame))


def encode_request(call_id: int, operation: str, message: Any) -> bytes:
    """The bytes of a request. Raises `InvalidRequest` if the message holds something that is no JSON value."""
    return _with_payload(_REQUEST, call_id, message, operation)


def encode_answer(call_id: int, message: Any) -> bytes:
    """The bytes of an answer. Raises `InvalidRequest` if the message holds something that is no JSON value."""
    return _with_payload(3, call_id, message)


def encode_failure(call_id: int, error: RuntaraError) -> bytes:
    """The bytes of a failure; details that no frame can carry are left out rather than losing the error."""
    wire = error.to_wire()
    try:
        return encode(Failure(call_id, wire))
    except (TypeError, OverflowError, *MALFORMED):
        wire.pop("details", None)
        return encode(Failure(call_id, wire))


def payload_decoder(message: type[T]) -> msgspec.msgpack.Decoder[T]:
    """A decoder for payloads of that type; make one an operation, not one a call."""
    return msgspec.msgpack.Decoder(message, ext_hook=_extension)


def accept(hello: Hello) -> int:
    """The version to speak with this client. Raises `ProtocolError` if there is none."""
    spoken = [version for version in (VERSION - 1, VERSION) if version >= 1]
    if hello.version in spoken:
        return hello.version
    raise ProtocolError(
        f"the client speaks version {hello.version} of the protocol and this server "
        f"{' and '.join(map(str, spoken))}; install the same version of runtara-framework on both sides",
        client=hello.version,
        server=spoken,
    )


class FrameReader(Generic[F]):
    """Cuts a stream of bytes into frames. `limit` may be changed between two frames."""

    def __init__(self, frames: Any, limit: int) -> None:
        self._decoder: msgspec.msgpack.Decoder[F] = msgspec.msgpack.Decoder(frames)
        self.limit = limit
        self._partial = bytearray()  # a frame that has not arrived in full, with its header
        self._skip = 0  # bytes of an oversized request still to come

    def feed(self, data: bytes) -> Iterator[F | Oversized]:
        """The frames that these bytes complete. Raises `ProtocolError` where the bytes are none; nothing may be fed after
        that."""
        position, end = 0, len(data)
        while position < end:
            if not self._partial and not self._skip and end - position > _HEADER:
                length = int.from_bytes(data[position : position + _HEADER], "big")
                stop = position + _HEADER + length
                if stop <= end and 0 < length <= self.limit:  # the usual case: all of it is here
                    yield self._decode(data[position + _HEADER : stop])
                    position = stop
                    continue
            if self._skip:
                taken = min(self._skip, end - position)
                self._skip -= taken
                position += taken
                continue
            need = self._need()
            taken = min(need - len(self._partial), end - position)
            self._partial += memoryview(data)[position : position + taken]
            position += taken
            if len(self._partial) == need > _HEADER:
                found = self._complete()
                if found is not None:
                    yield found
            elif len(self._partial) == _HEADER:
                self._length()  # an empty frame is an error as soon as it is known

    def _length(self) -> int:
        length = int.from_bytes(self._partial[:_HEADER], "big")
        if length == 0:
            raise ProtocolError("a frame is empty; the other side does not speak Runtara's protocol")
        return length

    def _need(self) -> int:
        """How many bytes of the frame, with its header, decide what happens next."""
        if len(self._partial) < _HEADER:
            return _HEADER
        length = self._length()
        if length > self.limit and len(self._partial) < _HEADER + _HEAD:
            return _HEADER + min(length, _HEAD)
        return _HEADER + length

    def _complete(self) -> F | Oversized | None:
        partial, length = self._partial, self._length()
        if length > self.limit:
            kind, call_id = _head(partial[_HEADER : _HEADER + _HEAD])
            if kind == _REQUEST:
                self._skip = _HEADER + length - len(partial)
                self._partial = bytearray()
                return Oversized(call_id, length)
            if kind != _CHUNK or length > WINDOW + _HEAD + 5:  # 5: msgpack's mark and length of the data
                raise ProtocolError(
                    f"a frame says that it has {length} bytes, the limit is {self.limit}; the other side does not "
                    "speak Runtara's protocol, or an answer is too large",
                    limit=self.limit,
                )
            if len(partial) < _HEADER + length:
                return None
        self._partial = bytearray()
        # A view, not a copy: nobody else holds these bytes.
        return self._decode(memoryview(partial)[_HEADER:])

    def _decode(self, body: bytes | memoryview) -> F:
        try:
            return self._decoder.decode(body)
        except MALFORMED as error:
            raise ProtocolError(f"the bytes received are no frame of Runtara's protocol: {error}") from error


def _head(head: bytes | bytearray) -> tuple[int, int]:
    """Kind and id of a frame from its first bytes; (-1, 0) if they are none."""
    widths = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
    if len(head) < 3 or not 0x92 <= head[0] <= 0x9F or head[1] > 0x7F:
        return -1, 0
    mark = head[2]
    if mark <= 0x7F:
        return head[1], mark
    width = widths.get(mark, 0)
    if not width or len(head) < 3 + width:
        return -1, 0
    return head[1], int.from_bytes(head[3 : 3 + width], "big")


def _sized(body: bytes) -> bytes:
    return len(body).to_bytes(_HEADER, "big") + body


def _with_payload(kind: int, call_id: int, message: Any, *operation: str) -> bytes:
    # Encoding the message in place, as an item of the frame's array, spares an intermediate copy of it.
    try:
        try:
            return _sized(_encoder.encode((kind, call_id, *operation, message)))
        except OverflowError:
            plain = _spell(msgspec.to_builtins(message, builtin_types=(bytes,)))
            return _sized(_encoder.encode((kind, call_id, *operation, plain)))
    except (TypeError, OverflowError, *MALFORMED) as error:
        raise unsendable(message, error) from error


def _spell(value: Any) -> Any:
    """`value` with the integers that msgpack does not know as extensions."""
    if isinstance(value, dict):
        return {key: _spell(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_spell(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return msgspec.msgpack.Ext(_BIG_INTEGER, hex(value).encode())
    return value


def _extension(code: int, data: memoryview) -> Any:
    if code == _BIG_INTEGER:
        return int(bytes(data), 16)
    raise ValueError(f"extension type {code} is not of the protocol")
