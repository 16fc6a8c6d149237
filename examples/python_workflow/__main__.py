"""Packages the workflow, runs it on an embedded server, approves the order, shows the result and the ledger."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from runtara_framework import config, kernel
from runtara_framework.management import ManagementSdk
from runtara_framework.sdk.package import build

HERE = Path(__file__).parent


async def main() -> int:
    os.chdir(HERE)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="runtara-")))
        # Whatever sleeps or waits longer than 0.2 s leaves its process.
        flags = {
            "server.data_dir": str(folder),
            "transports.environment": [kernel.socket_address(folder, "environment")],
            "sleep.hold_below_seconds": 0.2,
        }
        server = await kernel.start(config.load(flags=flags).settings, stack)
        sdk = await stack.enter_async_context(ManagementSdk(server.addresses["environment"][0], tenant_id="example"))
        await sdk.register_image(name="python-order", binary=build("order:process"))
        order = {
            "id": "ORD-1",
            "items": [{"sku": "desk", "quantity": 1, "cents": 45_000}, {"sku": "lamp", "quantity": 2, "cents": 3_000}],
            "ledger": str(folder / "ledger.jsonl"),
        }
        started = await sdk.start_instance(image_id="python-order", input=order)
        info = await sdk.get_instance_status(started.instance_id)
        while info.status in ("pending", "running"):
            info = await sdk.get_instance_status(started.instance_id, wait_ms=10_000, unless_status=info.status)
        print(f"{info.status} ({info.reason}): waits for approve-ORD-1, without a process", file=sys.stderr)
        await sdk.send_custom_signal(started.instance_id, "approve-ORD-1", {"by": "ada"})
        info = await sdk.wait_for_completion(started.instance_id, timeout=60)
        print(f"{info.status} after {info.launches} launches", file=sys.stderr)
        sys.stderr.write((folder / "ledger.jsonl").read_text())
        print(json.dumps(info.output or info.error))
        return 0 if info.status == "completed" else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
