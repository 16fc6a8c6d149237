"""A program that works on a database until it is killed. It prints what was acknowledged, so that a test can ask for it.

python victim.py DATABASE WORK
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

from runtara_framework.clock import SystemClock
from runtara_framework.model import Exit, LaunchRef, NewInstance
from runtara_framework.spec.driver import DriverContext
from runtara_framework.spec.persistence import Requeue
from runtara_framework.states import Status
from runtara_framework.storage.sqlite import SqlitePersistence, SqliteSettings

REF = LaunchRef(tenant_id="acme", instance_id="i-1", epoch=1)


def acknowledged(what: str) -> None:
    os.write(1, f"{what}\n".encode())


async def work(persistence: SqlitePersistence, name: str) -> None:
    # The test has put an instance there that runs; its image is `image-1`.
    match name:
        case "create":
            for number in count(2):
                new = NewInstance(tenant_id="acme", instance_id=f"i-{number}", image_id="image-1", input=b"{}")
                await persistence.create_instance(new, max_pending=10**6, now_ms=number)
                acknowledged(new.instance_id)
        case "checkpoint":
            for number in count():
                await persistence.checkpoint(REF, f"c-{number}", b"%d" % number, now_ms=number)
                acknowledged(f"c-{number}")
        case "crowd":

            async def one(writer: int) -> None:
                for number in count():
                    await persistence.checkpoint(REF, f"c-{writer}-{number}", b"x" * 100, now_ms=number)
                    acknowledged(f"c-{writer}-{number}")

            await asyncio.gather(*(one(writer) for writer in range(16)))
        case "take":
            await persistence.take_signal(REF, "approval", "wait", now_ms=5)
            acknowledged("wait")
        case "finish":
            await persistence.finish(REF, Status.COMPLETED, reason=None, output=b"out", error=None, now_ms=5)
            acknowledged("finished")
        case "settle":
            await persistence.settle_launch(REF, Exit(code=1, cpu_usec=7), Requeue(), now_ms=5)
            acknowledged("settled")
        case "upload":

            async def chunks() -> AsyncIterator[bytes]:
                for number in range(8):
                    yield bytes([number]) * (1 << 20)

            await persistence.write_blob(chunks(), max_bytes=1 << 30, now_ms=5)
            acknowledged("stored")
        case _:
            raise SystemExit(f"no such work: {name}")


async def main(database: str, name: str) -> None:
    context = DriverContext(SystemClock(), Path(database).parent, "node-1", logging.getLogger())
    async with AsyncExitStack() as stack:
        persistence = SqlitePersistence(SqliteSettings(url=f"sqlite:///{database}"), context)
        await persistence.start(stack)
        await persistence.migrate()
        await work(persistence, name)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
