"""`rehearse`: run instances against a server that is only pretended, in this process, so that the code of a real one is warm.

CPython 3.11 and later rewrite the code of a function as it runs the first times. In a process that others are forked from
that is worth twice its price: the children run the fast code at once, and do not each copy the pages that it is written to.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from runtara_framework.protocol import framing
from runtara_framework.protocol import messages as m
from runtara_framework.protocol import operations as op
from runtara_framework.protocol.channel import Channel
from runtara_framework.sdk import bootstrap
from runtara_framework.sdk.client import InstanceClient
from runtara_framework.sdk.config import SdkConfig
from runtara_framework.sdk.context import Context
from runtara_framework.transport_local.client import LocalChannel

ROUNDS = 12
"""A function is rewritten after its eighth call, and settles in a few more."""


def rehearse() -> None:
    """Start an event loop, connect, register, save checkpoints, complete, close the loop; several times. Leaves no thread,
    no descriptor, no event loop and no policy behind."""
    for _ in range(ROUNDS):
        config = SdkConfig.from_env({"RUNTARA_INSTANCE_ID": "rehearsal", "RUNTARA_TENANT_ID": "rehearsal"})
        with asyncio.Runner() as runner:
            runner.run(bootstrap._launch(_program, InstanceClient(config, dial=_dial)))
    asyncio.set_event_loop_policy(None)  # as if nobody had ever asked for a loop


async def _program(ctx: Context) -> Any:
    assert ctx.input == {}
    for number in range(3):
        await ctx.checkpoint(f"step-{number}", b"{}")
    return {"done": True}


async def _dial(address: str, *, token: str | None = None, timeout: float = 10.0) -> Channel:
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    await loop.create_unix_connection(_Server, sock=theirs)
    channel = LocalChannel(address, token)
    async with asyncio.timeout(timeout):
        await loop.create_unix_connection(lambda: channel, sock=ours)
        await channel.welcomed
    return channel


class _Server(asyncio.Protocol):
    """Answers every call of a launch that goes well."""

    def __init__(self) -> None:
        self._reader = framing.FrameReader[framing.FromClient](framing.FromClient, framing.ANSWER_LIMIT)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for frame in self._reader.feed(data):
            if isinstance(frame, framing.Hello):
                self._transport.write(framing.encode(framing.Welcome(frame.version, 64)))
            elif isinstance(frame, framing.Request):
                self._transport.write(framing.encode_answer(frame.id, _answer(frame.operation)))


def _answer(operation: str) -> Any:
    if operation == op.REGISTER.name:
        return m.Registered(
            instance_id="rehearsal",
            tenant_id="rehearsal",
            epoch=1,
            token="",
            input=b"{}",
            checkpoints=[],
            next_seq=None,
            signals=[],
            now_ms=0,
            started_at_ms=0,
            hold_below_ms=0,
        )
    if operation == op.SAVE_CHECKPOINT.name:
        return m.CheckpointSaved(found=False)
    if operation == op.POLL_SIGNALS.name:  # on a slow machine
        return m.PolledSignals(signals=[])
    return m.Done()
