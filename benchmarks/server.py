"""The server that is measured: a real one, in a process of its own, on a directory that is thrown away."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent


@dataclass
class Server:
    """A running server."""

    process: subprocess.Popen[str]
    addresses: dict[str, str]  # "environment unix" -> address
    started: float  # time.monotonic() just before the process was started

    def memory_mb(self) -> float:
        """Resident memory of the server and its helper processes, in MB."""
        return sum(_resident(pid) for pid in _family(self.process.pid)) / 1e6


@contextmanager
def running(*settings: str) -> Iterator[Server]:
    """A server with these settings (`key=value`)."""
    with tempfile.TemporaryDirectory(prefix="runtara-bench-") as directory:
        command = [str(BIN / "runtara-server"), "--data-dir", f"{directory}/data", "--log-level", "warning"]
        environment = f'transports.environment=["unix://{directory}/environment.sock", "http://127.0.0.1:0"]'
        for setting in (environment, *settings):
            command += ["--set", setting]
        started = time.monotonic()
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
        assert process.stderr is not None
        addresses: dict[str, str] = {}
        said = ""
        for line in process.stderr:
            said += line
            if line.strip() == "ready":
                break
            protocol, _, address = line.strip().partition(": ")
            addresses[f"{protocol} {address.partition('://')[0]}"] = address
        else:
            raise SystemExit(f"the server did not start: {said}")
        try:
            yield Server(process, addresses, started)
        finally:
            process.terminate()
            process.communicate()


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in _family(int(child)))]


def _resident(pid: int) -> int:
    """Proportional set size: shared pages count once."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it ended while we looked
        return 0
    for line in lines:
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
