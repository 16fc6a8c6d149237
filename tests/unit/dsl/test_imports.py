"""What a compiled instance imports of the DSL is light."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("pydantic", "jinja2", "sqlalchemy", "starlette", "asyncio", "socket", "typing_extensions", "stevedore")
PROGRAM = """
import sys
for name in {names!r}:
    __import__("runtara_framework.dsl" + name)
print(" ".join(sorted({{name.split(".")[0] for name in sys.modules}} & set({heavy!r}))))
"""


@pytest.mark.parametrize(
    ("names", "loaded"),
    [
        ((".paths", ".conditions", ".mapping", ".schemas", ".errors", ".jsontext", ".literals", ""), ""),
        ((".templates",), "jinja2"),
        ((".models",), "pydantic"),
    ],
)
def test_running_needs_no_models_and_rendering_loads_the_template_engine_alone(
    names: tuple[str, ...], loaded: str
) -> None:
    program = PROGRAM.format(names=names, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(loaded.split()) <= set(done.stdout.split())
    assert "pydantic" not in done.stdout or "pydantic" in loaded
    if not loaded:
        assert done.stdout.split() == []
