"""The composition root: settings -> drivers -> services -> transports, on one `AsyncExitStack`.

Nothing else builds services, and importing this module starts nothing. The order of `start` is the order of need, so the
stack unwinds in the order of a clean end: products can ask no more, nothing is woken, running instances are stopped and
marked due, their connections close, storage closes.
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import logging
import os
import secrets
import tempfile
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.clock import Clock, SystemClock
from runtara_framework.config import Settings
from runtara_framework.errors import ConfigError, DataDirInUse, DriverNotFound
from runtara_framework.extension import drivers
from runtara_framework.extension.hooks import Hooks
from runtara_framework.services.connections import ConnectionService
from runtara_framework.services.core import CoreService
from runtara_framework.services.endpoint import CoreEndpoint, EnvironmentEndpoint
from runtara_framework.services.environment import EnvironmentService
from runtara_framework.services.identity import ApiTokens, LaunchTokens
from runtara_framework.services.images import ImageService
from runtara_framework.services.launcher import Launcher
from runtara_framework.services.notifier import Notifier
from runtara_framework.services.recovery import recover
from runtara_framework.services.wake import WakeService
from runtara_framework.spec.driver import DriverContext
from runtara_framework.spec.persistence import PERSISTENCE, Persistence
from runtara_framework.spec.runner import RUNNER, Runner
from runtara_framework.spec.scheduler import SCHEDULER
from runtara_framework.spec.transport import TRANSPORT, Endpoint, Transport

logger = logging.getLogger(__name__)
SOCKET_PATH_LIMIT = 107


@dataclass
class Kernel:
    """A running server: what is inside it, and the addresses that it serves."""

    settings: Settings
    addresses: dict[str, list[str]]
    persistence: Persistence
    hooks: Hooks
    core: CoreEndpoint
    environment: EnvironmentEndpoint | None
    launcher: Launcher | None


async def start(
    settings: Settings,
    stack: AsyncExitStack,
    *,
    clock: Clock | None = None,
    hooks: Hooks | None = None,
) -> Kernel:
    """Start a server; it runs until `stack` unwinds.

    Raises `ConfigError`, `DataDirInUse`, `AddressInUse`, `MigrationError`, `StorageError` or a `PluginError`. Whatever had
    started by then is on `stack`.
    """
    clock = clock or SystemClock()
    check_addresses(settings)
    data_dir = _claim_data_dir(settings.server.data_dir, stack)
    if hooks is None:
        hooks = Hooks()
        hooks.load_installed(disabled=frozenset(settings.plugins.disabled))
    await hooks.collect("runtara_configure", settings=settings)
    context = DriverContext(
        clock=clock,
        data_dir=data_dir,
        node_id=_node_id(data_dir),
        logger=logging.getLogger("runtara_framework.driver"),
        hooks=hooks,
    )
    persistence = await _persistence(settings, context, hooks, stack)
    notifier = Notifier(hooks)
    stack.push_async_callback(notifier.close)
    tokens = LaunchTokens(await persistence.secret("launch-tokens", secrets.token_bytes(32)))
    core_service = CoreService(
        persistence=persistence,
        settings=settings,
        clock=clock,
        hooks=hooks,
        notifier=notifier,
        tokens=tokens,
        node_id=context.node_id,
        connections=ConnectionService(settings.connections, hooks),
    )
    core = CoreEndpoint(core_service, tokens, settings)
    stack.push_async_callback(core.drain)
    transports = _Transports(settings, context, hooks, stack)
    addresses = {"core": [await transports.serve(a, core) for a in core_addresses(settings)], "environment": []}
    kernel = Kernel(settings, addresses, persistence, hooks, core, None, None)
    if "environment" in settings.server.roles:
        launcher = Launcher(
            persistence=persistence,
            runners=await _runners(settings, context, stack),
            settings=settings,
            clock=clock,
            hooks=hooks,
            notifier=notifier,
            tokens=tokens,
            node_id=context.node_id,
            data_dir=data_dir,
            core_address=addresses["core"][0],
        )
        core_service.seen = launcher.seen
        await recover(persistence, launcher, notifier, clock, context.node_id)
        service = EnvironmentService(
            persistence=persistence,
            launcher=launcher,
            images=ImageService(
                persistence=persistence, runners=launcher.runners, settings=settings, clock=clock, data_dir=data_dir
            ),
            agents=AgentRegistry(disabled=frozenset(settings.plugins.disabled)),
            settings=settings,
            clock=clock,
            notifier=notifier,
        )
        endpoint = EnvironmentEndpoint(service, ApiTokens(settings.auth), hooks, settings)
        stack.push_async_callback(endpoint.drain)
        await launcher.start(stack)
        await _wake(settings, context, persistence, launcher, notifier, stack)
        addresses["environment"] = [await transports.serve(a, endpoint) for a in environment_addresses(settings)]
        kernel.environment, kernel.launcher = endpoint, launcher

        async def stopping() -> None:
            service.stopping = True
            await hooks.notify("runtara_stopping")

        stack.push_async_callback(stopping)
    await hooks.notify("runtara_started", addresses=addresses)
    return kernel


# -- addresses --------------------------------------------------------------------------------------------


def core_addresses(settings: Settings) -> list[str]:
    """Where instances connect."""
    return settings.transports.core or [socket_address(settings.server.data_dir, "core")]


def environment_addresses(settings: Settings) -> list[str]:
    """Where products connect: as configured, or a unix socket, and HTTP on loopback if that transport is installed."""
    if settings.transports.environment is not None:
        return settings.transports.environment
    addresses = [socket_address(settings.server.data_dir, "environment")]
    if "http" in drivers.available(TRANSPORT):
        addresses.append("http://127.0.0.1:8002")
    return addresses


def socket_address(data_dir: Path, name: str) -> str:
    """The address of a socket in the data directory, or in a private short one if that path is too long for a socket."""
    path = data_dir.absolute() / f"{name}.sock"
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
        short = hashlib.sha256(os.fsencode(path.parent)).hexdigest()[:16]
        path = Path(tempfile.gettempdir()) / f"runtara-{os.getuid()}-{short}" / f"{name}.sock"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if path.parent.stat().st_uid != os.getuid():
            raise ConfigError(f"{path.parent} belongs to somebody else; choose a shorter [server] data_dir")
    return f"unix://{path}"


def check_addresses(settings: Settings) -> None:
    """Without authentication, only loopback and unix sockets may be served. Raises `ConfigError`."""
    if settings.auth.mode != "none":
        return
    for address in (*(settings.transports.core or ()), *(settings.transports.environment or ())):
        host = urlsplit(address).hostname
        if not address.startswith("unix:") and not _loopback(host):
            raise ConfigError(
                f'[transports] {address} can be reached from other machines, and [auth] mode is "none"; '
                'set it to "token", or listen on 127.0.0.1'
            )


def _loopback(host: str | None) -> bool:
    if host is None or host == "localhost":
        return host is not None
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# -- drivers ----------------------------------------------------------------------------------------------


def enabled_drivers(settings: Settings) -> dict[str, set[str]]:
    """The names of the drivers that a server with these settings loads, by kind."""
    addresses = (*core_addresses(settings), *environment_addresses(settings))
    return {
        "persistence": {_persistence_name(settings)},
        "runner": set(settings.runner.enabled or [settings.runner.default]),
        "transport": {address.partition("://")[0] for address in addresses},
        "scheduler": {settings.scheduler.driver},
    }


async def open_persistence(settings: Settings, stack: AsyncExitStack) -> Persistence:
    """Storage alone, at this version's schema, locked against a server on the same data directory."""
    data_dir = _claim_data_dir(settings.server.data_dir, stack)
    hooks = Hooks()
    hooks.load_installed(disabled=frozenset(settings.plugins.disabled))
    context = DriverContext(clock=SystemClock(), data_dir=data_dir, node_id=_node_id(data_dir), logger=logger)
    return await _persistence(settings, context, hooks, stack)


def _persistence_name(settings: Settings) -> str:
    scheme = settings.database_url.partition(":")[0].partition("+")[0]
    return {"postgres": "postgresql"}.get(scheme, scheme)


async def _persistence(settings: Settings, context: DriverContext, hooks: Hooks, stack: AsyncExitStack) -> Persistence:
    cls = drivers.load(PERSISTENCE, _persistence_name(settings))
    table = {**settings.persistence, "url": settings.database_url}
    driver = drivers.configure(cls, table, context, where="[persistence]")
    await driver.start(stack)
    extra = [path for paths in hooks.collect_now("runtara_migrations") for path in paths]
    await driver.migrate(extra)
    return driver


async def _runners(settings: Settings, context: DriverContext, stack: AsyncExitStack) -> dict[str, Runner]:
    runners = {}
    for name in dict.fromkeys(settings.runner.enabled or [settings.runner.default]):
        cls = drivers.load(RUNNER, name)
        table = settings.driver_table("runner", name)
        runners[name] = drivers.configure(cls, table, context, where=f"[runner.{name}]")
        await runners[name].start(stack)
    if settings.runner.default not in runners:
        raise ConfigError(f"[runner] default is {settings.runner.default!r}, which [runner] enabled does not list")
    return runners


async def _wake(
    settings: Settings,
    context: DriverContext,
    persistence: Persistence,
    launcher: Launcher,
    notifier: Notifier,
    stack: AsyncExitStack,
) -> None:
    name = settings.scheduler.driver
    table = settings.driver_table("scheduler", name)
    scheduler = drivers.configure(drivers.load(SCHEDULER, name), table, context, where=f"[scheduler.{name}]")
    await scheduler.start(stack)
    wake = WakeService(
        persistence=persistence, scheduler=scheduler, clock=context.clock, notifier=notifier, poke=launcher.poke
    )
    await scheduler.run(stack, wake.on_due)


class _Transports:
    """Loads each transport once, when the first address of its scheme is served."""

    def __init__(self, settings: Settings, context: DriverContext, hooks: Hooks, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._context = context
        self._hooks = hooks
        self._stack = stack
        self._loaded: dict[str, Transport] = {}

    async def serve(self, address: str, endpoint: Endpoint) -> str:
        scheme, separator, _ = address.partition("://")
        if not separator:
            raise ConfigError(f"[transports] {address!r} has no scheme; write unix:///path or http://host:port")
        return await (await self._transport(scheme)).serve(address, endpoint, self._stack)

    async def _transport(self, scheme: str) -> Transport:
        if scheme not in self._loaded:
            try:
                cls = drivers.load(TRANSPORT, scheme)
            except DriverNotFound as error:
                raise DriverNotFound(f"{error.message} ([transports])") from error
            table: dict[str, Any] = self._settings.driver_table("transports", scheme)
            transport = drivers.configure(cls, table, self._context, where=f"[transports.{scheme}]")
            await transport.start(self._stack)
            self._loaded[scheme] = transport
        return self._loaded[scheme]


# -- the data directory -----------------------------------------------------------------------------------


def _claim_data_dir(path: Path, stack: AsyncExitStack) -> Path:
    """Make the directory and lock it for this process. The lock goes with the process, however it ends."""
    data_dir = path.absolute()
    try:
        data_dir.mkdir(parents=True, mode=0o700, exist_ok=True)
        lock = stack.enter_context((data_dir / "lock").open("a+"))
    except OSError as error:
        raise ConfigError(f"[server] data_dir {data_dir} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        raise DataDirInUse(
            f"the data directory {data_dir} is used by another server (pid {lock.read().strip() or 'unknown'}); "
            "stop it, or choose another one with --data-dir or DATA_DIR"
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return data_dir


def _node_id(data_dir: Path) -> str:
    """This server's name for itself, the same after a restart."""
    path = data_dir / "node_id"
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.write_text(str(uuid.uuid4()))
        fresh.replace(path)
    return path.read_text().strip()
