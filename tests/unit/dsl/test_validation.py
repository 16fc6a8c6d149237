"""Validation as a whole: silent about what is right, complete about what is wrong, and impossible to break."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtara_framework.agents.metadata import AgentInfo
from runtara_framework.dsl.models import ExecutionGraph, Scenario
from runtara_framework.dsl.validation import Agents, Finding, Graph, ValidationReport, validate
from runtara_framework.errors import DriverBroken

from .documents import (
    AGENTS,
    ANY_INPUT,
    BODY,
    TRUE,
    Json,
    call,
    chain,
    comp,
    cond,
    edge,
    fin,
    get,
    graph,
    lit,
    log,
    loop,
    op,
    ref,
    split,
    tpl,
)  # fmt: skip
from .strategies import json_values
from .validation_cases import CASES, CHILDREN, CONNECTION, POST, START_OK


def report(document: Any, **more: Any) -> ValidationReport:
    return validate(document, agents=AGENTS, **{"children": CHILDREN, **more})


def codes(document: Any, **more: Any) -> list[str]:
    return [finding.code for finding in report(document, **more).findings]


SWITCH = {"stepType": "Switch", "config": {"value": ref("data.x"), "cases": [
    {"matchType": "EQ", "match": ["a", "b"], "route": "one", "output": {"deep": [ref("data.n")]}},
    {"matchType": "BETWEEN", "match": [1, 2], "route": "two"}], "default": tpl("{{ data.x }}")}}  # fmt: skip

CLEAN: dict[str, Json] = {
    "one step": graph({"end": fin()}),
    "a wrapped graph": {"executionGraph": graph({"end": fin()}), "memoryTier": "S", "debugMode": True},
    "the keys of an editor": {
        **graph({"end": fin()}, notes=[{"any": 1}], nodes={}, name="n", description="d"),
        "edges": 3,
    },
    "next is the same as no label": graph({"a": log(), "end": fin()}, [edge("a", "end", "next")]),
    "a diamond": graph(
        {"a": log(), "b": log(), "c": log(), "end": fin(r=ref("steps.b.outputs"), s=ref("steps.c.outputs"))},
        [edge("a", "b"), edge("a", "c"), edge("b", "end"), edge("c", "end")],
    ),
    "a branch that reads the other": graph(
        {"a": log(), "b": log("m", x=ref("steps.c.outputs")), "c": log(), "end": fin()},
        [edge("a", "b"), edge("a", "c"), edge("b", "end"), edge("c", "end")],
    ),
    "branches that read each other's first steps": graph(
        {
            "a": log(),
            "b1": log(),
            "b2": log("m", x=ref("steps.c1.outputs")),
            "c1": log(),
            "c2": log("m", x=ref("steps.b1.outputs")),
            "end": fin(),
        },
        [edge("a", "b1"), edge("a", "c1"), *chain("b1", "b2", "end"), *chain("c1", "c2", "end")],
    ),
    "three branches of which two meet first": graph(
        {"a": log(), "b": log(), "c": log(), "bc": log(), "d": log("m", x=ref("steps.bc.outputs")), "end": fin()},
        [
            edge("a", "b"),
            edge("a", "c"),
            edge("a", "d"),
            edge("b", "bc"),
            edge("c", "bc"),
            edge("bc", "end"),
            edge("d", "end"),
        ],
    ),
    "a branch straight to the merge": graph(
        {"a": log(), "b": log(), "end": fin()}, [edge("a", "b"), edge("a", "end"), edge("b", "end")]
    ),
    "a branch that may finish early": graph(
        {"a": log(), "b": cond(), "c": log(), "stop": fin(), "end": fin()},
        [edge("a", "b"), edge("a", "c"), edge("b", "stop", "true"), edge("b", "end", "false"), edge("c", "end")],
    ),
    "a handler that all branches share": graph(
        {
            "a": get(),
            "b": get(),
            "c": get(),
            "m": get(),
            "end": fin(),
            "h": log("m", e=ref("__error.code")),
            "stop": fin(),
        },
        [
            edge("a", "b"),
            edge("a", "c"),
            edge("b", "m"),
            edge("c", "m"),
            edge("m", "end"),
            edge("h", "stop"),
            *(edge(step, "h", "onError") for step in "abcm"),
        ],
    ),
    "both sides of a conditional, read after they meet": graph(
        {
            "if": cond(),
            "y": log(),
            "n": log(),
            "end": fin(r=ref("steps.y.outputs"), s=ref("steps.n.outputs"), t=ref("steps.if.outputs.result")),
        },
        [edge("if", "y", "true"), edge("if", "n", "false"), edge("y", "end"), edge("n", "end")],
    ),
    "a routing switch": graph(
        {"s": SWITCH, "a": log(), "b": log(), "end": fin(r=ref("steps.s.route"))},
        [edge("s", "a", "one"), edge("s", "b", "two"), edge("s", "end", "default"), edge("a", "end"), edge("b", "end")],
        inputSchema=ANY_INPUT,
    ),
    "conditioned edges with a default": graph(
        {"a": log(), "b": log(), "c": log(), "end": fin()},
        [
            edge("a", "b", condition=TRUE, priority=2),
            edge("a", "c", condition=op("EQ", ref("steps.a.outputs.level"), lit("info")), priority=1),
            edge("a", "end"),
            edge("b", "end"),
            edge("c", "end"),
        ],
    ),
    "onError with conditions, a default, rejoin and a handler of the handler": graph(
        {
            "a": get(),
            "h1": get(),
            "h2": log("m", c=ref("steps.__error.category"), m=ref("error.message")),
            "h3": log(),
            "end": fin(e=ref("steps.a.error.code")),
        },
        [
            edge("a", "end"),
            edge("a", "h1", "onError", condition=op("EQ", ref("__error.category"), lit("transient")), priority=5),
            edge("a", "h2", "onError"),
            edge("h1", "end"),
            edge("h1", "h3", "onError"),
            edge("h2", "end"),
            edge("h3", "end"),
        ],
    ),
    "a handler that simply ends": graph(
        {"a": get(), "h": log(), "end": fin()}, [edge("a", "end"), edge("a", "h", "onError")]
    ),
    "loops see their roots": graph(
        {
            "w": loop(
                graph(
                    {
                        "s": split(
                            graph(
                                {
                                    "in": fin(
                                        i=ref("item"),
                                        n=ref("iteration.indices[0]"),
                                        d=ref("data.name"),
                                        v=ref("variables.outer.x"),
                                        j=ref("variables._item"),
                                        p=ref("variables._previousOutputs"),
                                    )
                                }
                            ),
                            config={"variables": {"outer.x": ref("loop.index")}},
                            inputSchema={"name": {"type": "string"}},
                        ),
                        "end": fin(r=ref("steps.s.outputs[0]"), l=ref("loop.outputs.r")),
                    }
                ),
                op("LT", ref("loop.index"), lit(3)),
                config={"variables": {"k": ref("data.n")}},
            ),
            "end": fin(r=ref("steps.w.outputs.outputs.r"), n=ref("steps.w.iterations")),
        },
        inputSchema=ANY_INPUT,
    ),
    "a split of batches": graph(
        {
            "s": split(
                graph({"in": fin(x=ref("data[0].name"))}),
                config={"batchSize": 2},
                inputSchema={"name": {"type": "string"}},
            ),
            "end": fin(
                ok=ref("steps.s.data.success[0]"),
                n=ref("steps.s.stats.total"),
                e=ref("steps.s.data.error[0].error.code"),
            ),
        },
        inputSchema=ANY_INPUT,
    ),
    "filter and group": graph(
        {
            "f": {
                "stepType": "Filter",
                "config": {"value": ref("data.list"), "condition": op("GT", ref("item.n"), lit(1))},
            },
            "g": {"stepType": "GroupBy", "config": {"value": ref("steps.f.outputs.items"), "key": "a['b.c'][0]"}},
            "end": fin(n=ref("steps.g.outputs.counts.any")),
        },
        inputSchema=ANY_INPUT,
    ),
    "wait and delay": graph(
        {
            "d": {"stepType": "Delay", "durationMs": lit(5)},
            "w": {
                "stepType": "WaitForSignal",
                "timeoutMs": ref("data.n"),
                "responseSchema": {"ok": {"type": "boolean"}},
                "onWait": graph({"l": log("m", s=ref("variables._signal_id"), d=ref("data.x")), "in": fin()}),
                "action": {"key": "approve", "context": {"a.b": ref("steps.d.duration_ms")}},
            },
            "end": fin(ok=ref("steps.w.outputs.ok"), s=ref("steps.w.signal_id")),
        },
        inputSchema=ANY_INPUT,
    ),
    "a compensation that no edge reaches": graph(
        {
            "a": get(
                compensation={"compensationStep": "undo", "compensationData": {"id": ref("steps.a.outputs.body.id")}}
            ),
            "end": fin(),
            "undo": log("m", a=ref("steps.a.outputs.body"), c=ref("variables._compensation.id")),
        },
        chain("a", "end"),
    ),
    "a child": graph({"s": START_OK, "end": fin(r=ref("steps.s.childScenarioId"))}),
    "a secure agent": graph({"c": CONNECTION, "s": get({"_connection": ref("steps.c.outputs")}), "end": fin()}),
    "aliases and case of agents": graph(
        {
            "s": call(
                "HTTP/request", inputMapping={"uri": ref("data.x"), "headers.accept": lit("a"), "body.a.b": lit(1)}
            ),
            "end": fin(r=ref("steps.s.outputs.headers.any"), s=ref("steps.s.outputs.links[0]")),
        },
        inputSchema=ANY_INPUT,
    ),
    "references inside literals of agents": graph(
        {
            "a": log(),
            "s": get({"body": lit({"x": [ref("steps.a.outputs")], "y": {"valueType": "reference"}})}),
            "end": fin(),
        }
    ),
    "literals that look like mappings elsewhere": graph(
        {"end": fin(r=lit({"valueType": "reference", "value": "no such path..", "x": ref("nowhere")}))}
    ),
    "system variables": graph(
        {"end": fin(a=ref("variables._instance_id"), b=ref("scenario.inputs.variables._tenant_id"), c=ref("variables"))}
    ),
    "a default makes a key into an array deliberate": graph(
        {"end": fin(r=ref("data.list.name", default=None))}, inputSchema=ANY_INPUT
    ),
    "templates": graph(
        {
            "end": fin(
                r=tpl("{% for i in data.list %}{{ loop.index }}{{ i.x }}{% endfor %}{{ data.o.deep | upper }}"),
                s=comp({"a.b": tpl("{{ variables.v }}"), "c": comp([lit(1)])}),
            )
        },
        inputSchema=ANY_INPUT,
        variables={"v": {"type": "string", "value": None}},
    ),
    "an open output": graph({"a": call(), "end": fin(r=ref("steps.a.outputs.anything.at.all"))}),
    "a graph for cancellation": graph(
        {"end": fin()}, onCancel=graph({"l": log("m", d=ref("data.x")), "in": fin()}), inputSchema=ANY_INPUT
    ),
    "requests that only read, before one that can fail": graph(
        {"a": get(), "b": get({"verb": lit("GET")}), "c": get(POST), "end": fin()}
    ),
    "a side effect that can be undone": graph(
        {"a": get(POST, compensation={"compensationStep": "undo"}), "b": call(), "end": fin(), "undo": get(POST)},
        chain("a", "b", "end"),
    ),
    "a side effect after which nothing can fail": graph({"b": call(), "a": get(POST), "l": log(), "end": fin()}),
    "steps that nothing follows inside of a child of a loop": graph({"w": loop(BODY), "end": fin()}),
}


@pytest.mark.parametrize("name", CLEAN)
def test_what_is_right_is_not_blamed(name: str) -> None:
    document = CLEAN[name]
    before = copy.deepcopy(document)
    result = report(document)
    assert [(f.code, f.pointer, f.message) for f in result.findings] == []
    assert result.ok and isinstance(result.scenario, Scenario)
    assert document == before
    bare = document.get("executionGraph", document)
    dumped = result.scenario.execution_graph.model_dump(by_alias=True, exclude_unset=True, mode="json")
    assert dumped == json.loads(json.dumps(bare))


def test_all_mistakes_are_reported_in_one_pass_and_in_order() -> None:
    document = graph(
        {
            "a": {"stepType": "Agent", "agentId": "htpp", "capabilityId": 7, "maxRetrys": 1, "inputMapping": {
                "one": ref("steps.nowhere.x"), "two": {"valueType": "nonsense"}, "three": ref("data..x")}},
            "b": {"stepType": "Conditional", "condition": op("LIKE", ref("dta.x"))},
            "c": {"stepType": "Swich"},
            "w": loop(graph({"in": {"stepType": "Finish", "inputMappin": {}}}), op("EQ", ref("variables.nope"))),
            "end": fin(r=ref("steps.c.outputs.x")),
        },
        [edge("a", "b"), edge("a", "ghost"), edge("b", "c"), {"fromStep": "c", "toStep": "w", "prio": 1}, edge("w", "end")],
    )  # fmt: skip
    found = report(document).findings
    assert [(f.code, f.pointer) for f in found if f.code[0] == "E"] == [
        ("E020", "/steps/a/agentId"),
        ("E018", "/steps/a/capabilityId"),
        ("E010", "/steps/a/inputMapping/one/value"),
        ("E011", "/steps/a/inputMapping/three/value"),
        ("E018", "/steps/a/inputMapping/two"),
        ("E005", "/steps/a/maxRetrys"),
        ("E126", "/steps/b/condition/arguments/0/value"),
        ("E008", "/steps/b/condition/op"),
        ("E015", "/steps/c/stepType"),
        ("E007", "/steps/w/condition/arguments"),
        ("E013", "/steps/w/condition/arguments/0/value"),
        ("E005", "/steps/w/subgraph/steps/in/inputMappin"),
        ("E014", "/executionPlan/1/toStep"),
        ("E072", "/executionPlan/2"),
        ("E005", "/executionPlan/3/prio"),
    ]
    assert report(document).scenario is None


def test_an_edge_from_nowhere_does_not_blame_what_it_should_reach() -> None:
    assert codes(
        graph({"a": log(), "b": log(), "end": fin()}, [edge("aa", "b"), edge("b", "end"), edge("a", "end")])
    ) == ["E014"]


def test_what_is_wrong_in_a_child_is_said_where_it_is_started() -> None:
    children = {
        "outer": graph(
            {"s": {"stepType": "StartScenario", "childScenarioId": "inner", "childVersion": 2}, "end": fin()}
        ),
        "inner@2": graph({"end": fin(r=ref("steps.no"))}),
        "inner": graph({"end": fin()}),
    }
    document = graph({"s": {"stepType": "StartScenario", "childScenarioId": "outer", "childVersion": 1}, "end": fin()})
    (finding,) = report(document, children=children).findings
    assert (finding.code, finding.step_id, finding.pointer) == ("E010", "s", "/steps/s/childScenarioId")
    assert "inner@2" in finding.message and "/steps/end/inputMapping/r/value" in finding.message
    children["inner@2"] = graph({"end": fin()})
    result = report(document, children=children)
    assert set(result.children) == {"outer", "inner@2"} and all(
        isinstance(s, Scenario) for s in result.children.values()
    )


def test_what_has_no_effect_in_a_child_is_said_where_it_is_started() -> None:
    child = {
        "executionGraph": {**graph({"end": fin()}), "executionTimeoutSeconds": 3, "rateLimitBudgetMs": 5},
        "memoryTier": "S",
        "debugMode": True,
    }
    document = graph({"s": {"stepType": "StartScenario", "childScenarioId": "kid", "childVersion": 1}, "end": fin()})
    found = report(document, children={"kid": child}).findings
    assert {(finding.code, finding.severity, finding.pointer) for finding in found} == {
        ("W081", "warning", "/steps/s/childScenarioId")
    }
    assert [finding.message.split(": ")[-1].split(" has ")[0] for finding in found] == [
        "executionTimeoutSeconds",
        "memoryTier",
        "debugMode",
    ]
    assert report(child).findings == ()


def test_a_long_line_of_children_is_followed_to_its_end() -> None:
    children = {
        f"c{i}": graph(
            {"s": {"stepType": "StartScenario", "childScenarioId": f"c{i + 1}", "childVersion": "latest"}, "end": fin()}
        )
        for i in range(1500)
    }
    found = report(children["c0"], children=children).findings
    assert [finding.code for finding in found] == ["E124"] and "'c1500'" in found[0].message


def test_rules_of_plugins_are_asked_for_every_graph() -> None:
    def no_logs(graph: Graph) -> list[Finding]:
        return [
            Finding(code="X001", severity="error", step_id=key, pointer=graph.step_pointer(key), message="no logs here")
            for key, step in graph.steps.items()
            if type(step).__name__ == "LogStep"
        ]

    document = graph({"l": log(), "w": loop(graph({"l2": log(), "in": fin()})), "end": fin()})
    result = validate(document, agents=AGENTS, extra_rules=[no_logs])
    assert [finding.pointer for finding in result.findings] == ["/steps/l", "/steps/w/subgraph/steps/l2"]
    assert not result.ok and result.scenario is None


def test_findings_of_others_are_put_where_they_belong() -> None:
    odd = Finding(code="X002", severity="error", pointer="/steps/end", message="I do not like it")
    document = graph({"s": {**START_OK}, "end": fin()})
    result = report(document, extra_findings={"": [odd], "child": [odd], "bare": [odd]})
    assert [(f.code, f.pointer) for f in result.findings] == [
        ("X002", "/steps/s/childScenarioId"),
        ("X002", "/steps/end"),
    ]
    assert "'child' at /steps/end" in result.findings[0].message
    assert not result.ok and result.scenario is None


def test_a_name_that_only_looks_like_another_is_told_apart() -> None:
    for path, hint in (
        ("dаta.x", "U+0430 CYRILLIC"),
        ("ｄata.x", "U+FF44 FULLWIDTH"),
        ("dat\u0430\u0301.x", "U+0430 CYRILLIC"),
    ):
        (finding,) = report(graph({"end": fin(r=ref(path))})).findings
        assert finding.code == "E126" and "'data'" in (finding.suggestion or "") and hint in (finding.suggestion or "")


def test_half_a_surrogate_pair_is_refused_wherever_a_text_is() -> None:
    half = "\ud800"
    for document in (
        graph({half: fin()}),
        {**graph({"end": fin()}), "entryPoint": half},
        {**graph({"end": fin()}), half: 1},
        graph({"end": fin(**{half: lit(1)})}),
        graph({"end": fin(r=ref(f"data.{half}"))}),
        graph({"end": fin()}, variables={half: {"type": "string", "value": half}}),
        graph({"end": fin()}, [edge(half, "end")]),
    ):
        found = report(document).findings
        assert "E018" in {finding.code for finding in found}
        for finding in found:
            json.dumps(finding.to_json(), ensure_ascii=False).encode()


def test_variables_of_the_compilation_are_defined() -> None:
    document = graph({"end": fin(r=ref("variables.region"))})
    assert codes(document) == ["E013"] and codes(document, extra_variables=["region"]) == []


def test_a_broken_agent_says_why_it_cannot_be_used() -> None:
    class Broken(Agents):
        def info(self, agent_id: str) -> AgentInfo:
            raise DriverBroken("the agent cannot be imported: no module named 'x'")

        def ids(self) -> list[str]:
            return ["calc"]

    (finding,) = validate(graph({"s": call(), "end": fin()}), agents=Broken()).findings
    assert finding.code == "E020" and "no module named 'x'" in finding.message


def test_six_hundred_steps_and_two_thousand_are_no_trouble() -> None:
    for size in (600, 2000):
        steps = {
            f"s{i}": get({"body": ref(f"steps.s{max(i - 7, 0)}.outputs.body") if i else lit(1)})
            for i in range(size - 1)
        }
        assert set(codes(graph({**steps, "end": fin(r=ref("steps.s3.outputs.body"))}))) == set()


def test_thousands_of_parallel_branches_and_of_nested_choices_are_no_trouble() -> None:
    width = 1900
    steps = {"a": log(), **{f"b{i}": log("m", x=ref("steps.a.outputs")) for i in range(width)}, "end": fin()}
    edges = [edge("a", f"b{i}") for i in range(width)] + [edge(f"b{i}", "end") for i in range(width)]
    assert codes(graph(steps, edges)) == []
    steps = {f"c{i}": cond() for i in range(width)} | {"end": fin()}
    edges = [edge(f"c{i}", f"c{i + 1}" if i + 1 < width else "end", "true") for i in range(width)]
    edges += [edge(f"c{i}", "end", "false") for i in range(width)]
    assert codes(graph(steps, edges)) == []
    forks = 900  # each branch forks again
    steps = {f"f{i}": log() for i in range(forks)} | {f"l{i}": log() for i in range(forks)} | {"end": fin()}
    edges = [edge(f"f{i}", f"l{i}") for i in range(forks)] + [edge(f"l{i}", "end") for i in range(forks)]
    edges += [edge(f"f{i}", f"f{i + 1}" if i + 1 < forks else "end") for i in range(forks)]
    assert codes(graph(steps, edges)) == []


@pytest.mark.parametrize("kind", ["list", "object", "graph", "condition", "composite", "schema", "itself"])
def test_no_depth_exhausts_the_stack(kind: str) -> None:
    value: Any = 1
    depth = 50_000
    if kind in ("list", "object"):
        for _ in range(depth):
            value = [value] if kind == "list" else {"k": value}
        document = graph({"end": fin(r=lit(value))})
    elif kind == "graph":
        value = BODY
        for _ in range(2_000):
            value = graph({"w": loop(value), "in": fin()})
        document = value
    elif kind == "condition":
        value = TRUE
        for _ in range(depth):
            value = op("NOT", value)
        document = graph({"if": cond(value), "end": fin()}, [edge("if", "end", "true"), edge("if", "end", "false")])
    elif kind == "composite":
        value = lit(1)
        for _ in range(depth):
            value = comp([value])
        document = graph({"end": fin(r=value)})
    elif kind == "schema":
        value = {"type": "string"}
        for _ in range(depth):
            value = {"type": "array", "items": value}
        document = graph({"end": fin()}, inputSchema={"x": value})
    else:
        document = graph({"end": fin(r=lit({}))})
        document["steps"]["end"]["inputMapping"]["r"]["value"]["self"] = document
    found = report(document).findings
    assert {finding.code for finding in found} == {"E130"} and all(len(f.pointer) < 2_000 for f in found)


HOSTILE = [
    None, 0, -1, 1e308, "", "x", "data.x", "../../etc", "\u202e", "é", "a.b", "{{ x }}", "__proto__", [], [1], {}, {"a": 1},
    {"valueType": "reference", "value": "data.x"}, {"valueType": "reference"}, {"type": "operation"}, 10**40, "\ud800", True,
    float("inf"), {"stepType": "Agent"}, [[[]]], {"$ref": 0}, "onError", "true", "next", "latest", b"bytes", {1: 2},
]  # fmt: skip


def mutated(document: Any, draw: random.Random) -> Any:
    """The document with one to four random changes anywhere in it."""
    document = copy.deepcopy(document)
    for _ in range(draw.randint(1, 4)):
        containers: list[Any] = []
        todo = [document]
        while todo:
            value = todo.pop()
            if isinstance(value, (dict, list)):
                containers.append(value)
                todo += value.values() if isinstance(value, dict) else value
        target = draw.choice(containers)
        keys: list[Any] = list(target) if isinstance(target, dict) else list(range(len(target)))
        action = draw.randrange(5)
        if not keys:
            continue
        key = draw.choice(keys)
        if action == 0:
            del target[key]
        elif action == 1:
            target[key] = copy.deepcopy(draw.choice(HOSTILE))
        elif action == 2 and isinstance(target, dict):
            target[f"{key}x"] = target.pop(key)
        elif action == 3 and isinstance(target, dict):
            target[draw.choice(["id", "value", "label", "new", "steps", ""])] = copy.deepcopy(draw.choice(HOSTILE))
        else:
            target[key] = copy.deepcopy(draw.choice(containers))
    return document


def is_sound(result: ValidationReport) -> None:
    assert (result.scenario is not None) == result.ok
    for finding in result.findings:
        assert finding.message and finding.pointer[:1] in ("", "/")
        json.dumps(finding.to_json()).encode()
        finding.pointer.encode()
    if result.scenario is not None:
        again = ExecutionGraph.model_validate(
            result.scenario.execution_graph.model_dump(by_alias=True, exclude_unset=True, mode="python")
        )
        assert again == result.scenario.execution_graph


@given(st.integers(0, 2**40))
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_mutated_scenario_gives_findings_or_a_model(seed: int) -> None:
    draw = random.Random(seed)
    bases = [*CLEAN.values(), *(case[1] for case in CASES if case[0] not in ("E131", "E130"))]
    is_sound(report(mutated(draw.choice(bases), draw)))


@given(json_values)
@settings(max_examples=60)
def test_any_json_gives_findings(document: Any) -> None:
    is_sound(report(document))
    is_sound(report({"executionGraph": document}))
    is_sound(report({"steps": document, "entryPoint": "a", "executionPlan": document}))
    is_sound(report({"steps": {"a": document}, "entryPoint": "a"}))
