"""The server itself: what stops it from starting, what it serves, who may call."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path

import httpx
import pytest

from runtara_framework.errors import Forbidden, Unauthenticated
from runtara_framework.management import ManagementSdk

from . import programs
from .conftest import Server, until_status


def refusal(server: Server, *flags: str, **environ: str) -> dict[str, str]:
    """The structured error of a server that does not start."""
    process = server.spawn(*flags, **environ)
    _, err = process.communicate()
    assert process.returncode != 0
    error: dict[str, str] = json.loads(err.splitlines()[-1])
    return error


@pytest.fixture
def _data_dir(server: Server) -> None:
    server.data_dir.mkdir(parents=True)


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["runner.default=nope"], "DRIVER_NOT_FOUND", "installed runner drivers: mock, native"),
        (["scheduler.driver=nope"], "DRIVER_NOT_FOUND", "installed scheduler drivers: timer"),
        (["persistence.url=oracle://x"], "DRIVER_NOT_FOUND", "installed persistence drivers: sqlite"),
        (['transports.core=["carrier-pigeon://127.0.0.1"]'], "DRIVER_NOT_FOUND", "transport"),
        (["server.max_concurrent=3"], "CONFIG_INVALID", "did you mean 'max_concurrent_instances'"),
        (["runner.native.pyton=x"], "CONFIG_INVALID", "unknown key 'pyton'"),
        (['transports.core=["http://0.0.0.0:0"]'], "CONFIG_INVALID", "reached from other machines"),
        (["persistence.url=sqlite:////no/such/place/x.db"], "STORAGE_ERROR", "/no/such/place/x.db"),
    ],
)
def test_a_wrong_configuration_stops_the_start_with_a_message(
    server: Server, flags: list[str], code: str, words: str
) -> None:
    error = refusal(server, *flags)
    assert error["code"] == code
    assert words in error["message"]


def test_a_corrupt_database_is_named_and_left_alone(server: Server, _data_dir: None) -> None:
    database = server.data_dir / "runtara.db"
    database.write_bytes(b"this is not a database at all, but somebody's diary" * 100)
    error = refusal(server)
    assert error["code"] == "STORAGE_CORRUPT"
    assert str(database) in error["message"]
    assert database.read_bytes().startswith(b"this is not")


def test_a_port_in_use_is_named(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = refusal(server, f'transports.environment=["http://127.0.0.1:{port}"]')
    assert error["code"] == "ADDRESS_IN_USE"
    assert str(port) in error["message"]


def test_a_second_server_on_the_same_data_directory_is_refused(server: Server) -> None:
    server.start()
    first = server.process
    error = refusal(server)
    server.process = first
    assert error["code"] == "DATA_DIR_IN_USE"
    assert first is not None
    assert str(first.pid) in error["message"]


async def test_both_protocols_over_http(server: Server, tmp_path: Path) -> None:
    server.start(
        'transports.core=["http://127.0.0.1:0"]',
        'transports.environment=["http://127.0.0.1:0"]',
    )
    address = next(line.split()[1] for line in server.log if line.startswith("environment: http"))
    async with ManagementSdk(address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="counter", binary=programs.COUNTER)
        info = await sdk.run_instance(image_id=image.image_id, input={"steps": 3})
        assert info.output == {"total": 3}
    async with httpx.AsyncClient(base_url=address) as client:
        document = (await client.get("/openapi.json")).json()
        assert "/api/v1/instances/{instance_id}" in document["paths"]
        answer = await client.get(f"/api/v1/instances/{info.instance_id}", params={"tenant_id": "acme"})
        assert answer.json()["status"] == "completed"
        answer = await client.get(f"/api/v1/instances/{info.instance_id}", params={"tenant_id": "other"})
        assert (answer.status_code, answer.json()["code"]) == (404, "INSTANCE_NOT_FOUND")


async def test_with_tokens_only_those_who_have_one_may_call(server: Server) -> None:
    digest = hashlib.sha256(b"s3cret").hexdigest()
    server.start(
        'auth.mode="token"',
        f'auth.tokens=[{{name="ci", sha256="{digest}", tenants=["acme"], actions=["read", "write"]}}]',
    )
    async with ManagementSdk(server.address, tenant_id="acme") as nobody:
        assert (await nobody.health_check()).healthy
        with pytest.raises(Unauthenticated):
            await nobody.list_instances()
    async with ManagementSdk(server.address, tenant_id="acme", token="s3cret") as ci:
        image = await ci.register_image(name="waiter", binary=programs.WAITER)
        started = await ci.start_instance(image_id=image.image_id)
        with pytest.raises(Forbidden, match="'signal'"):
            await ci.cancel_instance(started.instance_id)
        await ci.stop_instance(started.instance_id)
        assert (await until_status(ci, started.instance_id, "cancelled")).reason == "stopped"
    async with ManagementSdk(server.address, tenant_id="other", token="s3cret") as other:
        with pytest.raises(Forbidden, match="'other'"):
            await other.list_images()


async def test_an_image_of_any_size_is_streamed(sdk: ManagementSdk, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(programs.COUNTER + b"#" * (40 * 2**20))
    registered = await sdk.register_image_stream(name="big", source=path)
    assert registered.image.size_bytes == path.stat().st_size
    info = await sdk.run_instance(image_id=registered.image_id, input={"steps": 1})
    assert info.status == "completed"
