"""Real servers, real processes, a real HTTP service: what the end-to-end tests stand on.

Nothing here sleeps to wait: a server says "ready" on its stderr, a process's end is waited for, everything else is a long
poll of the management SDK.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtara_framework.management import ManagementSdk

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
sys.path.insert(0, str(ROOT / "examples" / "order_processing"))

from service import Shop, serving  # noqa: E402  # the example's own service


class Server:
    """`runtara-server` as a process. Start it, kill it, start it again on the same data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.log: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        self._drainer: threading.Thread | None = None
        self.address = f"unix://{data_dir}/environment.sock"

    def start(self, *flags: str, fault: str = "", **environ: str) -> Server:
        """Start it and return when it serves."""
        process = self.spawn(*flags, fault=fault, **environ)
        assert process.stderr is not None
        for line in process.stderr:
            self.log.append(line)
            if line.strip() == "ready":
                break
        else:
            raise AssertionError(f"the server ended with {process.wait()}:\n{''.join(self.log)}")
        self._drainer = threading.Thread(target=self._drain, args=(process,), daemon=True)
        self._drainer.start()
        return self

    def spawn(self, *flags: str, fault: str = "", **environ: str) -> subprocess.Popen[str]:
        """Start it without waiting for anything."""
        command = [str(BIN / "runtara-server"), "--data-dir", str(self.data_dir)]
        sockets = [f'transports.environment=["{self.address}"]', "server.stop_grace_seconds=1"]
        for setting in (*sockets, *flags):
            command += ["--set", setting]
        env = {**os.environ, **environ, **({"RUNTARA_FAULT": fault} if fault else {})}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env, cwd=self.data_dir.parent)
        return self.process

    def _drain(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr:
            self.log.extend(process.stderr)

    def kill(self) -> None:
        """SIGKILL: nothing is said, nothing is saved."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.wait_dead()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.wait_dead()

    def wait_dead(self) -> int:
        """Return when it has ended; the exit code."""
        assert self.process is not None
        code = self.process.wait()
        if self._drainer is not None:
            self._drainer.join()
        return code


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that is not started yet. Whatever it launched is gone after the test."""
    server = Server(tmp_path / "data")
    yield server
    if server.process is not None and server.process.poll() is None:
        server.process.terminate()
        try:
            server.process.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            raise AssertionError("the server did not stop:\n" + "".join(server.log)) from None
    if server.process is not None:
        server.wait_dead()


@pytest.fixture
async def sdk(server: Server) -> AsyncIterator[ManagementSdk]:
    """The management SDK on a started server."""
    if server.process is None:
        server.start()
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        yield sdk


@pytest.fixture
def shop() -> Iterator[Shop]:
    """The example's HTTP service."""
    with serving() as shop:
        yield shop


def order_scenario() -> dict[str, Any]:
    """The example's scenario."""
    document: dict[str, Any] = json.loads((ROOT / "examples/order_processing/order.json").read_text())
    return document


def order_input(shop: Shop) -> dict[str, Any]:
    """The example's input, for this service."""
    data = json.loads((ROOT / "examples/order_processing/input.json").read_text())
    return {"data": data, "variables": {"service": shop.url}}


def compiled(document: dict[str, Any], name: str = "scenario") -> bytes:
    """The image of a scenario."""
    from runtara_framework.compiler import CompilationInput, compile_scenario

    result = compile_scenario(CompilationInput(tenant_id="acme", scenario_id=name, version=1, execution_graph=document))
    return result.binary


async def until_status(sdk: ManagementSdk, instance_id: str, *statuses: str) -> Any:
    """The instance, once its status is one of these."""
    async with asyncio.timeout(30):
        info = await sdk.get_instance_status(instance_id)
        while info.status not in statuses:
            info = await sdk.get_instance_status(instance_id, wait_ms=10_000, unless_status=info.status)
    return info


def processes_of(instance_id: str) -> list[int]:
    """The pids of the processes that were launched for an instance: those that were given its id, or, as a fork shows the
    environment of its parent there, that work in its directory."""
    marker = f"RUNTARA_INSTANCE_ID={instance_id}".encode()
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                environ = (directory / "environ").read_bytes()
                workdir = os.readlink(directory / "cwd")
            except OSError:  # it ended meanwhile, or belongs to somebody else
                continue
            if marker in environ.split(b"\0") or Path(workdir).name == instance_id:
                found.append(int(directory.name))
    return found
