"""Small programs that the end-to-end tests register as images: good ones and bad ones."""

from __future__ import annotations

import base64
import sys
import textwrap


def python(source: str) -> bytes:
    """An executable script for this interpreter."""
    return f"#!{sys.executable}\n{textwrap.dedent(source)}".encode()


SLEEPER = python(
    """
    from runtara_framework.sdk import bootstrap
    async def main(ctx):
        await ctx.sleep("nap", ctx.input["sleep_ms"])
        return {"slept": True}
    bootstrap.run(main)
    """
)

WAITER = python(
    """
    import json
    from runtara_framework.sdk import bootstrap
    async def main(ctx):
        first = json.loads(await ctx.wait_signal("first", "approval"))
        return {"approved_by": first["by"]}
    bootstrap.run(main)
    """
)

COUNTER = python(
    """
    import json, asyncio
    from runtara_framework.sdk import bootstrap
    async def main(ctx):
        total = 0
        for number in range(ctx.input["steps"]):
            key = f"step-{number}"
            if ctx.saved(key) is None:
                with open("effects.txt", "a") as effects:
                    effects.write(f"{number}\\n")
                await asyncio.sleep(ctx.input.get("pause", 0))
            total += json.loads(await ctx.checkpoint(key, json.dumps(number).encode()))
        return {"total": total}
    bootstrap.run(main)
    """
)

EXITS_AT_ONCE = python("import sys; print('no config file', file=sys.stderr); sys.exit(3)")
EXITS_WELL = python("print('hello')")
NEVER_REGISTERS = python("import signal; signal.pause()")
IGNORES_TERM = python("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: signal.pause()")
FLOODS_STDERR = python(
    """
    import sys
    for _ in range(200_000):
        sys.stderr.write("a line that nobody wants to read, again and again, with an ü in it\\n")
    sys.exit(4)
    """
)
WRITES_GARBAGE = python(
    """
    import os, socket
    s = socket.socket(socket.AF_UNIX)
    s.connect(os.environ["RUNTARA_SERVER_ADDR"].removeprefix("unix://"))
    s.sendall(os.urandom(65536))
    s.recv(100)
    os._exit(7)
    """
)


def armed(image: bytes, point: str) -> bytes:
    """A program that runs the archive `image`, and in its first launch kills itself at the fault point."""
    return python(
        f"""
        import base64, pathlib, runpy
        marker = pathlib.Path("armed")
        if not marker.exists():
            marker.touch()
            from runtara_framework import faults
            faults.arm({point!r})
        archive = pathlib.Path("program.pyz")
        archive.write_bytes(base64.b64decode({base64.b64encode(image).decode()!r}))
        runpy.run_path(str(archive), run_name="__main__")
        """
    )
