"""The agents honour the contract of agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from runtara_framework.testing.agents import AgentConformance, Failing, Sample


class TestTransform(AgentConformance):
    @pytest.fixture
    def agent(self) -> Any:
        return "transform"

    @pytest.fixture
    def samples(self) -> Sequence[Sample]:
        rows = [{"a": 1, "l": [1]}, {"a": None}]
        return [
            Sample("extract", {"value": rows, "property_path": "a"}),
            Sample("get-value-by-path", {"value": rows, "property_path": "0.a"}),
            Sample("set-value-by-path", {"target": {"a": 1}, "property_path": "b.c", "value": rows}),
            Sample("filter-non-values", {"value": rows, "property_path": "a", "filter_null_values": True}),
            Sample("select-first", {"value": [None, rows]}),
            Sample("coalesce", {"values": [None, rows]}),
            Sample("from-json-string", {"value": "[1]"}),
            Sample("to-json-string", {"value": rows}),
            Sample("filter", {"value": rows, "property_path": "a", "match_values": [1], "match_condition": "INCLUDES"}),
            Sample("sort", {"value": rows, "property_path": "a"}),
            Sample("map-fields", {"source_data": {"a": 1}, "mappings": {"a": "b"}}),
            Sample("map-fields", {"source": {"a": 1}}),
            Sample("merge", {"objects": [{"a": 1}, {"b": 2}], "deep": True}),
            Sample("group-by", {"value": rows, "key": "a"}),
            Sample("group-by", {"value": rows, "key": "a", "as_map": True}),
            Sample("append", {"array": [1], "item": 2}),
            Sample("flat-map", {"value": rows, "property_path": "l"}),
            Sample("array-length", {"value": rows}),
            Sample("ensure-array", {"value": 5}),
        ]

    @pytest.fixture
    def failures(self) -> Sequence[Failing]:
        return [
            Failing("extract", {"value": [], "property_path": "a..b"}, "TRANSFORM_INVALID_INPUT"),
            Failing("from-json-string", {"value": "{"}, "TRANSFORM_JSON_PARSE_ERROR"),
            Failing("to-json-string", {"value": "\ud800"}, "TRANSFORM_JSON_SERIALIZE_ERROR"),
        ]


class TestUtils(AgentConformance):
    @pytest.fixture
    def agent(self) -> Any:
        return "utils"

    @pytest.fixture
    def samples(self) -> Sequence[Sample]:
        return [
            Sample("random-double"),
            Sample("random-array", {"size": 3}),
            Sample("random-string", {"length": 3, "alphabet": "ab"}),
            Sample("return-input-string", {"value": "x"}),
            Sample("return-input", {"value": [1]}),
            Sample("do-nothing"),
            Sample("delay-in-ms", {"delay_value": 0}),
            Sample(
                "calculate",
                {"expression": "a / 3", "variables": {"a": 1}, "enable_rounding": True, "decimal_places": 2},
            ),
            Sample("format-date-from-iso", {"iso_date": "2024-03-05", "target_format": "dd.MM.yyyy"}),
            Sample("iso-to-unix-timestamp", {"iso_date": "2024-03-05T00:00:00Z"}),
            Sample("get-current-unix-timestamp"),
            Sample("get-current-iso-datetime"),
            Sample("get-current-formatted-datetime", {"format": "HH:mm"}),
            Sample("country-name-to-iso-code", {"country_name": "Ukraine", "code_type": "alpha3"}),
            Sample("hash", {"value": "x", "algorithm": "md5"}),
            Sample("hash", {"value": {"content": "AA==", "filename": "f"}}),
            Sample("base64-encode", {"value": "x"}),
            Sample("base64-decode", {"value": "eA=="}),
        ]

    @pytest.fixture
    def failures(self) -> Sequence[Failing]:
        return [
            Failing("calculate", {"expression": "1 +"}, "EXPRESSION_INVALID"),
            Failing("calculate", {"expression": "a"}, "VARIABLE_INVALID"),
            Failing("calculate", {"expression": "1 / 0"}, "DIVISION_BY_ZERO"),
            Failing("calculate", {"expression": "1e999"}, "NUMBER_OUT_OF_RANGE"),
            Failing("iso-to-unix-timestamp", {"iso_date": "x"}, "DATE_INVALID"),
            Failing("format-date-from-iso", {"iso_date": "x", "target_format": ""}, "DATE_INVALID"),
            Failing("country-name-to-iso-code", {"country_name": "x"}, "COUNTRY_NOT_FOUND"),
            Failing("hash", {"value": {"content": "%"}}, "BASE64_INVALID"),
            Failing("base64-decode", {"value": "%"}, "BASE64_INVALID"),
        ]


class TestText(AgentConformance):
    @pytest.fixture
    def agent(self) -> Any:
        return "text"

    @pytest.fixture
    def samples(self) -> Sequence[Sample]:
        of_text = [
            "trim-normalize", "case-conversion", "find-replace", "extract-first-line", "extract-first-word", "split-join",
            "split", "remove-characters", "substring-extraction", "collapse-expand-lines", "slugify", "hash-text",
            "as-byte-array", "pad-text", "truncate-text", "wrap-text", "extract-numbers", "extract-emails", "extract-urls",
        ]  # fmt: skip
        of_pattern = ["regex-replace", "regex-match", "regex-test", "regex-split", "count-occurrences"]
        return [
            *(Sample(one, {"text": "a 1, me@x.io http://x.io"}) for one in of_text),
            *(Sample(one, {"text": "a 1", "pattern": "[0-9]"}) for one in of_pattern),
            Sample("render-template", {"text": "{{ a }}", "context": {"a": 1}}),
            Sample("join", {"values": ["a", 1]}),
            Sample("from-base64", {"data": "w6k="}),
            Sample("to-base64", {"data": {"content": "w6k=", "filename": "f"}, "mimeType": "text/plain"}),
            Sample("detect-encoding", {"data": [233]}),
            Sample("compare-text", {"text_a": "a", "text_b": "b", "mode": "jaro-similarity"}),
        ]

    @pytest.fixture
    def failures(self) -> Sequence[Failing]:
        return [
            Failing("regex-test", {"text": "a", "pattern": "("}, "TEXT_REGEX_INVALID"),
            Failing("render-template", {"text": "", "context": {}}, "TEXT_TEMPLATE_MISSING"),
            Failing("render-template", {"text": "{{", "context": {}}, "TEXT_TEMPLATE_PARSE_ERROR"),
            Failing("render-template", {"text": "{{ a.b }}", "context": {}}, "TEXT_TEMPLATE_RENDER_ERROR"),
            Failing("from-base64", {"data": "%"}, "TEXT_INVALID_FILE_DATA"),
            Failing("from-base64", {"data": [300]}, "TEXT_BYTE_OUT_OF_RANGE"),
            Failing("from-base64", {"data": "", "encoding": "x"}, "TEXT_UNSUPPORTED_ENCODING"),
            Failing("from-base64", {"data": [255]}, "TEXT_INVALID_BYTE_ARRAY"),
            Failing(
                "compare-text", {"text_a": "a" * 9000, "text_b": "b" * 9000, "mode": "jaro-similarity"}, "TEXT_TOO_LONG"
            ),
        ]


class TestCrypto(AgentConformance):
    @pytest.fixture
    def agent(self) -> Any:
        return "crypto"

    @pytest.fixture
    def samples(self) -> Sequence[Sample]:
        return [
            Sample("hash", {"data": "x", "algorithm": "sha1", "output_format": "base64"}),
            Sample("hmac", {"data": {"content": "AA=="}, "secret": "key"}),
        ]

    @pytest.fixture
    def failures(self) -> Sequence[Failing]:
        return [Failing("hash", {"data": {"content": "%"}}, "BASE64_INVALID")]


class TestDatetime(AgentConformance):
    @pytest.fixture
    def agent(self) -> Any:
        return "datetime"

    @pytest.fixture
    def samples(self) -> Sequence[Sample]:
        date = {"date": "2024-03-05T07:08:09Z", "timezone": "Europe/Kyiv"}
        return [
            Sample("get-current-date", {"includeTime": False, "timezone": "+02:00"}),
            Sample("format-date", date | {"format": "custom", "customFormat": "dd.MM.yyyy"}),
            Sample("add-to-date", date | {"amount": 2, "unit": "months"}),
            Sample("subtract-from-date", date | {"amount": 2, "unit": "hours"}),
            Sample("get-time-between", {"startDate": "2024-01-01", "endDate": 1709622489, "unit": "weeks"}),
            Sample("extract-date-part", date | {"part": "week"}),
            Sample("round-date", date | {"unit": "weeks", "mode": "ceil"}),
            Sample("date-to-unix", {"date": "2024-01-01", "milliseconds": True}),
            Sample("unix-to-date", {"timestamp": 1709622489, "isMilliseconds": False, "timezone": "UTC"}),
        ]

    @pytest.fixture
    def failures(self) -> Sequence[Failing]:
        return [
            Failing("format-date", {"date": "x"}, "DATE_INVALID"),
            Failing("format-date", {"date": 0, "format": "custom"}, "DATE_FORMAT_MISSING"),
            Failing("format-date", {"date": 0, "timezone": "x"}, "TIMEZONE_UNKNOWN"),
            Failing("get-current-date", {"timezone": "x"}, "TIMEZONE_UNKNOWN"),
            Failing("add-to-date", {"date": 0, "amount": 10**9, "unit": "years"}, "DATE_OUT_OF_RANGE"),
        ]


class TestCsv(AgentConformance):
    @pytest.fixture
    def agent(self) -> Any:
        return "csv"

    @pytest.fixture
    def samples(self) -> Sequence[Sample]:
        options = {"encoding": "UTF-8", "delimiter": ";", "quote_char": "'", "escape_char": "\\", "use_header": True}
        return [
            Sample("from-csv", options | {"data": "YTtiCjE7Mgo=", "skip_empty_lines": True, "trim_whitespace": True}),
            Sample("from-csv", {"data": {"content": "YSxiCjEsMgo="}, "use_header": False}),
            Sample("to-csv", options | {"value": [{"a": 1}]}),
            Sample("get-header", options | {"data": [97, 10, 49], "trim_whitespace": False}),
        ]

    @pytest.fixture
    def failures(self) -> Sequence[Failing]:
        return [
            Failing("from-csv", {"data": "%"}, "CSV_DECODE_ERROR"),
            Failing("from-csv", {"data": [255]}, "CSV_ENCODING_ERROR"),
            Failing("from-csv", {"data": list(b"a,b\n1")}, "CSV_PARSE_ERROR"),
            Failing("get-header", {"data": []}, "CSV_EMPTY_FILE"),
            Failing("to-csv", {"value": [1, [2]]}, "CSV_WRITE_ERROR"),
        ]
