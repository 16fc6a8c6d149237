"""A real server, on which the cases run as images in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .compiling import STDLIBS
from .in_process import HOLD_BELOW_MS


@pytest.fixture(scope="session", autouse=True)
def stdlibs() -> Iterator[None]:
    """The stdlibs of cases are installed here."""
    sys.path.append(str(STDLIBS))
    yield
    sys.path.remove(str(STDLIBS))


@pytest.fixture(scope="session")
def server_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the management SDK finds a server that lives as long as the session."""
    data_dir = tmp_path_factory.mktemp("srv")
    address = f"unix://{data_dir}/environment.sock"
    settings = [
        f'transports.environment=["{address}"]',
        f'transports.core=["unix://{data_dir}/core.sock"]',
        f"sleep.hold_below_seconds={HOLD_BELOW_MS / 1000}",
        "runner.restart_delays_ms=[0]",
    ]
    command = [str(Path(sys.executable).parent / "runtara-server"), "--data-dir", str(data_dir)]
    command += [part for setting in settings for part in ("--set", setting)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line.strip() == "ready":
                break
        else:
            raise AssertionError(f"the server ended with {process.wait()}:\n{''.join(said)}")
        said.clear()
        listener = threading.Thread(target=said.extend, args=(process.stderr,))
        listener.start()
        yield address
        process.terminate()
        assert process.wait(30) == 0
        listener.join()
    assert said == ["stopping …\n"], f"the server complained:\n{''.join(said)}"
