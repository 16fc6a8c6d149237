"""Bytes to frames and back: any chunking, any garbage, and the bytes of version 1, which may never change."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara_framework import errors
from runtara_framework.protocol import framing
from runtara_framework.protocol import messages as m
from runtara_framework.protocol.invalid import invalid_request, unknown_operation
from runtara_framework.protocol.operations import SAVE_CHECKPOINT, START_INSTANCE, VERSION
from runtara_framework.testing.values import JSON_VALUES

LIMIT = 4096
IDS = st.integers(1, 2**63 - 1)
RAW = st.binary(max_size=200).map(lambda data: msgspec.Raw(msgspec.msgpack.encode(data)))
CLIENT_FRAMES: st.SearchStrategy[Any] = st.one_of(
    st.builds(framing.Hello, st.integers(0, 9), st.none() | st.text(max_size=20)),
    st.builds(framing.Request, IDS, st.text(max_size=20), RAW),
    st.builds(framing.Chunk, IDS, st.binary(max_size=300)),
    st.builds(framing.Cancel, IDS),
)

GOLDEN: list[tuple[framing.Frame, str]] = [
    (framing.Hello(1, "secret"), "0000000a 93 00 01 a6736563726574"),
    (framing.Hello(1), "00000004 93 00 01 c0"),
    (framing.Welcome(1, 256), "00000006 93 01 01 cd0100"),
    (framing.Request(1, "heartbeat", msgspec.Raw(b"\x80")), "0000000e 94 02 01 a9686561727462656174 80"),
    (framing.Answer(300, msgspec.Raw(b"\xc3")), "00000006 93 03 cd012c c3"),
    (framing.Failure(2, {"code": "X"}), "0000000b 93 04 02 81a4636f6465a158"),
    (framing.Chunk(3, b"ab"), "00000007 93 05 03 c4026162"),
    (framing.Chunk(3, b""), "00000005 93 05 03 c400"),
    (framing.Credit(4, 262144), "00000008 93 06 04 ce00040000"),
    (framing.Cancel(5), "00000003 92 07 05"),
]


def reader(limit: int = LIMIT) -> framing.FrameReader[Any]:
    return framing.FrameReader(framing.FromClient, limit)


def read_all(pieces: Iterable[bytes], limit: int = LIMIT) -> tuple[list[Any], str | None]:
    """The frames in the pieces, and the message of the error that ended them."""
    found: list[Any] = []
    frames = reader(limit)
    try:
        for piece in pieces:
            for frame in frames.feed(piece):
                found.append(frame)  # what came before an error counts
    except errors.ProtocolError as error:
        return found, error.message
    return found, None


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]


@pytest.mark.parametrize(("frame", "spelled"), GOLDEN, ids=lambda value: type(value).__name__)
def test_the_bytes_of_version_1_do_not_change(frame: framing.Frame, spelled: str) -> None:
    data = bytes.fromhex(spelled)
    is_from_client = isinstance(frame, framing.FromClient)
    frames: framing.FrameReader[Any] = framing.FrameReader(
        framing.FromClient if is_from_client else framing.FromServer, LIMIT
    )

    assert VERSION == 1
    assert framing.encode(frame) == data
    assert list(frames.feed(data)) == [frame]


def test_a_request_and_an_answer_of_version_1_do_not_change() -> None:
    request = framing.encode_request(
        7, "save_checkpoint", m.SaveCheckpoint(instance_id="i", checkpoint_id="c", state=b"s")
    )
    answer = framing.encode_answer(7, m.CheckpointSaved(found=True, state=b"s"))

    assert (
        request
        == b"\0\0\0\x3b\x94\x02\x07\xafsave_checkpoint\x83\xabinstance_id\xa1i\xadcheckpoint_id\xa1c\xa5state\xc4\1s"
    )
    assert answer == b"\0\0\0\x1d\x93\x03\x07\x83\xa5found\xc3\xa5state\xc4\1s\xa7signals\x90"


@given(st.lists(CLIENT_FRAMES, max_size=6), st.lists(st.integers(0, 10_000), max_size=12))
def test_any_chunking_gives_the_same_frames(frames: list[framing.FromClient], places: list[int]) -> None:
    data = b"".join(framing.encode(frame) for frame in frames)

    assert read_all(cut(data, places)) == (frames, None)
    assert read_all([data[i : i + 1] for i in range(len(data))]) == (frames, None)


@given(
    st.lists(CLIENT_FRAMES, max_size=3),
    st.binary(max_size=300),
    st.lists(st.integers(0, 10_000), max_size=8),
    st.integers(0, 60),
)
def test_garbage_is_an_error_at_the_same_place_however_it_is_cut(
    frames: list[framing.FromClient], garbage: bytes, places: list[int], limit: int
) -> None:
    data = b"".join(framing.encode(frame) for frame in frames) + garbage

    assert read_all(cut(data, places), limit) == read_all([data], limit)
    assert read_all([data[i : i + 1] for i in range(len(data))], limit) == read_all([data], limit)


@given(st.binary(max_size=400))
def test_garbage_never_crashes_a_client_either(data: bytes) -> None:
    frames: framing.FrameReader[Any] = framing.FrameReader(framing.FromServer, framing.ANSWER_LIMIT)
    try:
        list(frames.feed(data))
    except errors.ProtocolError:
        pass


@given(st.integers(1, 2**64 - 1), st.integers(LIMIT + 1, LIMIT * 4), st.lists(st.integers(0, 100_000), max_size=8))
def test_a_request_over_the_limit_is_named_and_skipped(call_id: int, size: int, places: list[int]) -> None:
    large = framing.encode_request(call_id, "save_checkpoint", b"x" * size)
    after = framing.Cancel(9)

    found, error = read_all(cut(large + framing.encode(after), places))

    assert error is None
    assert found == [framing.Oversized(call_id, len(large) - 4), after]


def test_no_byte_of_a_request_over_the_limit_is_held() -> None:
    frames = reader()
    data = (1 << 30).to_bytes(4, "big") + b"\x94\x02\x05\xafsave_checkpoint"

    assert list(frames.feed(data)) == [framing.Oversized(5, 1 << 30)]
    for _ in range(100):
        assert list(frames.feed(b"x" * 100_000)) == []
    assert frames._partial == b""


def test_a_frame_at_the_limit_is_taken() -> None:
    data = framing.encode_request(5, "heartbeat", b"x" * 2000)

    assert isinstance(read_all([data], limit=len(data) - 4)[0][0], framing.Request)
    assert isinstance(read_all([data], limit=len(data) - 5)[0][0], framing.Oversized)


def test_a_full_chunk_is_taken_whatever_the_limit_and_a_larger_one_is_an_error() -> None:
    full = framing.encode(framing.Chunk(2**63, b"x" * framing.WINDOW))
    larger = framing.encode(framing.Chunk(2**63, b"x" * (framing.WINDOW + 1)))

    assert read_all([full[:100], full[100:]], limit=10)[1] is None
    assert "1048593 bytes" in str(read_all([larger], limit=10)[1])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"GET / HTTP/1.1\r\n\r\n" * 2, "1195725856 bytes"),
        (b"\0\0\0\0", "empty"),
        (b"\0\0\0\1\xc1", "no frame"),
        (b"\0\0\0\3\x92\x09\x01", "no frame"),
        (b"\0\0\0\4\x92\x07\x01\x01", "no frame"),
        (b"\0\0\x01\0" + b"\x91" * 256, "no frame"),
        (b"\0\0\0\4\x91\x91\xa1\xff", "no frame"),
    ],
)
def test_bytes_that_are_no_frame_say_so(data: bytes, says: str) -> None:
    assert says in str(read_all([data])[1])


def test_a_limit_may_change_between_two_frames_of_one_read() -> None:
    frames = reader(limit=60)
    hello, request = framing.Hello(1), framing.encode_request(1, "heartbeat", b"x" * 100)
    found: list[Any] = []
    for frame in frames.feed(framing.encode(hello) + request):
        found.append(type(frame))
        frames.limit = LIMIT

    assert found == [framing.Hello, framing.Request]


# -- payloads ---------------------------------------------------------------------------------------------


@given(JSON_VALUES)
def test_json_values_of_any_size_survive(value: Any) -> None:
    request = m.StartInstance(tenant_id="t", image_id="i", input={"value": value}, env={"A": "b"})
    (frame,) = reader(1 << 20).feed(framing.encode_request(1, "start_instance", request))

    assert framing.payload_decoder(m.StartInstance).decode(frame.payload) == request


@pytest.mark.parametrize(
    "number", [2**64, -(2**63) - 1, 10**5000, -(10**100)], ids=["above", "below", "huge", "hugely below"]
)
def test_integers_that_msgpack_does_not_know_survive(number: int) -> None:
    request = m.StartInstance(tenant_id="t", image_id="i", input=[{"n": [number, 1, None, "x"]}])
    (frame,) = reader(1 << 20).feed(framing.encode_request(1, "start_instance", request))

    assert framing.payload_decoder(m.StartInstance).decode(frame.payload) == request


def test_an_unknown_extension_is_malformed() -> None:
    payload = msgspec.msgpack.encode({"tenant_id": "t", "image_id": "i", "input": msgspec.msgpack.Ext(9, b"x")})

    with pytest.raises(ValueError, match="extension type 9"):
        framing.payload_decoder(m.StartInstance).decode(payload)


def nested(depth: int) -> Any:
    value: Any = None
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [object(), {1: {2: object()}}, [2**64, object()], nested(100_000)],
    ids=["object", "inner", "beside a large integer", "too deep"],
)
def test_what_is_no_json_value_is_refused_where_it_is_sent(value: Any) -> None:
    with pytest.raises(errors.InvalidRequest, match="a StartInstance holds something that is no JSON value"):
        framing.encode_request(1, "start_instance", m.StartInstance(tenant_id="t", image_id="i", input=value))


def test_an_error_is_sent_even_if_its_details_cannot_be() -> None:
    frames: framing.FrameReader[Any] = framing.FrameReader(framing.FromServer, LIMIT)
    error = errors.InstanceNotFound("no instance i-1", what=object())

    (frame,) = frames.feed(framing.encode_failure(3, error))

    assert frame == framing.Failure(3, {"code": "INSTANCE_NOT_FOUND", "message": "no instance i-1", "retryable": False})


# -- versions ---------------------------------------------------------------------------------------------


def test_this_version_and_the_one_before_are_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert framing.accept(framing.Hello(VERSION)) == VERSION
    monkeypatch.setattr(framing, "VERSION", 5)

    assert [framing.accept(framing.Hello(version)) for version in (4, 5)] == [4, 5]
    for version in (3, 6):
        with pytest.raises(errors.ProtocolError, match=f"speaks version {version} .* this server 4 and 5"):
            framing.accept(framing.Hello(version))


@pytest.mark.parametrize("version", [-1, 0, 2, 2**40])
def test_another_version_is_refused_in_words(version: int) -> None:
    with pytest.raises(
        errors.ProtocolError, match=f"client speaks version {version} of the protocol and this server 1;"
    ):
        framing.accept(framing.Hello(version))


# -- requests that do not fit -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "message", "field"),
    [
        (
            {"instance_id": "i", "checkpoint": "c"},
            "there is no field `checkpoint`; did you mean `checkpoint_id`?",
            "checkpoint",
        ),
        ({"instance_id": "i", "checkpoint_id": "c"}, "field `state` is missing", "state"),
        ({"instance_id": 5}, "field `instance_id`: Expected `str`, got `int`", "instance_id"),
        ([], "Expected `object`, got `array`", None),
    ],
)
def test_a_request_that_does_not_fit_is_told_where(sent: Any, message: str, field: str | None) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(msgspec.json.encode(sent), type=m.SaveCheckpoint)

    error = invalid_request(SAVE_CHECKPOINT, refused.value)

    assert error.message == f"save_checkpoint: {message}"
    assert error.details.get("field") == field


def test_a_nested_place_is_named() -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(b'{"tenant_id": "t", "image_id": "i", "env": {"A": 1}}', type=m.StartInstance)

    assert "`env[...]`" in invalid_request(START_INSTANCE, refused.value).message


def test_an_unknown_operation_is_answered_with_the_nearest() -> None:
    assert "did you mean `heartbeat`?" in unknown_operation("hartbeat", ["heartbeat", "register"]).message
