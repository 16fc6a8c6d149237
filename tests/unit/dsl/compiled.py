"""What the compiler makes of one mapping or condition, evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter

from runtara_framework.compiler.expressions import Expressions
from runtara_framework.compiler.literals import Names
from runtara_framework.dsl.mapping import is_mapping
from runtara_framework.dsl.models import Argument, Condition, InputMapping, MappingValue

_mapping: TypeAdapter[Any] = TypeAdapter(MappingValue)
_inputs: TypeAdapter[Any] = TypeAdapter(InputMapping)
_condition: TypeAdapter[Any] = TypeAdapter(Condition)
_argument: TypeAdapter[Any] = TypeAdapter(Argument)


def _run(scope: Mapping[str, Any], write: Callable[[Expressions], str]) -> Any:
    expressions = Expressions(Names(frozenset({"v", "main"})))
    expression = write(expressions)
    imports = [
        f"from {'json' if module == 'json' else f'runtara_framework.{module}'} import {', '.join(sorted(names))}"
        for module, names in expressions.imports.items()
    ]
    parts = [*imports, *expressions.path_lines(), *expressions.helpers, f"def main(v):\n    return {expression}"]
    namespace: dict[str, Any] = {}
    exec("\n".join(parts), namespace)  # noqa: S102  # this is what an image does
    return namespace["main"](scope)


def value(mapping: Mapping[str, Any], scope: Mapping[str, Any]) -> Any:
    """What one mapping value gives."""
    model = _mapping.validate_python(mapping)
    return _run(scope, lambda expressions: expressions.value(model))


def inputs(mapping: Mapping[str, Any], scope: Mapping[str, Any], *, for_agent: bool = False) -> Any:
    """The object that an input mapping builds."""
    model = _inputs.validate_python(mapping)
    return _run(scope, lambda expressions: expressions.inputs(model, for_agent=for_agent))


def output(literal: Any, scope: Mapping[str, Any]) -> Any:
    """The `output` or `default` of a Switch."""
    return _run(scope, lambda expressions: expressions.resolved(literal, is_mapping))


def condition(given: Mapping[str, Any], scope: Mapping[str, Any]) -> bool:
    """The truth of a condition."""
    model = _condition.validate_python(given)
    result: bool = _run(scope, lambda expressions: expressions.test(model))
    return result


def argument(given: Mapping[str, Any], scope: Mapping[str, Any]) -> Any:
    """What an argument of a condition gives, as IS_DEFINED's would be."""
    model = _argument.validate_python(given)
    return _run(scope, lambda expressions: expressions._condition(model, 0)[0])
