"""The conformance suite of stdlibs notices what a stdlib does wrong."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

GOOD = '''
    """Of a test."""
    from runtara_framework.stdlib import function

    COUNT = iter(range(100))

    @function
    def own(items):
        """Counts."""
        return len(items)
'''
TESTS = """
import pytest
from runtara_framework.testing.stdlib import Call, Refusal, StdlibConformance

class TestOwn(StdlibConformance):
    @pytest.fixture
    def stdlib(self):
        return "{module}"

    @pytest.fixture
    def calls(self):
        return [Call("own", [[1, 2]], 2), Call("own", [], 1, {{"items": [3]}})]

    @pytest.fixture
    def refusals(self):
        return [Refusal("own", [3], "has no len()")]
"""


def outcome(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, old: str = "", new: str = "") -> set[str]:
    """The names of the tests that fail for the stdlib in which `old` stands as `new`."""
    assert old in GOOD
    module = pytester.path.name.replace("-", "_")
    (pytester.path / f"{module}.py").write_text(textwrap.dedent(GOOD.replace(old, new)))
    info = pytester.path / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[runtara.stdlib]\n{module} = {module}\n")
    monkeypatch.syspath_prepend(str(pytester.path))
    path = Path(pytester.makepyfile(TESTS.format(module=module)))
    results = pytester.inline_run("-p", "no:cacheprovider", "-p", "no:asyncio", str(path))
    passed, _, failed = results.listoutcomes()
    assert len(passed) + len(failed) == 5
    return {report.nodeid.rpartition("::")[2] for report in failed}


def test_a_good_stdlib_passes(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome(pytester, monkeypatch) == set()


@pytest.mark.parametrize(
    ("old", "new", "failing"),
    [
        ("return len(items)", "return len(items) + next(COUNT)", "test_results_are_the_same_at_every_call_and_in"),
        (
            "return len(items)",
            "import os; return len(items) + len(os.environ['HOME']) * 0",
            "test_results_are_the_same",
        ),
        ("return len(items)", "n = len(items); items.clear(); return n", "test_arguments_are_left_alone"),
        ("return len(items)", "return {len(items)}", "test_templates_get_the_result_of_each_call"),
        ('"""Counts."""', "pass", "test_every_function_is_called_and_described"),
        ("@function", "other = function(lambda: 1)\n    @function", "test_every_function_is_called_and_described"),
    ],
)
def test_a_bad_stdlib_fails(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, old: str, new: str, failing: str
) -> None:
    failed = outcome(pytester, monkeypatch, old, new)
    assert any(name.startswith(failing) for name in failed)
