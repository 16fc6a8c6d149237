"""Where things are in this repository, for the tests of its structure. Nothing here lists plugins: folders are found."""

from __future__ import annotations

import ast
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
KERNEL = "runtara_framework"
PLUGINS = {path.parent.name: path.parent for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))}
GENERATED = {"build", "dist", "node_modules", "__pycache__"}
"""Folders that tools make; those that begin with a dot are left out as well, except `.ci`."""


def package_of(plugin: str) -> Path:
    """The folder that is imported: `plugins/runner_mock/runtara_runner_mock`."""
    return PLUGINS[plugin] / f"runtara_{plugin}"


def product_modules() -> list[Path]:
    """Every Python module that is shipped in a wheel."""
    packages = [ROOT / KERNEL, *(package_of(plugin) for plugin in PLUGINS)]
    return [path for package in packages for path in sorted(package.rglob("*.py"))]


def text_files() -> Iterator[Path]:
    """Every file of the tree that is text and not made by a tool."""
    for folder, names, files in os.walk(ROOT):
        names[:] = [n for n in names if n not in GENERATED and (not n.startswith(".") or n == ".ci")]
        for name in files:
            path = Path(folder, name)
            if b"\0" not in path.read_bytes()[:1024]:
                yield path


def imports_of(module: Path) -> set[str]:
    """The dotted names that a module imports, wherever in the file; `from a import b` counts as `a` and `a.b`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def project(folder: Path) -> dict[str, Any]:
    """The `[project]` table of a distribution."""
    table: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def shown(path: Path) -> str:
    """A path as a reader of a failed test wants it."""
    return str(path.relative_to(ROOT))
