"""The programs that are measured. Each does the same work as its peers in `benchmarks/peers`."""

from __future__ import annotations

import sys

_HEAD = f"#!{sys.executable}\nfrom runtara_framework.sdk import bootstrap\n"

STEPS = (
    _HEAD
    + """
import time
async def main(ctx):
    begin = time.perf_counter()
    for number in range(ctx.input["steps"]):
        await ctx.checkpoint(f"step-{number}", b"1")
    return {"seconds": time.perf_counter() - begin}
bootstrap.run(main)
"""
).encode()

SLEEP = (
    _HEAD
    + """
import time
async def main(ctx):
    due = await ctx.now_ms("due") + ctx.input["ms"]
    await ctx.sleep("nap", ctx.input["ms"])
    return {"late_ms": time.time() * 1000 - due}
bootstrap.run(main)
"""
).encode()
