from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from runtara_framework.errors import ImageInvalid
from runtara_framework.packaging import read_manifest, write_zipapp

MAIN = b"import sys, helper; print(helper.word, sys.argv[1])\n"
FILES = {"__main__.py": MAIN, "helper.py": b"word = 'hello'\n"}


def test_an_image_runs_by_itself(tmp_path: Path) -> None:
    image = tmp_path / "order.pyz"
    image.write_bytes(write_zipapp(FILES, {"kind": "python"}))
    image.chmod(0o755)
    assert image.read_bytes().startswith(b"#!/usr/bin/env python3\n")
    done = subprocess.run([sys.executable, image, "world"], capture_output=True, text=True, check=True)
    assert done.stdout == "hello world\n"


def test_equal_programs_are_equal_images() -> None:
    manifest = {"kind": "python", "name": "é", "format": 1}
    turned = dict(reversed(manifest.items()))
    assert write_zipapp(FILES, manifest) == write_zipapp(dict(reversed(FILES.items())), turned)
    assert write_zipapp(FILES, manifest) != write_zipapp(FILES, {**manifest, "format": 2})


def test_a_manifest_comes_back_from_bytes_and_from_a_file(tmp_path: Path) -> None:
    manifest = {"kind": "scenario", "inputSchema": {"a": [1, None, "ü"]}}
    image = write_zipapp(FILES, manifest)
    path = tmp_path / "image"
    path.write_bytes(image)
    assert read_manifest(image) == manifest
    assert read_manifest(path) == manifest


@pytest.mark.parametrize("image", [b"", b"#!/bin/sh\necho hi\n", b"\x7fELF" + b"\0" * 100, b"PK"])
def test_an_image_of_another_kind_has_no_manifest(image: bytes) -> None:
    assert read_manifest(image) is None


def test_an_archive_without_a_manifest_has_none() -> None:
    assert read_manifest(archive({"__main__.py": b""})) is None


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (lambda: archive({"runtara.json": b"{"}), "no valid JSON"),
        (lambda: archive({"runtara.json": b"[]"}), "must be a JSON object, not list"),
        (lambda: archive({"runtara.json": b" " * (16 * 2**20 + 1)}), "larger than"),
        (lambda: write_zipapp(FILES, {})[:-30], "looks like a zip archive"),
    ],
)
def test_a_damaged_manifest_is_refused(image: Any, why: str) -> None:
    with pytest.raises(ImageInvalid, match=why):
        read_manifest(image())


@pytest.mark.parametrize("name", ["/etc/passwd", "../up.py", "a//b.py", "a\\b.py", "./a.py", "nul\0"])
def test_a_path_that_leaves_the_archive_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="plain relative"):
        write_zipapp({"__main__.py": b"", name: b""}, {})


def test_what_cannot_be_an_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs a __main__\.py"):
        write_zipapp({"main.py": b""}, {})
    with pytest.raises(ValueError, match=r"runtara\.json"):
        write_zipapp({**FILES, "runtara.json": b"{}"}, {})
    with pytest.raises((TypeError, ValueError)):
        write_zipapp(FILES, {"x": object()})


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        for name, data in files.items():
            out.writestr(name, data)
    return buffer.getvalue()


def test_the_manifest_is_readable_json() -> None:
    with zipfile.ZipFile(io.BytesIO(write_zipapp(FILES, {"name": "ü"}))) as image:
        assert json.loads(image.read("runtara.json")) == {"name": "ü"}
        assert {entry.date_time for entry in image.infolist()} == {(1980, 1, 1, 0, 0, 0)}
