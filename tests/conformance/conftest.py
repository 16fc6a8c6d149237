"""A real server, for the cases that run as images in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def server_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the management SDK finds a server that lives as long as the session."""
    data_dir = tmp_path_factory.mktemp("srv")
    address = f"unix://{data_dir}/environment.sock"
    command = [str(Path(sys.executable).parent / "runtara-server"), "--data-dir", str(data_dir)]
    command += [
        "--set",
        f'transports.environment=["{address}"]',
        "--set",
        f'transports.core=["unix://{data_dir}/core.sock"]',
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line.strip() == "ready":
                break
        else:
            raise AssertionError(f"the server ended with {process.wait()}:\n{''.join(said)}")
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield address
        process.terminate()
        process.wait(30)
