"""The table of mistakes: for each code documents that have it, and where it is said."""

from __future__ import annotations

from typing import Any

from runtara_framework.dsl.documents import read

from .documents import (
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

R = "/steps/end/inputMapping/r/value"
CONNECTION = {"stepType": "Connection", "connectionId": "c1", "integrationId": "http_bearer"}
CHILD = graph(
    {"end": fin(r=ref("data.need"))},
    inputSchema={"need": {"type": "string", "required": True}, "more": {"type": "string"}},
)
POST: Json = {"method": lit("POST")}
START: Json = {"stepType": "StartScenario", "childScenarioId": "child", "childVersion": "latest"}
START_OK: Json = {**START, "inputMapping": {"need": lit("x")}}
FORK = {"a": log(), "b": log(), "c": log(), "end": fin()}
FORK_EDGES = [edge("a", "b"), edge("a", "c"), edge("b", "end"), edge("c", "end")]


def one(step: Json, **more: Any) -> Json:
    """A graph of the step `s` and a Finish after it, with a declared input."""
    return graph({"s": step, "end": fin()}, inputSchema=ANY_INPUT, **more)


def finish(value: Any, **more: Any) -> Json:
    return graph({"end": fin(r=value)}, inputSchema=ANY_INPUT, **more)


def choose(condition: Json) -> Json:
    """A Conditional with the condition, both of whose sides lead to the end."""
    both = [edge("s", "end", "true"), edge("s", "end", "false")]
    return graph({"s": cond(condition), "end": fin()}, both, inputSchema=ANY_INPUT)


def guarded(**steps: Json) -> Json:
    """A Connection step `c` and the steps after it."""
    return graph({"c": CONNECTION, **steps, "end": fin()} if "end" not in steps else {"c": CONNECTION, **steps})


def switch(cases: list[Json], **more: Any) -> Json:
    return {"stepType": "Switch", "config": {"value": ref("data.x"), "cases": cases, **more}}


def nested(depth: int) -> Json:
    body = BODY
    for _ in range(depth):
        body = graph({"w": loop(body), "in": fin()})
    return body


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


# code, document, pointer, a part of the suggestion ("" if there is none)
CASES: list[tuple[str, Json, str, str]] = [
    ("E001", {**graph({"end": fin()}), "entryPoint": "edn"}, "/entryPoint", "'end'"),
    ("E001", {"steps": graph({"end": fin()})["steps"]}, "", '"end"'),
    ("E002", graph({"end": fin(), "lost": log()}, []), "/steps/lost", "add an edge"),
    ("E003", graph({"a": log(), "end": fin()}, []), "/executionPlan", "from 'a' to 'end'"),
    ("E004", {"steps": {}, "entryPoint": None}, "/steps", ""),
    ("E004", {"entryPoint": "a"}, "/steps", ""),
    ("E005", one(get(maxRetrys=3)), "/steps/s/maxRetrys", "'maxRetries'"),
    ("E005", one(get(max_retries=3)), "/steps/s/max_retries", "'maxRetries'"),
    ("E005", {**finish(lit(1)), "step": {}}, "/step", "'steps'"),
    ("E005", {"executionGraph": finish(lit(1)), "memorytier": "S"}, "/memorytier", "'memoryTier'"),
    ("E005", finish(ref("data.x", typ="string")), "/steps/end/inputMapping/r/typ", "'type'"),
    ("E005", choose({**op("NOT", lit(1)), "args": []}), "/steps/s/condition/args", "'arguments'"),
    ("E005", one({"stepType": "Log", "message": "m", "inputMapping": {}}), "/steps/s/inputMapping", ""),
    ("E005", graph({"s": log(), "end": fin()}, [edge("s", "end", lable="x")]), "/executionPlan/0/lable", "'label'"),
    ("E005", one(split(BODY, config={"paralelism": 2})), "/steps/s/config/paralelism", "'parallelism'"),
    ("E006", graph({"end": fin(**{"a.b": lit(1), "a": lit(2)})}), "/steps/end/inputMapping/a", "rename"),
    ("E006", graph({"end": fin(**{"a": lit(1), "a.b.c": lit(2)})}), "/steps/end/inputMapping/a.b.c", "rename"),
    ("E006", graph({"end": fin(**{"a..b": lit(1)})}), "/steps/end/inputMapping/a..b", ""),
    ("E006", one(log("m", **{"": lit(1)})), "/steps/s/context/", ""),
    ("E006", one(get({"uri": lit("http://y")})), "/steps/s/inputMapping/uri", "give one"),
    ("E007", choose(op("EQ", lit(1))), "/steps/s/condition/arguments", ""),
    ("E007", choose(op("AND")), "/steps/s/condition/arguments", ""),
    ("E007", choose(op("NOT", op("GT", lit(1), lit(2), lit(3)))), "/steps/s/condition/arguments/0/arguments", ""),
    ("E007", one(loop(BODY, op("IS_EMPTY"))), "/steps/s/condition/arguments", ""),
    (
        "E007",
        graph({"a": log(), "end": fin()}, [edge("a", "end", condition=op("NOT"))]),
        "/executionPlan/0/condition/arguments",
        "",
    ),
    ("E007", one(switch([{"matchType": "BETWEEN", "match": [1]}])), "/steps/s/config/cases/0/match", ""),
    ("E008", choose(op("EQUALS", lit(1), lit(1))), "/steps/s/condition/op", "'EQ'"),
    ("E008", one(switch([{"matchType": "BETWEN", "match": [1, 2]}])), "/steps/s/config/cases/0/matchType", "'BETWEEN'"),
    ("E009", {**graph({"end": fin()}), "steps": {"end": {"id": "other", **fin()}}}, "/steps/end/id", '"end"'),
    ("E009", graph({"a.b": fin()}), "/steps/a.b", ""),
    ("E009", graph({"a" * 129: fin()}), "/steps/" + "a" * 129, ""),
    ("E009", graph({"": fin()}), "/steps/", ""),
    ("E010", graph({"step1": log(), "end": fin(r=ref("steps.stpe1.outputs"))}), R, "'step1'"),
    ("E010", finish(tpl("{{ steps.no.outputs }}")), R, ""),
    ("E010", finish(ref("steps")), R, ""),
    ("E010", finish(tpl("{{ steps | tojson }}")), R, ""),
    ("E010", finish(tpl("{{ steps[data.x].outputs }}")), R, ""),
    ("E010", finish(tpl("{% for id in steps %}{{ id }}{% endfor %}")), R, ""),
    ("E010", choose(op("EQ", ref("steps.no.x"), lit(1))), "/steps/s/condition/arguments/0/value", ""),
    (
        "E010",
        one(split(graph({"in": fin(r=ref("steps.s.outputs"))}))),
        "/steps/s/subgraph/steps/in/inputMapping/r/value",
        "config.variables",
    ),
    ("E010", one(get(compensation={"compensationStep": "ned"})), "/steps/s/compensation/compensationStep", "'end'"),
    ("E011", finish(ref("data..x")), R, ""),
    ("E011", one(loop(BODY, {"type": "value", **ref("data[")})), "/steps/s/condition/value", ""),
    ("E011", one(get({"body": lit({"deep": [ref("data[")]})})), "/steps/s/inputMapping/body/value/deep/0/value", ""),
    (
        "E011",
        one({"stepType": "GroupBy", "config": {"value": ref("data.list"), "key": "a."}}),
        "/steps/s/config/key",
        "",
    ),
    (
        "E012",
        graph({"a": log("m", x=ref("steps.b.outputs")), "b": log(), "end": fin()}),
        "/steps/a/context/x/value",
        "add an edge",
    ),
    (
        "E012",
        graph(
            {"if": cond(), "a": log("m", x=ref("steps.b.outputs")), "b": log(), "end": fin()},
            [edge("if", "a", "true"), edge("if", "b", "false"), edge("a", "end"), edge("b", "end")],
        ),
        "/steps/a/context/x/value",
        "add an edge",
    ),
    (
        "E012",
        graph({**FORK, "b": log("m", x=ref("steps.c.outputs")), "c": log("m", x=ref("steps.b.outputs"))}, FORK_EDGES),
        "/steps/b/context/x/value",
        "circle",
    ),
    ("E013", finish(ref("variables.limt"), variables={"limit": {"type": "integer", "value": 1}}), R, "'limit'"),
    ("E013", finish(ref("scenario.inputs.variables.nope")), R, ""),
    ("E013", finish(ref("variables._index")), R, ""),
    (
        "E013",
        one(switch([{"matchType": "EQ", "match": 1, "output": {"a": [ref("variables.nope")]}}])),
        "/steps/s/config/cases/0/output/a/0/value",
        "",
    ),
    (
        "E014",
        graph({"a": log(), "end": fin()}, [*chain("a", "end"), edge("a", "edn")]),
        "/executionPlan/1/toStep",
        "'end'",
    ),
    ("E014", graph({"a": log(), "end": fin()}, [edge("x", "end"), edge("a", "end")]), "/executionPlan/0/fromStep", ""),
    ("E015", graph({"s": {"stepType": "Agnet"}, "end": fin()}), "/steps/s/stepType", "'Agent'"),
    ("E015", graph({"s": {}, "end": fin()}), "/steps/s", ""),
    (
        "E016",
        graph({"if": log(), "end": fin()}, [edge("if", "end"), edge("if", "end", "onError")]),
        "/executionPlan/1/label",
        "remove",
    ),
    ("E017", graph({"s": {"stepType": "Log"}, "end": fin()}), "/steps/s", "'message'"),
    ("E017", graph({"s": {"stepType": "Switch"}, "end": fin()}), "/steps/s", "'config'"),
    (
        "E017",
        graph({"s": log(), "end": fin()}, [{"fromStep": "s"}, *chain("s", "end")]),
        "/executionPlan/0",
        "'toStep'",
    ),
    ("E017", finish({"valueType": "reference"}), "/steps/end/inputMapping/r", "'value'"),
    ("E018", finish({"valueType": "refrence", "value": "x"}), "/steps/end/inputMapping/r", "'reference'"),
    ("E018", finish(7), "/steps/end/inputMapping/r", '{"valueType": "immediate", "value": 7}'),
    ("E018", finish(10**400), "/steps/end/inputMapping/r", '"value": …}'),
    ("E018", finish([1]), "/steps/end/inputMapping/r", '"value": …}'),
    ("E018", finish("data.x"), "/steps/end/inputMapping/r", '{"valueType": "reference", "value": "data.x"}'),
    ("E018", finish("{{ data.x }}"), "/steps/end/inputMapping/r", '{"valueType": "template", "value": "{{ data.x }}"}'),
    ("E018", one(call("http/request", inputMapping={"url": "http://x"})), "/steps/s/inputMapping/url", "immediate"),
    ("E018", one({**START, "inputMapping": {"need": 1}}), "/steps/s/inputMapping/need", "immediate"),
    ("E018", one(get(maxRetries="3")), "/steps/s/maxRetries", ""),
    ("E018", one(get(timeout=0)), "/steps/s/timeout", ""),
    ("E018", one(get(timeout=10**40)), "/steps/s/timeout", ""),
    ("E018", one(get(retryDelay=10**40)), "/steps/s/retryDelay", ""),
    ("E018", {**finish(lit(1)), "executionTimeoutSeconds": 2**63}, "/executionTimeoutSeconds", ""),
    ("E018", {**finish(lit(1)), "rateLimitBudgetMs": 2**63}, "/rateLimitBudgetMs", ""),
    ("E018", one({"stepType": "Log", "message": "m", "level": "warning"}), "/steps/s/level", "'warn'"),
    ("E018", finish(ref("data.x", type="int")), "/steps/end/inputMapping/r/type", "'integer'"),
    ("E018", finish(comp(3)), R, ""),
    ("E018", finish(ref("data.n", type="integer", default="abc")), "/steps/end/inputMapping/r/default", ""),
    (
        "E018",
        choose({"type": "value", **ref("data.n", valueTypeHint="number", default=[])}),
        "/steps/s/condition/default",
        "",
    ),
    (
        "E018",
        one(get({"body": lit([ref("data.n", type="integer", default=1.5)])})),
        "/steps/s/inputMapping/body/value/0/default",
        "",
    ),
    ("E018", choose(op("NOT", 3)), "/steps/s/condition/arguments/0", ""),
    ("E018", one(switch([{"matchType": "RANGE", "match": {"above": 1}}])), "/steps/s/config/cases/0/match", ""),
    ("E018", one(switch([{"matchType": "IN", "match": "abc"}])), "/steps/s/config/cases/0/match", ""),
    (
        "E018",
        one(switch([{"matchType": "EQ", "match": 1, "output": ref("data.x", type="int")}])),
        "/steps/s/config/cases/0/output",
        "",
    ),
    ("E018", finish(lit(float("nan"))), R, ""),
    ("E018", finish(lit("half \ud800")), R, ""),
    ("E018", {"executionGraph": 7}, "/executionGraph", ""),
    ("E018", {**finish(lit(1)), "steps": []}, "/steps", ""),
    ("E018", {**finish(lit(1)), "executionPlan": {}}, "/executionPlan", ""),
    ("E018", {"executionGraph": finish(lit(1)), "memoryTier": "XXL"}, "/memoryTier", "'XL'"),
    ("E018", one(loop(BODY, config={"maxIterations": 1_000_001})), "/steps/s/config/maxIterations", ""),
    ("E019", finish(lit(1), variables={"_secret": {"type": "string", "value": ""}}), "/variables/_secret", "'secret'"),
    ("E019", one(split(BODY, config={"variables": {"_index": lit(1)}})), "/steps/s/config/variables/_index", "'index'"),
    ("E020", one(call("htpp/request")), "/steps/s/agentId", "'http'"),
    ("E021", one(call("http/http-requst")), "/steps/s/capabilityId", "'http-request'"),
    ("E022", one(call("http/request", inputMapping={"method": lit("GET")})), "/steps/s/inputMapping", "'url'"),
    ("E022", one(call("http/request")), "/steps/s", "'url'"),
    ("E023", one(call("http/request", inputMapping={"url": lit(3)})), "/steps/s/inputMapping/url/value", ""),
    ("E023", one(call("http/request", inputMapping={"url": lit(None)})), "/steps/s/inputMapping/url/value", ""),
    ("E023", one(call(inputMapping={"a": lit(True)})), "/steps/s/inputMapping/a/value", ""),
    (
        "E024",
        one(call("http/request", inputMapping={"url": lit("u"), "method": lit("GETT")})),
        "/steps/s/inputMapping/method/value",
        "'GET'",
    ),
    (
        "E030",
        graph(
            {
                "c": {**CONNECTION, "integrationId": "http_baerer"},
                "s": call("http/request", inputMapping={"url": lit("u"), "_connection": ref("steps.c.outputs")}),
                "end": fin(),
            }
        ),
        "/steps/c/integrationId",
        "'http_bearer'",
    ),
    (
        "E040",
        guarded(s=call(inputMapping={"a": ref("steps.c.outputs.parameters.n")})),
        "/steps/s/inputMapping/a/value",
        "",
    ),
    (
        "E040",
        guarded(s=call("http/request", inputMapping={"url": ref("steps.c.outputs.parameters.u")})),
        "/steps/s/inputMapping/url/value",
        "",
    ),
    (
        "E040",
        guarded(
            s=call("http/request", inputMapping={"url": lit("u"), "connection_id": ref("steps.c.outputs.parameters.u")})
        ),
        "/steps/s/inputMapping/connection_id/value",
        "",
    ),
    ("E041", guarded(end=fin(r=tpl("{{ steps.c.outputs | tojson }}"))), R, ""),
    ("E042", guarded(l=log("m", x=ref("steps.c.outputs"))), "/steps/l/context/x/value", ""),
    (
        "E043",
        guarded(s=split(BODY, config={"value": lit([]), "variables": {"v": ref("steps.c.outputs")}})),
        "/steps/s/config/variables/v/value",
        "",
    ),
    ("E050", one({**START_OK, "childVersion": 0}), "/steps/s/childVersion", ""),
    ("E050", one({**START_OK, "childVersion": "2"}), "/steps/s/childVersion", "as a number"),
    ("E050", one({**START_OK, "childVersion": 1.5}), "/steps/s/childVersion", ""),
    ("E051", finish(ref("data.lst")), R, "'list'"),
    ("E051", finish(ref("scenario.inputs.data.lst")), R, "'list'"),
    (
        "E051",
        one(split(graph({"in": fin(r=ref("data.naem"))}), inputSchema={"name": {"type": "string"}})),
        "/steps/s/subgraph/steps/in/inputMapping/r/value",
        "'name'",
    ),
    ("E051", one(loop(BODY, op("EQ", ref("data.xx"), lit(1)))), "/steps/s/condition/arguments/0/value", "'x'"),
    ("E054", one({**START, "childScenarioId": "bare", "inputMapping": {"a": lit(1)}}), "/steps/s/inputMapping", ""),
    ("E055", one({**START, "inputMapping": {"more": lit(1)}}), "/steps/s/inputMapping", "'need'"),
    ("E055", one(START), "/steps/s", "'need'"),
    ("E056", one({**START, "childScenarioId": "round"}), "/steps/s/childScenarioId", ""),
    ("E056", one({**START, "childScenarioId": "myself"}), "/steps/s/childScenarioId", ""),
    ("E057", finish(ref("data.o.deeep")), R, "'deep'"),
    (
        "E057",
        graph(
            {"if": cond(), "end": fin(r=ref("steps.if.outputs.value"))},
            [edge("if", "end", "true"), edge("if", "end", "false")],
        ),
        R,
        "",
    ),
    ("E057", graph({"l": log(), "end": fin(r=ref("steps.l.output"))}), R, "'outputs'"),
    ("E057", graph({"s": get(), "end": fin(r=ref("steps.s.outputs.status"))}), R, "'status_code'"),
    ("E057", graph({"s": get(), "end": fin(r=ref("steps.s.outputs.page.nxt"))}), R, "'next'"),
    ("E057", one(loop(BODY, op("EQ", ref("loop.idx"), lit(1)))), "/steps/s/condition/arguments/0/value", "'index'"),
    ("E058", finish(ref("data.x.y")), R, ""),
    ("E058", finish(ref("data.list.name")), R, "[0]"),
    (
        "E058",
        one(split(BODY))
        | {"steps": {**one(split(BODY))["steps"], "end": {"id": "end", **fin(r=ref("steps.s.outputs.result"))}}},
        R,
        "[0]",
    ),
    ("E059", finish(lit(1), variables={"v": {"type": "integer", "value": "3"}}), "/variables/v/value", ""),
    ("E059", finish(lit(1), outputSchema={"r": {"type": "string", "pattern": "["}}), "/outputSchema/r", ""),
    ("E059", finish(lit(1), outputSchema={"r": {"type": "string", "pattern": "(?=a)b"}}), "/outputSchema/r", ""),
    (
        "E059",
        finish(lit(1), outputSchema={"r": {"type": "string", "pattern": "a{1,999999999}"}}),
        "/outputSchema/r",
        "",
    ),
    ("E059", finish(lit(1), outputSchema={"r": {"type": "string", "pattern": "a" * 1001}}), "/outputSchema/r", ""),
    (
        "E059",
        finish(lit(1), outputSchema={"r": {"type": "string", "pattern": "(a+)+$", "default": "a" * 60 + "b"}}),
        "/outputSchema/r",
        "",
    ),
    ("E059", finish(lit(1), outputSchema={"r": {"type": "integer", "min": 3, "max": 2}}), "/outputSchema/r", ""),
    ("E059", finish(lit(1), outputSchema={"r": {"type": "boolean", "min": 1}}), "/outputSchema/r", ""),
    ("E059", finish(lit(1), outputSchema={"r": {"type": "integer", "enum": [1, "two"]}}), "/outputSchema/r", ""),
    (
        "E059",
        finish(lit(1), outputSchema={"r": {"type": "array", "items": {"type": "integer", "default": "x"}}}),
        "/outputSchema/r/items",
        "",
    ),
    (
        "E059",
        finish(lit(1), outputSchema={"r": {"type": "string", "items": {"type": "integer"}}}),
        "/outputSchema/r",
        "",
    ),
    (
        "E060",
        graph({"a": {**log(), "name": "Same"}, "b": {**log(), "name": "Same"}, "end": fin()}),
        "/steps/b/name",
        "own name",
    ),
    (
        "E060",
        graph(
            {
                "a": {**log(), "name": "Same"},
                "s": split(graph({"in": {**fin(), "name": "Same"}}), config={"value": lit([])}),
                "end": fin(),
            }
        ),
        "/steps/s/subgraph/steps/in/name",
        "own name",
    ),
    ("E061", finish(tpl("{{ data.x ")), R, ""),
    ("E061", finish(tpl("{% include 'x' %}")), R, ""),
    (
        "E063",
        read('{"entryPoint": "end", "steps": {"end": {}, "end": {"id": "end", "stepType": "Finish"}}}'),
        "/steps/end",
        "rename",
    ),
    (
        "E063",
        read('{"name": "x", "name": "x", "entryPoint": "end", "steps": {"end": {"id": "end", "stepType": "Finish"}}}'),
        "/name",
        "remove",
    ),
    (
        "E070",
        graph(
            {"a": log(), "b": log(), "end": fin()},
            [
                edge("a", "b", condition=op("NOT", lit(1))),
                edge("a", "end", condition=TRUE, priority=0),
                edge("b", "end"),
            ],
        ),
        "/executionPlan/1",
        "different",
    ),
    (
        "E071",
        graph(
            {"a": log(), "b": log(), "c": log(), "end": fin()},
            [
                edge("a", "b", condition=TRUE),
                edge("a", "c"),
                edge("a", "end", "next"),
                edge("b", "end"),
                edge("c", "end"),
            ],
        ),
        "/executionPlan/2",
        "condition",
    ),
    (
        "E071",
        graph(
            {"a": get(), "h": fin(), "k": fin(), "end": fin()},
            [edge("a", "end"), edge("a", "h", "onError"), edge("a", "k", "onError")],
        ),
        "/executionPlan/2",
        "condition",
    ),
    (
        "E071",
        graph(
            {"if": cond(), "h": fin(), "k": fin(), "end": fin()},
            [edge("if", "end", "false"), edge("if", "h", "true"), edge("if", "k", "true")],
        ),
        "/executionPlan/2",
        "condition",
    ),
    ("E072", graph({"if": cond(), "end": fin()}, [edge("if", "end")]), "/executionPlan/0", '"label"'),
    (
        "E072",
        graph({"if": cond(), "end": fin()}, [edge("if", "end", "true"), edge("if", "end", "flase")]),
        "/executionPlan/1/label",
        "'false'",
    ),
    ("E072", graph({"a": log(), "end": fin()}, [edge("a", "end", "true")]), "/executionPlan/0/label", ""),
    ("E072", graph({"end": fin(), "b": log()}), "/executionPlan/0", "remove"),
    (
        "E072",
        graph(
            {"s": switch([{"matchType": "EQ", "match": 1, "route": "one"}]), "end": fin()},
            [edge("s", "end", "default")],
            inputSchema=ANY_INPUT,
        ),
        "/steps/s/config/cases/0/route",
        "",
    ),
    (
        "E072",
        graph(
            {"s": get(compensation={"compensationStep": "undo"}), "end": fin(), "undo": log()},
            [*chain("s", "end"), edge("undo", "end")],
        ),
        "/executionPlan/1",
        "remove",
    ),
    (
        "E073",
        graph({"a": log(), "b": fin(), "c": log(), "end": fin()}, [edge("a", "b"), edge("a", "c"), edge("c", "end")]),
        "/steps/a",
        "one step",
    ),
    (
        "E074",
        graph({"a": log(), "b": log(), "end": fin()}, [*chain("a", "b", "end"), edge("b", "a")]),
        "/executionPlan/2",
        "While",
    ),
    ("E074", graph({"a": log(), "end": fin()}, [edge("a", "a"), edge("a", "end")]), "/executionPlan/0", "While"),
    ("E124", one({**START, "childScenarioId": "nobody"}), "/steps/s/childScenarioId", "--child"),
    ("E126", finish(ref("input.x")), R, "'data'"),
    ("E062", finish(tpl("{{ now() }}")), R, "--stdlib"),
    ("E062", finish(tpl("{{ rnage(3) }}")), R, "range"),
    ("E062", finish(tpl("{{ data.x | uper }}")), R, "upper"),
    ("E062", finish(tpl("{% if data.x is definde %}{% endif %}")), R, "defined"),
    ("E062", finish(tpl("{{ data.x | map('uper') | list }}")), R, "upper"),
    ("E062", finish(tpl("{{ data.x | rejectattr('a', 'nothing') | list }}")), R, ""),
    ("E126", finish(tpl("{{ now }}")), R, ""),
    ("E126", finish(ref("vars.x")), R, "'variables'"),
    ("E127", finish(ref("item.x")), R, ""),
    ("E127", finish(ref("loop.index")), R, ""),
    ("E127", finish(ref("__error.code")), R, ""),
    ("E127", finish(ref("steps.__error.code")), R, ""),
    (
        "E127",
        one(loop(graph({"s2": split(graph({"in": fin(r=ref("loop.index"))})), "in2": fin()}))),
        "/steps/s/subgraph/steps/s2/subgraph/steps/in/inputMapping/r/value",
        "config.variables",
    ),
    (
        "E127",
        one(loop(BODY, TRUE, config={"variables": {"v": ref("loop.index")}})),
        "/steps/s/config/variables/v/value",
        "",
    ),
    ("E130", nested(33), "/steps/w/subgraph" * 33, ""),
    ("E130", finish(lit(deep(80))), R + "/0" * 5, ""),
    ("E131", graph({f"s{i}": log() for i in range(2001)}), "/steps", ""),
    ("W003", graph({"a": log()}), "/steps/a", "Finish"),
    ("W003", graph({"if": cond(), "end": fin()}, [edge("if", "end", "true")]), "/steps/if", "Finish"),
    ("W020", one(call(inputMapping={"aa": lit(1)})), "/steps/s/inputMapping/aa", "'a'"),
    (
        "W020",
        one({**START_OK, "inputMapping": {"need": lit("x"), "mroe": lit(1)}}),
        "/steps/s/inputMapping/mroe",
        "'more'",
    ),
    ("W030", one(call(maxRetries=51)), "/steps/s/maxRetries", ""),
    ("W031", one(call(retryDelay=3_600_001)), "/steps/s/retryDelay", ""),
    ("W032", one(split(BODY, config={"parallelism": 101})), "/steps/s/config/parallelism", ""),
    ("W033", one(loop(BODY, config={"maxIterations": 10_001})), "/steps/s/config/maxIterations", ""),
    ("W034", one(call(timeout=3_600_001)), "/steps/s/timeout", ""),
    ("W040", guarded(), "/steps/c", "_connection"),
    (
        "W041",
        graph({"a": log(), "end": fin()}, [edge("a", "end"), edge("a", "end", "next")]),
        "/executionPlan/1",
        "remove",
    ),
    ("W050", one(log("m", x=ref("steps.s.outputs"))), "/steps/s/context/x/value", ""),
    ("W060", graph({"a": get(POST), "b": get(), "end": fin()}), "/steps/a", "compensation"),
    ("W060", graph({"a": get({"verb": lit("POST")}), "b": call(), "end": fin()}), "/steps/a", "compensation"),
    (
        "W060",
        graph({"a": get({"method": ref("data.x")}), "b": get(), "end": fin()}, inputSchema=ANY_INPUT),
        "/steps/a",
        "",
    ),
    ("W080", graph({"end": fin(r=ref("data.x"))}), R, "inputSchema"),
    (
        "W081",
        one(loop({**BODY, "executionTimeoutSeconds": 3})),
        "/steps/s/subgraph/executionTimeoutSeconds",
        "outermost",
    ),
    ("W081", one({**START, "childScenarioId": "idle"}), "/steps/s/childScenarioId", "timeout"),
    (
        "W081",
        graph(
            {
                "a": call(inputMapping={"a": lit(1)}, compensation={"compensationStep": "u"}),
                "u": call(inputMapping={"a": lit(1)}, compensation={"compensationStep": "v"}),
                "v": log(),
                "end": fin(),
            },
            [edge("a", "end")],
        ),
        "/steps/u/compensation",
        "",
    ),
    ("W081", one(split({**BODY, "inputSchema": ANY_INPUT})), "/steps/s/subgraph/inputSchema", "on the step"),
]
CHILDREN: dict[str, Json] = {
    "child": CHILD,
    "bare": graph({"end": fin()}),
    "idle": {**graph({"end": fin()}), "executionTimeoutSeconds": 5},
    "round": graph({"s": {**START, "childScenarioId": "trip"}, "end": fin()}),
    "trip": graph({"s": {**START, "childScenarioId": "round"}, "end": fin()}),
}
