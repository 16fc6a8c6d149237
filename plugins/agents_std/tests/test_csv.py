"""Agent csv, capability by capability, as a scenario calls it."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtara_agents_std.tables import FromCsvInput, ToCsvInput, from_csv, to_csv

from runtara_framework.agents import AgentError
from runtara_framework.agents.registry import AgentRegistry

Call = Callable[..., Awaitable[Any]]


@pytest.fixture
def table(invoke: Call) -> Call:
    async def call(capability: str, /, data: Any = None, **inputs: Any) -> Any:
        if isinstance(data, str):
            data = list(data.encode())
        return await invoke("csv", capability, inputs if data is None else {"data": data, **inputs})

    return call


async def fails(call: Awaitable[Any]) -> AgentError:
    with pytest.raises(AgentError) as caught:
        await call
    assert caught.value.category == "permanent"
    return caught.value


@pytest.mark.parametrize(
    ("data", "options", "rows"),
    [
        ("a,b\n1,2\n", {}, [{"a": "1", "b": "2"}]),
        ("a,b\r\n1,2", {}, [{"a": "1", "b": "2"}]),
        ("\ufeffa\n1", {}, [{"a": "1"}]),
        ("a,b\n\n1,2\n \n", {}, [{"a": "1", "b": "2"}]),
        ("a\n\n1\n", {"skip_empty_lines": False}, [{"a": ""}, {"a": "1"}]),
        ('a,b\n"x,""y""\nz",2\n', {}, [{"a": 'x,"y"\nz', "b": "2"}]),
        ("a;b\n'x;y';2\n", {"delimiter": ";", "quote_char": "'"}, [{"a": "x;y", "b": "2"}]),
        ('a,b\nx\\,y,"\\""\n', {"escape_char": "\\"}, [{"a": "x,y", "b": '"'}]),
        (" a , b \n 1 , 2 \n", {"trim_whitespace": True}, [{"a": "1", "b": "2"}]),
        (" a\n 1\n", {}, [{" a": " 1"}]),
        ("a,,c\n1,2,3\n", {}, [{"a": "1", "c": "3"}]),
        ("a,a\n1,2\n", {}, [{"a": "2"}]),
        ("a,b\n1,2\n", {"use_header": False}, [["a", "b"], ["1", "2"]]),
        ("a,b\n", {}, []),
        ("", {}, []),
        ("", {"use_header": False}, []),
        ("a→b\n1→2", {"delimiter": "→"}, [{"a": "1", "b": "2"}]),
        ("n\n" + "x" * 200_000, {}, [{"n": "x" * 200_000}]),
    ],
)
async def test_rows_are_read(table: Call, data: str, options: dict[str, Any], rows: list[Any]) -> None:
    assert await table("from-csv", data, **options) == rows


async def test_bytes_come_in_every_form_and_encoding(table: Call) -> None:
    content = "ім'я\nОля".encode("cp1251")
    for data in (list(content), {"content": base64.b64encode(content).decode()}):
        assert await table("parse", data, encoding="windows-1251") == [{"ім'я": "Оля"}]
    assert await table("from-csv", list("a\n€".encode("cp1252")), encoding="ISO-8859-1") == [{"a": "€"}]
    assert await table("from-csv", list("a\né".encode("utf-16")), encoding="utf-16") == [{"a": "é"}]


@pytest.mark.parametrize(
    ("data", "options", "code"),
    [
        ("a,b\n1\n", {}, "CSV_PARSE_ERROR"),
        ("a,b\n1,2\n1,2,3\n", {}, "CSV_PARSE_ERROR"),
        ('a\n"open\n', {}, "CSV_PARSE_ERROR"),
        ('a\n"x"y\n', {}, "CSV_PARSE_ERROR"),
        ([255], {}, "CSV_ENCODING_ERROR"),
        ([], {"encoding": "klingon"}, "CSV_ENCODING_ERROR"),
        ([300], {}, "CSV_DECODE_ERROR"),
        ({"content": "%"}, {}, "CSV_DECODE_ERROR"),
    ],
)
async def test_a_file_that_cannot_be_read_is_an_error(
    table: Call, data: Any, options: dict[str, Any], code: str
) -> None:
    for capability in ("from-csv", "get-header"):
        if capability == "get-header" and data == "a,b\n1,2\n1,2,3\n":
            continue  # it reads no further than it must
        assert (await fails(table(capability, data, **options))).code == code


async def test_an_error_says_where(table: Call) -> None:
    error = await fails(table("from-csv", "a,b\n1,2\n1\n"))
    assert error.message == "the row that ends in line 3 has 1 fields, the first one has 2"
    assert error.attributes == {"line": 3}


@pytest.mark.parametrize(
    "options",
    [
        {"delimiter": ""},
        {"delimiter": ";;"},
        {"quote_char": ","},
        {"escape_char": '"'},
        {"delimiter": "\n"},
        {"escape_char": "ab"},
    ],
)
async def test_options_that_cannot_be_are_refused(table: Call, options: dict[str, str]) -> None:
    assert (await fails(table("from-csv", "a\n1", **options))).code == "AGENT_INPUT_INVALID"


@pytest.mark.parametrize(
    ("value", "options", "text"),
    [
        ([{"a": 1, "b": "x"}], {}, "a,b\n1,x\n"),
        ([{"b": 1, "a": 2}, {"a": 3, "c": 4}], {}, "b,a,c\n1,2,\n,3,4\n"),
        ([{"a": None, "b": True, "c": 1.0, "d": [1, {"x": "é"}]}], {}, 'a,b,c,d\n,true,1.0,"[1,{""x"":""é""}]"\n'),
        ([{"a": 'x,"y"\nz'}], {}, 'a\n"x,""y""\nz"\n'),
        ([{"a": "x;y"}], {"delimiter": ";", "quote_char": "'"}, "a\n'x;y'\n"),
        ([{"a": 1}], {"use_header": False}, "1\n"),
        ([[1, 2], [3]], {}, "Column 1,Column 2\n1,2\n3,\n"),
        (["x", 5, None], {}, 'value\nx\n5\n""\n'),
        ({"a": 1}, {}, "a\n1\n"),
        ("x", {}, "value\nx\n"),
        ([], {}, ""),
        ([], {"use_header": False}, ""),
    ],
)
async def test_rows_are_written(table: Call, value: Any, options: dict[str, Any], text: str) -> None:
    assert bytes(await table("to-csv", value=value, **options)).decode() == text


async def test_the_encoding_is_used(table: Call) -> None:
    assert bytes(await table("generate", value=["é"], use_header=False, encoding="ISO-8859-1")) == b"\xe9\n"
    assert (await fails(table("to-csv", value=["я"], encoding="ISO-8859-1"))).code == "CSV_WRITE_ERROR"
    assert (await fails(table("to-csv", value=[], encoding="klingon"))).code == "CSV_ENCODING_ERROR"


@pytest.mark.parametrize("value", [[{"a": 1}, [1]], [[1], 2], [1, {"a": 1}], [None, {"a": 1}]])
async def test_rows_that_are_not_alike_are_refused(table: Call, value: Any) -> None:
    error = await fails(table("to-csv", value=value))
    assert error.code == "CSV_WRITE_ERROR" and "row 2" in error.message


async def test_the_header_tells_columns_and_types(table: Call) -> None:
    data = "i,d,e,b,s,z,,n\n-5,2.5,1e3,true,x,007,1,\n9,9,9,9,9,9,9,9\n"
    assert await table("get-header", data) == {
        "i": "Integer", "d": "Double", "e": "Double", "b": "Boolean", "s": "String", "z": "String",
        "6": "Integer", "n": "String",
    }  # fmt: skip
    assert await table("get-header", "1,x\n2.5,3\n", use_header=False) == {"Column 1": "Integer", "Column 2": "String"}
    assert await table("get-header", "a,b\n") == {"a": "String", "b": "String"}
    for empty in ("", "\n \n"):
        assert (await fails(table("get-header", empty))).code == "CSV_EMPTY_FILE"


TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)


@given(st.lists(st.lists(TEXTS, min_size=2, max_size=2), max_size=5), st.sampled_from([None, "\\"]))
def test_what_is_written_can_be_read(rows: list[list[str]], escape: str | None) -> None:
    data = to_csv(ToCsvInput(value=rows, use_header=False, escape_char=escape))
    assert from_csv(FromCsvInput(data=data, use_header=False, escape_char=escape)) == rows


@given(st.binary(max_size=60))
def test_no_file_crashes_the_reader(content: bytes) -> None:
    try:
        from_csv(FromCsvInput(data=list(content)))
    except AgentError as error:
        assert error.code in {"CSV_PARSE_ERROR", "CSV_ENCODING_ERROR"}


def test_all_of_it_is_pure() -> None:
    assert all(one.pure for one in AgentRegistry().info("csv").capabilities)
