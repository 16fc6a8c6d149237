"""Conformance of stdlibs: inherit `StdlibConformance`, say which stdlib, and give calls.

    class TestMyProductStdlib(StdlibConformance):
        @pytest.fixture
        def stdlib(self):
            return "my_product_stdlib"  # the entry point's name

        @pytest.fixture
        def calls(self):
            return [Call("vat", [2500], 475)]

The suite proves what `runtara_framework/dsl/functions.py` asks for: JSON in and out, arguments left alone, the same result at
every call and in every process. Agents of the stdlib are proven by `testing.agents`.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from runtara_framework.dsl.errors import TemplateFailed
from runtara_framework.dsl.templates import render
from runtara_framework.stdlib import Stdlib, load
from runtara_framework.testing.suite import Conformance

_ELSEWHERE = """
import json, sys
from runtara_framework.stdlib import load
name, calls = json.load(sys.stdin)
functions = load(name).functions.by_name
print(json.dumps([functions[called](*args, **named) for called, args, named in calls]))
"""


@dataclass(frozen=True)
class Call:
    """One call of a function, and what it gives."""

    function: str
    args: Sequence[Any]
    result: Any
    named: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """One call that fails, and a part of the message."""

    function: str
    args: Sequence[Any]
    message: str


class StdlibConformance(Conformance):
    """Inherit it; see the module."""

    # -- must override ------------------------------------------------------------------------------------

    @pytest.fixture
    def stdlib(self) -> str:
        """The name of the entry point in group `runtara.stdlib`."""
        pytest.fail("override the fixture `stdlib`: the name of your entry point in group runtara.stdlib")

    @pytest.fixture
    def calls(self) -> Sequence[Call]:
        """At least one call of every function."""
        pytest.fail("override the fixture `calls`: one Call or more for every function")

    # -- may override -------------------------------------------------------------------------------------

    @pytest.fixture
    def refusals(self) -> Sequence[Refusal]:
        """Calls with arguments that a function refuses."""
        return ()

    @pytest.fixture
    def loaded(self, stdlib: str) -> Stdlib:
        return load(stdlib)

    # -- the suite ----------------------------------------------------------------------------------------

    def test_every_function_is_called_and_described(self, loaded: Stdlib, calls: Sequence[Call]) -> None:
        assert loaded.functions.by_name.keys() == {call.function for call in calls}
        undescribed = [name for name, function in loaded.functions.by_name.items() if not function.__doc__]
        assert not undescribed, "these functions have no docstring"

    def test_templates_get_the_result_of_each_call(self, loaded: Stdlib, calls: Sequence[Call]) -> None:
        for call in calls:
            shown = render(_template(call), _scope(call), loaded.functions)
            assert json.loads(shown) == call.result, call

    def test_arguments_are_left_alone(self, loaded: Stdlib, calls: Sequence[Call]) -> None:
        for call in calls:
            args, named = copy.deepcopy((list(call.args), dict(call.named)))
            loaded.functions.by_name[call.function](*args, **named)
            assert (args, named) == (list(call.args), dict(call.named)), f"{call.function} changes its arguments"

    def test_results_are_the_same_at_every_call_and_in_every_process(
        self, loaded: Stdlib, calls: Sequence[Call]
    ) -> None:
        given = json.dumps([loaded.name, [[c.function, list(c.args), dict(c.named)] for c in calls]])
        for seed in ("1", "2"):
            env = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))}
            run = subprocess.run(
                [sys.executable, "-c", _ELSEWHERE], input=given, capture_output=True, text=True, env=env, check=False
            )
            assert run.returncode == 0, run.stderr
            for call, result in zip(calls, json.loads(run.stdout), strict=True):
                assert result == call.result, f"{call.function} gave something else in another process"

    def test_refused_arguments_name_the_function(self, loaded: Stdlib, refusals: Sequence[Refusal]) -> None:
        for refusal in refusals:
            call = Call(refusal.function, refusal.args, None)
            with pytest.raises(TemplateFailed) as caught:
                render(_template(call), _scope(call), loaded.functions)
            assert refusal.message in caught.value.message
            assert refusal.function in caught.value.message


def _template(call: Call) -> str:
    arguments = [f"data.args[{number}]" for number in range(len(call.args))]
    arguments += [f"{name}=data.named[{json.dumps(name)}]" for name in call.named]
    return f"{{{{ {call.function}({', '.join(arguments)}) | tojson }}}}"


def _scope(call: Call) -> dict[str, Any]:
    return {"data": {"args": list(call.args), "named": dict(call.named)}}
