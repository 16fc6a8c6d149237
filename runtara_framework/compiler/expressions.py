"""Mapping values and conditions as Python expressions over `v`, the roots of the scope.

The expressions call the functions of `dsl.mapping` and `dsl.conditions`, so a compiled program means what the validator
and the debugger mean. Paths are parsed here and stand as constants at the top of the program. What nests too deeply for
a reader (and for Python's parser) becomes a function of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runtara_framework.compiler.literals import Names, literal
from runtara_framework.dsl.conditions import BINARY, UNARY
from runtara_framework.dsl.mapping import is_mapping, is_reference
from runtara_framework.dsl.models import (
    Argument,
    Composite,
    Condition,
    Immediate,
    InputMapping,
    MappingValue,
    Operation,
    Reference,
    Template,
    ValueTest,
)
from runtara_framework.dsl.paths import parse_path

MAX_DEPTH = 12

Marker = Callable[[Any], bool]


class Expressions:
    """Collects the paths and helper functions that the expressions of one program need."""

    def __init__(self, names: Names, functions: str = "") -> None:
        self.names = names
        self.functions = functions  # what templates call beside what is built in: an expression, or nothing
        self.imports: dict[str, set[str]] = {}  # module -> names
        self.paths: dict[str, str] = {}  # path text -> constant
        self.helpers: list[str] = []  # source of functions, in the order in which they were needed

    def use(self, module: str, name: str) -> str:
        """Import `name` from `module` of `runtara_framework` into the program."""
        self.imports.setdefault(module, set()).add(name)
        return name

    def path(self, text: str) -> str:
        """The constant that holds a parsed path."""
        if text not in self.paths:
            self.use("dsl.paths", "Path")
            self.paths[text] = self.names.constant(f"at_{text}")
        return self.paths[text]

    def path_lines(self) -> list[str]:
        """The constants."""
        return [
            f"{constant} = Path({self.literal(parse_path(text).segments)})" for text, constant in self.paths.items()
        ]

    def literal(self, value: Any) -> str:
        """A literal, with the import that a deep one needs."""
        text = literal(value)
        if text.startswith("loads("):
            self.use("json", "loads")
        return text

    # -- mapping ----------------------------------------------------------------------------------------

    def function(self, name: str, expression: str) -> str:
        """Add `def name(v): return expression`; answers the name."""
        self.helpers.append(f"def {name}(v):\n    return {expression}\n")
        return name

    def inputs(self, mapping: InputMapping, *, for_agent: bool = False) -> str:
        """The object that an input mapping builds."""
        markers: Marker | None = is_reference if for_agent else None
        entries = [(key, self.value(value, markers=markers)) for key, value in mapping.items()]
        if any("." in key for key, _ in entries):
            self.use("dsl.mapping", "nest")
            pairs = ", ".join(f"({literal(key)}, {expression})" for key, expression in entries)
            return f"nest([{pairs}])"
        return "{" + ", ".join(f"{literal(key)}: {expression}" for key, expression in entries) + "}"

    def value(self, value: MappingValue, depth: int = 0, markers: Marker | None = None) -> str:
        """One mapping value. `markers` says which objects inside a literal are mapping values themselves."""
        if isinstance(value, Reference):
            return self._reference(value.value, value.type, value.given("default"), value.default)
        if isinstance(value, Template):
            return self._template(value.value)
        if isinstance(value, Immediate):
            return self.resolved(value.value, markers, depth) if markers else self.literal(value.value)
        if depth >= MAX_DEPTH:
            return self._outlined(self.value(value, 0, markers))
        return self._members(value, depth, markers)

    def _members(self, value: Composite, depth: int, markers: Marker | None) -> str:
        members = value.value
        if isinstance(members, dict):
            parts = [f"{literal(key)}: {self.value(item, depth + 1, markers)}" for key, item in members.items()]
            return "{" + ", ".join(parts) + "}"
        return "[" + ", ".join(self.value(item, depth + 1, markers) for item in members) + "]"

    def resolved(self, value: Any, markers: Marker, depth: int = 0) -> str:
        """A literal in which the objects that `markers` recognises are mapping values (DSL.md 3)."""
        if not _has_marker(value, markers):
            return self.literal(value)
        if depth >= MAX_DEPTH:
            return self._outlined(self.resolved(value, markers, 0))
        if markers(value):
            return self._marked(value, depth)
        if isinstance(value, dict):
            parts = [f"{literal(key)}: {self.resolved(item, markers, depth + 1)}" for key, item in value.items()]
            return "{" + ", ".join(parts) + "}"
        return "[" + ", ".join(self.resolved(item, markers, depth + 1) for item in value) + "]"

    def _marked(self, value: Mapping[str, Any], depth: int) -> str:
        kind, inner = value["valueType"], value["value"]
        if kind == "reference":
            return self._reference(inner, value.get("type"), "default" in value, value.get("default"))
        if kind == "template":
            return self._template(inner)
        if kind == "immediate":
            return self.literal(inner)
        if isinstance(inner, dict):
            parts = [f"{literal(key)}: {self.resolved(item, is_mapping, depth + 1)}" for key, item in inner.items()]
            return "{" + ", ".join(parts) + "}"
        return "[" + ", ".join(self.resolved(item, is_mapping, depth + 1) for item in inner) + "]"

    def _template(self, text: str) -> str:
        self.use("dsl.mapping", "render")
        functions = f", {self.functions}" if self.functions else ""
        return f"render(v, {self.literal(text)}{functions})"

    def _reference(self, path: str, hint: str | None, has_default: bool, default: Any) -> str:
        constant = self.path(path)
        if hint is None and not has_default:
            self.use("dsl.paths", "resolve")
            return f"resolve(v, {constant})"
        self.use("dsl.mapping", "ref")
        arguments = [constant]
        if hint is not None:
            arguments.append(literal(hint))
        if has_default:
            arguments.append(("" if hint is not None else "default=") + self.literal(default))
        return f"ref(v, {', '.join(arguments)})"

    # -- conditions -------------------------------------------------------------------------------------

    def test(self, condition: Condition | Argument, depth: int = 0) -> str:
        """An expression that is True or False."""
        expression, is_boolean = self._condition(condition, depth)
        if is_boolean:
            return expression
        self.use("dsl.conditions", "truthy")
        return f"truthy({expression})"

    def _condition(self, condition: Condition | Argument, depth: int) -> tuple[str, bool]:
        """The expression of a condition or argument, and whether it is a boolean already."""
        if not isinstance(condition, Operation):
            mapping = condition.mapping if isinstance(condition, ValueTest) else condition
            return self.value(mapping, depth), False
        if depth >= MAX_DEPTH:
            expression, is_boolean = self._condition(condition, 0)
            return self._outlined(expression), is_boolean
        op, arguments = condition.op, condition.arguments
        if op in ("AND", "OR"):
            joined = f" {op.lower()} ".join(self.test(argument, depth + 1) for argument in arguments)
            return f"({joined})", True
        if op == "NOT":
            return f"(not {self.test(arguments[0], depth + 1)})", True
        function = (UNARY.get(op) or BINARY[op]).__name__
        self.use("dsl.conditions", function)
        values = [self._condition(argument, depth + 1)[0] for argument in arguments]
        return f"{function}({', '.join(values)})", op != "LENGTH"

    def _outlined(self, expression: str) -> str:
        return self.function(self.names.function("part"), expression) + "(v)"


def _has_marker(value: Any, markers: Marker) -> bool:
    ways = [value]
    while ways:
        item = ways.pop()
        if markers(item):
            return True
        if isinstance(item, dict):
            ways.extend(item.values())
        elif isinstance(item, list):
            ways.extend(item)
    return False
