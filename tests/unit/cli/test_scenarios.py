"""`runtara validate`, `compile` and `schema` as a user meets them, with documents that nobody would write on purpose."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from runtara_framework.cli import main
from runtara_framework.packaging import read_manifest

FINISH: dict[str, Any] = {
    "id": "end",
    "stepType": "Finish",
    "inputMapping": {"r": {"valueType": "immediate", "value": 1}},
}
GRAPH: dict[str, Any] = {"steps": {"end": FINISH}, "entryPoint": "end"}
TEXT = json.dumps(GRAPH, indent=1)
VALUE = '"value": 1'


class Runtara:
    """Runs the command in this process."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.capsys = capsys
        self.monkeypatch = monkeypatch

    def __call__(
        self, *arguments: str, document: str | bytes = TEXT, stdin: bytes | None = None
    ) -> tuple[int, str, str]:
        """`{}` among the arguments is the file of the document."""
        file = self.folder / "order.json"
        file.write_bytes(document if isinstance(document, bytes) else document.encode())
        if stdin is not None:
            self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
        code = main([argument.replace("{}", str(file)) for argument in arguments])
        out, err = self.capsys.readouterr()
        return code, out, err.replace(str(file), "order.json")

    def findings(self, document: str | bytes, *more: str) -> list[dict[str, Any]]:
        """What `validate --json` prints."""
        code, out, err = self("validate", "{}", "--json", *more, document=document)
        assert err == ""
        found: list[dict[str, Any]] = json.loads(out)
        assert code == (1 if any(finding["severity"] == "error" for finding in found) else 0)
        return found


@pytest.fixture
def runtara(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runtara:
    monkeypatch.chdir(tmp_path)
    return Runtara(tmp_path, capsys, monkeypatch)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "is no JSON: Expecting value: line 1 column 1"),
        (b" \n\t", "is no JSON"),
        (b"\0", "is no JSON"),
        (TEXT.replace("end", "e\0nd").encode(), "is no JSON: Invalid control character at: line 3"),
        (b'{"a": "\xff\xfe"}', "is no UTF-8 text: invalid start byte at byte 7"),
        (b'{"a": "\xed\xa0\x80"}', "is no UTF-8 text"),
        (TEXT.encode("utf-16"), "is no UTF-8 text"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"a":' * 100_000, "is nested too deeply"),
        (TEXT.replace(VALUE, f'"value": {"[" * 100_000}{"]" * 100_000}').encode(), "is nested too deeply"),
        (TEXT.replace(VALUE, f'"value": {"9" * 5_000}').encode(), "more than 4300 digits in line 9"),
        (b"[]", "holds an array; a scenario is a JSON object"),
        (b"null", "holds null"),
        (TEXT.encode() + b"x", "is no JSON: Extra data"),
        (b"// a comment\n" + TEXT.encode(), "is no JSON"),
        (b"{'a': 1}", "is no JSON"),
    ],
)
def test_what_is_no_scenario_is_refused_in_words_by_every_command(
    runtara: Runtara, document: bytes, words: str
) -> None:
    for command in ("validate", "compile", "run"):
        code, out, err = runtara(command, "{}", document=document)
        assert (code, out) == (2, "") and words in err, err
        assert json.loads(err.splitlines()[-1])["code"] == "INVALID_REQUEST"
        assert "Traceback" not in err


@pytest.mark.parametrize(
    ("document", "code", "pointer", "line", "shown"),
    [
        (TEXT.replace(VALUE, '"value": NaN'), "E018", "/steps/end/inputMapping/r/value", 9, '"value": NaN'),
        (TEXT.replace(VALUE, '"value": -Infinity'), "E018", "/steps/end/inputMapping/r/value", 9, "-Infinity"),
        (TEXT.replace(VALUE, '"value": 1e999'), "E018", "/steps/end/inputMapping/r/value", 9, "1e999"),
        (TEXT.replace(VALUE, '"value": "\\ud800"'), "E018", "/steps/end/inputMapping/r/value", 9, '"\\ud800"'),
        (TEXT.replace('"r"', '"\\udfff"'), "E018", "/steps/end/inputMapping/?", 6, '"inputMapping": {'),
        (TEXT.replace(VALUE, f'"value": {"[" * 700}{"]" * 700}'), "E130", None, 9, '"value": [[['),
        (TEXT.replace('"end"', '"e\\u0000nd"'), "E009", "/steps/e\0nd", 3, '"e\\u0000nd": {'),
        (TEXT.replace('"end"', '"\'); import os #"'), "E009", "/steps/'); import os #", 3, "'); import os #"),
        (TEXT.replace('"entryPoint"', '"\u202eoof": 1,\n"entryPoint"'), "E005", "/\u202eoof", 14, '"\\u202eoof": 1,'),
        (
            TEXT.replace('"entryPoint"', '"\x9b31mred": 1,\n"entryPoint"'),
            "E005",
            "/\x9b31mred",
            14,
            '"\\u009b31mred": 1,',
        ),
        (
            TEXT.replace('"entryPoint"', '"x": "a\u2028b\x85c",\n"entryPoint"'),
            "E005",
            "/x",
            14,
            '"x": "a\\u2028b\\u0085c",',
        ),
        (
            TEXT.replace('"entryPoint"', '"entryPoint": "end",\n"entryPoint"'),
            "E063",
            "/entryPoint",
            15,
            '"entryPoint": "end"',
        ),
        (TEXT.replace(' "steps": {', ' "steps": {"end": {},'), "E063", "/steps/end", 3, '"end": {'),
    ],
)
def test_a_hostile_document_is_a_finding_with_its_line(
    runtara: Runtara, document: str, code: str, pointer: str | None, line: int, shown: str
) -> None:
    found = runtara.findings(document)
    assert code in {finding["code"] for finding in found if pointer in (None, finding["pointer"])}, found
    assert all(set(f) == {"code", "severity", "stepId", "pointer", "message", "suggestion"} for f in found)
    for command in ("validate", "compile", "run"):
        exit_code, out, err = runtara(command, "{}", document=document)
        assert (exit_code, out) == (1 if command == "validate" else 2, "")
        lines = err.splitlines()
        told = next(
            number for number, text in enumerate(lines) if text.startswith(f"order.json:{line}: error {code}: ")
        )
        assert shown in lines[told + 1]
        assert all(char.isprintable() for char in err.replace("\n", "")), "nothing that commands a terminal"


def test_a_mark_before_the_first_character_is_no_matter(runtara: Runtara) -> None:
    marked = b"\xef\xbb\xbf" + TEXT.encode()
    assert runtara.findings(marked) == []
    assert runtara("validate", "-", stdin=marked)[0] == 0
    assert runtara("compile", "{}", "-o", "order.pyz", document=marked)[0] == 0
    (finding,) = runtara.findings(marked.replace(b'"entryPoint"', b'"entrypoint"'))[1:]
    assert finding["code"] == "E005"


def test_stdin_is_read_as_utf_8_whatever_the_terminal_speaks(runtara: Runtara) -> None:
    code, _, err = runtara("validate", "-", stdin=b'{"a": "\xff"}')
    assert code == 2 and "is no UTF-8 text: invalid start byte at byte 7" in err


def test_thousands_of_findings_are_shown_with_their_lines(runtara: Runtara) -> None:
    steps = {f"s{number}": {"id": f"s{number}", "stepType": "Log", "bogus": number} for number in range(1_500)}
    document = json.dumps({"steps": steps, "entryPoint": "s0"}, indent=1)
    _, _, err = runtara("validate", "{}", document=document)
    lines = err.splitlines()
    assert lines[-1].startswith("order.json: 4499 errors")
    for number in (0, 777, 1_499):
        place = next(
            at for at, text in enumerate(lines) if "E005" in text and lines[at + 1] == f'    "bogus": {number}'
        )
        line = int(lines[place].split(":")[1])
        assert document.splitlines()[line - 1].strip() == f'"bogus": {number}'


def test_large_literals_and_odd_names_are_compiled(runtara: Runtara, tmp_path: Path) -> None:
    for document in (
        TEXT.replace(VALUE, '"value": "' + "x" * 20_000_000 + '"'),
        TEXT.replace(VALUE, '"value": [' + "1, " * 300_000 + "1]"),
        TEXT.replace(VALUE, '"value": ' + "9" * 4_000),
        TEXT.replace('"end"', '"__class__"'),
        TEXT.replace('"end"', '"__proto__"'),
        TEXT.replace('"end"', '"lambda"'),
        TEXT.replace('"end"', '"ｅｎｄ"'),
        TEXT.replace('"r"', '"__proto__"'),
    ):
        assert runtara.findings(document) == []
        code, out, err = runtara("compile", "{}", "-o", "order.pyz", document=document)
        assert code == 0, err
        assert json.loads(out)["size_bytes"] == (tmp_path / "order.pyz").stat().st_size


CHILD = {
    "steps": {
        "start": {"id": "start", "stepType": "StartScenario", "childScenarioId": "kid", "childVersion": 2},
        "end": {**FINISH, "inputMapping": {"v": {"valueType": "reference", "value": "variables.v"}}},
    },
    "entryPoint": "start",
    "executionPlan": [{"fromStep": "start", "toStep": "end"}],
}


def test_the_command_takes_what_the_function_takes(runtara: Runtara, tmp_path: Path) -> None:
    (tmp_path / "kid.json").write_text(TEXT)
    (tmp_path / "kid2.json").write_text(json.dumps({**GRAPH, "name": "second"}))
    (tmp_path / "variables.json").write_text('{"v": 7}')
    given = ["--child", "kid=kid.json", "--child", "kid@2=kid2.json", "--default-variables", "@variables.json"]
    assert runtara("validate", "{}", *given, document=json.dumps(CHILD))[0] == 0
    more = ["--scenario-id", "mine", "--scenario-version", "5", "--connection-service-url", "http://service", "--debug"]
    code, _, err = runtara("compile", "{}", *given, *more, "-o", "it.pyz", document=json.dumps(CHILD))
    assert code == 0, err
    manifest = read_manifest((tmp_path / "it.pyz").read_bytes()) or {}
    assert (manifest["scenarioId"], manifest["version"]) == ("mine", 5)
    assert manifest["variables"] == {"v": {"type": "integer", "value": 7}}
    assert manifest["children"] == [{"scenarioId": "kid", "version": 2}]
    source = runtara("compile", "{}", *given, *more, "--emit-source", document=json.dumps(CHILD))[1]
    assert "debug=True, connection_url='http://service'" in source and "name='second'" in source


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--child", "kid"], "--child wants ID=FILE or ID@VERSION=FILE"),
        (["--child", "kid={}", "--child", "kid={}"], "--child gives 'kid' twice"),
        (["--child", "kid=nowhere.json"], "nowhere.json cannot be read"),
        (["--default-variables", "[1]"], "--default-variables wants an object"),
        (["--default-variables", "{"], "is no JSON"),
    ],
)
def test_a_wrong_argument_is_told(runtara: Runtara, arguments: list[str], words: str) -> None:
    for command in ("validate", "compile", "run"):
        code, _, err = runtara(command, "{}", *arguments)
        assert code == 2 and words in err, err


def test_what_is_wrong_in_a_child_or_with_a_default_is_a_finding(runtara: Runtara, tmp_path: Path) -> None:
    (tmp_path / "kid.json").write_text(TEXT.replace(' "steps": {', ' "steps": {"end": {},'))
    document = json.dumps({**CHILD, "variables": {"v": {"type": "integer", "value": 1}}}, indent=1)
    found = runtara.findings(document, "--child", "kid=kid.json", "--default-variables", '{"v": "seven", "_x": 1}')
    assert [(f["code"], f["stepId"], f["pointer"]) for f in found] == [
        ("E019", None, ""), ("E059", None, ""), ("E063", "start", "/steps/start/childScenarioId"),
    ]  # fmt: skip
    assert "in the child scenario 'kid' at /steps/end: the key 'end' is there twice" in found[2]["message"]


def test_a_terminal_that_speaks_ascii_gets_json_all_the_same(runtara: Runtara, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, "ascii"))
    runtara("validate", "{}", "--json", document=TEXT.replace('"entryPoint"', '"größe": 1, "entryPoint"'))
    assert json.loads(shown.getvalue())[0]["pointer"] == "/größe"


def test_the_schema_is_printed(runtara: Runtara) -> None:
    code, out, _ = runtara("schema")
    assert code == 0 and json.loads(out)["$schema"].endswith("2020-12/schema")
