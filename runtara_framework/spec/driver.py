"""What all drivers share: how the kernel names, configures and starts them."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from runtara_framework.clock import Clock


class DriverSettings(BaseModel):
    """Base of a driver's table in `runtara.toml`. Unknown keys are errors; every field has a default and a description."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoSettings(DriverSettings):
    """For a driver that has nothing to configure."""


class HookCaller(Protocol):
    """How a driver asks the hook plugins: `extension.hooks.Hooks` is one."""

    def collect_now(self, hook: str, /, **arguments: Any) -> list[Any]:
        """All answers that are not None, in order."""
        ...


class NoHooks:
    """Nobody to ask."""

    def collect_now(self, hook: str, /, **arguments: Any) -> list[Any]:
        return []


_NO_HOOKS = NoHooks()


@dataclass(frozen=True)
class DriverContext:
    """What the kernel gives every driver."""

    clock: Clock
    data_dir: Path  # exists, private to this server; a driver keeps its files in a folder of its own name
    node_id: str  # stable over restarts of this server
    logger: logging.Logger
    hooks: HookCaller = _NO_HOOKS


class Driver:
    """Base of every kind's contract class.

    The kernel calls ``cls(settings, context)``, which must not do I/O, then ``await start(stack)`` once. Whatever `start`
    acquires it pushes on `stack`; the kernel unwinds it in reverse, so a driver needs no `stop`.
    """

    api: ClassVar[int]
    capabilities: ClassVar[frozenset[str]] = frozenset()
    Settings: ClassVar[type[DriverSettings]] = NoSettings

    def __init__(self, settings: DriverSettings, context: DriverContext) -> None:
        self.settings = settings
        self.context = context

    async def start(self, stack: AsyncExitStack) -> None:
        """Acquire what the driver needs. Raises `DriverUnavailable` if this machine lacks it."""


P = TypeVar("P")


@dataclass(frozen=True)
class Kind(Generic[P]):
    """A kind of plugin of which one is picked by name, a `Driver` or a `Target`: its entry-point group, its contract and
    the contract's version that this kernel speaks."""

    name: str  # "runner"; a driver's also its table in runtara.toml
    group: str  # "runtara.runners"
    base: type[P]
    api: int
