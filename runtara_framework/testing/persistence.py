"""Conformance of persistence drivers: inherit `PersistenceConformance`, say how to open a database and how to look past it.

    class TestMyDatabase(PersistenceConformance):
        @pytest_asyncio.fixture
        async def connect(self, tmp_path):
            async with AsyncExitStack() as stack:
                async def connect(node_id="node-1"):
                    driver = MyPersistence(MySettings(...), DriverContext(...))
                    await driver.start(stack)
                    await driver.migrate()
                    return driver
                yield connect

        @pytest.fixture
        def snapshot(self, ...):
            async def snapshot():
                return ...  # all rows, read without your driver
            return snapshot

It needs `asyncio_mode = "auto"` of pytest-asyncio. Every database is empty when a test begins. The suite proves what
`runtara_framework/spec/persistence.py` promises: each method in each state, fences, tenants, races between two handles on one
database, queues, pages, blobs; and one instance's life in thousands of orders, compared with a small model.
"""

from __future__ import annotations

import pytest
import pytest_asyncio

from runtara_framework.spec.persistence import PERSISTENCE, Persistence
from runtara_framework.testing.persistence_images import ImagePromises
from runtara_framework.testing.persistence_launches import LaunchPromises
from runtara_framework.testing.persistence_listings import ListingPromises
from runtara_framework.testing.persistence_model import LifePromises
from runtara_framework.testing.persistence_races import RacePromises
from runtara_framework.testing.persistence_settlement import SettlementPromises
from runtara_framework.testing.persistence_signals import SignalPromises
from runtara_framework.testing.persistence_states import StatePromises
from runtara_framework.testing.persistence_world import Connect, Snapshot, World
from runtara_framework.testing.suite import Conformance


class PersistenceConformance(
    StatePromises,
    LaunchPromises,
    SettlementPromises,
    SignalPromises,
    ListingPromises,
    ImagePromises,
    RacePromises,
    LifePromises,
    Conformance,
):
    """What every persistence driver has to do."""

    # -- must override --------------------------------------------------------------------------------------

    @pytest_asyncio.fixture
    async def connect(self) -> Connect:
        """Opens another handle on this test's database, for a node of the given name: started and migrated."""
        pytest.fail("override the fixture `connect`: a function that opens your driver on this test's database")

    @pytest.fixture
    def snapshot(self) -> Snapshot:
        """Reads everything that is stored without your driver, for comparison."""
        pytest.fail("override the fixture `snapshot`: an async function that reads all rows without your driver")

    # -- fixtures -------------------------------------------------------------------------------------------

    @pytest_asyncio.fixture
    async def persistence(self, connect: Connect) -> Persistence:
        """The driver under test."""
        return await connect()

    @pytest_asyncio.fixture
    async def other(self, persistence: Persistence, connect: Connect) -> Persistence:
        """A second server on the same database."""
        return await connect("node-2")

    @pytest.fixture
    def world(self, persistence: Persistence) -> World:
        """Images, instances and a clock."""
        return World(persistence)

    # -- the driver -----------------------------------------------------------------------------------------

    async def test_it_speaks_the_contract_of_this_kernel(self, persistence: Persistence) -> None:
        assert isinstance(persistence, PERSISTENCE.base)
        assert persistence.api == PERSISTENCE.api

    async def test_migrating_again_changes_nothing(self, persistence: Persistence, snapshot: Snapshot) -> None:
        before = await snapshot()
        assert await persistence.migrate() == await persistence.migrate()
        assert await snapshot() == before

    async def test_the_first_candidate_becomes_the_secret_of_all_servers(
        self, persistence: Persistence, other: Persistence
    ) -> None:
        assert await persistence.secret("launch-tokens", b"one") == b"one"
        assert await other.secret("launch-tokens", b"two") == b"one"
        assert await persistence.secret("launch-tokens", b"three") == b"one"
        assert await other.secret("else", b"two") == b"two"
