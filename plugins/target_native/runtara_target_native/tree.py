"""Lays out what was found as a small Python installation: `bin/`, `lib/` for libraries, `lib/python3.11/` for all else.

It is an ordinary one, so modules, extension modules, data files and the metadata of distributions (entry points among it)
are found by Python's own means. Modules are there as bytecode only.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections import deque
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, packages_distributions
from pathlib import Path
from py_compile import PycInvalidationMode
from py_compile import compile as compile_module
from tempfile import TemporaryDirectory
from typing import Protocol

from packaging.utils import canonicalize_name

from runtara_target_native.analysis import Found
from runtara_target_native.needs import Needs

Tree = dict[str, bytes]
"""Relative path with slashes -> content. What is below `bin/` is executable."""

LOADER = "bin/runtara"
"""The dynamic loader, under the name that the process is to have."""
PYTHON = "bin/python3"
LIBRARIES = "lib"
MODULES = f"lib/python{sys.version_info.major}.{sys.version_info.minor}"
LICENSES = ("licen", "copying", "notice", "authors")


class Elves(Protocol):
    """What is known of executables and libraries: `executable.Tools`."""

    def needed(self, elf: Path) -> dict[str, Path]: ...
    def stripped(self, elf: Path) -> bytes: ...
    def loader(self, elf: Path) -> Path: ...
    def compilers_library(self, name: str) -> Path: ...


def lay_out(found: Found, needs: Needs, elves: Elves) -> Tree:
    """The installation."""
    tree: Tree = {}
    tree.update(_modules(found))
    tree.update(
        (f"{MODULES}/{target}", Path(source).read_bytes()) for target, source, kind in found.datas if kind == "DATA"
    )
    tree.update(_binaries(found, elves))
    tree.update(_metadata(found, needs))
    return tree


def _modules(found: Found) -> Iterator[tuple[str, bytes]]:
    library = Path(sysconfig.get_path("stdlib"))
    sources = {name.removesuffix("c"): library / name.removesuffix("c") for name in found.builtin}
    for name, source, _ in found.pure:
        path = Path(source)
        if path.suffix == ".py":  # else a namespace package, or frozen into the interpreter
            below = name.replace(".", "/")
            sources[f"{below}/__init__.py" if path.name == "__init__.py" else f"{below}.py"] = path
    with TemporaryDirectory(prefix="runtara-") as folder:
        made = Path(folder, "made.pyc")
        for target, path in sorted(sources.items()):
            # The name in tracebacks is a relative one, so that it does not matter where this machine keeps its packages.
            compile_module(
                str(path), str(made), dfile=target, doraise=True, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
            )
            yield f"{MODULES}/{target}c", made.read_bytes()


def _binaries(found: Found, elves: Elves) -> Iterator[tuple[str, bytes]]:
    python = Path(os.path.realpath(sys.executable))
    placed: dict[str, Path] = {PYTHON: python}
    for target, source, kind in found.binaries:
        if kind == "EXTENSION" and target.startswith("python3."):
            placed[f"{LIBRARIES}/{target}"] = Path(source)
        elif "/" in target and kind != "SYMLINK":
            placed[f"{MODULES}/{target}"] = Path(source)
        elif kind == "BINARY" and not target.startswith("libpython"):  # which the interpreter may have inside
            placed[f"{LIBRARIES}/{target}"] = Path(source)
    # PyInstaller leaves out what every Linux has: the libraries of the system's C compiler.
    names = {Path(target).name for target in placed}
    waiting = deque([*placed.values(), unwinder := elves.compilers_library("libgcc_s.so.1")])
    placed.setdefault(f"{LIBRARIES}/{unwinder.name}", unwinder)  # which the C library opens when a thread ends
    while waiting:
        for name, path in elves.needed(waiting.popleft()).items():
            if name not in names:
                names.add(name)
                placed[f"{LIBRARIES}/{name}"] = path
                waiting.append(path)
    for target, path in placed.items():
        own = path.is_relative_to(sys.base_prefix) and "site-packages" not in path.parts
        yield target, elves.stripped(path) if own else path.read_bytes()
    yield LOADER, elves.loader(python).read_bytes()


# -- metadata ---------------------------------------------------------------------------------------------


def _metadata(found: Found, needs: Needs) -> Iterator[tuple[str, bytes]]:
    """Name, version and licences of each distribution that something inside comes from; entry points of ours only."""
    tops = {target.replace("/", ".").partition(".")[0] for target, _, _ in (*found.pure, *found.binaries, *found.datas)}
    owners = {
        canonicalize_name(owner) for top, names in packages_distributions().items() if top in tops for owner in names
    }
    plugins = {canonicalize_name(point.dist.name) for point in needs.plugins if point.dist is not None}
    for name in sorted((owners | plugins | {"runtara-framework"}) & needs.distributions.keys()):
        dist = needs.distributions[name]
        folder = f"{MODULES}/{name.replace('-', '_')}-{dist.version}.dist-info"
        yield f"{folder}/METADATA", (dist.read_text("METADATA") or "").encode()
        if entry_points := "".join(_entry_points(name, needs)):
            yield f"{folder}/entry_points.txt", entry_points.encode()
        for path in _licenses(dist):
            yield f"{folder}/licenses/{path.name}", path.read_bytes()


def _entry_points(distribution: str, needs: Needs) -> Iterator[str]:
    for point in needs.plugins:
        if point.dist is not None and canonicalize_name(point.dist.name) == distribution:
            yield f"[{point.group}]\n{point.name} = {point.value}\n"


def _licenses(dist: Distribution) -> Iterable[Path]:
    for file in dist.files or ():
        path = Path(str(dist.locate_file(file)))
        if ".dist-info" in str(file) and path.name.lower().startswith(LICENSES) and path.is_file():
            yield path
