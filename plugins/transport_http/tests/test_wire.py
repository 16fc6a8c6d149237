"""HTTP as any other program speaks it: paths, queries, bodies, headers, statuses."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from runtara_transport_http.app import Calls, build_app
from runtara_transport_http.server import HEAD_LIMIT, HttpSettings, HttpTransport

from runtara_framework import errors
from runtara_framework.errors import RuntaraError
from runtara_framework.protocol import messages as m
from runtara_framework.spec.driver import DriverContext
from runtara_framework.testing.stage import LIMIT, Stage

CHECKPOINT = "/api/v1/instances/i-1/checkpoint"
DATA = m.CheckpointData(instance_id="i", checkpoint_id="c", created_at_ms=1)


async def connect(client: httpx.AsyncClient) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(client.base_url.host, client.base_url.port)


# -- bodies -----------------------------------------------------------------------------------------------


async def test_a_checkpoint_is_json_with_base64(core: Stage, instance: httpx.AsyncClient) -> None:
    core.answer("save_checkpoint", m.CheckpointSaved(found=True, state=b"\xff\xfe{}"))

    answer = await instance.post(CHECKPOINT, json={"checkpoint_id": "a", "state": "/v8="})

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["date"].endswith("GMT")
    assert answer.json() == {"found": True, "state": "//57fQ==", "signals": []}
    assert core.calls[0][1] == m.SaveCheckpoint(instance_id="i-1", checkpoint_id="a", state=b"\xfe\xff")


@pytest.mark.parametrize(
    ("body", "says", "field"),
    [
        (b'{"checkpoint_id": "a"}', "field `state` is missing", "state"),
        (b'{"checkpoint_id": 1, "state": ""}', "field `checkpoint_id`: Expected `str`, got `int`", "checkpoint_id"),
        (b'{"checkpoint_id": "a", "state": "", "stat": 1}', "no field `stat`; did you mean `state`?", "stat"),
        (b'{"checkpoint_id": "a", "state": "YQ"}', "field `state`: Invalid base64", "state"),
        (b'{"checkpoint_id": "a", "state": "_w=="}', "field `state`: Invalid base64", "state"),
        (b'{"instance_id": "b", "checkpoint_id": "a", "state": ""}', "comes from the path", "instance_id"),
        (b'{"checkpoint_id": "a", "state": ""', "truncated", None),
        (b'{"checkpoint_id": "a", "state": ""} x', "trailing characters", None),
        (b"[]", "Expected `object`, got `array`", None),
        (b"\xff", "malformed", None),
        (b"", "is missing", "checkpoint_id"),
    ],
)
async def test_a_bad_body_is_a_400_that_names_the_field(
    core: Stage, instance: httpx.AsyncClient, body: bytes, says: str, field: str | None
) -> None:
    answer = await instance.post(CHECKPOINT, content=body, headers={"content-type": "application/json"})

    problem = answer.json()
    assert answer.status_code == 400
    assert (problem["code"], problem["success"], problem["retryable"]) == ("INVALID_REQUEST", False, False)
    assert says in problem["error"] == problem["message"]
    assert problem["details"].get("field") == field
    assert problem["details"]["operation"] == "save_checkpoint"
    assert core.calls == []


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/vnd.x+json", "Application/JSON"]
)
async def test_any_json_type_is_json(core: Stage, instance: httpx.AsyncClient, content_type: str) -> None:
    core.answer("save_checkpoint", m.CheckpointSaved(found=False))
    body = b'{"checkpoint_id": "a", "state": ""}'

    assert (await instance.post(CHECKPOINT, content=body, headers={"content-type": content_type})).status_code == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
async def test_a_body_that_does_not_say_it_is_json_is_a_415(
    core: Stage, instance: httpx.AsyncClient, content_type: str
) -> None:
    body = b'{"checkpoint_id": "a", "state": ""}'
    headers = {"content-type": content_type} if content_type else {}

    answer = await instance.post(CHECKPOINT, content=body, headers=headers)

    assert answer.status_code == 415
    assert "application/json" in answer.json()["error"]


async def test_no_body_is_an_empty_object(environment: Stage, product: httpx.AsyncClient) -> None:
    environment.answer("resume_instance", m.Done())

    answer = await product.post("/api/v1/instances/i/resume", headers={"x-runtara-tenant-id": "acme"})

    assert answer.json() == {"success": True}
    assert environment.calls[0][1] == m.ResumeInstance(tenant_id="acme", instance_id="i")


async def test_fields_of_a_post_do_not_come_in_the_query(core: Stage, instance: httpx.AsyncClient) -> None:
    answer = await instance.post(CHECKPOINT + "?checkpoint_id=a", json={"checkpoint_id": "a", "state": ""})

    assert answer.status_code == 400
    assert "`checkpoint_id` is in the query" in answer.json()["error"]


async def test_a_body_over_the_limit_is_refused_before_it_is_read(core: Stage, instance: httpx.AsyncClient) -> None:
    core.answer("heartbeat", m.Done())
    reader, writer = await connect(instance)
    head = f"POST {CHECKPOINT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"

    writer.write(f"{head}content-length: {LIMIT + 1}\r\n\r\n".encode())
    announced = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    reader, writer = await connect(instance)
    writer.write(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
    writer.write((b"80000\r\n" + b" " * 0x80000 + b"\r\n") * 3)  # 1.5 MiB, and never an end
    counted = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert b" 413 " in announced
    assert b" 413 " in counted
    assert core.calls == []


# -- paths ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("segment", "checkpoint_id"),
    [
        ("plain", "plain"),
        ("a%2Fb%3A%3A%5B0%5D", "a/b::[0]"),
        ("100%25", "100%"),
        ("a%252Fb", "a%2Fb"),
        ("%C3%A9", "é"),
        ("a+b", "a+b"),
        ("%2E%2E", ".."),
        ("..", ".."),
    ],
)
async def test_a_segment_is_decoded_once_and_never_split(
    environment: Stage, product: httpx.AsyncClient, segment: str, checkpoint_id: str
) -> None:
    environment.answer("read_checkpoint", DATA)
    reader, writer = await connect(product)
    target = f"/api/v1/instances/i%2F1/checkpoints/{segment}?tenant_id=t"
    writer.write(f"GET {target} HTTP/1.1\r\nhost: x\r\n\r\n".encode())

    assert b" 200 " in await reader.readline()
    writer.close()
    assert environment.calls[0][1] == m.ReadCheckpoint(tenant_id="t", instance_id="i/1", checkpoint_id=checkpoint_id)


async def test_a_segment_that_is_not_utf8_is_a_400(product: httpx.AsyncClient) -> None:
    answer = await product.get("/api/v1/instances/%FF?tenant_id=t")

    assert answer.status_code == 400
    assert answer.json()["details"]["field"] == "instance_id"


@pytest.mark.parametrize(
    "path", ["/", "/api/v1", "/api/v1/nothing", "/api/v1/instances//checkpoints", "/api/v1/images/", "/openapi.json/"]
)
async def test_an_unknown_path_is_a_404(product: httpx.AsyncClient, path: str) -> None:
    answer = await product.get(path)

    assert answer.status_code == 404
    assert answer.json()["code"] == "UNKNOWN_OPERATION"
    assert path in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/api/v1/images", "GET, HEAD, POST"),
        ("GET", "/api/v1/images/upload", "POST"),  # the literal segment wins
        ("POST", "/api/v1/images/x", "DELETE, GET, HEAD"),
        ("OPTIONS", "/api/v1/health", "GET, HEAD"),
        ("POST", "/openapi.json", "GET, HEAD"),
    ],
)
async def test_another_method_is_a_405_that_says_which(
    product: httpx.AsyncClient, method: str, path: str, allow: str
) -> None:
    answer = await product.request(method, path)

    assert answer.status_code == 405
    assert ", ".join(sorted(answer.headers["allow"].split(", "))) == allow
    assert answer.json()["code"] == "INVALID_REQUEST"


async def test_head_answers_as_get_without_the_body(environment: Stage, product: httpx.AsyncClient) -> None:
    environment.answer("list_agents", m.Agents(agents=[]))
    get = await product.get("/api/v1/agents")

    head = await product.head("/api/v1/agents")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"] == "13"


# -- queries ----------------------------------------------------------------------------------------------


async def test_query_values_have_the_types_of_their_fields(environment: Stage, product: httpx.AsyncClient) -> None:
    environment.answer("list_instances", m.Instances(instances=[], total_count=None))

    answer = await product.get(
        "/api/v1/instances",
        params={"tenant_id": "5", "status": "null", "limit": "7", "created_after_ms": "-3", "count": "false"},
    )

    assert answer.json()["total_count"] is None
    assert environment.calls[0][1] == m.ListInstances(
        tenant_id="5", status="null", limit=7, created_after_ms=-3, count=False
    )


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=1.5", "limit"),
        ("limit=99999999999999999999999", "limit"),
        ("count=maybe", "count"),
        ("limit=1&limit=1", "limit"),
        ("limits=1", "limits"),
        ("created_after_ms=1e99", "created_after_ms"),
    ],
)
async def test_a_bad_query_value_is_a_400_that_names_it(
    environment: Stage, product: httpx.AsyncClient, query: str, field: str
) -> None:
    environment.answer("list_instances", m.Instances(instances=[], total_count=0))

    answer = await product.get(f"/api/v1/instances?tenant_id=t&{query}")

    assert answer.status_code == 400, environment.calls
    assert answer.json()["details"] == {"operation": "list_instances", "field": field}
    assert f"`{field}`" in answer.json()["error"]


async def test_a_query_that_is_not_utf8_is_a_400(product: httpx.AsyncClient) -> None:
    assert (await product.get("/api/v1/instances?tenant_id=%FF")).status_code == 400


# -- headers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "query", "tenant"),
    [("acme", "", "acme"), ("acme", "?tenant_id=own", "own"), (None, "?tenant_id=own", "own"), ("é", "", "é")],
)
async def test_the_tenant_of_the_header_is_the_default(
    environment: Stage, product: httpx.AsyncClient, header: str | None, query: str, tenant: str
) -> None:
    environment.answer("list_images", m.Images(images=[], total_count=0))
    headers = {"x-runtara-tenant-id": header.encode()} if header else {}

    await product.get(f"/api/v1/images{query}", headers=headers)

    _, request, caller = environment.calls[0]
    assert request.tenant_id == tenant
    assert caller.tenant_id == header


async def test_a_tenant_given_nowhere_is_a_400_that_says_where(product: httpx.AsyncClient) -> None:
    for answer in (
        await product.get("/api/v1/images"),
        await product.post("/api/v1/instances", json={"image_id": "x"}),
    ):
        assert answer.status_code == 400
        assert "field `tenant_id` is missing; give it or the header X-Runtara-Tenant-Id" in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "header", "tenant"), [({}, "acme", "acme"), ({"tenant_id": "own"}, "acme", "own"), ({}, None, None)]
)
async def test_a_request_that_may_do_without_a_tenant_takes_the_header_s(
    core: Stage, instance: httpx.AsyncClient, body: dict[str, Any], header: str | None, tenant: str | None
) -> None:
    core.fail("register", errors.InstanceNotFound())

    await instance.post(
        "/api/v1/instances/i/register", json=body, headers={"x-runtara-tenant-id": header} if header else {}
    )

    assert core.calls[0][1] == m.Register(instance_id="i", tenant_id=tenant)


@pytest.mark.parametrize(("value", "token"), [("Bearer abc.def", "abc.def"), ("bearer   x", "x"), (None, None)])
async def test_the_bearer_is_the_token(
    core: Stage, instance: httpx.AsyncClient, value: str | None, token: str | None
) -> None:
    core.answer("heartbeat", m.Done())

    await instance.post("/api/v1/instances/i/heartbeat", headers={"authorization": value} if value else {})

    assert core.calls[0][2].token == token
    assert core.calls[0][2].peer.startswith("127.0.0.1:")


@pytest.mark.parametrize("value", ["Basic YTpi", "Bearer", "token"])
async def test_another_authorization_is_a_401(core: Stage, instance: httpx.AsyncClient, value: str) -> None:
    answer = await instance.post("/api/v1/instances/i/heartbeat", headers={"authorization": value})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert core.calls == []


# -- answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InputInvalid(), 400),
        (errors.Unauthenticated(), 401),
        (errors.Forbidden(), 403),
        (errors.InstanceNotFound(), 404),
        (errors.StaleLaunch(), 409),
        (errors.PayloadTooLarge(), 413),
        (errors.QueueFull(), 429),
        (RuntaraError(), 500),
        (errors.ServerStopping(), 503),
        (errors.CallTimeout(), 504),
    ],
    ids=lambda value: getattr(value, "code", value),
)
async def test_the_status_of_an_error_is_that_of_its_kind(
    core: Stage, instance: httpx.AsyncClient, error: RuntaraError, status: int
) -> None:
    core.fail("heartbeat", error)

    answer = await instance.post("/api/v1/instances/i/heartbeat")

    assert answer.status_code == status
    assert answer.json() == {"error": error.message, "success": False, **error.to_wire()}


async def test_details_that_are_no_json_do_not_lose_the_error(core: Stage, instance: httpx.AsyncClient) -> None:
    core.fail("heartbeat", errors.StorageError("the disk is full", where=object()))

    answer = await instance.post("/api/v1/instances/i/heartbeat")

    assert (answer.status_code, answer.json()["code"]) == (503, "STORAGE_ERROR")


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"\x16\x03\x01\x02\0", 400), ((b"GET / HTTP/1.1\r\nx: " + b"y" * HEAD_LIMIT)[: HEAD_LIMIT + 1], 431)],
)
async def test_what_is_no_http_is_told_so_in_json(instance: httpx.AsyncClient, sent: bytes, status: int) -> None:
    reader, writer = await connect(instance)
    writer.write(sent)

    answer = await reader.read()

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b'"code":"PROTOCOL_ERROR"' in answer
    writer.close()


async def test_requests_sent_in_one_go_are_answered_in_order(core: Stage, instance: httpx.AsyncClient) -> None:
    async def handler(request: m.GetCheckpoint, caller: Any, body: Any) -> m.GotCheckpoint:
        return m.GotCheckpoint(found=True, state=request.checkpoint_id.encode())

    core.script["get_checkpoint"] = handler
    reader, writer = await connect(instance)
    for name in ("a", "b", "c"):
        writer.write(f"GET {CHECKPOINT}?checkpoint_id={name} HTTP/1.1\r\nhost: x\r\n\r\n".encode())

    states = []
    for _ in range(3):
        await reader.readuntil(b'"state":"')
        states.append((await reader.readuntil(b'"'))[:-1])
    writer.close()

    assert states == [b"YQ==", b"Yg==", b"Yw=="]


# -- the server -------------------------------------------------------------------------------------------


async def test_health_needs_nothing(instance: httpx.AsyncClient) -> None:
    answer = await instance.get("/health", headers={"authorization": "Bearer whatever"})

    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


async def test_a_call_that_comes_while_the_server_stops_is_refused(core: Stage) -> None:
    calls = Calls()
    await calls.stop(0, 0)
    transport = httpx.ASGITransport(build_app(core, calls=calls))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post("/api/v1/instances/i/heartbeat")

    assert (answer.status_code, answer.json()["code"]) == (503, "SERVER_STOPPING")
    assert answer.headers["connection"] == "close"


async def test_an_answer_is_sent_in_one_piece(core: Stage, instance: httpx.AsyncClient) -> None:
    core.answer("heartbeat", m.Done())
    reader, writer = await connect(instance)
    writer.write(b"POST /api/v1/instances/i/heartbeat HTTP/1.1\r\nhost: x\r\n\r\n")
    await reader.readuntil(b'{"success":true}')
    connection = writer.get_extra_info("socket")

    # tcpi_data_segs_in of Linux: the packets with data that came.
    (packets,) = struct.unpack_from("I", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192), 152)

    assert packets == 1
    writer.close()


async def test_an_idle_connection_is_closed_after_the_time_that_is_set(
    context: DriverContext, core: Stage, stack: AsyncExitStack
) -> None:
    core.answer("heartbeat", m.Done())
    transport = HttpTransport(HttpSettings(keep_alive_seconds=1), context)
    parts = urlsplit(await transport.serve("http://127.0.0.1:0", core, stack))
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(b"POST /api/v1/instances/i/heartbeat HTTP/1.1\r\nhost: x\r\n\r\n")

    async with asyncio.timeout(20):
        assert (await reader.read()).endswith(b'{"success":true}')
    writer.close()


async def test_ipv6_addresses_are_in_brackets(transport: HttpTransport, core: Stage, stack: AsyncExitStack) -> None:
    address = await transport.serve("http://[::1]:0", core, stack)

    assert address.startswith("http://[::1]:")
    async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
        assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("https://127.0.0.1:0", "ends TLS"),
        ("http://127.0.0.1", "write http://host:port"),
        ("http://:80", "write http://host:port"),
        ("http://127.0.0.1:99999", "no address for HTTP"),
        ("http://[::1:80", "no address for HTTP"),
        ("http://127.0.0.1:0/api", "more than a host and a port"),
        ("http://user@127.0.0.1:0", "more than a host and a port"),
        ("http://no-such-host.invalid:0", "there is no host"),
        ("http://192.0.2.1:0", "cannot listen"),
    ],
)
async def test_an_address_that_cannot_be_listened_on_says_why(
    transport: HttpTransport, core: Stage, stack: AsyncExitStack, address: str, says: str
) -> None:
    with pytest.raises(errors.ConfigError, match=says):
        await transport.serve(address, core, stack)
