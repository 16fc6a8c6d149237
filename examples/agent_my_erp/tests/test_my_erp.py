"""The agent honours the contract of agents, and orders once."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from runtara_framework.agents import CapabilityContext
from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.testing.agents import AgentConformance, Failing, Sample


class TestMyErp(AgentConformance):
    @pytest.fixture
    def agent(self) -> Any:
        return "my-erp"

    @pytest.fixture
    def samples(self, tmp_path: Path) -> Sequence[Sample]:
        return [Sample("create-order", {"sku": "A-1", "quantity": 2, "database": str(tmp_path / "erp.db")})]

    @pytest.fixture
    def failures(self, tmp_path: Path) -> Sequence[Failing]:
        return [
            Failing("create-order", {"sku": "no such"}, "ERP_UNKNOWN_SKU"),
            Failing("create-order", {"sku": "A-1", "database": str(tmp_path / "no" / "folder")}, "ERP_BUSY"),
        ]


async def test_a_second_attempt_finds_the_first_order(tmp_path: Path) -> None:
    database = str(tmp_path / "erp.db")

    async def order(step_key: str, attempt: int) -> Any:
        context = CapabilityContext(tenant_id="t", instance_id="i", step_key=step_key, attempt=attempt)
        inputs = {"sku": "B-2", "quantity": 3, "database": database}
        async with AgentRegistry() as registry:
            return await registry.invoke("my-erp", "create-order", inputs, context)

    assert await order("first", 1) == {"orderId": 1, "totalCents": 1197}
    assert await order("first", 2) == {"orderId": 1, "totalCents": 1197}
    assert (await order("second", 1))["orderId"] == 2
    with sqlite3.connect(database) as erp:
        assert erp.execute("SELECT count(*) FROM orders").fetchone() == (2,)
    erp.close()
