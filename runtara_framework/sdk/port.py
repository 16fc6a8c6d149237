"""What `Parking` needs of the rest of the program: the calls by which it leaves and pauses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

from runtara_framework.errors import ProtocolError, RuntaraError
from runtara_framework.sdk.ending import Stop
from runtara_framework.states import Reason, Status

if TYPE_CHECKING:
    from runtara_framework.sdk.context import Context


class ContextPort:
    """The context, as `Parking` sees it."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def now_ms(self) -> int:
        return self._context.clock_ms()

    async def suspend(self, wake_at_ms: int | None, waits: dict[str, str]) -> bool:
        reason = Reason.WAITING_SIGNAL if waits else Reason.SLEEPING
        keys = sorted(set(waits.values()))
        try:
            return await self._context._client.suspend(
                reason, wake_at_ms=wake_at_ms, signal_keys=keys, waits=sorted(waits)
            )
        except Exception as error:
            self._end(error)

    async def look_at_signals(self) -> None:
        try:
            await self._context._client.poll_signals()
        except Exception as error:
            self._end(error)

    async def obey_pause(self) -> bool:
        client = self._context._client
        try:
            if self._context._reached:
                if await client.suspend(Reason.BREAKPOINT, reached=self._context._reached):
                    return True
                await client.poll_signals()  # only a cancel refuses it; here it comes
                return False
            await client.acknowledge_signal("pause")
            # Only the server knows whether the pause was withdrawn before it heard of our obedience.
            return (await client.get_status()).status is not Status.RUNNING
        except Exception as error:
            self._end(error)

    def _end(self, error: Exception) -> NoReturn:
        """Whatever it is, no branch waits for this call that could raise it: without the program's end all would wait for
        ever."""
        if not isinstance(error, RuntaraError):
            error = ProtocolError(f"the program could neither leave nor pause: {type(error).__name__}: {error}")
        self._context._lose(error)
        raise asyncio.CancelledError(error.message) from error

    def left(self) -> None:
        self._context.stop(Stop.SUSPENDED)
