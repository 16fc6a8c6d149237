"""Conformance cases as compiled images: a real server, a process for each, started and read by the management SDK.

Every case that needs nothing but the product's interface and does not wait for seconds (`harness.for_a_process`).
"""

from __future__ import annotations

import pytest

import runtara_framework.testing.memory_core  # noqa: F401  # so that the harness is importable in any order
from runtara_framework.management import ManagementSdk

harness = __import__("sys").modules.get("conformance_harness")
if harness is None:
    import importlib.util
    import sys
    from pathlib import Path

    spec = importlib.util.spec_from_file_location("conformance_harness", Path(__file__).with_name("harness.py"))
    assert spec is not None and spec.loader is not None
    harness = importlib.util.module_from_spec(spec)
    sys.modules["conformance_harness"] = harness
    spec.loader.exec_module(harness)

QUICK = [case for case in harness.load_cases() if harness.for_a_process(case)]


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.id)
async def test_an_image_does_what_its_case_says(case, server_address, tmp_path):
    async with ManagementSdk(server_address, tenant_id="test") as sdk:
        image = await sdk.register_image(
            name=f"case-{abs(hash(case.id))}", binary=harness.image_of(case, tmp_path / "calls")
        )
        try:
            started = await sdk.start_instance(image_id=image.image_id, input=case.input)
        except Exception as error:  # an input that the server refuses before there is a process
            assert case.expect.get("error", {}).get("code") == getattr(error, "code", None)
            return
        for signal in case.signals:
            await sdk.send_custom_signal(started.instance_id, signal["key"], signal.get("payload"))
        info = await sdk.wait_for_completion(started.instance_id)
    expect = case.expect
    status = expect.get("status", "failed" if "error" in expect else "completed")
    assert info.status == status, info.error
    if "result" in expect:
        assert info.output == expect["result"]
    if "error" in expect:
        assert harness.subset(expect["error"], info.error), info.error
