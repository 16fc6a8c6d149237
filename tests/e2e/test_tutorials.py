"""The tutorials and the README, typed as they are written: each command of a `console` block prints what its page says.

A line that begins with `$ ` is typed; the lines after it are what it shall print, stdout before stderr, where `…` stands for
anything, and for any number of lines if it stands alone. `runtara-server` is started beside it, as in another terminal; under
`<!-- kill the server -->` it is killed first. A file that the page shows is there under its name.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def in_place(server: Server, folder: Path) -> None:
    """Make the server be where commands typed in `folder` look for it, and the examples, too."""
    server.data_dir = folder / ".data"
    server.address = f"unix://{server.data_dir}/environment.sock"
    (folder / "examples").symlink_to(ROOT / "examples")


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Type a command in `folder`."""
    environ = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "RUNTARA_ENVIRONMENT_ADDR": ""}
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=folder, env=environ, check=False)


def typed(command: str, folder: Path) -> str:
    """What a command prints: stdout, then stderr. As a person would, look again until an instance has come to rest."""
    while True:
        done = run(command, folder)
        if command != "runtara instances list" or not re.search(r"\b(pending|running)\b", done.stdout):
            return done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_prints_what_it_says(page: Path, server: Server, tmp_path: Path) -> None:
    text = page.read_text()
    in_place(server, tmp_path)
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
            assert re.fullmatch(pattern(expected), printed, re.DOTALL), (
                f"$ {command}\n{printed}\n--- shall be:\n{expected}"
            )


async def test_the_commands_and_the_program_of_the_readme_work(server: Server, tmp_path: Path) -> None:
    in_place(server, tmp_path)
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (typing,) = (block for language, block in blocks if not language and "runtara run" in block)
    for line in typing.splitlines():
        command = line.partition("#")[0].strip()
        if command == "runtara-server":
            server.start()
        else:
            done = run(command, tmp_path)
            assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    (program,) = (block for language, block in blocks if language == "python")
    code = compile(
        program.replace("http://127.0.0.1:8002", server.address), "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    )
    names: dict[str, Any] = {}
    await types.FunctionType(code, names)()
    assert names["info"].status == "completed"
