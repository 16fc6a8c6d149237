"""`memoryTier` on a real server: what needs more than its tier fails and says so; what does not runs as ever."""

from __future__ import annotations

from typing import Any

import pytest

from runtara_framework.errors import ImageInvalid
from runtara_framework.management import ManagementSdk
from runtara_framework.packaging import write_zipapp
from runtara_framework.protocol.messages import InstanceInfo
from runtara_framework.sdk.package import build

from .conftest import Server, Shop, compiled, order_input, order_scenario, until_status

WAYS = pytest.mark.parametrize("fork_server", [True, False], ids=["fork server", "exec"])


def hoarder(tier: str | None, *, handled: bool = False) -> dict[str, Any]:
    """A scenario of 14 steps, each with an output of 14 MiB: 196 MiB in the end."""
    names = [f"hoard{number:02}" for number in range(14)]
    steps: dict[str, Any] = {
        name: {
            "stepType": "Agent",
            "id": name,
            "agentId": "text",
            "capabilityId": "pad-text",
            "inputMapping": {
                "text": {"valueType": "immediate", "value": "x"},
                "length": {"valueType": "immediate", "value": 14 << 20},
            },
        }
        for name in names
    }
    steps["end"] = {
        "stepType": "Finish",
        "id": "end",
        "inputMapping": {"done": {"valueType": "immediate", "value": True}},
    }
    plan = [{"fromStep": one, "toStep": other} for one, other in zip(names, [*names[1:], "end"], strict=True)]
    if handled:
        steps["caught"] = {
            "stepType": "Finish",
            "id": "caught",
            "inputMapping": {
                "code": {"valueType": "reference", "value": "__error.code"},
                "step": {"valueType": "reference", "value": "__error.stepId"},
            },
        }
        plan += [{"fromStep": name, "toStep": "caught", "label": "onError"} for name in names]
    graph = {"name": "Hoarder", "steps": steps, "entryPoint": names[0], "executionPlan": plan}
    return {"executionGraph": graph, **({} if tier is None else {"memoryTier": tier})}


async def fate(server: Server, binary: bytes, fork_server: bool, given: Any = None) -> InstanceInfo:
    """How an instance of the image ends."""
    server.start(f"runner.native.fork_server={str(fork_server).lower()}", "runner.restart_delays_ms=[1]")
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        image = await sdk.register_image(name="hoarder", binary=binary)
        started = await sdk.start_instance(image_id=image.image_id, input=given or {})
        info: InstanceInfo = await until_status(sdk, started.instance_id, "failed", "completed")
        return info


@WAYS
async def test_a_scenario_that_needs_more_than_its_tier_fails_and_names_the_step(
    server: Server, fork_server: bool
) -> None:
    info = await fate(server, compiled(hoarder("S")), fork_server)
    assert (info.status, info.reason, info.launches) == ("failed", "out_of_memory", 1)
    assert info.error is not None
    assert (info.error["code"], info.error["category"]) == ("OUT_OF_MEMORY", "permanent")
    assert info.error["stepId"].startswith("hoard")
    assert "the 64 MiB of memoryTier S; choose a larger memoryTier (M: 128 MiB)" in info.error["message"]


@WAYS
@pytest.mark.parametrize("tier", ["XL", None])
async def test_the_same_scenario_completes_where_it_may_use_more(
    server: Server, fork_server: bool, tier: str | None
) -> None:
    info = await fate(server, compiled(hoarder(tier)), fork_server)
    assert (info.status, info.output) == ("completed", {"done": True}), info.error


@WAYS
async def test_a_handler_of_the_step_sees_it_and_goes_on(server: Server, fork_server: bool) -> None:
    info = await fate(server, compiled(hoarder("S", handled=True)), fork_server)
    assert info.status == "completed", info.error
    assert info.output["code"] == "OUT_OF_MEMORY"
    assert info.output["step"].startswith("hoard")


@WAYS
async def test_an_ordinary_scenario_fits_into_the_smallest_tier(server: Server, shop: Shop, fork_server: bool) -> None:
    document = {"executionGraph": order_scenario(), "memoryTier": "S"}
    info = await fate(server, compiled(document, "order"), fork_server, order_input(shop))
    assert info.status == "completed", info.error
    assert [path for path, _ in shop.calls] == ["/validate", "/notify"]


WORKFLOW = """
from runtara_framework.sdk.durable import durable, workflow

@durable
async def build(size: int) -> int:
    return len(bytearray(size << 20))

@workflow(memory_tier="{tier}")
async def flow(ctx):
    return await build(200)
"""


@WAYS
@pytest.mark.parametrize("tier", ["S", "XL"])
async def test_a_python_workflow_has_the_tier_that_it_names(
    server: Server, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, fork_server: bool, tier: str
) -> None:
    name = f"hoarding_{tier.lower()}_{'fork' if fork_server else 'exec'}"
    (tmp_path / f"{name}.py").write_text(WORKFLOW.format(tier=tier))
    monkeypatch.chdir(tmp_path)
    info = await fate(server, build(f"{name}:flow"), fork_server)
    if tier == "XL":
        assert (info.status, info.output) == ("completed", 200 << 20), info.error
    else:
        assert (info.status, info.reason, info.launches) == ("failed", "out_of_memory", 1)


ABORTS = b"""
import os, signal, sys
print("memory allocation of 62914562 bytes failed", file=sys.stderr, flush=True)
os.kill(os.getpid(), signal.SIGABRT)
"""
SEGFAULTS = b"import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


async def test_a_library_that_aborts_for_want_of_memory_is_not_started_again(server: Server) -> None:
    info = await fate(server, write_zipapp({"__main__.py": ABORTS}, {"memoryTier": "S"}), True)
    assert (info.status, info.reason, info.launches) == ("failed", "out_of_memory", 1)


async def test_another_kill_is_a_crash_that_mentions_the_limit(server: Server) -> None:
    info = await fate(server, write_zipapp({"__main__.py": SEGFAULTS}, {"memoryTier": "S"}), True)
    assert (info.status, info.reason) == ("failed", "crashed")
    assert info.error is not None
    assert "was killed by SIGSEGV" in info.error["message"]
    assert "limited to the 64 MiB of memoryTier S" in info.error["message"]


async def test_a_tier_that_does_not_exist_is_refused_at_registration(sdk: ManagementSdk) -> None:
    with pytest.raises(ImageInvalid, match="memoryTier: Input should be 'S', 'M', 'L' or 'XL'"):
        await sdk.register_image(name="odd", binary=write_zipapp({"__main__.py": b""}, {"memoryTier": "XXL"}))
