"""Finding agents: by entry point, one at a time, with every way in which that can fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runtara_framework.agents import CapabilityContext
from runtara_framework.agents.errors import AgentError
from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.errors import (
    DriverAmbiguous,
    DriverBroken,
    DriverIncompatible,
    DriverNotFound,
    DriverUnavailable,
)

from .sample_agent import Shop

AGENT = """
from pydantic import BaseModel, Field
from runtara_framework.agents import agent, capability
class In(BaseModel):
    name: str = Field(description="Whom")
@agent(id={id!r}, api={api})
class Hello:
    @capability(id="greet", side_effects=False)
    def greet(self, input: In) -> str:
        return "hello " + input.name
"""
CONTEXT = CapabilityContext(tenant_id="t", instance_id="i", step_key="s")


class Site:
    """A folder of installed distributions, written by hand."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def install(self, distribution: str, entry_points: str, modules: dict[str, str], version: str = "1.0") -> None:
        info = self.path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[runtara.agents]\n{entry_points}\n")
        for name, source in modules.items():
            (self.path / f"{name}.py").write_text(source)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("good_agent", "bad_agent", "other_agent"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    site = Site(tmp_path)
    site.install("good-dist", "test-good = good_agent:Hello", {"good_agent": AGENT.format(id="test-good", api=1)})
    return site


async def test_an_installed_agent_is_found_described_and_called(site: Site) -> None:
    registry = AgentRegistry()
    assert "test-good" in registry.ids()
    info = registry.info("Test-Good")
    assert (info.id, info.distribution, info.title) == ("test-good", "good-dist 1.0", "Test good")
    assert await registry.invoke("test-good", "greet", {"name": "you"}, CONTEXT) == "hello you"


def test_a_look_up_imports_that_agent_and_no_other(site: Site) -> None:
    site.install("bad-dist", "test-bad = bad_agent", {"bad_agent": "raise RuntimeError('must not be imported')"})
    registry = AgentRegistry()
    registry.ids()
    assert "good_agent" not in sys.modules
    registry.get("test-good")
    assert "good_agent" in sys.modules


@pytest.mark.parametrize(
    ("value", "source", "error", "reason"),
    [
        ("bad_agent", "import nowhere_to_be_found", DriverBroken, "No module named 'nowhere_to_be_found'"),
        ("bad_agent", "raise SystemExit(1)", DriverBroken, "SystemExit"),
        ("bad_agent:Nothing", "", DriverBroken, "Nothing"),
        ("bad_agent", "x = 1", DriverBroken, "not decorated with @agent"),
        ("bad_agent:Hello", AGENT.format(id="another", api=1), DriverBroken, "the two names must be equal"),
        ("bad_agent:Hello", AGENT.format(id="test-bad", api=2), DriverIncompatible, "speaks contract 2"),
        ("bad_agent:Hello", AGENT.format(id="test-bad", api=None), DriverIncompatible, "speaks contract None"),
        (
            "bad_agent",
            "from runtara_framework.errors import DriverUnavailable\nraise DriverUnavailable('no crun here')",
            DriverUnavailable,
            "no crun here",
        ),
    ],
)
def test_a_broken_agent_says_why_and_stops_nobody_else(
    site: Site, value: str, source: str, error: type[Exception], reason: str
) -> None:
    site.install("bad-dist", f"test-bad = {value}", {"bad_agent": source}, version="2.3")
    registry = AgentRegistry()
    with pytest.raises(error, match=reason):
        registry.get("test-bad")
    listing = registry.listing()
    assert "test-good" in {one.id for one in listing.agents}
    (problem,) = [one for one in listing.problems if one.id == "test-bad"]
    assert problem.distribution == "bad-dist 2.3"
    assert reason in problem.reason and problem.code.startswith("DRIVER_")


async def test_a_broken_agent_is_a_permanent_failure_of_the_step(site: Site) -> None:
    site.install("bad-dist", "test-bad = bad_agent", {"bad_agent": "1 / 0"})
    with pytest.raises(AgentError, match="ZeroDivisionError") as caught:
        await AgentRegistry().invoke("test-bad", "greet", {}, CONTEXT)
    assert (caught.value.code, caught.value.category) == ("AGENT_UNAVAILABLE", "permanent")


def test_two_distributions_with_one_id_are_an_error_that_names_both(site: Site) -> None:
    site.install("other-dist", "test-good = other_agent:Hello", {"other_agent": AGENT.format(id="test-good", api=1)})
    registry = AgentRegistry()
    with pytest.raises(DriverAmbiguous, match=r"good-dist 1\.0 and other-dist 1\.0"):
        registry.get("test-good")
    (problem,) = registry.listing().problems
    assert problem.distribution == "good-dist 1.0 and other-dist 1.0"


def test_an_unknown_agent_names_the_nearest_and_all(site: Site) -> None:
    with pytest.raises(DriverNotFound, match=r"did you mean 'test-good'\?.*installed: .*test-good"):
        AgentRegistry().get("test-godo")


def test_a_disabled_agent_is_not_there_and_the_message_says_so(site: Site) -> None:
    registry = AgentRegistry(disabled=["test-good"])
    assert "test-good" not in registry.ids()
    with pytest.raises(DriverNotFound, match="disabled by the configuration"):
        registry.get("test-good")


def test_an_added_agent_may_not_take_the_id_of_another(site: Site) -> None:
    registry = AgentRegistry()
    registry.add(Shop)
    with pytest.raises(DriverAmbiguous):
        registry.add(Shop)


def test_warming_up_prepares_every_agent_that_works(site: Site) -> None:
    site.install("bad-dist", "test-bad = bad_agent", {"bad_agent": "1 / 0"})
    source = "calls = []\n" + AGENT.format(id="test-other", api=1) + "    def warm_up(self):\n        calls.append(1)\n"
    site.install("other-dist", "test-other = other_agent:Hello", {"other_agent": source})
    ready = AgentRegistry().warm_up()
    assert {"test-good", "test-other"} <= set(ready) and "test-bad" not in ready
    assert sys.modules["other_agent"].calls == [1]


def test_importing_agents_and_the_registry_imports_nothing_heavy() -> None:
    code = (
        "import sys, runtara_framework.agents, runtara_framework.agents.registry as r; r.AgentRegistry().ids();"
        "print([m for m in ('pydantic', 'sqlalchemy', 'starlette', 'stevedore', 'httpx') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
