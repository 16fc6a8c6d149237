"""SQLite keeps every promise of the persistence contract."""

from __future__ import annotations

import pytest

from runtara_framework.testing.persistence import PersistenceConformance
from runtara_framework.testing.persistence_world import Connect, Snapshot


class TestSqlite(PersistenceConformance):
    @pytest.fixture
    def connect(self, connect: Connect) -> Connect:
        return connect

    @pytest.fixture
    def snapshot(self, snapshot: Snapshot) -> Snapshot:
        return snapshot
