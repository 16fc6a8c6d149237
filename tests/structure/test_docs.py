"""Docs cannot rot: generated pages equal the code; links, commands, options, routes, settings and names in them are real."""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from runtara_framework import config
from runtara_framework.cli import build_parser, server
from runtara_framework.dsl.base import Model
from runtara_framework.dsl.models import STEP_MODELS
from runtara_framework.extension import drivers
from runtara_framework.extension.report import KINDS
from runtara_framework.protocol.operations import OPERATIONS, Operation

from .repository import ROOT, product_modules

PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/*.md"), *ROOT.glob("examples/**/*.md")]
)
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
SHOWN_FILE = re.compile(r"<!-- file: (\S+) -->\n```\w*\n(.*?)```", re.DOTALL)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = _generator()


def blocks(page: Path, *languages: str) -> list[str]:
    """The code blocks of a page in one of these languages, without those that are whole files."""
    text = SHOWN_FILE.sub("", page.read_text())
    return [block for _, language, block in BLOCK.findall(text) if language in languages]


def spans(page: Path) -> list[str]:
    """What stands `like this` in a page, outside of code blocks."""
    return re.findall(r"`([^`\n]+)`", BLOCK.sub("", page.read_text()))


# -- pages, links, files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(GENERATOR.PAGES))
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == GENERATOR.PAGES[name](), "run: python docs/generate.py"


@each_page
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
        linked = page.parent / target if target else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", linked.read_text()), re.MULTILINE)
            known = {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
            assert anchor in known, f"{page.name} links to {target}#{anchor}"


@each_page
def test_every_page_of_the_docs_is_linked_from_its_map(page: Path) -> None:
    if (ROOT / "docs") in page.parents and page.name != "README.md":
        maps = [ROOT / "docs" / "README.md", page.parent / "README.md"]
        linked = {(one.parent / link).resolve() for one in maps if one.exists() for link in _links(one)}
        assert page.resolve() in linked


def _links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)#:]+)", page.read_text())


@each_page
def test_every_file_shown_is_the_file(page: Path) -> None:
    """A code block under `<!-- file: path -->` is that file, so the tests that run the file run the docs."""
    for path, block in SHOWN_FILE.findall(page.read_text()):
        assert block == (ROOT / path).read_text(), f"{page.name} shows another {path}"


@each_page
def test_every_path_of_the_repository_that_is_named_exists(page: Path) -> None:
    for span in spans(page):
        if re.fullmatch(r"(docs|examples|plugins|runtara_framework|tests)/[\w./-]*", span):
            assert (ROOT / span).exists(), f"{page.name} names {span}"


# -- code in blocks -----------------------------------------------------------------------------------------


@each_page
def test_every_json_block_is_json(page: Path) -> None:
    for block in blocks(page, "json"):
        json.loads(block)


@each_page
def test_every_python_block_is_python_and_imports_what_exists(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, str(page), "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for line in re.findall(r"^from (runtara_\S+) import \(?([\w, ]+)\)?$", block, re.MULTILINE):
            module = importlib.import_module(line[0])
            for name in line[1].split(","):
                assert hasattr(module, name.strip()), f"{page.name}: {line[0]} has no {name}"


@each_page
def test_every_toml_block_is_a_configuration(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "toml"):
        (tmp_path / "runtara.toml").write_text(block.replace('sha256 = "…"', f'sha256 = "{"0" * 64}"'))
        settings = config.load(tmp_path / "runtara.toml", environ={}).settings
        document = tomllib.loads(block)
        for kind in KINDS:
            section = {"runner": "runner", "transport": "transports", "scheduler": "scheduler"}.get(kind.name, "")
            for name, table in document.get(section, {}).items():
                if isinstance(table, dict):
                    drivers.load(kind, name).Settings.model_validate(settings.driver_table(section, name))


# -- commands -----------------------------------------------------------------------------------------------


def _commands(page: Path) -> Iterator[list[str]]:
    """Every `runtara …` and `runtara-server …` that a page shows, as words."""
    for block in blocks(page, "", "console", "bash", "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"^\s*(?:\$ )?(?:\w+=\S+ )*(?:.*\| )?(runtara(?:-server)?(?: .*)?)$", line)
            if found and not found[1].startswith("runtara: "):
                yield shlex.split(found[1].replace("…", ""), comments=True)
    for span in spans(page):
        if re.match(r"runtara(-server)?( |$)", span):
            yield shlex.split(span.replace("…", ""))


def _refused(words: list[str]) -> str | None:
    """Why a command cannot be typed; it may leave out what it needs."""
    parser = server.build_parser() if words[0] == "runtara-server" else build_parser()
    for position, word in enumerate(words[1:]):
        choices = _choices(parser)
        name = word.partition("=")[0]
        if word.startswith("-") and word != "-" and name not in parser._option_string_actions:
            return f"{words[: position + 1]} has no option {name}"
        if choices and not word.startswith("-"):
            if word not in choices and not word.isupper():  # COMMAND stands for any
                return f"{words[: position + 1]} has no {word!r}"
            parser = choices.get(word, parser)
    return None


@cache
def _hook_commands() -> frozenset[str]:
    """Commands that the examples of plugins add."""
    sources = [path.read_text() for path in ROOT.glob("examples/plugin_*/*/*.py")]
    return frozenset(name for text in sources for name in re.findall(r'add_parser\(\s*"([\w-]+)"', text))


def _choices(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return next((dict(a.choices) for a in parser._actions if isinstance(a, argparse._SubParsersAction)), {})


@each_page
def test_every_command_shown_can_be_typed(page: Path) -> None:
    for words in _commands(page):
        if len(words) == 1 or words[1] not in _hook_commands():
            assert _refused(words) is None, f"{page.name}: {_refused(words)}"


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert _refused(["runtara", "instances", "list", "--status", "failed"]) is None
    for line in ("runtara fly", "runtara instances fly", "runtara run --fly x.json", "runtara-server --fly"):
        assert _refused(line.split()) is not None


# -- names --------------------------------------------------------------------------------------------------


def _operation(method: str, path: str) -> Operation | None:  # type: ignore[type-arg]  # of any request and response
    for table in OPERATIONS.values():
        for operation in table.values():
            known_method, known_path = operation.http.split(" ", 1)
            if known_method == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known_path), path):
                return operation
    return None


@each_page
def test_every_route_that_curl_calls_exists(page: Path) -> None:
    for block in blocks(page, "", "console", "bash", "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if not line.strip().removeprefix("$ ").startswith("curl"):
                continue
            words = shlex.split(line.strip().removeprefix("$ "))
            url = urlsplit(
                next(f"http://{word.removeprefix('http://')}" for word in words if re.search(r":\d+/", word))
            )
            given = next((words[at + 1] for at, word in enumerate(words) if word == "-X"), None)
            posts = any(word in ("-d", "-F", "--data", "--data-binary") for word in words)
            operation = _operation(given or ("POST" if posts else "GET"), url.path)
            assert operation is not None, f"{page.name}: {line}"
            fields = {field.encode_name for field in msgspec.structs.fields(operation.request)}
            assert set(parse_qs(url.query)) <= fields, f"{page.name}: {line}"


@each_page
def test_every_setting_that_is_named_exists(page: Path) -> None:
    for section, key in re.findall(r"`\[(\w+)\] (\w+)", page.read_text()):
        model = config.Settings.model_fields[section].annotation
        fields = getattr(model, "model_fields", None)
        assert fields is None or key in fields, f"{page.name} names [{section}] {key}"


@cache
def _sources() -> str:
    """The text of the product and of the examples."""
    files = [*product_modules(), *ROOT.glob("examples/**/*.py"), *ROOT.glob("docs/tutorial/files/*")]
    return "\n".join(path.read_text() for path in files)


FOREIGN = {"HTTPS_PROXY", "NO_PROXY", "SSL_CERT_DIR", "SSL_CERT_FILE"}  # variables that libraries read


@each_page
def test_every_name_in_capitals_exists(page: Path) -> None:
    """Codes of errors, names of variables, operators."""
    for span in spans(page):
        if re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", span) and span not in FOREIGN:
            assert re.search(rf"\b{span}\b", _sources()), f"{page.name} names {span}"


# -- the DSL ------------------------------------------------------------------------------------------------


def _models(cls: type[Model]) -> Iterator[type[Model]]:
    for child in cls.__subclasses__():
        yield from (child, *_models(child))


def test_every_field_of_the_dsl_is_described() -> None:
    told = {"step_type"}  # the name of the section
    missing = [
        f"{model.__name__}.{name}"
        for model in _models(Model)
        if not model.__name__.endswith("Test")  # in conditions a mapping value has one more field, `type`
        for name, info in model.model_fields.items()
        if not info.description and name not in told
    ]
    assert not missing


def test_the_outputs_of_every_step_are_described() -> None:
    assert set(GENERATOR.generate_dsl.OUTPUTS) == set(STEP_MODELS)


def test_the_codes_at_run_time_are_those_of_the_engine() -> None:
    documented = set(GENERATOR.generate_dsl.RUN_TIME)
    rooms = ("runtime", "agents", "sdk/failure.py", "dsl/errors.py", "services/verdicts.py")
    sources = [path for room in rooms for path in _python(ROOT / "runtara_framework" / room)]
    text = "\n".join(path.read_text() for path in sources)
    failures = r'(?:Failure|AgentError|failure)\(\s*"([A-Z]+_[A-Z_]+)"'
    constants = r'^([A-Z]+_[A-Z_]+)(?:: Final)? = "\1"$'
    found = set(re.findall(failures, text)) | set(re.findall(constants, text, re.MULTILINE))
    of_the_platform = {"HEARTBEAT_TIMEOUT", "NEVER_REGISTERED", "NO_RESULT", "LAUNCH_FAILED"}
    assert found - of_the_platform <= documented
    assert not [code for code in documented if f'"{code}"' not in _sources()]


def _python(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.rglob("*.py"))
