"""What every module owes its reader: one purpose, said first, in a size that fits a head."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

from .repository import ROOT, product_modules, shown

MOST_LINES = 600
UNFINISHED = re.compile(r"\b(TODO|FIXME|raise NotImplementedError)\b")


def test_no_module_is_longer_than_two_modules_should_be() -> None:
    sizes = {shown(m): len(m.read_text(encoding="utf-8").splitlines()) for m in product_modules()}

    assert not {name: lines for name, lines in sizes.items() if lines > MOST_LINES}


def test_every_module_says_its_purpose() -> None:
    silent = [shown(m) for m in product_modules() if not ast.get_docstring(ast.parse(m.read_text(encoding="utf-8")))]

    assert not silent


def test_public_names_are_sorted() -> None:
    ruff = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select=RUF022,F822", "--output-format=concise"]
    run = subprocess.run([*ruff, *map(str, product_modules())], cwd=ROOT, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout + run.stderr


def test_the_product_is_finished() -> None:
    found = [
        f"{shown(module)}:{number}: {line.strip()}"
        for module in product_modules()
        for number, line in enumerate(module.read_text(encoding="utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    ]

    assert not found
