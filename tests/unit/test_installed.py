"""What is installed is looked for once, and again when something has been installed."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from runtara_framework.installed import offers


def install(folder: Path, name: str) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[example.group]\n{name} = {name}:thing\n")


def names() -> list[str]:
    return sorted(point.name for point in offers("example.group"))


def test_it_is_looked_for_again_only_when_something_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[int] = []
    real = importlib.metadata.entry_points
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **given: searches.append(1) or real(**given))
    assert names() == []
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, "one")
    assert names() == ["one"]
    before = len(searches)
    assert names() == ["one"] and offers("example.other") == () and len(searches) == before
    install(tmp_path, "two")
    assert names() == ["one", "two"] and len(searches) == before + 1
    assert [point.dist and point.dist.name for point in offers("example.group")] in (["one", "two"], ["two", "one"])


def test_a_search_path_with_odd_folders_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for odd in (str(tmp_path / "missing"), "", "a\0b"[:1], str(tmp_path)):
        monkeypatch.syspath_prepend(odd)
    install(tmp_path, "three")
    assert names() == ["three"]
