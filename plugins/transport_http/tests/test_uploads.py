"""Uploads as other programs send them: raw with the fields in the query, and forms."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import httpx
import pytest

from runtara_framework import errors
from runtara_framework.protocol import messages as m
from runtara_framework.protocol.channel import Body
from runtara_framework.spec.transport import Caller
from runtara_framework.testing.stage import LIMIT, MIB, REGISTERED, Stage

PATH = "/api/v1/images/upload"

PUBLISHED = (
    b'--XB\r\nContent-Disposition: form-data; name="tenant_id"\r\n\r\nacme\r\n'
    b'--XB\r\nContent-Disposition: form-data; name="name"\r\n\r\nflow:1\r\n'
    b'--XB\r\nContent-Disposition: form-data; name="runner_type"\r\n\r\nwasm\r\n'
    b'--XB\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{"variables": {"region": "eu"}}\r\n'
    b'--XB\r\nContent-Disposition: form-data; name="binary"; filename="binary"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n\0asm\r\n--XB--\r\n"
)
FORM = {"content-type": "multipart/form-data; boundary=XB"}


@pytest.fixture
def received(environment: Stage) -> bytearray:
    """What the endpoint was sent."""
    received = bytearray()

    async def handler(request: m.UploadImage, caller: Caller, body: Body | None) -> m.ImageRegistered:
        assert body is not None
        async for data in body:
            received.extend(data)
        return REGISTERED

    environment.script["upload_image"] = handler
    return received


def part(name: str, value: bytes = b"x") -> bytes:
    return b'--XB\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), value)


NEEDED = part("tenant_id") + part("name")
END = b"--XB--\r\n"


async def test_a_raw_upload_has_its_fields_in_the_query(
    environment: Stage, product: httpx.AsyncClient, received: bytearray
) -> None:
    answer = await product.post(
        PATH,
        params={"tenant_id": "acme", "name": "flow 1", "metadata": '{"a": [1]}'},
        content=b"\0asm",
        headers={"content-type": "application/octet-stream"},
    )

    assert answer.json()["success"] is True
    assert received == b"\0asm"
    assert environment.calls[0][1] == m.UploadImage(tenant_id="acme", name="flow 1", metadata={"a": [1]})


async def test_the_published_form_is_taken(environment: Stage, product: httpx.AsyncClient, received: bytearray) -> None:
    answer = await product.post(PATH, content=PUBLISHED, headers=FORM)

    assert answer.status_code == 200, answer.text
    assert received == b"\0asm"
    assert environment.calls[0][1] == m.UploadImage(
        tenant_id="acme", name="flow:1", runner_type="wasm", metadata={"variables": {"region": "eu"}}
    )


@pytest.mark.parametrize("size", [1, 2, 7, 64])
async def test_a_form_may_arrive_in_any_pieces(product: httpx.AsyncClient, received: bytearray, size: int) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(PUBLISHED), size):
            yield PUBLISHED[start : start + size]
            await asyncio.sleep(0)

    assert (await product.post(PATH, content=pieces(), headers=FORM)).status_code == 200
    assert received == b"\0asm"


async def test_a_form_of_a_common_client_is_taken(
    environment: Stage, product: httpx.AsyncClient, received: bytearray
) -> None:
    file = bytes(range(256)) * 20_000 + b"\r\n--"

    answer = await product.post(
        PATH, data={"name": "übung"}, files={"binary": file}, headers={"x-runtara-tenant-id": "acme"}
    )

    assert answer.status_code == 200, answer.text
    assert hashlib.sha256(received).digest() == hashlib.sha256(file).digest()
    assert environment.calls[0][1] == m.UploadImage(tenant_id="acme", name="übung")


async def test_an_empty_file_is_a_file(product: httpx.AsyncClient, received: bytearray) -> None:
    answer = await product.post(PATH, content=NEEDED + part("binary", b"") + END, headers=FORM)

    assert answer.status_code == 200
    assert received == b""


async def test_a_large_form_is_held_back_by_a_slow_consumer(environment: Stage, product: httpx.AsyncClient) -> None:
    sent = consumed = lead = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent, lead
        yield NEEDED + b'--XB\r\nContent-Disposition: form-data; name="binary"; filename="f"\r\n\r\n'
        for _ in range(256):
            yield bytes(256 * 1024)
            sent += 256 * 1024
            lead = max(lead, sent - consumed)
        yield b"\r\n" + END

    async def handler(request: m.UploadImage, caller: Caller, body: Body | None) -> m.ImageRegistered:
        nonlocal consumed
        assert body is not None
        async for data in body:
            consumed += len(data)
            await asyncio.sleep(0)
        return REGISTERED

    environment.script["upload_image"] = handler
    answer = await product.post(PATH, content=body(), headers=FORM, timeout=60)

    assert answer.status_code == 200
    assert consumed == 64 * MIB
    assert lead <= 16 * MIB


@pytest.mark.parametrize(
    ("form", "says"),
    [
        (NEEDED + END, "no file part named `binary`"),
        (
            part("tenant_id") + part("binary") + END,
            "field `name` is missing (parts after the file `binary` do not count)",
        ),
        (NEEDED + part("name") + part("binary") + END, "field `name` is given more than once"),
        (NEEDED + part("nmae") + part("binary") + END, "no field `nmae`; did you mean `name`?"),
        (NEEDED + part("metadata", b"{") + part("binary") + END, "field `metadata` is no JSON"),
        (NEEDED + part("metadata", b"[]") + part("binary") + END, "field `metadata`: Expected `object`"),
        (part("binary") + NEEDED + END, "`binary` must be the last part"),
        (NEEDED + part("binary") + part("sha256") + END, "`binary` must be the last part"),
        (NEEDED + part("binary") + part("binary") + END, "`binary` must be the last part"),
        (NEEDED + part("binary"), "ends before its last boundary"),
        (NEEDED, "ends before its last boundary"),
        (b"", "ends before its last boundary"),
        (b"--YY\r\n\r\n", "malformed"),
        (b"--XB\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n" + END, "malformed"),
        (part("tenant_id", b"\xff") + END, "part `tenant_id` is not UTF-8"),
        (b"--XB\r\nContent-Type: text/plain\r\n\r\nx\r\n" + END, "has no name"),
    ],
)
async def test_a_bad_form_is_a_400_that_says_what_to_do(
    product: httpx.AsyncClient, received: bytearray, form: bytes, says: str
) -> None:
    answer = await product.post(PATH, content=form, headers=FORM)

    assert answer.status_code == 400
    assert answer.json()["code"] == "INVALID_REQUEST"
    assert says in answer.json()["error"]


async def test_a_form_needs_a_boundary(product: httpx.AsyncClient, received: bytearray) -> None:
    answer = await product.post(PATH, content=PUBLISHED, headers={"content-type": "multipart/form-data"})

    assert answer.status_code == 400
    assert "boundary" in answer.json()["error"]


@pytest.mark.parametrize(
    "form",
    [
        part("description", b"x" * (LIMIT + 1)) + END,
        part("d") * (LIMIT // 10) + END,
    ],
    ids=["text", "parts"],
)
async def test_text_over_the_limit_is_not_held(product: httpx.AsyncClient, received: bytearray, form: bytes) -> None:
    answer = await product.post(PATH, content=form, headers=FORM)

    assert answer.status_code == 413
    assert answer.json()["code"] == "PAYLOAD_TOO_LARGE"


async def test_an_endpoint_that_has_had_enough_answers_before_the_end(
    environment: Stage, product: httpx.AsyncClient
) -> None:
    async def handler(request: m.UploadImage, caller: Caller, body: Body | None) -> m.ImageRegistered:
        assert body is not None
        async for _ in body:
            raise errors.PayloadTooLarge("the image is larger than this server takes")
        return REGISTERED

    environment.script["upload_image"] = handler

    answer = await product.post(PATH + "?tenant_id=t&name=n", content=bytes(8 * MIB))

    assert answer.status_code == 413
