"""The tutorials, typed as they are written: each command of a `console` block prints what the page says that it prints.

A line that begins with `$ ` is typed; the lines after it are what it shall print, stdout before stderr, where `…` stands for
anything, and for any number of lines if it stands alone. `runtara-server` is started beside it, as in another terminal; under
`<!-- kill the server -->` it is killed first. A file that the page shows is there under its name.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import BIN, ROOT, Server

PAGES = sorted((ROOT / "docs" / "tutorial").glob("*.md"))
FILE = re.compile(r"<!-- file: (\S+) -->")
CONSOLE = re.compile(r"(<!-- kill the server -->\n)?```console\n(.*?)```", re.DOTALL)


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Each command of a block, and what it prints."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected


def pattern(expected: str) -> str:
    """A regular expression for what is printed."""
    lines = [
        ".*\n?" if line == "…" else re.escape(line).replace("…", "[^\n]*") + "\n" for line in expected.splitlines()
    ]
    return "".join(lines)


def typed(command: str, folder: Path) -> str:
    """What a command prints: stdout, then stderr. As a person would, look again until an instance has come to rest."""
    environ = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "RUNTARA_ENVIRONMENT_ADDR": ""}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=folder, env=environ, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_prints_what_it_says(page: Path, server: Server, tmp_path: Path) -> None:
    text = page.read_text()
    server.data_dir = tmp_path / ".data"  # where the commands look for it
    server.address = f"unix://{server.data_dir}/environment.sock"
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for name in FILE.findall(text):
        (tmp_path / Path(name).name).write_text((ROOT / name).read_text())
    blocks = CONSOLE.findall(text)
    assert blocks, "a tutorial shows commands"
    for kill, block in blocks:
        for command, expected in commands(block):
            if kill:
                server.kill()
            if command == "runtara-server":
                server.start()
                continue
            printed = typed(command, tmp_path)
            while re.search(r"\b(pending|running)\b", printed) and command == "runtara instances list":
                printed = typed(command, tmp_path)
            assert re.fullmatch(pattern(expected), printed, re.DOTALL), (
                f"$ {command}\n{printed}\n--- shall be:\n{expected}"
            )
