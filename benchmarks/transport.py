"""Round trips per second of a transport, server and client in processes of their own.

    python benchmarks/transport.py unix            # or http; or "unix http"

The endpoint answers a checkpoint at once, so this is the price of the transport alone.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from importlib.metadata import entry_points
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from runtara_framework.clock import SystemClock
from runtara_framework.protocol import messages as m
from runtara_framework.protocol import operations as ops
from runtara_framework.protocol.channel import Channel
from runtara_framework.spec.driver import DriverContext

CALLS = 5_000
ROUNDS = 5
CALLERS = 32


class Checkpoints:
    """Answers every checkpoint with 'not found', as the first save of it does."""

    operations = ops.OPERATIONS[ops.Protocol.CORE]
    max_message_bytes = 16 * 1024 * 1024

    async def handle(self, operation: Any, request: Any, caller: Any, body: Any = None) -> Any:
        await asyncio.sleep(0)  # a real one waits for the disk
        return m.CheckpointSaved(found=False)


def driver(group: str, name: str) -> Any:
    (found,) = entry_points(group=group, name=name)
    return found.load()


def server(name: str, address: str, folder: str, ready: Connection) -> None:
    async def run() -> None:
        transport_type = driver("runtara.transports", name)
        context = DriverContext(SystemClock(), Path(folder), "bench", logging.getLogger("bench"))
        transport = transport_type(transport_type.Settings(), context)
        async with AsyncExitStack() as stack:
            ready.send(await transport.serve(address, Checkpoints(), stack))
            await asyncio.get_running_loop().run_in_executor(None, ready.recv)

    asyncio.run(run())


async def one_after_the_other(channel: Channel, calls: int) -> None:
    for number in range(calls):
        await channel.call(
            ops.SAVE_CHECKPOINT,
            m.SaveCheckpoint(instance_id="bench-1", checkpoint_id=f"steps/{number}", state=b"x" * 128),
            timeout=30,
        )


async def at_once(channel: Channel, calls: int, callers: int) -> None:
    await asyncio.gather(*(one_after_the_other(channel, calls // callers) for _ in range(callers)))


async def measure(name: str, address: str) -> None:
    channel = await driver("runtara.dialers", name)(address)
    for title, callers in (("sequential", 1), (f"{CALLERS} at once", CALLERS)):
        rates = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await at_once(channel, CALLS, callers)
            rates.append(CALLS // callers * callers / (time.perf_counter() - began))
        print(f"{name:5} {title:12} {statistics.median(rates):8.0f} round trips/s (best {max(rates):.0f})")
    await channel.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("transports", nargs="*", default=["unix", "http"])
    for name in parser.parse_args().transports:
        with tempfile.TemporaryDirectory() as folder:
            address = f"unix://{folder}/bench.sock" if name == "unix" else f"{name}://127.0.0.1:0"
            ours, theirs = multiprocessing.get_context("spawn").Pipe()
            process = multiprocessing.get_context("spawn").Process(target=server, args=(name, address, folder, theirs))
            process.start()
            asyncio.run(measure(name, ours.recv()))
            ours.send("stop")
            process.join()


if __name__ == "__main__":
    sys.exit(main())
