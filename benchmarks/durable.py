"""What a user feels: steps a second, runs a second, the time from a start to its result, memory, cold start."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks import engine, programs
from benchmarks.server import Server, running
from runtara_framework.management import ManagementSdk

Row = tuple[str, float, str]  # what, the figure, its unit
TENANT = "bench"


async def _image(server: Server, sdk: ManagementSdk, program: bytes = programs.STEPS) -> str:
    return (await sdk.register_image(name="program", binary=program)).image_id


def _sdk(server: Server) -> ManagementSdk:
    return ManagementSdk(server.addresses["environment unix"], tenant_id=TENANT)


async def _run(sdk: ManagementSdk, image_id: str, value: Any) -> Any:
    info = await sdk.run_instance(image_id=image_id, input=value)
    if info.status != "completed":
        raise SystemExit(f"a run ended {info.status}: {info.error}")
    return info.output


def checkpoints(core: str, label: str) -> Callable[[], Awaitable[list[Row]]]:
    """1 000 sequential checkpoints of one instance over a transport."""

    async def measure() -> list[Row]:
        with running(*([f'transports.core=["{core}"]'] if core else [])) as server:
            async with _sdk(server) as sdk:
                image_id = await _image(server, sdk)
                seconds = (await _run(sdk, image_id, {"steps": 1000}))["seconds"]
        return [(f"1 000 sequential checkpoints, {label}", 1000 / seconds, "steps/s")]

    return measure


async def throughput() -> list[Row]:
    """Runs of 3 steps, 32 at once."""
    count = 300
    with running() as server:
        async with _sdk(server) as sdk:
            image_id = await _image(server, sdk)
            await _run(sdk, image_id, {"steps": 3})
            slots = asyncio.Semaphore(32)

            async def one() -> None:
                async with slots:
                    await _run(sdk, image_id, {"steps": 3})

            begin = time.perf_counter()
            await asyncio.gather(*(one() for _ in range(count)))
            seconds = time.perf_counter() - begin
    return [(f"{count} runs of 3 steps, 32 at once", count / seconds, "runs/s")]


async def latency() -> list[Row]:
    """Start to result of one step, one after the other."""
    took = []
    with running() as server:
        async with _sdk(server) as sdk:
            image_id = await _image(server, sdk)
            for number in range(110):
                begin = time.perf_counter()
                await _run(sdk, image_id, {"steps": 1})
                if number >= 10:
                    took.append((time.perf_counter() - begin) * 1000)
    return [
        ("start to result, one step, p50", statistics.median(took), "ms"),
        ("start to result, one step, p99", statistics.quantiles(took, n=100)[98], "ms"),
    ]


async def lateness() -> list[Row]:
    """200 instances sleep two seconds without a process."""
    with running("sleep.hold_below_seconds=0", "server.max_concurrent_instances=32") as server:
        async with _sdk(server) as sdk:
            image_id = await _image(server, sdk, programs.SLEEP)
            outputs = await asyncio.gather(*(_run(sdk, image_id, {"ms": 2000}) for _ in range(200)))
    late = [output["late_ms"] for output in outputs]
    return [
        ("200 sleeps of 2 s, lateness p50", statistics.median(late), "ms"),
        ("200 sleeps of 2 s, lateness p99", statistics.quantiles(late, n=100)[98], "ms"),
    ]


async def memory() -> list[Row]:
    """The server at rest, after it has run something."""
    with running() as server:
        async with _sdk(server) as sdk:
            await _run(sdk, await _image(server, sdk), {"steps": 1})
            return [("memory at rest", server.memory_mb(), "MB")]


async def cold_start() -> list[Row]:
    """From the start of the server's process to the first finished run, image registration included."""
    with running() as server:
        async with _sdk(server) as sdk:
            await _run(sdk, await _image(server, sdk), {"steps": 1})
            return [("process start to the first finished run", (time.monotonic() - server.started) * 1000, "ms")]


MEASUREMENTS: dict[str, Callable[[], Awaitable[list[Row]]]] = {
    "unix": checkpoints("", "unix"),
    "http": checkpoints("http://127.0.0.1:0", "http"),
    "throughput": throughput,
    "latency": latency,
    "lateness": lateness,
    "memory": memory,
    "cold": cold_start,
    "compile": engine.compiling,
    "step": engine.pure_steps,
    "filter": engine.filtering,
    "while": engine.loops,
    "split": engine.splitting,
}
