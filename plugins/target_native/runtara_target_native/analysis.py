"""Finds the files of all that is imported, with PyInstaller: it follows imports, and knows the packages that hide some."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from packaging.utils import canonicalize_name

from runtara_framework.errors import CompilationFailed
from runtara_target_native.needs import CERTIFICATES, KERNEL, LANGUAGE, RUNTIME, SDK, TIME_ZONES, Needs

SPEC = Path(__file__).with_name("analysis.spec")
# Rooms of the kernel that no instance may enter; with them would come all that a server needs.
SERVER = ("cli", "compiler", "extension", "kernel", "management", "scheduling", "services", "storage", "testing")

Entry = tuple[str, str, str]
"""As PyInstaller has it: where it goes (or the name of a module), where it is, and what it is."""


class Found(msgspec.Struct, frozen=True):
    """Every file that belongs inside."""

    pure: list[Entry]
    binaries: list[Entry]
    datas: list[Entry]
    builtin: list[str]  # files of the standard library that Python cannot start without, relative to it

    @property
    def sources(self) -> list[Path]:
        """The files themselves, as far as they lie outside of PyInstaller's own work."""
        return sorted({Path(source) for _, source, _ in (*self.pure, *self.binaries, *self.datas) if source != "-"})


def analyse(needs: Needs) -> Found:
    """Run PyInstaller's analysis. Raises `CompilationFailed` with what it said."""
    with TemporaryDirectory(prefix="runtara-") as name:
        folder = Path(name)
        script, request, answer = folder / "program.py", folder / "request.json", folder / "answer.json"
        script.write_text("\n".join([*(f"import {module}" for module in (*LANGUAGE, *SDK)), *needs.imports, ""]))
        request.write_text(json.dumps({"script": str(script), "answer": str(answer), **_request(needs)}))
        command = [sys.executable, "-P", "-m", "PyInstaller", "--log-level=ERROR", "--noconfirm"]
        command += [f"--workpath={folder / 'work'}", f"--distpath={folder / 'dist'}", str(SPEC), "--", str(request)]
        environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),  # what this process can import
            "PYINSTALLER_CONFIG_DIR": str(folder / "config"),
        }
        run = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, check=False)
        if run.returncode or not answer.exists():
            raise CompilationFailed(f"PyInstaller cannot analyse the program: {run.stderr.strip()[-2000:]}")
        return msgspec.json.decode(answer.read_bytes(), type=Found)


def _request(needs: Needs) -> dict[str, list[str]]:
    inside = needs.distributions
    outside = {
        top
        for top, owners in packages_distributions().items()
        if top.isidentifier() and not any(canonicalize_name(owner) in inside for owner in owners)
    }
    modules = {*needs.modules, *(plugin.module for plugin in needs.plugins)}
    return {
        "modules": sorted(modules | {CERTIFICATES} | ({TIME_ZONES} & inside.keys())),
        "packages": [RUNTIME],
        "data": sorted({module.partition(".")[0] for module in modules} - {KERNEL.replace("-", "_")}),
        "excludes": sorted({*outside, *(f"runtara_framework.{room}" for room in SERVER)}),
    }
