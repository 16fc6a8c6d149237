"""The example's workflow, tested as its README says: in this process, killed after every checkpoint."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runtara_framework.sdk.durable import program
from runtara_framework.testing.memory_core import MemoryCore, run_in_process

EXAMPLE = Path(__file__).parents[3] / "examples" / "python_workflow"


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    import order

    yield order
    del sys.modules["order"]


@pytest.mark.parametrize("kills", [(), "each"])
async def test_the_order_is_worked_off_once(order: ModuleType, tmp_path: Path, kills: Any) -> None:
    ledger = tmp_path / "ledger"
    items = [{"sku": "desk", "quantity": 1, "cents": 45_000}]
    core = MemoryCore()
    instance = core.create({"id": "O-1", "items": items, "ledger": str(ledger)})
    core.send_custom_signal(instance.instance_id, "approve-O-1", {"by": "ada"})
    outcome = await run_in_process(program(order.process), core=core, instance=instance, kill_at=kills)
    assert outcome.error is None
    assert outcome.output["approval"] == {"by": "ada"}
    lines = [json.loads(line)["what"] for line in ledger.read_text().splitlines()]
    assert lines == ["reserved", "refused", "charged", "shipped"]
    assert outcome.events("approval_requested") == [{"order": "O-1", "cents": 45_000}]


async def test_nobody_approves(order: ModuleType, tmp_path: Path) -> None:
    items = [{"sku": "desk", "quantity": 1, "cents": 45_000}]
    core = MemoryCore()
    waiting = await run_in_process(
        program(order.process), {"id": "O-2", "items": items, "ledger": str(tmp_path / "ledger")}, core=core
    )
    # The day goes by: run_in_process moves the clock to the deadline.
    assert waiting.error is not None
    assert (waiting.error["code"], waiting.error["cause"]["code"]) == ("NOT_APPROVED", "WAIT_TIMEOUT")


async def test_an_input_that_is_no_order_is_refused(order: ModuleType) -> None:
    outcome = await run_in_process(program(order.process), {"id": "O-3", "items": "none", "ledger": ""})
    assert outcome.error is not None
    assert outcome.error["code"] == "INPUT_INVALID"
