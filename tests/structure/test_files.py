"""What no file may hold, and what the files of the project's tools must do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .repository import ROOT, shown, text_files

# In pieces, so that this file does not hold what it forbids.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("yarnpkg", "com"),
        ("crates", "io"),
        ("docker", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
        ("gcr", "io"),
        ("anaconda", "org"),
        ("rubygems", "org"),
        ("proxy", "golang", "org"),
    )
]


def test_no_file_names_the_host_of_a_registry() -> None:
    # People build behind mirrors: where packages come from is the machine's configuration, not the project's.
    host = re.compile(rf"\b({'|'.join(map(re.escape, REGISTRIES))})\b")
    found = [shown(path) for path in text_files() if host.search(path.read_text(encoding="utf-8", errors="replace"))]

    assert not found


def test_every_fragment_of_the_changelog_is_rendered() -> None:
    fragments = [path for path in (ROOT / "changelog.d").iterdir() if path.name != "README.md"]
    towncrier = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "0"]
    run = subprocess.run(towncrier, cwd=ROOT, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout + run.stderr
    rendered = " ".join(run.stdout.split())
    assert not [p.name for p in fragments if " ".join(p.read_text(encoding="utf-8").split()) not in rendered]


def test_a_skipped_test_fails_in_ci_and_only_there(tmp_path: Path) -> None:
    shutil.copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_skips.py").write_text(
        "import pytest\n"
        "def test_skips(): pytest.skip('no crun here')\n"
        "@pytest.mark.xfail\n"
        "def test_is_known_to_fail(): assert False\n"
    )
    (tmp_path / "test_module.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    outside = {name: value for name, value in os.environ.items() if name not in {"CI", "PYTEST_ADDOPTS"}}

    def outcome(**environment: str) -> str:
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--continue-on-collection-errors"],
            cwd=tmp_path,
            env={**outside, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return run.stdout

    assert "2 skipped, 1 xfailed" in outcome()
    in_ci = outcome(CI="true")
    assert "1 failed, 1 xfailed, 1 error" in in_ci
    assert "no crun here" in in_ci
