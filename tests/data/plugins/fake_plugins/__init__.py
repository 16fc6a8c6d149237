"""A distribution that is not installed: one good driver, and every way to be a bad one."""

from __future__ import annotations

from contextlib import AsyncExitStack

from pydantic import Field

from runtara_framework.spec.driver import DriverSettings
from runtara_framework.spec.scheduler import OnDue, Scheduler


class GoodSettings(DriverSettings):
    tick_seconds: float = Field(1.0, gt=0, description="How long a tick is.")


class Good(Scheduler):
    api = 1
    Settings = GoodSettings

    async def run(self, stack: AsyncExitStack, on_due: OnDue) -> None:
        await on_due()

    def due_at(self, moment_ms: int) -> None:
        pass


class OldApi(Good):
    api = 0


class NoApi(Scheduler):
    pass


def not_a_driver() -> None:
    pass
