"""Agent text, capability by capability, as a scenario calls it."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtara_agents_std.text.comparing import jaro, jaro_winkler, levenshtein

from runtara_framework.agents import AgentError
from runtara_framework.agents.registry import AgentRegistry

Call = Callable[..., Awaitable[Any]]


@pytest.fixture
def text(invoke: Call) -> Call:
    async def call(capability: str, /, text: Any = None, **inputs: Any) -> Any:
        return await invoke("text", capability, inputs if text is None else {"text": text, **inputs})

    return call


async def fails(call: Awaitable[Any]) -> AgentError:
    with pytest.raises(AgentError) as caught:
        await call
    assert caught.value.category == "permanent"
    return caught.value


@pytest.mark.parametrize(
    ("capability", "given", "inputs", "result"),
    [
        ("trim-normalize", "  a \n\t b  ", {}, "a b"),
        ("case-conversion", "Ärger IN Graz", {}, "ärger in graz"),
        ("case-conversion", "straße", {"format": "uppercase"}, "STRASSE"),
        ("case-conversion", "the  qUICK\nfox", {"format": "title-case"}, "The Quick Fox"),
        ("find-replace", "a.b.c", {"pattern": ".", "replacement": "-"}, "a-b-c"),
        ("find-replace", "a.b", {"pattern": "."}, "a.b"),
        ("find-replace", "a.b", {"replacement": "x"}, "a.b"),
        ("find-replace", "ab", {"pattern": "", "replacement": "x"}, "ab"),
        ("replace", "aaa", {"pattern": "aa", "replacement": ""}, "a"),
        ("extract-first-line", "one\r\ntwo", {}, "one"),
        ("extract-first-line", "\ntwo", {}, ""),
        ("extract-first-word", "  one two", {}, "one"),
        ("extract-first-word", "   ", {}, ""),
        ("split-join", "a , b,,c", {}, "a b  c"),
        ("split-join", "a-b", {"delimiter": "-", "join_delimiter": "+"}, "a+b"),
        ("split", "a , b", {}, ["a ", " b"]),
        ("split", "ab", {"delimiter": ""}, ["a", "b"]),
        ("remove-characters", "h-e.l-l.o", {"pattern": ".-"}, "hello"),
        ("remove-characters", "same", {}, "same"),
        ("substring-extraction", "a[b]c[d]", {"start_delimiter": "[", "end_delimiter": "]"}, "b"),
        ("substring-extraction", "a]b[c", {"start_delimiter": "[", "end_delimiter": "]"}, ""),
        ("substring-extraction", "abc", {"start_delimiter": "x", "end_delimiter": ""}, ""),
        ("substring-extraction", "a[b]", {"start_delimiter": "["}, "a[b]"),
        ("collapse-expand-lines", " a \n b\r\nc ", {}, "a b c"),
        ("collapse-expand-lines", "a, b ,c", {"delimiter": ","}, "a\nb\nc"),
        ("slugify", "  Crème Brûlée -- für Łódź & ß! ", {}, "creme-brulee-fur-lodz-ss"),
        ("slugify", "日本", {}, ""),
        ("as-byte-array", "é", {}, [195, 169]),
        ("pad-text", "é", {"length": 3}, "é  "),
        ("pad-text", "é", {"length": 4, "pad_char": "*+", "direction": "both"}, "*é**"),
        ("pad-text", "7", {"length": 3, "pad_char": "0", "direction": "left"}, "007"),
        ("pad-text", "long", {"length": 2}, "long"),
        ("pad-text", "x", {}, "x"),
        ("pad-text", "x", {"length": 3, "pad_char": ""}, "x"),
        ("truncate-text", "日本語テキスト", {"max_length": 4, "suffix": "…"}, "日本語…"),
        ("truncate-text", "hello world", {"max_length": 9, "suffix": "...", "word_boundary": True}, "hello..."),
        ("truncate-text", "hello world again", {"max_length": 11, "word_boundary": True}, "hello world"),
        ("truncate-text", "helloworld", {"max_length": 5, "word_boundary": True}, "hello"),
        ("truncate-text", "hello", {"max_length": 5, "suffix": "..."}, "hello"),
        ("truncate-text", "hello!", {"max_length": 2, "suffix": "..."}, ".."),
        ("truncate-text", "hello", {}, "hello"),
        ("truncate-text", "hello", {"max_length": 0}, ""),
        ("wrap-text", "the quick brown fox", {"width": 10}, "the quick\nbrown fox"),
        ("wrap-text", "äöüäöü xy", {"width": 4}, "äöüä\nöü\nxy"),
        ("wrap-text", "a\n\nb c", {"width": 1}, "a\n\nb\nc"),
        ("wrap-text", "a\nb", {"preserve_newlines": False}, "a b"),
        ("wrap-text", "same text", {"width": 0}, "same text"),
        ("extract-numbers", "1 and 2.5, v3.2.1 -4", {}, [1, 2.5, 3.2, 1, 4]),
        ("extract-numbers", "2.5", {"include_decimals": False}, [2, 5]),
        ("extract-numbers", "-4, 5-6, 2024-03-05, x-7", {"include_negative": True}, [-4, 5, 6, 2024, 3, 5, 7]),
        ("extract-numbers", "9" * 400, {}, []),
        (
            "extract-emails",
            "to a.b+c@ex-ample.co.uk, (me@x.io). not@local @x.io",
            {},
            ["a.b+c@ex-ample.co.uk", "me@x.io"],
        ),
        (
            "extract-urls",
            "see http://a.b/c?d=e#f, (https://x.y/(z)) or FTP://h/p. mailto:x",
            {},
            ["http://a.b/c?d=e#f", "https://x.y/(z)", "FTP://h/p"],
        ),
        ("count-occurrences", "aAa aaa", {"pattern": "aa"}, 1),
        ("count-occurrences", "aAa aaa", {"pattern": "aa", "case_insensitive": True}, 2),
        ("count-occurrences", "a1b22", {"pattern": r"\d+", "use_regex": True}, 2),
        ("count-occurrences", "a.b", {"pattern": "."}, 1),
        ("count-occurrences", "abc", {"pattern": ""}, 0),
        ("regex-test", "Order 66", {"pattern": r"order \d+"}, False),
        ("regex-test", "Order 66", {"pattern": r"order \d+", "case_insensitive": True}, True),
        ("regex-match", "a1 b22", {"pattern": r"([a-z])(\d+)"}, "a1"),
        ("regex-match", "a1 b22", {"pattern": r"([a-z])(\d+)", "capture_group": 2}, "1"),
        ("regex-match", "a1 b22", {"pattern": r"([a-z])(\d+)", "all_matches": True, "capture_group": 2}, ["1", "22"]),
        ("regex-match", "a1 b", {"pattern": r"([a-z])(\d+)?", "all_matches": True, "capture_group": 2}, ["1"]),
        ("regex-match", "a1", {"pattern": r"a", "capture_group": 5}, None),
        ("regex-match", "a1", {"pattern": r"x"}, None),
        ("regex-match", "é😀x", {"pattern": "😀."}, "😀x"),
        (
            "regex-replace",
            "a1 b22",
            {"pattern": r"(?P<l>[a-z])(\d+)", "replacement": "$2${l}-$l $$ $9"},
            "1a-a $  22b-b $ ",
        ),
        ("regex-replace", "aaa", {"pattern": "a", "replacement": "b", "global": False}, "baa"),
        ("regex-replace", "aXa", {"pattern": "x", "case_insensitive": True}, "aa"),
        ("regex-replace", "ab", {"pattern": "", "replacement": "-"}, "-a-b-"),
        ("regex-replace", "1", {"pattern": r"(\d)", "replacement": "$1a"}, ""),  # the group is called 1a
        ("regex-split", "a1b22c", {"pattern": r"\d+"}, ["a", "b", "c"]),
        ("regex-split", "a1b22c", {"pattern": r"\d+", "limit": 2}, ["a", "b22c"]),
        ("regex-split", "abc", {"pattern": "x"}, ["abc"]),
        ("regex-split", "abc", {"pattern": "b", "limit": 1}, ["abc"]),
    ],
)
async def test_what_it_makes_of_a_text(
    text: Call, capability: str, given: str, inputs: dict[str, Any], result: Any
) -> None:
    assert await text(capability, given, **inputs) == result


@pytest.mark.parametrize("given", [None, ""])
async def test_an_empty_text_gives_an_empty_answer(text: Call, given: str | None) -> None:
    empty: dict[str, Any] = {
        "trim-normalize": "", "case-conversion": "", "find-replace": "", "extract-first-line": "", "extract-first-word": "",
        "split-join": "", "split": [], "remove-characters": "", "substring-extraction": "", "collapse-expand-lines": "",
        "slugify": "", "hash-text": "", "as-byte-array": [], "truncate-text": "", "wrap-text": "", "extract-numbers": [],
        "extract-emails": [], "extract-urls": [],
    }  # fmt: skip
    for capability, answer in empty.items():
        assert await text(capability, given) == answer, capability
    assert await text("pad-text", given, length=3) == ""
    for capability, answer in [
        ("regex-replace", ""),
        ("regex-test", False),
        ("regex-split", []),
        ("count-occurrences", 0),
    ]:
        assert await text(capability, given, pattern="x") == answer, capability
    assert await text("regex-match", given, pattern="x") is None
    assert await text("regex-match", given, pattern="x", all_matches=True) == []


async def test_a_pattern_that_would_take_for_ever_elsewhere_takes_no_time(text: Call) -> None:
    assert await text("regex-test", "a" * 50_000 + "b", pattern="(a+)+$") is False
    assert await text("extract-emails", "a" * 100_000) == []


@pytest.mark.parametrize("pattern", ["(", "(?=x)", r"(a)\1", "[z-a]", "a{99999}"])
@pytest.mark.parametrize(
    "capability", ["regex-test", "regex-match", "regex-split", "regex-replace", "count-occurrences"]
)
async def test_a_malformed_pattern_is_an_error(text: Call, capability: str, pattern: str) -> None:
    error = await fails(
        text(capability, "text", pattern=pattern, **({"use_regex": True} if "count" in capability else {}))
    )
    assert error.code == "TEXT_REGEX_INVALID"


async def test_templates_are_rendered_as_in_scenarios(text: Call) -> None:
    template = "Dear {{ name }}{% for x in rows %}, {{ x.n }}{% endfor %}{{ missing }} {{ flag }} {{ rows | tojson }}"
    context = {"name": "Ann", "rows": [{"n": 1}, {"n": 2}], "flag": True}
    rendered = 'Dear Ann, 1, 2 true [{"n":1},{"n":2}]'
    assert await text("render-template", template, context=context) == rendered
    assert await text("format", template=template, context=context) == rendered
    assert await text("render-template", "{{ value[0] }}", context=[5]) == "5"


@pytest.mark.parametrize(
    ("template", "code"),
    [
        (None, "TEXT_TEMPLATE_MISSING"),
        ("", "TEXT_TEMPLATE_MISSING"),
        ("{{ a", "TEXT_TEMPLATE_PARSE_ERROR"),
        ("{% include 'x' %}", "TEXT_TEMPLATE_PARSE_ERROR"),
        ("{{ missing.deeper }}", "TEXT_TEMPLATE_RENDER_ERROR"),
        ("{{ value.__class__ }}", "TEXT_TEMPLATE_RENDER_ERROR"),
        ("{{ 'x' * 999999999 }}", "TEXT_TEMPLATE_RENDER_ERROR"),
    ],
)
async def test_a_template_that_cannot_be_rendered_is_an_error(text: Call, template: str | None, code: str) -> None:
    assert (await fails(text("render-template", template, context=None))).code == code


async def test_values_are_joined(text: Call) -> None:
    assert await text("join", values=["a", 1, 1.0, 2.5, True, None, ""]) == "a,1,1,2.5,true,"
    assert await text("join", parts=[], delimiter="-") == ""


async def test_texts_are_hashed(text: Call) -> None:
    assert await text("hash-text", "é") == hashlib.sha256("é".encode()).hexdigest()


@pytest.mark.parametrize(
    ("data", "encoding", "result"),
    [
        ("w6k=", "UTF-8", "é"),
        ([195, 169], "utf8", "é"),
        ({"content": "w6k=", "filename": "f"}, "UTF-8", "é"),
        ([0x80, 0xE9], "ISO-8859-1", "€é"),
        ([0xE0], "windows-1251", "а"),
        ("", "UTF-8", ""),
    ],
)
async def test_bytes_become_text(text: Call, data: Any, encoding: str, result: str) -> None:
    assert await text("from-base64", data=data, encoding=encoding) == result


@pytest.mark.parametrize(
    ("data", "encoding", "code"),
    [
        ("%%", "UTF-8", "TEXT_INVALID_FILE_DATA"),
        ({"content": "%%"}, "UTF-8", "TEXT_INVALID_FILE_DATA"),
        ([256], "UTF-8", "TEXT_BYTE_OUT_OF_RANGE"),
        ([-1], "UTF-8", "TEXT_BYTE_OUT_OF_RANGE"),
        ([255], "UTF-8", "TEXT_INVALID_BYTE_ARRAY"),
        ("", "klingon", "TEXT_UNSUPPORTED_ENCODING"),
        ("", "base64", "TEXT_UNSUPPORTED_ENCODING"),
        ("", "a\x00b", "TEXT_UNSUPPORTED_ENCODING"),
    ],
)
async def test_bytes_that_are_no_text_are_an_error(text: Call, data: Any, encoding: str, code: str) -> None:
    assert (await fails(text("from-base64", data=data, encoding=encoding))).code == code


async def test_text_becomes_a_file(text: Call) -> None:
    made = await text("to-base64", data="é", filename="f.txt", mimeType="text/plain")
    assert made == {"content": "w6k=", "filename": "f.txt", "mimeType": "text/plain"}
    assert await text("to-base64", data=made, filename="g") == made | {"filename": "g"}
    assert await text("to-base64", data=[255]) == {"content": "/w==", "filename": None, "mimeType": None}


@pytest.mark.parametrize(
    ("data", "inputs", "expected"),
    [
        (list("é".encode("utf-8-sig")), {}, ("UTF-8", True, True)),
        (list("é".encode("utf-16")), {}, ("UTF-16LE", True, True)),
        (list("é".encode()), {}, ("UTF-8", True, False)),
        (list("é".encode()), {"allow_utf8": False}, ("windows-1252", False, False)),
        (list("привіт".encode("cp1251")), {"tld_hint": ".UA"}, ("windows-1251", False, False)),
        (list("日本".encode("shift_jis")), {"tld_hint": "jp"}, ("Shift_JIS", False, False)),
        ([0xFF, 0xFF], {"tld_hint": "jp"}, ("windows-1252", False, False)),
        ([65], {"allow_utf8": False}, ("windows-1252", True, False)),
        ([0xE0], {"tld_hint": "th"}, ("windows-874", False, False)),
    ],
)
async def test_encodings_are_detected(
    text: Call, data: Any, inputs: dict[str, Any], expected: tuple[str, bool, bool]
) -> None:
    found = await text("detect-encoding", data=data, **inputs)
    assert (found["encoding"], found["confident"], found["bom"]) == expected
    if expected[0] not in ("UTF-8", "UTF-16LE"):
        assert isinstance(await text("from-base64", data=data, encoding=found["encoding"]), str) or data == [0xFF, 0xFF]


@pytest.mark.parametrize(
    ("a", "b", "mode", "result"),
    [
        ("a", "a", "exact", True),
        ("a", "A", "exact", False),
        ("STRASSE", "straße", "case-insensitive", True),
        ("abc", "b", "contains", True),
        ("b", "abc", "contains", False),
        (None, "", "exact", True),
        ("kitten", "sitting", "levenshtein-distance", 3),
        ("", "äöü", "levenshtein-distance", 3),
        ("MARTHA", "MARHTA", "jaro-similarity", 0.9444),
        ("DIXON", "DICKSONX", "jaro-similarity", 0.7667),
        ("MARTHA", "MARHTA", "jaro-winkler-similarity", 0.9611),
        ("abc", "xyz", "jaro-similarity", 0),
        ("", "", "jaro-similarity", 1),
        ("", "a", "jaro-winkler-similarity", 0),
        ("night", "nacht", "ngram-jaccard", 0.1429),
        ("night", "nacht", "ngram-overlap", 0.25),
        ("a", "a", "ngram-jaccard", 1),
        ("a", "b", "ngram-overlap", 0),
    ],
)
async def test_texts_are_compared(text: Call, a: str | None, b: str | None, mode: str, result: Any) -> None:
    found = await text("compare-text", text_a=a, text_b=b, mode=mode)
    assert found == pytest.approx(result, abs=1e-4)
    assert isinstance(found, bool) == isinstance(result, bool)


async def test_texts_too_long_to_compare_are_refused(text: Call) -> None:
    error = await fails(text("compare-text", text_a="a" * 6000, text_b="b" * 6000, mode="levenshtein-distance"))
    assert error.code == "TEXT_TOO_LONG"


SHORT = st.text(max_size=12)


@given(SHORT, SHORT)
def test_the_measures_are_symmetric_and_bounded(a: str, b: str) -> None:
    assert levenshtein(a, b) == levenshtein(b, a) <= max(len(a), len(b))
    assert (levenshtein(a, b) == 0) == (a == b)
    assert 0 <= jaro(a, b) <= jaro_winkler(a, b) <= 1
    assert jaro(a, a) == jaro_winkler(a, a) == 1


def test_all_of_it_is_pure() -> None:
    assert all(one.pure for one in AgentRegistry().info("text").capabilities)
