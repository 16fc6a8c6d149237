"""What was compiled before is found again by its content, and never by anything that could deceive."""

from __future__ import annotations

import copy
import gc
import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara_framework.agents import agent, capability
from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.compiler import CompilationInput, compile_scenario
from runtara_framework.compiler.kept import Kept, fingerprint, number_of
from runtara_framework.dsl.documents import read
from runtara_framework.errors import ScenarioInvalid


class Thing:
    pass


def test_a_number_is_never_given_twice_as_an_id_is() -> None:
    seen: set[int] = set()
    ids: set[int] = set()
    for _ in range(100):
        thing = Thing()
        assert number_of(thing) == number_of(thing)
        assert number_of(thing) not in seen
        seen.add(number_of(thing))
        ids.add(id(thing))
        del thing
        gc.collect()
    assert len(ids) < 100, "an id comes again, which is why it is no name for anything"


def document(value: Any = 1) -> dict[str, Any]:
    return {
        "steps": {
            "call": {"id": "call", "stepType": "Agent", "agentId": "mine", "capabilityId": "do"},
            "end": {
                "id": "end",
                "stepType": "Finish",
                "inputMapping": {"r": {"valueType": "immediate", "value": value}},
            },
        },
        "entryPoint": "call",
        "executionPlan": [{"fromStep": "call", "toStep": "end"}],
    }


def registry(*, pure: bool) -> AgentRegistry:
    @agent(id="mine")
    class Mine:
        @capability(id="do", side_effects=not pure, deterministic=pure)
        def do(self) -> int:
            return 1

    found = AgentRegistry()
    found.add(Mine())
    return found


def test_other_agents_are_another_compilation_even_at_the_same_place_in_memory() -> None:
    for number in range(60):
        pure = bool(number % 2)
        agents = registry(pure=pure)
        result = compile_scenario(CompilationInput("s", document()), agents=agents)
        assert result.has_side_effects is not pure
        del agents, result
        gc.collect()


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0), (1, True), (0, False), (0.0, -0.0), (None, float("nan")), ("eA==", b"x"), ([1], (1,)), ({"1": 2}, {1: 2}),
        ("1", Decimal(1)), ([1], {1}), ("a", Text("a")), ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ("", None), (2**64, float(2**64)),
        ("7b5c3c5e-0000-4000-8000-000000000000", UUID("7b5c3c5e-0000-4000-8000-000000000000")),
    ],
)  # fmt: skip
def test_what_differs_in_kind_differs(one: Any, other: Any) -> None:
    assert fingerprint({"x": one}) != fingerprint({"x": other})


def test_what_no_scenario_may_have_is_refused_although_its_like_was_compiled() -> None:
    agents = registry(pure=True)
    for good, bad in ((None, float("nan")), ("eA==", b"x"), ([1], (1,)), ({"1": 2}, {1: 2})):
        compile_scenario(CompilationInput("s", document(good)), agents=agents)
        with pytest.raises(ScenarioInvalid, match="E018"):
            compile_scenario(CompilationInput("s", document(bad)), agents=agents)
    text = json.dumps(document())
    compile_scenario(CompilationInput("s", read(text)), agents=agents)
    twice = text.replace('"entryPoint"', '"entryPoint": "call", "entryPoint"')
    assert read(twice) == read(text)
    with pytest.raises(ScenarioInvalid, match="E063"):
        compile_scenario(CompilationInput("s", read(twice)), agents=agents)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(json_values)
def test_equal_content_is_equal_whoever_made_it(value: Any) -> None:
    shared = [value, value]
    assert fingerprint(shared) == fingerprint([copy.deepcopy(value), copy.deepcopy(value)])
    if json.loads(json.dumps(value)) == value:
        assert fingerprint(value) == fingerprint(json.loads(json.dumps(value)))


def test_what_has_no_content_to_compare_is_not_kept() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    itself: dict[str, Any] = {}
    itself["self"] = itself
    for odd in (deep, itself, lambda: None, (value for value in ())):
        assert fingerprint({"x": odd}) is None
        with pytest.raises(ScenarioInvalid):
            compile_scenario(CompilationInput("s", document(odd)), agents=registry(pure=True))


def test_the_oldest_results_go_first() -> None:
    kept: Kept[bytes] = Kept(3, 10, len)
    for name in "abcd":
        kept.put(name, name.encode())
        kept.get("b")
    assert [name for name in "abcd" if kept.get(name)] == ["b", "c", "d"]
    kept.put("large", b"x" * 100)
    assert kept.get("large") == b"x" * 100 and kept.get("b") is None
    kept.put(None, b"never")
    assert kept.get(None) is None
