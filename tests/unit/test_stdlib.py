"""A stdlib is found by name, loaded once, and refused with the reason; a pin accepts what fits."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.dsl.functions import FILTERS, GLOBALS, RESERVED, function
from runtara_framework.dsl.templates import render
from runtara_framework.dsl.validation.scope import EVERYWHERE, PLACES
from runtara_framework.errors import DriverAmbiguous, DriverBroken, DriverIncompatible, DriverNotFound, PluginError
from runtara_framework.extension.hooks import Hooks
from runtara_framework.extension.report import report
from runtara_framework.runtime.stdlib import start
from runtara_framework.sdk.failure import Failure
from runtara_framework.stdlib import ENVIRONMENT, Pin, choose, fits, load, names

HEAD = "from runtara_framework.stdlib import function\n"
GOOD = f"{HEAD}@function\ndef double(n): return n * 2\n"

Install = Callable[..., str]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a distribution of one module with one entry point; answers the name of the stdlib, which is new."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    count = 0

    def installed(
        source: str = GOOD, *, name: str = "", value: str = "{module}", version: str = "1.2.0", distribution: str = ""
    ) -> str:
        nonlocal count
        count += 1
        module = f"{tmp_path.name.replace('-', '_')}_{count}"
        name, distribution = name or module, distribution or f"{module}-dist"
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{distribution}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[runtara.stdlib]\n{name} = {value.format(module=module)}\n")
        return name

    return installed


def test_a_stdlib_has_the_functions_that_are_marked_and_no_others(install: Install) -> None:
    source = f"{GOOD}def plain(n): return n\n_hidden = 1\ntwice = double\n"
    found = load(install(source, name="own", distribution="own-dist", version="3.4"))
    assert found.identity == {"name": "own", "distribution": "own-dist", "version": "3.4"}
    assert list(found.functions.by_name) == ["double", "twice"]
    assert found.agents == {}
    assert load("own") is found
    assert "own" in names()


def test_the_standard_one_is_none_and_a_name_beats_the_environment(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = install(), install()
    assert choose() is None
    monkeypatch.setenv(ENVIRONMENT, one)
    assert choose() is load(one)
    assert choose(other) is load(other)
    for standard in ("standard", "runtara_workflow_stdlib", ""):
        assert choose(standard) is None
        monkeypatch.setenv(ENVIRONMENT, standard)
        assert choose() is None


def test_one_that_is_not_installed_is_refused_with_those_that_are(install: Install) -> None:
    install(name="my_product")
    with pytest.raises(DriverNotFound, match=r"'my_produkt'.*did you mean 'my_product'.*--stdlib"):
        load("my_produkt")


def test_two_distributions_with_one_name_are_refused(install: Install) -> None:
    install(name="both", distribution="a-dist")
    install(name="both", distribution="b-dist", version="2.0")
    with pytest.raises(DriverAmbiguous, match=r"a-dist 1\.2\.0 and by b-dist 2\.0; uninstall one"):
        load("both")


@pytest.mark.parametrize(
    ("source", "value", "message"),
    [
        ("import no_such_module", "{module}", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)", "{module}", "cannot be imported: SystemExit: 3"),
        (GOOD, "{module}:missing", "cannot be imported: AttributeError"),
        (GOOD, "{module}:double", "no module: let the entry point name the module alone"),
        ("x = 1", "{module}", "offers nothing: mark functions with @function"),
        (f"{HEAD}f = function(3)", "{module}", "TypeError: @function marks plain functions, not 3"),
        (f"{HEAD}@function\nclass F: pass", "{module}", "TypeError: @function marks plain functions, not <class"),
        (f"{HEAD}@function\nasync def f(): pass", "{module}", "@function f: a template cannot await"),
        (f"{HEAD}@function\ndef f(): yield 1", "{module}", "@function f is a generator; return a list"),
        (f"{HEAD}@function\ndef upper(s): return s", "{module}", "templates have a built-in 'upper'"),
        (f"{HEAD}@function\ndef range(n): return n", "{module}", "templates have a built-in 'range'"),
        (f"{HEAD}@function\ndef data(n): return n", "{module}", "a template cannot call 'data'"),
        (f"{HEAD}@function\ndef _own(n): return n", "{module}", "a template cannot call '_own'"),
        (f"{GOOD}AGENTS = ['x']", "{module}", "AGENTS is a mapping from id to agent, not ['x']"),
        (f"{GOOD}AGENTS = {{'My-Agent': 'x:y'}}", "{module}", "'My-Agent' in AGENTS is no id of an agent"),
    ],
)  # fmt: skip
def test_a_broken_one_says_whose_it_is_and_why(install: Install, source: str, value: str, message: str) -> None:
    name = install(source, value=value, distribution="broken-dist")
    with pytest.raises(DriverBroken) as caught:
        load(name)
    assert message in caught.value.message
    assert "broken-dist 1.2.0" in caught.value.message


def test_the_names_that_templates_use_are_all_reserved() -> None:
    from jinja2.defaults import DEFAULT_NAMESPACE

    assert {*EVERYWHERE, *PLACES} - {"__error"} <= RESERVED
    assert DEFAULT_NAMESPACE.keys() - {"lipsum"} == GLOBALS
    for name in sorted(FILTERS):
        source = f"{{{{ 'x' | {name} }}}}"
        try:
            render(source, {})
        except Exception as error:
            assert "No filter named" not in str(error)


def test_a_marked_function_stays_what_it_is() -> None:
    def double(n: int) -> int:
        return n * 2

    assert function(double) is double
    assert double(2) == 4


# -- agents -----------------------------------------------------------------------------------------------

AGENT = """
from pydantic import BaseModel
from runtara_framework.agents import agent, capability
class In(BaseModel):
    n: int = 1
@agent(id="{id}")
class Own:
    @capability(id="give")
    def give(self, input: In) -> int: return input.n
"""


async def test_agents_come_along_as_texts_and_as_objects(install: Install) -> None:
    source = AGENT.format(id="own-text") + AGENT.format(id="own-object").replace("class Own", "class Other")
    name = install(source + "AGENTS = {'own-text': __name__ + ':Own', 'own-object': Other}")
    base = AgentRegistry()
    async with load(name).extend(base) as registry:
        assert {"own-text", "own-object"} <= set(registry.ids())
        assert set(base.ids()) < set(registry.ids())
        assert (
            registry.info("Own-Text").distribution == registry.info("own-object").distribution == f"{name}-dist 1.2.0"
        )
        assert registry.get("own-text") is registry.get("own-text")
        assert {"own-text", "own-object"} <= {agent.id for agent in registry.listing().agents}
        with pytest.raises(DriverNotFound, match="did you mean 'own-text'"):
            registry.get("own-txt")


def test_an_agent_is_imported_when_it_is_looked_up(install: Install) -> None:
    agents = install(AGENT.format(id="own-late"))
    name = install(f"AGENTS = {{'own-late': '{agents}:Own'}}")
    registry = load(name).extend(AgentRegistry())
    assert "own-late" in registry.ids()
    assert agents not in sys.modules
    assert registry.get("own-late").id == "own-late"


@pytest.mark.parametrize(
    ("agents", "error", "message"),
    [
        ("{'own': 'no_such_module:Own'}", DriverBroken, "ModuleNotFoundError"),
        ("{'own': 3}", DriverBroken, "is not decorated with @agent"),
        ("{'own': __name__ + ':Own'}", DriverBroken, "gives agent 'other': the two names must be equal"),
    ],
)
def test_an_agent_that_cannot_be_used_stops_nobody_else(
    install: Install, agents: str, error: type[PluginError], message: str
) -> None:
    registry = load(install(AGENT.format(id="other") + f"AGENTS = {agents}")).extend(AgentRegistry())
    with pytest.raises(error, match=message):
        registry.get("own")
    assert [problem.id for problem in registry.listing().problems] == ["own"]


def test_an_agent_with_the_id_of_another_is_refused(install: Install) -> None:
    base = AgentRegistry()
    stdlib = load(install(AGENT.format(id="own-twice") + "AGENTS = {'own-twice': Own}"))
    base.add(stdlib.agents["own-twice"])
    with pytest.raises(DriverAmbiguous, match=r"'own-twice' is installed, and .*-dist 1\.2\.0 brings one"):
        stdlib.extend(base).get("own-twice")


# -- pins -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("installed", "wanted", "fitting"),
    [
        ("1.2.0", "1.2.0", True), ("1.2.1", "1.2.0", True), ("1.10", "1.9.3", True), ("1.2", "1.2.0", True),
        ("1.1.9", "1.2.0", False), ("2.0.0", "1.2.0", False), ("0.3.4", "0.3.1", True), ("0.4.0", "0.3.1", False),
        ("1.2.0+local", "1.2.0", True), ("2.0rc1", "1.2.0", False), ("?", "?", True), ("?", "1.0", False),
    ],
)  # fmt: skip
def test_versions_fit_by_the_rules_of_semantic_versioning(installed: str, wanted: str, fitting: bool) -> None:
    assert fits(installed, wanted) is fitting


def test_a_pin_takes_a_later_version_of_the_same_distribution(install: Install) -> None:
    name = install(distribution="My.Own_dist", version="1.3")
    assert Pin(name, "my-own-dist", "1.2.0").load() is load(name)
    with pytest.raises(DriverIncompatible, match=r"here is My\.Own_dist 1\.3; .* compiled with other-dist 1\.3"):
        Pin(name, "other-dist", "1.3").load()
    with pytest.raises(DriverIncompatible, match=r"compiled with my-own-dist 1\.4"):
        Pin(name, "my-own-dist", "1.4").load()


@pytest.mark.parametrize(
    ("version", "reason"), [("", "DRIVER_NOT_FOUND"), ("2.0", "DRIVER_INCOMPATIBLE"), ("broken", "DRIVER_BROKEN")]
)
def test_a_program_without_its_stdlib_fails_with_a_structure(install: Install, version: str, reason: str) -> None:
    if version == "broken":
        install("1 / 0", name="own-pinned", distribution="own-dist")
    elif version:
        install(name="own-pinned", distribution="own-dist", version=version)
    with pytest.raises(Failure) as caught:
        start(Pin("own-pinned", "own-dist", "1.2.0"))
    told: dict[str, Any] = caught.value.to_dict()
    assert told["code"] == "STDLIB_UNAVAILABLE"
    assert told["category"] == "permanent"
    assert told["message"].startswith("the program needs the stdlib 'own-pinned' (own-dist 1.2.0): ")
    wanted = {"stdlib": "own-pinned", "distribution": "own-dist", "version": "1.2.0", "reason": reason}
    assert told["attributes"] == wanted


# -- the report -------------------------------------------------------------------------------------------


def test_the_report_shows_stdlibs_and_which_is_chosen(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install(name="chosen", distribution="a-dist")
    install("1 / 0", name="broken", distribution="b-dist")
    monkeypatch.setenv(ENVIRONMENT, "chosen")
    lines = {p.name: p for p in report(enabled={}, disabled=frozenset(), hooks=Hooks()) if p.kind == "stdlib"}
    assert (lines["chosen"].state, lines["chosen"].distribution, lines["chosen"].provides) == (
        "enabled", "a-dist", ["double"],
    )  # fmt: skip
    assert lines["broken"].state == "broken"
    assert "ZeroDivisionError" in lines["broken"].reason
