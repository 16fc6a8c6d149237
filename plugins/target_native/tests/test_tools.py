"""A machine that cannot make executables says what it lacks."""

from __future__ import annotations

from pathlib import Path

import pytest
from runtara_target_native import NativeTarget
from runtara_target_native.executable import Tools

from runtara_framework.errors import CompilationFailed, DriverUnavailable

PROGRAM = {"__main__.py": b""}


def test_without_a_compiler_it_says_which_packages_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DriverUnavailable, match=r"needs 'cc', .* apt-get install gcc libc6-dev zlib1g-dev"):
        NativeTarget().pack(PROGRAM, {})


def test_the_compiler_is_the_one_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(DriverUnavailable, match="'no-such-compiler'"):
        NativeTarget().pack(PROGRAM, {})


def test_what_a_compiler_complains_about_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho cannot find -lz >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    with pytest.raises(CompilationFailed, match=r"cc failed: cannot find -lz \(on Debian"):
        Tools.find().link({})


def test_a_python_without_a_loader_is_refused(executable: bytes, tmp_path: Path) -> None:
    static = tmp_path / "static"
    static.write_bytes(executable)
    static.chmod(0o755)
    with pytest.raises(CompilationFailed):
        Tools.find().loader(static)


def test_a_library_that_the_compiler_does_not_know_is_refused() -> None:
    tools = Tools.find()
    assert tools.compilers_library("libgcc_s.so.1").read_bytes().startswith(b"\x7fELF")
    with pytest.raises(DriverUnavailable, match="libnothing"):
        tools.compilers_library("libnothing.so.1")


def test_the_files_must_be_a_program() -> None:
    with pytest.raises(ValueError, match=r"needs a __main__\.py"):
        NativeTarget().pack({"program.py": b""}, {})


def test_equal_trees_give_equal_bytes() -> None:
    tools = Tools.find()
    tree = {"bin/a": b"1" * 1000, "lib/b": b"2"}
    assert tools.link(tree) == tools.link(dict(reversed(tree.items())))
    assert tools.link(tree) != tools.link({**tree, "lib/b": b"3"})
