"""The order example as one native executable: on a real server, and in an empty root filesystem. Made once for all tests."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runtara_target_native.needs import needs_of

from runtara_framework.compiler import ChildScenario, CompilationInput, compile_scenario
from runtara_framework.errors import InputInvalid
from runtara_framework.management import ManagementSdk
from runtara_framework.packaging import MANIFEST
from runtara_framework.protocol.messages import InstanceInfo

from .conftest import ROOT, Server, Shop, order_input, order_scenario, until_status

RESULT = {
    "orderId": "ORD-456",
    "status": "accepted",
    "total": 21,
    "notification": {"sent": True, "to": "ada@example.com"},
}
STEPS = sorted(path for path in (ROOT / "examples" / "steps").glob("*.json") if path.suffixes == [".json"])
UNSHARE = [shutil.which("unshare") or "unshare", *([] if os.geteuid() == 0 else ["--map-root-user"])]
# Each launch is killed right after the first checkpoint that it saves.
KILLED = "RUNTARA_FAULT=instance.after_checkpoint"
FAST = "runner.restart_delays_ms=[1]"


@pytest.fixture(scope="module")
def executable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bytes]:
    """The order example."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield compile_scenario(CompilationInput("order", order_scenario(), tenant_id="acme", target="native")).binary


async def test_it_runs_on_a_server_as_any_other_image(
    sdk: ManagementSdk, shop: Shop, executable: bytes, tmp_path: Path
) -> None:
    image = await sdk.register_image(name="order", binary=executable)
    info = await sdk.run_instance(image_id=image.image_id, input=order_input(shop), env={"TMPDIR": str(tmp_path)})
    assert info.output == RESULT
    assert _unpacked(tmp_path)
    assert [path for path, _ in shop.calls] == ["/validate", "/notify"]


async def test_killed_at_every_checkpoint_it_repeats_nothing(
    server: Server, shop: Shop, executable: bytes, tmp_path: Path
) -> None:
    path = _written(tmp_path / "order", executable)
    server.start(FAST)
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        info = await _run(sdk, f'{KILLED} TMPDIR="{tmp_path}" exec "{path}"', shop)
    assert info.output == RESULT
    assert info.launches == 3
    assert [path for path, _ in shop.calls] == ["/validate", "/notify"]


async def test_it_obeys_its_memory_tier(sdk: ManagementSdk, shop: Shop, executable: bytes, tmp_path: Path) -> None:
    # After the fixture, so that the long part is made already.
    document = {"executionGraph": order_scenario(), "memoryTier": "S"}
    limited = compile_scenario(CompilationInput("order", document, tenant_id="acme", target="native")).binary
    image = await sdk.register_image(name="limited", binary=limited)
    env = {"TMPDIR": str(tmp_path)}
    info = await sdk.run_instance(image_id=image.image_id, input=order_input(shop), env=env)
    assert info.output == RESULT

    large = order_input(shop)
    large["data"]["order"]["items"] = [{} for _ in range(2_000_000)]  # 8 MB of text are 150 MB of objects
    started = await sdk.start_instance(image_id=image.image_id, input=large, env=env)
    info = await until_status(sdk, started.instance_id, "completed", "failed")
    assert (info.status, info.reason, info.launches) == ("failed", "out_of_memory", 1)


async def test_the_server_holds_its_input_to_its_schema(sdk: ManagementSdk, executable: bytes) -> None:
    image = await sdk.register_image(name="order", binary=executable)
    with pytest.raises(InputInvalid, match="order"):
        await sdk.start_instance(image_id=image.image_id, input={"data": {}})


async def test_in_an_empty_root_filesystem_it_reaches_the_server_and_the_shop(
    server: Server, shop: Shop, executable: bytes, tmp_path: Path
) -> None:
    root = tmp_path / "empty"
    root.mkdir()
    _written(root / "order", executable)
    server.start(FAST, f'transports.core=["unix://{root}/core.sock"]')
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        entering = f'{" ".join(UNSHARE)} --root="{root}" --wd=/ /order'
        info = await _run(sdk, f"{KILLED} RUNTARA_SERVER_ADDR=unix:///core.sock exec {entering}", shop)
    assert info.output == RESULT
    assert info.launches == 3
    assert [path for path, _ in shop.calls] == ["/validate", "/notify"]


def _unpacked(parent: Path) -> bool:
    return any(parent.glob("runtara-native-*/*/.whole"))


def _written(path: Path, executable: bytes) -> Path:
    path.write_bytes(executable)
    path.chmod(0o755)
    return path


async def _run(sdk: ManagementSdk, command: str, shop: Shop) -> InstanceInfo:
    """How the order ended whose every launch executes this command."""
    image = await sdk.register_image(name="order", binary=f"#!/bin/sh\n{command}\n".encode())
    started = await sdk.start_instance(image_id=image.image_id, input=order_input(shop))
    info: InstanceInfo = await until_status(sdk, started.instance_id, "completed", "failed")
    return info


@pytest.mark.parametrize("path", STEPS, ids=lambda path: path.stem)
def test_every_example_needs_nothing_beside_its_agents(path: Path) -> None:
    """So all scenarios with the same agents share what takes long to make."""
    child = json.loads((path.parent / "start-scenario.child.discount.json").read_text())
    given = CompilationInput(
        path.stem, json.loads(path.read_text()), child_scenarios=[ChildScenario("discount", child)]
    )
    with zipfile.ZipFile(io.BytesIO(compile_scenario(given).binary)) as archive:
        files: dict[str, bytes] = {name: archive.read(name) for name in archive.namelist()}
    manifest: dict[str, Any] = json.loads(files.pop(MANIFEST))
    needs = needs_of(files, manifest)
    assert needs.imports == ()
    assert {point.name for point in needs.plugins if point.group == "runtara.agents"} == {
        use["agent"].lower() for use in manifest["agents"]
    }
