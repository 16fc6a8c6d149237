"""The unix transport keeps the contract of transports."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtara_framework.protocol.channel import Dial
from runtara_framework.spec.driver import DriverContext
from runtara_framework.spec.transport import Transport
from runtara_framework.testing.transport import TransportConformance
from runtara_framework.transport_local.client import dial as dial_unix
from runtara_framework.transport_local.server import LocalSettings, LocalTransport


class TestUnix(TransportConformance):
    @pytest.fixture
    def transport(self, driver_context: DriverContext) -> Transport:
        return LocalTransport(LocalSettings(grace_seconds=0.1), driver_context)

    @pytest.fixture
    def address(self, tmp_path: Path) -> str:
        return f"unix://{tmp_path}/core.sock"

    @pytest.fixture
    def dial(self) -> Dial:
        return dial_unix
