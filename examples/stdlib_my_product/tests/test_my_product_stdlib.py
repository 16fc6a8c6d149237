"""The stdlib honours the contract of stdlibs, its agent that of agents, and the scenario beside it gives what it says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import my_product_stdlib
import pytest
from my_product_stdlib.prices import Prices

from runtara_framework.compiler import CompilationInput, compile_scenario
from runtara_framework.testing.agents import AgentConformance, Failing, Sample
from runtara_framework.testing.memory_core import run_in_process
from runtara_framework.testing.stdlib import Call, Refusal, StdlibConformance

HERE = Path(__file__).parents[1]


class TestMyProductStdlib(StdlibConformance):
    @pytest.fixture
    def stdlib(self) -> str:
        return "my_product_stdlib"

    @pytest.fixture
    def calls(self) -> Sequence[Call]:
        return [
            Call("vat", [2500], 475),
            Call("vat", [50, 7], 4),
            Call("sku_checksum", ["A-1"], "C"),
            Call("sku_checksum", ["b-2"], "F"),
        ]

    @pytest.fixture
    def refusals(self) -> Sequence[Refusal]:
        return [Refusal("sku_checksum", ["ä"], "no article number"), Refusal("vat", ["much"], "TypeError")]


class TestMyPrices(AgentConformance):
    @pytest.fixture
    def agent(self) -> Any:
        return Prices

    @pytest.fixture
    def samples(self) -> Sequence[Sample]:
        return [Sample("quote", {"sku": "A-1", "quantity": 2})]

    @pytest.fixture
    def failures(self) -> Sequence[Failing]:
        return [Failing("quote", {"sku": "no such"}, "PRICES_UNKNOWN_SKU")]


def test_a_function_is_a_plain_function() -> None:
    assert my_product_stdlib.vat(100, percent=7) == 7


async def test_the_scenario_gives_what_the_file_beside_it_says() -> None:
    given = CompilationInput("offer", json.loads((HERE / "scenario.json").read_text()), stdlib="my_product_stdlib")
    program: dict[str, Any] = {"__name__": "program"}
    exec(compile_scenario(given).source, program)  # noqa: S102  # what an image does

    outcome = await run_in_process(program["main"], json.loads((HERE / "input.json").read_text()))

    assert outcome.output == json.loads((HERE / "output.json").read_text())
