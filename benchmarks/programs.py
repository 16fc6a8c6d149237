"""The programs that are measured, as images. Each does the same work as its peers in `benchmarks/peers`."""

from __future__ import annotations

from runtara_framework.packaging import write_zipapp


def _image(source: str) -> bytes:
    """What the compiler and `runtara build` make, too."""
    return write_zipapp({"__main__.py": f"from runtara_framework.sdk import bootstrap\n{source}".encode()}, {})


STEPS = _image(
    """
import time
async def main(ctx):
    begin = time.perf_counter()
    for number in range(ctx.input["steps"]):
        await ctx.checkpoint(f"step-{number}", b"1")
    return {"seconds": time.perf_counter() - begin}
bootstrap.run(main)
"""
)

SLEEP = _image(
    """
import time
async def main(ctx):
    due = await ctx.now_ms("due") + ctx.input["ms"]
    await ctx.sleep("nap", ctx.input["ms"])
    return {"late_ms": time.time() * 1000 - due}
bootstrap.run(main)
"""
)
