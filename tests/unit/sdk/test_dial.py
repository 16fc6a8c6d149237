from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtara_framework.errors import ConfigError, ConnectionFailed, DriverAmbiguous, DriverBroken
from runtara_framework.sdk.dial import dial

DIALERS = """
from runtara_framework.protocol.channel import Channel

class Line(Channel):
    def __init__(self, *said):
        self.said = said
    async def call(self, operation, request, *, body=None, timeout=None):
        raise NotImplementedError
    async def close(self):
        pass

async def good(address, *, token=None, timeout=10.0):
    return Line(address, token, timeout)

not_a_function = 5
"""


def distribution(folder: Path, name: str, *entries: str) -> None:
    """A hand-written installed distribution."""
    info = folder / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[runtara.dialers]\n" + "\n".join(entries))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "fake_dialers.py").write_text(DIALERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("fake_dialers", None)


async def test_a_scheme_is_dialled_by_its_entry_point(installed: Path) -> None:
    distribution(installed, "fake", "fake = fake_dialers:good")
    channel = await dial("fake://host:1", token="x", timeout=2.5)
    assert getattr(channel, "said", None) == ("fake://host:1", "x", 2.5)


async def test_a_bare_address_means_http(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only this distribution is installed.
    monkeypatch.setattr(sys, "path", [str(installed)])
    distribution(installed, "fake", "http = fake_dialers:good")
    channel = await dial("127.0.0.1:8001")
    assert getattr(channel, "said", None) == ("http://127.0.0.1:8001", None, 10.0)


async def test_an_unknown_scheme_lists_those_that_work(installed: Path) -> None:
    distribution(installed, "fake", "fake = fake_dialers:good")
    with pytest.raises(ConfigError, match=r"dial 'gopher://x'; schemes that work here: .*fake.*unix"):
        await dial("gopher://x")


async def test_a_scheme_whose_plugin_is_missing_names_it(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(installed)])
    with pytest.raises(ConfigError, match="install runtara-transport-quic"):
        await dial("quic://127.0.0.1:8001")


async def test_two_dialers_of_one_scheme_are_an_error_that_names_both(installed: Path) -> None:
    distribution(installed, "one", "fake = fake_dialers:good")
    distribution(installed, "two", "fake = fake_dialers:Line")
    with pytest.raises(DriverAmbiguous, match="one, two"):
        await dial("fake://x")


@pytest.mark.parametrize(
    ("entry", "why"),
    [("fake_dialers:missing", "cannot be imported"), ("fake_dialers:not_a_function", "is no function")],
)
async def test_a_broken_dialer_says_why(installed: Path, entry: str, why: str) -> None:
    distribution(installed, "fake", f"fake = {entry}")
    with pytest.raises(DriverBroken, match=why):
        await dial("fake://x")


async def test_a_unix_socket_needs_no_plugin(tmp_path: Path) -> None:
    with pytest.raises(ConnectionFailed, match="does the server run"):
        await dial(f"unix://{tmp_path}/nobody.sock", timeout=1)
