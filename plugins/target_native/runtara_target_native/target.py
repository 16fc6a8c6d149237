"""`NativeTarget`: the base that a program needs, and the program after it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtara_framework.packaging import write_zipapp
from runtara_framework.spec.target import Target
from runtara_target_native.analysis import analyse
from runtara_target_native.cache import Cache, cache_folder
from runtara_target_native.executable import Tools
from runtara_target_native.needs import Needs, needs_of
from runtara_target_native.tree import lay_out


class NativeTarget(Target):
    """Packs a program and all that it needs into an ELF executable. `cache`: where bases are kept; by default
    `$XDG_CACHE_HOME/runtara/target_native`."""

    api = 1
    suffix = ""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache

    def pack(self, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> bytes:
        """The executable. Takes half a minute for the first program that needs these agents, milliseconds for the next.

        Raises `DriverUnavailable` if this machine lacks a tool (see README.md), `CompilationFailed` if one fails or an
        agent is not installed as a distribution."""
        program = write_zipapp(files, manifest)
        needs = needs_of(files, manifest)
        tools = Tools.find()
        base = Cache(self._cache or cache_folder()).get([*tools.identity, *needs.identity], lambda: _make(needs, tools))
        return base + program


def _make(needs: Needs, tools: Tools) -> tuple[bytes, list[Path]]:
    """The base, and the files that it was made from."""
    found = analyse(needs)
    tree = lay_out(found, needs, tools)
    return tools.link(tree), found.sources
