"""Target: what a compiled scenario is packed into. Group `runtara.targets`; the name of an entry point is `target=`.

A target is no driver of a server: it works where images are made, is configured by nothing and never started. It gets the
files of a program and its manifest, and answers with the bytes of one file that runs by itself: whoever executes it
executes `__main__.py`, and `runtara_framework.packaging.read_manifest` finds the manifest in it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from runtara_framework.spec.driver import Kind


class Target(ABC):
    """Contract of a compile target. Made without arguments, once for each process that compiles."""

    api: ClassVar[int]
    capabilities: ClassVar[frozenset[str]] = frozenset()
    suffix: ClassVar[str]  # of the names of files that it makes: ".pyz"; may be empty

    @abstractmethod
    def pack(self, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> bytes:
        """The executable. `files`: relative path with slashes -> content, one of them `__main__.py`; `manifest` is JSON and
        becomes `runtara.json`. Called from any thread, also concurrently. Keeps on disk what is costly to make again.

        Raises `ValueError` for files that `packaging.write_zipapp` refuses, `DriverUnavailable` if this machine lacks a
        tool, `CompilationFailed` if the tool fails."""


TARGET = Kind(name="target", group="runtara.targets", base=Target, api=1)  # type: ignore[type-abstract]  # mypy 4717
