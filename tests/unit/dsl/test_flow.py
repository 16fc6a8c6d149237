"""Order, reach, merges, handlers and concurrency of a graph; on drawn pictures, and against brute force."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara_framework.dsl.flow import Flow
from runtara_framework.dsl.models import ExecutionGraph

from .documents import TRUE, Json, chain, cond, edge, fin, get, graph, log


def flow(edges: list[Json], *, conditionals: str = "") -> Flow:
    """The flow of edges between steps with names of one letter; the first one is the entry."""
    names = dict.fromkeys(name for one in edges for name in (one["fromStep"], one["toStep"]))
    steps = {name: cond() if name in conditionals else get() for name in names}
    return Flow.of(ExecutionGraph.model_validate(graph(steps, edges)))


def picture(text: str) -> list[Json]:
    """`ab bc a!h` as edges; `!` is onError, `+` true, `-` false, `?` a condition."""
    labels = {"!": "onError", "+": "true", "-": "false"}
    edges = []
    for part in text.split():
        more = {"condition": TRUE} if "?" in part else {}
        edges.append(edge(part[0], part[-1], labels.get(part[1]) if len(part) > 2 else None, **more))
    return edges


@pytest.mark.parametrize(
    ("text", "conditionals", "merges"),
    [
        ("ab bc", "", {}),
        ("ab ac bd cd", "", {"a": "d"}),
        ("ab ac bd cd de", "", {"a": "d"}),
        ("ab ad bd", "", {"a": "d"}),
        ("ab ac ad be ce ef df", "", {"a": "f"}),
        ("ab ac bd be df ef fg cg", "", {"a": "g", "b": "f"}),
        ("ab ac bd be dg eg cg", "", {"a": "g", "b": "g"}),
        ("ab ac", "", {"a": None}),
        ("ab ac bd", "", {"a": None}),
        ("ab ac b+x b-d cd", "b", {"a": "d"}),
        ("ab ac b+d b-f cd df", "b", {"a": "f"}),
        ("ab ac b+x b-y c+x c-y", "bc", {"a": None}),
        ("ab ac b+x b-y c+x c-y xz yz", "bc", {"a": "z"}),
        ("ab ac bd cd b!h c!h d!h hx dy", "", {"a": "d"}),
        ("ab ac bd cd b!h hd", "", {"a": "d"}),
        ("ab ac b?d bc cd", "", {"a": "d"}),
        ("a+b a-c bd cd", "a", {}),
        ("a?b ac bd cd", "", {}),
    ],
)
def test_branches_meet_where_they_are_one_again(text: str, conditionals: str, merges: dict[str, str | None]) -> None:
    found = flow(picture(text), conditionals=conditionals)
    assert {fork: found.merge(fork) for fork in found.forks} == merges


def test_the_order_is_topological_and_keeps_the_order_of_the_document() -> None:
    assert flow(picture("ac ab cd bd d!h he")).order == ["a", "c", "b", "d", "h", "e"]
    document = graph({"z": log(), "y": log(), "x": fin()}, chain("z", "y", "x"))
    assert Flow.of(ExecutionGraph.model_validate(document)).order == ["z", "y", "x"]


def test_handlers_are_what_only_errors_lead_to() -> None:
    assert flow(picture("ab b!h hi i!j b!c hc cd id")).handlers == {"h", "i", "j", "c", "d"}
    assert flow(picture("ab bc b!h hc")).handlers == {"h"}


@pytest.mark.parametrize(
    ("text", "conditionals", "concurrent"),
    [
        ("ab ac bd cd", "", "bc"),
        ("a+b a-c bd cd", "a", ""),
        ("ab ac bd be ce cf dg eg fg", "", "bc bf cd de ef df"),
        ("ab ac ad be ce ef df", "", "bc bd cd de"),
        ("ab ac bd cd d+e d-f", "d", "bc"),
        ("ab ac bd cd b!h hd", "", "bc ch"),
        ("ab ac b+x b-y xd yd cd", "b", "bc cx cy"),
    ],
)
def test_concurrent_is_what_a_fan_out_runs_at_once(text: str, conditionals: str, concurrent: str) -> None:
    found = flow(picture(text), conditionals=conditionals)
    pairs = {a + b for a, b in combinations(sorted(found.steps), 2) if found.concurrent(a, b)}
    assert pairs == set(concurrent.split())
    assert all(found.concurrent(pair[1], pair[0]) for pair in pairs)


def test_edges_that_close_a_circle_are_set_aside() -> None:
    found = flow(picture("ab bc cb cd da"))
    assert [(one.from_step, one.to_step, way) for one, way in found.cycles] == [
        ("c", "b", ("b", "c")),
        ("d", "a", ("a", "b", "c", "d")),
    ]
    assert found.order == ["a", "b", "c", "d"] and found.reachable == set("abcd")


def test_steps_that_wait_for_each_other_are_a_knot() -> None:
    found = flow(picture("ab ac bd ce df ef"))
    assert found.knots([("c", "d"), ("b", "e")]) == set()
    assert found.knots([("e", "b"), ("d", "c")]) == set("bcde")
    assert found.knots([("e", "b")]) == set()


names = "abcdefghij"


@st.composite
def dags(draw: st.DrawFn) -> list[Json]:
    pairs = draw(st.lists(st.sampled_from(list(combinations(names, 2))), min_size=4, max_size=18, unique=True))
    kinds = draw(st.lists(st.sampled_from(["", "", "", "?", "!"]), min_size=len(pairs), max_size=len(pairs)))
    known = {"a"}
    edges = []
    for (start, end), kind in sorted(zip(pairs, kinds, strict=True)):
        if start in known:
            known.add(end)
            edges.append(start + kind + end)
    return picture(" ".join(edges) or "ab")


def reach(found: Flow, start: str, *, errors: bool, without: str | None = None) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        here = todo.pop()
        if here not in seen and here != without:
            seen.add(here)
            todo += [one.to_step for one in found.outgoing[here] if errors or not one.is_error]
    return seen


@given(dags())
def test_the_analysis_agrees_with_brute_force(edges: list[Json]) -> None:
    found = flow(edges)
    assert sorted(found.order) == sorted(found.steps) and not found.cycles
    for one in edges:
        assert found.position[one["fromStep"]] < found.position[one["toStep"]]
    for a in found.steps:
        for b in found.steps:
            assert found.may_precede(a, b) == (a != b and b in reach(found, a, errors=True))
            assert found.concurrent(a, b) == found.concurrent(b, a)
            if found.concurrent(a, b):
                assert not found.may_precede(a, b) and not found.may_precede(b, a)
    for fork in found.forks:
        heads = found.branches(fork)
        merge = found.merge(fork)
        if merge is None:
            everywhere = [n for n in found.steps if all(_unavoidable(found, head, n) for head in heads)]
            assert not everywhere
        else:
            behind = reach(found, merge, errors=False) - {merge}
            for head in heads:
                assert merge in reach(found, head, errors=False)
                assert not reach(found, head, errors=False, without=merge) & behind


def _unavoidable(found: Flow, head: str, step: str) -> bool:
    """Does every way from `head` to an end go through `step`?"""
    around = reach(found, head, errors=False, without=step)
    return all(any(not one.is_error for one in found.outgoing[here]) for here in around)
