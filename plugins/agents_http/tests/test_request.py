"""What goes out and what comes back, against a real server."""

from __future__ import annotations

import base64
import email
import email.policy
import gzip
import json
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from runtara_framework.agents import AgentError

Call = Callable[..., Awaitable[Any]]
Service = Any  # of conftest.py, which importlib mode does not let a test import
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]


def packed(content: bytes, coding: str) -> bytes:
    """The content under a content coding."""
    if coding == "gzip":
        return gzip.compress(content)
    raw = zlib.compressobj(wbits=-15)
    return zlib.compress(content) if coding == "deflate" else raw.compress(content) + raw.flush()


def body_of(seen: dict[str, Any]) -> bytes:
    return base64.b64decode(seen["body"])


@pytest.mark.parametrize("method", METHODS)
async def test_every_method_is_sent_with_its_body(service: Service, call: Call, method: str) -> None:
    output = await call(url=f"{service.url}/x", method=method, body={"a": 1})
    assert output["status_code"] == 200 and output["success"] is True
    (seen,) = service.seen
    assert (seen["method"], body_of(seen)) == (method, b'{"a":1}')
    assert seen["headers"]["content-type"] == "application/json"


async def test_the_method_is_get_by_default_and_may_be_written_small(service: Service, call: Call) -> None:
    await call(url=service.url)
    await call(url=service.url, method="put")
    assert [one["method"] for one in service.seen] == ["GET", "PUT"]


async def test_the_documented_alias_is_the_same_capability(service: Service, registry: Any) -> None:
    from runtara_framework.agents import CapabilityContext

    context = CapabilityContext(tenant_id="t", instance_id="i", step_key="s")
    output = await registry.invoke("http", "request", {"url": service.url}, context)
    assert output["status_code"] == 200


async def test_query_parameters_are_encoded_and_added(service: Service, call: Call) -> None:
    parameters = {"q": "a b&c=d/é+~", "n": 2, "flag": True, "many": ["x", "y"], "none": None}
    await call(url=f"{service.url}/s?given=1#fragment", query_parameters=parameters)
    assert service.seen[0]["query"] == "given=1&q=a%20b%26c%3Dd%2F%C3%A9%2B~&n=2&flag=true&many=x&many=y"
    await call(url=f"{service.url}/s", query_parameters={"a": "1"})
    assert service.seen[1]["query"] == "a=1"


async def test_headers_are_sent_and_win_over_defaults_in_any_case(service: Service, call: Call) -> None:
    headers = {
        "x-number": 5,
        "X-Flag": False,
        "CONTENT-TYPE": "application/vnd.api+json",
        "user-agent": "me",
        "X-É": "é",
    }
    del headers["X-É"]
    await call(url=service.url, method="POST", body={}, headers=headers | {"X-Text": "é"})
    got = service.seen[0]["headers"]
    assert (got["x-number"], got["x-flag"], got["user-agent"]) == ("5", "false", "me")
    assert got["content-type"] == "application/vnd.api+json"
    assert got["x-text"].encode("latin-1").decode() == "é"


@pytest.mark.parametrize(
    "headers",
    [
        {"X": "a\r\nInjected: 1"},
        {"X\r\nInjected": "1"},
        {"Bad Name": "1"},
        {"": "1"},
        {"Content-Length": "5"},
        {"Transfer-Encoding": "chunked"},
        {"X-A": "1", "x-a": "2"},
        {"X": ["list"]},
    ],
)
async def test_headers_that_would_break_the_request_are_refused(
    service: Service, call: Call, headers: dict[str, Any]
) -> None:
    with pytest.raises(AgentError) as caught:
        await call(url=service.url, headers=headers)
    assert caught.value.code == "AGENT_INPUT_INVALID"
    assert "headers" in caught.value.message and not service.seen


@pytest.mark.parametrize(
    ("body_type", "body", "sent", "content_type"),
    [
        ("json", {"a": [1, None, "é"]}, '{"a":[1,null,"é"]}'.encode(), "application/json"),
        ("json", [1], b"[1]", "application/json"),
        ("json", 0, b"0", "application/json"),
        ("json", False, b"false", "application/json"),
        ("json", '{"already": "json"}', b'{"already": "json"}', "application/json"),
        ("text", "plain é", "plain é".encode(), "text/plain; charset=utf-8"),
        ("text", 12, b"12", "text/plain; charset=utf-8"),
        ("binary", base64.b64encode(b"\x00\xff").decode(), b"\x00\xff", "application/octet-stream"),
        ("binary", [0, 255], b"\x00\xff", "application/octet-stream"),
        ("binary", {"content": "AP8=", "filename": "f", "mimeType": "image/png"}, b"\x00\xff", "image/png"),
    ],
)
async def test_the_body_is_encoded_by_its_type(
    service: Service, call: Call, body_type: str, body: Any, sent: bytes, content_type: str
) -> None:
    await call(url=service.url, method="POST", body=body, body_type=body_type)
    (seen,) = service.seen
    assert body_of(seen) == sent
    assert seen["headers"]["content-type"] == content_type


@pytest.mark.parametrize("body", [None, ""])
@pytest.mark.parametrize("body_type", ["json", "text", "binary"])
async def test_nothing_is_no_body(service: Service, call: Call, body: Any, body_type: str) -> None:
    await call(url=service.url, method="POST", body=body, body_type=body_type)
    assert service.seen[0]["body"] == "" and "content-type" not in service.seen[0]["headers"]


@pytest.mark.parametrize("field", ["multipart", "body"])
async def test_a_multipart_body_is_what_a_browser_sends(service: Service, call: Call, field: str) -> None:
    content = base64.b64encode(b"\x00--x\r\n\xff").decode()
    parts = [
        {"name": 'na"me', "value": "é"},
        {"name": "json", "value": {"a": 1}},
        {"name": "file", "content": content, "filename": "f.bin", "contentType": "image/png"},
        {"name": "raw", "content": ""},
    ]
    await call(
        url=service.url,
        method="POST",
        body_type="multipart",
        headers={"Content-Type": "multipart/form-data"},
        **{field: parts},
    )
    (seen,) = service.seen
    head = f"Content-Type: {seen['headers']['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + body_of(seen), policy=email.policy.HTTP)
    got = [
        (
            part.get_param("name", header="content-disposition"),
            part.get_filename(),
            part.get_content_type(),
            part.get_payload(decode=True),
        )
        for part in message.iter_parts()  # type: ignore[attr-defined]
    ]
    assert got == [
        ("na%22me", None, "text/plain", "é".encode()),
        ("json", None, "application/json", b'{"a":1}'),
        ("file", "f.bin", "image/png", b"\x00--x\r\n\xff"),
        ("raw", "raw", "application/octet-stream", b""),
    ]


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({"body_type": "binary", "body": "not base64!"}, "base64"),
        ({"body_type": "binary", "body": [256]}, "0 to 255"),
        ({"body_type": "binary", "body": {"no": "file"}}, "binary body"),
        ({"body_type": "multipart", "body": {"a": 1}}, "array of"),
        ({"body_type": "multipart", "multipart": []}, "array of"),
        ({"body_type": "multipart", "body": []}, "needs a part"),
        ({"body_type": "multipart", "multipart": [{"name": "f", "content": "%%"}]}, "part 'f'"),
        ({"body_type": "multipart", "multipart": [{"name": "f", "content": "", "value": 1}]}, "both"),
        ({"body_type": "multipart", "multipart": [{"name": "f"}], "body": [1]}, "not in both"),
        ({"body_type": "multipart", "multipart": [{"name": "f", "contentType": "a\r\nb"}]}, "contentType"),
        ({"multipart": [{"name": "f", "value": 1}]}, "body_type is not multipart"),
    ],
)
async def test_a_body_that_does_not_fit_its_type_is_not_sent(
    service: Service, call: Call, inputs: dict[str, Any], text: str
) -> None:
    with pytest.raises(AgentError, match=text) as caught:
        await call(url=service.url, method="POST", **inputs)
    assert (caught.value.code, caught.value.category) == ("BODY_INVALID", "permanent")
    assert not service.seen


@pytest.mark.parametrize(
    ("response_type", "content", "content_type", "body"),
    [
        ("json", b'{"a": 1.5, "b": [null]}', "application/json", {"a": 1.5, "b": [None]}),
        ("json", b"123456789012345678901234567890", "text/plain", 123456789012345678901234567890),
        ("json", b"<html>", "text/html", "<html>"),
        ("json", b"NaN", "application/json", "NaN"),
        ("json", b"[" * 100_000, "application/json", "[" * 100_000),
        ("json", b"", "application/json", None),
        ("text", b'{"a": 1}', "application/json", '{"a": 1}'),
        ("text", "é".encode("latin-1"), "text/plain; charset=ISO-8859-1", "é"),
        ("text", b"\xff", "text/plain; charset=unheard-of", "�"),
        ("text", b"", "text/plain", ""),
        ("binary", b"\x00\xff", "image/png", "AP8="),
    ],
)
async def test_the_response_is_decoded_by_its_type(
    service: Service, call: Call, response_type: str, content: bytes, content_type: str, body: Any
) -> None:
    service.reply("/r", content, content_type=content_type)
    output = await call(url=f"{service.url}/r", response_type=response_type)
    assert output["body"] == body


async def test_response_headers_have_small_names_and_lose_nothing(service: Service, call: Call) -> None:
    from starlette.responses import Response

    def reply() -> Response:
        response = Response(b"{}")
        response.headers.append("X-Many", "a")
        response.headers.append("X-Many", "b")
        return response

    service.replies["/h"] = reply
    assert (await call(url=f"{service.url}/h"))["headers"]["x-many"] == "a, b"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw"])
async def test_compressed_responses_are_unpacked(service: Service, call: Call, coding: str) -> None:
    service.reply("/z", packed(b'{"a": 1}', coding), content_encoding="deflate" if coding == "raw" else coding)
    assert (await call(url=f"{service.url}/z"))["body"] == {"a": 1}


async def test_a_response_over_its_limit_is_an_error(service: Service, call: Call) -> None:
    service.reply("/big", b"x" * 1001)
    assert len((await call(url=f"{service.url}/big", max_response_bytes=1001))["body"]) == 1001
    with pytest.raises(AgentError, match="more than 1000 bytes") as caught:
        await call(url=f"{service.url}/big", max_response_bytes=1000)
    assert (caught.value.code, caught.value.category) == ("RESPONSE_TOO_LARGE", "permanent")


async def test_a_response_that_unfolds_without_end_is_an_error(service: Service, call: Call) -> None:
    bomb = packed(b"\0" * 50_000_000, "gzip")
    assert len(bomb) < 100_000
    service.reply("/bomb", bomb, content_encoding="gzip")
    with pytest.raises(AgentError) as caught:
        await call(url=f"{service.url}/bomb", max_response_bytes=100_000)
    assert caught.value.code == "RESPONSE_TOO_LARGE"


async def test_a_response_that_is_not_compressed_as_it_says_is_an_error(service: Service, call: Call) -> None:
    service.reply("/liar", b"plain", content_encoding="gzip")
    with pytest.raises(AgentError, match="not gzip") as caught:
        await call(url=f"{service.url}/liar")
    assert caught.value.code == "NETWORK_ERROR"


async def test_changes_carry_a_key_that_is_the_same_for_every_attempt(service: Service, call: Call) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        await call(url=service.url, method=method)
    await call(url=service.url, method="POST", attempt=2)
    await call(url=service.url, method="POST", step_key="another")
    *keys, other = [one["headers"]["idempotency-key"] for one in service.seen]
    assert len(set(keys)) == 1 and other not in keys


async def test_no_key_is_sent_without_need_or_over_a_given_one(service: Service, call: Call) -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        await call(url=service.url, method=method)
    assert not any("idempotency-key" in one["headers"] for one in service.seen)
    await call(url=service.url, method="POST", headers={"idempotency-KEY": "mine"})
    assert service.seen[-1]["headers"]["idempotency-key"] == "mine"


async def test_no_cookie_survives_a_request(service: Service, call: Call) -> None:
    service.reply("/login", b"{}", set_cookie="session=1; Path=/")
    await call(url=f"{service.url}/login")
    await call(url=f"{service.url}/next")
    assert "cookie" not in service.seen[1]["headers"]


async def test_thousands_of_requests_leak_no_connection(service: Service, call: Call) -> None:
    import os

    await call(url=service.url)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2000):
        await call(url=service.url, response_type="text")
    assert len(os.listdir("/proc/self/fd")) <= before + 2


async def test_the_output_is_json(service: Service, call: Call) -> None:
    assert json.loads(json.dumps(await call(url=service.url)))["success"]
