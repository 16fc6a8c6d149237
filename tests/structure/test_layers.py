"""Who may import whom: import-linter knows the rooms of the kernel, and plugins are found by folder."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .repository import KERNEL, PLUGINS, ROOT, imports_of, package_of, shown

SERVER_ROOMS = {f"{KERNEL}.{room}" for room in ("cli", "kernel", "services")}


def test_the_kernel_keeps_its_layers() -> None:
    lint = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    run = subprocess.run([*lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout + run.stderr


def test_the_kernel_names_no_plugin() -> None:
    # The distribution's name counts too: a text that recommends one plugin would know it as well as an import does.
    names = {plugin: (f"runtara_{plugin}", f"runtara-{plugin.replace('_', '-')}") for plugin in PLUGINS}
    found = [
        f"{shown(module)} names {plugin}"
        for module in (ROOT / KERNEL).rglob("*.py")
        for plugin, spellings in names.items()
        if any(name in module.read_text(encoding="utf-8") for name in spellings)
    ]

    assert not found


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_imports_neither_another_plugin_nor_the_rooms_of_the_server(plugin: str) -> None:
    others = {f"runtara_{other}" for other in PLUGINS if other != plugin}
    modules = list(package_of(plugin).rglob("*.py"))
    found = [
        f"{shown(module)} imports {name}"
        for module in modules
        for name in sorted(imports_of(module))
        if name.split(".")[0] in others or ".".join(name.split(".")[:2]) in SERVER_ROOMS
    ]

    assert modules
    assert not found


@pytest.mark.parametrize("plugin", PLUGINS)
def test_only_a_storage_imports_the_sql_toolkit(plugin: str) -> None:
    found = [
        f"{shown(module)} imports {name}"
        for module in package_of(plugin).rglob("*.py")
        for name in sorted(imports_of(module))
        if name.split(".")[0] in {"sqlalchemy", "alembic"}
    ]

    assert plugin.startswith("storage_") or not found
