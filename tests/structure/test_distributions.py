"""Every distribution is complete: four names by one rule, one version, one licence, and tests that are really collected."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections import Counter
from importlib.metadata import entry_points, version
from typing import Any

import pytest

from runtara_framework import __version__

from .repository import KERNEL, PLUGINS, ROOT, package_of, project

GROUPS = {
    "agents": "runtara.agents",
    "runner": "runtara.runners",
    "scheduler": "runtara.schedulers",
    "storage": "runtara.persistence",
    "target": "runtara.targets",
    "transport": "runtara.transports",
}
"""The first word of a plugin's folder, and the entry-point group that it stands for."""

LICENSE = "AGPL-3.0-or-later"
FEWEST_TESTS_OF_THE_KERNEL = 800
FEWEST_TESTS_OF_A_PLUGIN = 20


@pytest.fixture(params=PLUGINS)
def plugin(request: pytest.FixtureRequest) -> str:
    """Each plugin in turn, by the name of its folder."""
    name: str = request.param
    return name


@pytest.fixture
def table(plugin: str) -> dict[str, Any]:
    """Its `[project]` table."""
    return project(PLUGINS[plugin])


def test_there_are_plugins() -> None:
    assert PLUGINS


def test_four_names_follow_one_rule(plugin: str, table: dict[str, Any]) -> None:
    kind, _, name = plugin.partition("_")
    group = GROUPS[kind]
    offered: dict[str, str] = table["entry-points"][group]

    assert (package_of(plugin) / "__init__.py").is_file()
    assert (package_of(plugin) / "py.typed").is_file()
    assert table["name"] == f"runtara-{plugin.replace('_', '-')}"
    # A distribution of agents may offer several, each by its own name.
    assert offered if kind == "agents" else name in offered
    assert all(value.partition(":")[0].split(".")[0] == f"runtara_{plugin}" for value in offered.values())


def test_its_entry_points_are_installed_and_can_be_loaded(plugin: str, table: dict[str, Any]) -> None:
    for group, offered in table["entry-points"].items():
        for name in offered:
            (found,) = entry_points(group=group, name=name)
            assert found.value == offered[name]
            assert found.load()


def test_it_has_the_version_of_the_kernel_and_accepts_its_patches(plugin: str, table: dict[str, Any]) -> None:
    major, minor, _ = __version__.split(".")
    (kernel,) = (need for need in table["dependencies"] if re.match(r"runtara-framework\b", need))

    assert table["version"] == __version__ == version(table["name"])
    assert kernel.replace(" ", "") == f"runtara-framework>={major}.{minor},<{major}.{int(minor) + 1}"


def test_the_kernel_says_its_version_twice_and_the_same() -> None:
    assert project(ROOT)["version"] == __version__ == version("runtara-framework")


def test_it_says_its_licence_its_python_and_what_it_is(plugin: str, table: dict[str, Any]) -> None:
    kernel = project(ROOT)

    assert table["license"] == kernel["license"] == LICENSE
    assert table["requires-python"] == kernel["requires-python"]
    assert table["readme"] == "README.md"
    assert table["description"]
    assert f"runtara-{plugin.replace('_', '-')}" in (PLUGINS[plugin] / "README.md").read_text(encoding="utf-8")


def test_the_licence_is_the_whole_licence() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")

    assert text.split()[:5] == ["GNU", "AFFERO", "GENERAL", "PUBLIC", "LICENSE"]
    assert text.rstrip().endswith("<https://www.gnu.org/licenses/>.")
    assert len(text.encode()) == 34_523


def test_it_is_in_the_environment_of_developers(plugin: str) -> None:
    lines = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()

    assert any(re.fullmatch(rf"-e (\./)?plugins/{plugin}(\[\w+\])?", line) for line in lines)


def test_its_build_uses_the_backend_of_the_kernel(plugin: str) -> None:
    build = [
        tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
        for folder in (ROOT, PLUGINS[plugin])
    ]

    assert build[0] == build[1]


def test_every_distribution_has_tests_that_are_collected() -> None:
    collect = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "--no-header", "-p", "no:cacheprovider"]
    run = subprocess.run(collect, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, "\n".join(line for line in run.stdout.splitlines() if "::" not in line)

    counts = Counter(
        line.split("/")[1] if line.startswith("plugins/") else KERNEL
        for line in run.stdout.splitlines()
        if "::" in line
    )

    assert counts[KERNEL] >= FEWEST_TESTS_OF_THE_KERNEL
    assert not {plugin: counts[plugin] for plugin in PLUGINS if counts[plugin] < FEWEST_TESTS_OF_A_PLUGIN}
