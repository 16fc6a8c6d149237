"""Agent utils, capability by capability, as a scenario calls it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtara_agents_std.utils import countries
from runtara_agents_std.utils.expression import evaluate

from runtara_framework.agents import AgentError
from runtara_framework.agents.registry import AgentRegistry

Call = Callable[..., Awaitable[Any]]


@pytest.fixture
def utils(invoke: Call) -> Call:
    async def call(capability: str, /, **inputs: Any) -> Any:
        return await invoke("utils", capability, inputs)

    return call


async def fails(call: Awaitable[Any]) -> AgentError:
    with pytest.raises(AgentError) as caught:
        await call
    assert caught.value.category == "permanent"
    return caught.value


async def test_random_values_are_in_their_range(utils: Call) -> None:
    numbers = [await utils("random-double") for _ in range(50)]
    assert all(0 <= one < 1 for one in numbers) and len(set(numbers)) > 1
    array = await utils("random-array", size=500)
    assert len(array) == 500 and set(array) <= set(range(501)) and len(set(array)) > 100
    assert await utils("random-array", size=0) == []


@pytest.mark.parametrize("size", [-1, 1_000_001, "many", 1.5])
async def test_a_size_that_is_none_is_refused(utils: Call, size: Any) -> None:
    assert "size" in (await fails(utils("random-array", size=size))).message


async def test_random_strings_are_of_their_alphabet(utils: Call) -> None:
    text = await utils("random-string")
    assert len(text) == 16 and text.isalnum() and text != await utils("random-string")
    assert set(await utils("random-string", length=200, alphabet="aé")) == {"a", "é"}


async def test_values_are_handed_through(utils: Call) -> None:
    for value in (None, 0, "x", [1, {"a": None}]):
        assert await utils("return-input", value=value) == value
    assert await utils("return-input-string", value="é") == "é"
    assert (await fails(utils("return-input-string", value=5))).code == "AGENT_INPUT_INVALID"
    assert await utils("do-nothing") is None
    assert await utils("do-nothing", anything="ignored") is None


async def test_a_delay_lets_others_work_and_can_be_cancelled(utils: Call) -> None:
    assert await utils("delay-in-ms", delay_value=1) == 1
    task = asyncio.ensure_future(utils("delay-in-ms", delay_value=3_600_000))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "delay_value" in (await fails(utils("delay-in-ms", delay_value=-1))).message


def test_what_is_random_or_takes_time_is_not_pure() -> None:
    info = AgentRegistry().info("utils")
    impure = {one.id for one in info.capabilities if not one.pure}
    assert impure == {
        "random-double",
        "random-array",
        "random-string",
        "delay-in-ms",
        "get-current-unix-timestamp",
        "get-current-iso-datetime",
        "get-current-formatted-datetime",
    }
    assert not any(one.side_effects for one in info.capabilities)


# -- calculate --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1", 1),
        (" 1 + 2 * 3 ", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 4 - 3", 3),
        ("2 * 6 / 3 % 3", 1),
        ("7 % 3", 1),
        ("-7 % 3", -1),
        ("7.5 % 2", 1.5),
        ("-2 * -3", 6),
        ("2 - -3", 5),
        ("--2", 2),
        ("+-+2", -2),
        ("-(1 + 2)", -3),
        (".5 + 1.", 1.5),
        ("1e3 + 1E-3", 1000.001),
        ("a + b", 5.5),
        ("a * neg", -6),
        ("-neg", 3),
        ("text / 2", 1.25),
        ("_x1 + A", 11),
        ("\t1\n+\r1", 2),
        ("0 * -1", 0),
        ("(" * 99 + "1" + ")" * 99, 1),
        ("1" + "+1" * 4000, 4001),
    ],
)
async def test_expressions_have_their_value(utils: Call, expression: str, value: float) -> None:
    variables = {"a": 2, "b": 3.5, "neg": -3, "text": " 2.5 ", "_x1": 1, "A": 10, "unused": {}}
    output = await utils("calculate", expression=expression, variables=variables)
    assert output == value and isinstance(output, float)
    assert str(output) != "-0.0"


@pytest.mark.parametrize(
    ("expression", "position"),
    [
        ("", 0),
        ("  ", 2),
        ("1 +", 3),
        ("2 3", 2),
        ("2 x", 2),
        ("1 + * 2", 4),
        ("(1", 2),
        ("1)", 1),
        ("()", 1),
        ("2x", 0),
        ("1.2.3", 0),
        ("1e", 0),
        ("a.b", 1),
        ("1 ^ 2", 2),
        ("2 ** 3", 3),
        ("__import__('os')", 10),
        ("１", 0),
        ("1;2", 1),
    ],
)
async def test_a_malformed_expression_says_where(utils: Call, expression: str, position: int) -> None:
    variables = {"a": 1, "x": 1, "__import__": 1}
    error = await fails(utils("calculate", expression=expression, variables=variables))
    assert (error.code, error.attributes) == ("EXPRESSION_INVALID", {"position": position}), error.message


@pytest.mark.parametrize("expression", ["(" * 101 + "1" + ")" * 101, "1" + "+1" * 5000])
async def test_an_expression_without_measure_is_refused(utils: Call, expression: str) -> None:
    assert (await fails(utils("calculate", expression=expression))).code == "EXPRESSION_INVALID"


@pytest.mark.parametrize("word", ["true", "false", "null", "and", "or", "not", "in", "is"])
async def test_reserved_words_are_no_variables(utils: Call, word: str) -> None:
    error = await fails(utils("calculate", expression=word, variables={word: 1}))
    assert error.code == "EXPRESSION_INVALID" and "reserved" in error.message


@pytest.mark.parametrize("value", [None, True, "abc", "", "0x10", "1 2", [1], {"v": 1}, "nan", "Infinity"])
async def test_a_variable_that_is_no_number_is_an_error(utils: Call, value: Any) -> None:
    error = await fails(utils("calculate", expression="price * 2", variables={"price": value}))
    assert error.code == "VARIABLE_INVALID" and "'price'" in error.message


async def test_a_missing_variable_is_an_error_with_the_nearest(utils: Call) -> None:
    error = await fails(utils("calculate", expression="prise * 2", variables={"price": 1}))
    assert error.code == "VARIABLE_INVALID" and "did you mean 'price'?" in error.message


@pytest.mark.parametrize("expression", ["1 / 0", "1 % 0", "1 / (2 - 2)", "0 / 0"])
async def test_dividing_by_zero_is_an_error(utils: Call, expression: str) -> None:
    assert (await fails(utils("calculate", expression=expression))).code == "DIVISION_BY_ZERO"


@pytest.mark.parametrize(("expression", "x"), [("x * x", 1e200), ("x", 10**400), ("x + 1e999", 1), ("x * 10", "1e308")])
async def test_a_number_that_is_too_large_is_an_error(utils: Call, expression: str, x: Any) -> None:
    assert (await fails(utils("calculate", expression=expression, variables={"x": x}))).code == "NUMBER_OUT_OF_RANGE"


@pytest.mark.parametrize(
    ("value", "places", "rounded"),
    [
        (2.5, None, 3),
        (-2.5, None, -3),
        (2.675, 2, 2.68),
        (1.005, 2, 1.01),
        (1 / 3, 15, 0.333333333333333),
        (-0.4, 0, 0),
        (1e300, 2, 1e300),
    ],
)
async def test_halves_are_rounded_away_from_zero(utils: Call, value: float, places: int | None, rounded: float) -> None:
    inputs = {"expression": "x", "variables": {"x": value}, "decimal_places": places}
    assert await utils("calculate", **inputs, enable_rounding=True) == rounded
    assert await utils("calculate", **inputs) == value
    assert "decimal_places" in (await fails(utils("calculate", expression="1", decimal_places=16))).message


@given(st.lists(st.tuples(st.sampled_from("+-*"), st.integers(-9, 9)), min_size=1, max_size=12))
def test_expressions_agree_with_python(parts: list[tuple[str, int]]) -> None:
    expression = "1" + "".join(f" {operator} ({number})" for operator, number in parts)
    assert evaluate(expression, {}) == eval(expression)  # noqa: S307 - the oracle; built from digits and signs here


@given(st.text(max_size=30))
def test_no_text_crashes_the_parser(text: str) -> None:
    try:
        evaluate(text, {"x": 1})
    except AgentError as error:
        assert error.code in {"EXPRESSION_INVALID", "VARIABLE_INVALID", "DIVISION_BY_ZERO", "NUMBER_OUT_OF_RANGE"}


# -- dates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("date", "pattern", "text"),
    [
        ("2024-03-05T07:08:09Z", "yyyy-MM-dd HH:mm:ss", "2024-03-05 07:08:09"),
        ("2024-03-05", "dd.MM.yy", "05.03.24"),
        ("2024-03-05T07:08:09.5+02:00", "HH:mm", "07:08"),
        ("0099-12-31", "yyyy", "0099"),
        ("2024-03-05", "", ""),
        ("2024-03-05", "100% %Y yyyyy", "100% %Y 2024y"),
    ],
)
async def test_dates_are_formatted(utils: Call, date: str, pattern: str, text: str) -> None:
    assert await utils("format-date-from-iso", iso_date=date, target_format=pattern) == text


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01", 1),
        ("1970-01-02", 86400),
        ("2024-03-05T07:08:09+02:00", 1709615289),
        ("2024-03-05T07:08:09.999Z", 1709622489),
        ("1969-12-31T23:59:59.5Z", -1),
    ],
)
async def test_dates_become_timestamps(utils: Call, date: str, seconds: int) -> None:
    assert await utils("iso-to-unix-timestamp", iso_date=date) == seconds


@pytest.mark.parametrize("date", ["", "yesterday", "2024-02-30", "2024-03-05T25:00:00Z", "05.03.2024", "99999-01-01"])
async def test_what_is_no_date_is_an_error(utils: Call, date: str) -> None:
    assert (await fails(utils("iso-to-unix-timestamp", iso_date=date))).code == "DATE_INVALID"
    assert (await fails(utils("format-date-from-iso", iso_date=date, target_format="yyyy"))).code == "DATE_INVALID"


async def test_the_current_time_is_the_current_time(utils: Call) -> None:
    before = int(time.time())
    seconds = await utils("get-current-unix-timestamp")
    iso = await utils("get-current-iso-datetime")
    text = await utils("get-current-formatted-datetime", format="yyyy-MM-ddTHH:mm:ss")
    after = time.time()
    assert iso.endswith("Z")
    assert before <= seconds <= after
    assert before <= datetime.fromisoformat(iso).timestamp() <= after
    assert before <= datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() <= after


# -- countries --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Ukraine", "UA"),
        ("  united   STATES of america ", "US"),
        ("UK", "GB"),
        ("GBR", "GB"),
        ("u.s.a.", "US"),
        ("Cote d'Ivoire", "CI"),
        ("Côte d’Ivoire", "CI"),
        ("Ivory Coast", "CI"),
        ("Curacao", "CW"),
        ("St. Lucia", "LC"),
        ("The Gambia", "GM"),
        ("Trinidad & Tobago", "TT"),
        ("Czech Republic", "CZ"),
        ("Türkiye", "TR"),
        ("Republic of the Congo", "CG"),
        ("DR Congo", "CD"),
        ("Germny", "DE"),
        ("Switzerlnad", "CH"),
        ("Niger", "NE"),
        ("Nigeria", "NG"),
    ],
)
async def test_countries_are_found_by_their_names(utils: Call, name: str, code: str) -> None:
    assert await utils("country-name-to-iso-code", country_name=name) == code


async def test_the_code_has_three_letters_if_wanted(utils: Call) -> None:
    assert await utils("country-name-to-iso-code", country_name="France", code_type="alpha3") == "FRA"


@pytest.mark.parametrize(
    "name", ["", " ", "Iraa", "Omam", "Mail", "Peruu", "Atlantis", "日本", "é" * 1000, "xx", "Nigeri"]
)
async def test_a_name_that_may_mean_nothing_or_several_is_not_guessed(utils: Call, name: str) -> None:
    assert (await fails(utils("country-name-to-iso-code", country_name=name))).code == "COUNTRY_NOT_FOUND"


def test_the_table_is_complete_and_unambiguous() -> None:
    names = countries._names()
    codes = {country.alpha2 for country in names.values()}
    assert len(codes) == 249
    for country in names.values():
        assert (
            countries.find(country.alpha2) == countries.find(country.alpha3) == countries.find(country.name) == country
        )


@given(st.text(max_size=40))
def test_no_name_crashes_the_search(name: str) -> None:
    found = countries.find(name)
    assert found is None or len(found.alpha2) == 2


# -- bytes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "sha1", "md5"])
async def test_texts_and_files_are_hashed(utils: Call, algorithm: str) -> None:
    expected = hashlib.new(algorithm, "é".encode(), usedforsecurity=False).hexdigest()
    output = {"hash": expected, "algorithm": algorithm, "format": "hex"}
    assert await utils("hash", value="é", algorithm=algorithm) == output
    assert await utils("hash", data={"content": "w6k="}, algorithm=algorithm) == output


async def test_a_hash_can_be_written_in_base64(utils: Call) -> None:
    output = await utils("hash", text="", output_format="base64")
    assert output["hash"] == "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    assert (await fails(utils("hash", value={"content": "%"}))).code == "BASE64_INVALID"


async def test_base64_there_and_back(utils: Call) -> None:
    assert await utils("base64-encode", value="é\n") == "w6kK"
    assert await utils("base64-decode", value=" w6kK\n") == "é\n"
    for wrong in ("%%%", "w6k", "/w=="):
        error = await fails(utils("base64-decode", value=wrong))
        assert error.code == "BASE64_INVALID"
