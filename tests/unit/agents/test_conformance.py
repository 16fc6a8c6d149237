"""The suite that agent authors inherit: it passes for a good agent and fails, with the reason, for a bad one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pydantic import BaseModel, Field

from runtara_framework.agents import AgentError, Connection, agent, capability
from runtara_framework.agents.loading import load_agent
from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.testing.agents import AgentConformance, Failing, Sample

from .sample_agent import Shop

KEY = Connection("shop_key", {"key": "a very secret key"})


class TestShop(AgentConformance):
    @pytest.fixture
    def agent(self) -> Any:
        return Shop

    @pytest.fixture
    def samples(self) -> Sequence[Sample]:
        class Signal:
            set = wait = staticmethod(lambda: None)

        return [
            Sample("echo", {"value": {"a": [1, None]}}),
            Sample("order", {"sku": "A-1", "pin": "1234"}, KEY),
            Sample("buy", {"sku": "A-1"}),
            Sample("block", {"value": {"started": Signal, "release": Signal}}),
            Sample("add", {"a": 1}),
            Sample("nothing"),
        ]

    @pytest.fixture
    def failures(self) -> Sequence[Failing]:
        return [
            Failing("order", {"sku": "A", "behaviour": "busy"}, "SHOP_BUSY"),
            Failing("order", {"sku": "A", "behaviour": "refuse"}, "SHOP_REFUSED", KEY),
            Failing("order", {"sku": "A", "behaviour": "break"}, "CAPABILITY_ERROR", KEY),
            Failing("order", {"sku": "A", "behaviour": "chain"}, "SHOP_REFUSED", KEY),
        ]

    @pytest.fixture
    def secret_connections(self) -> Sequence[Connection]:
        return [KEY]


class Number(BaseModel):
    number: int
    fraction: float = Field(description="A fraction")


COUNTS: list[int] = []


@agent(id="faulty")
class Faulty:
    """Wrong in every way that the suite looks for."""

    @capability(id="count", side_effects=False, deterministic=True)
    def count(self) -> int:
        COUNTS.append(1)
        return len(COUNTS)

    @capability(id="number")
    def number(self, input: Number) -> int:
        """Fail."""
        raise AgentError("UNDECLARED", "no")


def _suite(check: Callable[..., Any]) -> str:
    with pytest.raises(AssertionError) as caught:
        check()
    return str(caught.value)


def test_missing_descriptions_are_found() -> None:
    suite, faulty = AgentConformance(), load_agent(Faulty)
    assert "the agent has no description" in _suite(lambda: suite.test_agent_and_capabilities_say_what_they_are(faulty))
    assert "number: input number" in _suite(lambda: suite.test_every_field_is_described(faulty))


def test_a_capability_without_a_sample_is_found() -> None:
    check = AgentConformance().test_every_capability_has_a_sample
    assert "no sample for number" in _suite(lambda: check(load_agent(Faulty), [Sample("count")]))


async def test_a_pure_capability_that_is_not_pure_is_found() -> None:
    registry = AgentRegistry()
    faulty = registry.add(Faulty)
    with pytest.raises(AssertionError, match="count"):
        await AgentConformance().test_pure_capabilities_give_the_same_again(faulty, registry, [Sample("count")])


async def test_an_undeclared_code_is_found() -> None:
    registry = AgentRegistry()
    faulty = registry.add(Faulty)
    failing = Failing("number", {"number": 1, "fraction": 0.5}, "UNDECLARED")
    with pytest.raises(AssertionError, match="UNDECLARED is not declared"):
        await AgentConformance().test_failures_carry_declared_codes(faulty, registry, [failing])


def test_a_test_of_the_suite_cannot_be_replaced() -> None:
    with pytest.raises(TypeError, match=r"replaces a conformance test without xfail"):

        class Replaced(AgentConformance):
            def test_metadata_is_plain_json(self) -> None:  # type: ignore[override]
                pass


def test_a_gap_can_be_named() -> None:
    class Marked(AgentConformance):
        @pytest.mark.xfail(reason="the vendor's schema is not JSON")
        def test_metadata_is_plain_json(self) -> None:  # type: ignore[override]
            pass

    assert Marked is not None
