"""What mappings and conditions mean, said a second time: straight from JSON, by recursion. Compiled programs must agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtara_framework.dsl.conditions import BINARY, UNARY, truthy
from runtara_framework.dsl.mapping import MISSING, is_mapping, is_reference, nest, ref, render

Scope = Mapping[str, Any]


def value(mapping: Mapping[str, Any], scope: Scope, *, for_agent: bool = False) -> Any:
    """What one mapping value gives."""
    kind, given = mapping["valueType"], mapping["value"]
    if kind == "immediate":
        return references(given, scope) if for_agent else given
    if kind == "reference":
        return ref(scope, given, mapping.get("type"), mapping.get("default", MISSING))
    if kind == "template":
        return render(scope, given)
    if isinstance(given, dict):
        return {key: value(member, scope, for_agent=for_agent) for key, member in given.items()}
    return [value(member, scope, for_agent=for_agent) for member in given]


def inputs(mapping: Mapping[str, Any], scope: Scope, *, for_agent: bool = False) -> dict[str, Any]:
    """The object that an input mapping builds."""
    return nest((key, value(one, scope, for_agent=for_agent)) for key, one in mapping.items())


def references(literal: Any, scope: Scope) -> Any:
    """A literal of an agent's input."""
    if is_reference(literal):
        return value(literal, scope)
    if isinstance(literal, dict):
        return {key: references(member, scope) for key, member in literal.items()}
    return [references(member, scope) for member in literal] if isinstance(literal, list) else literal


def output(literal: Any, scope: Scope) -> Any:
    """The `output` or `default` of a Switch."""
    if is_mapping(literal):
        return value(literal, scope)
    if isinstance(literal, dict):
        return {key: output(member, scope) for key, member in literal.items()}
    return [output(member, scope) for member in literal] if isinstance(literal, list) else literal


def condition(given: Mapping[str, Any], scope: Scope) -> Any:
    """What a condition, or an argument of one, gives."""
    if given.get("type") != "operation":
        hint = {"type": given["valueTypeHint"]} if given.get("valueTypeHint") else {}
        bare = {key: one for key, one in given.items() if key not in ("type", "valueTypeHint")}
        return value({**bare, **hint} if given.get("type") == "value" else given, scope)
    op, arguments = given["op"], given["arguments"]
    if op == "AND":
        return all(truthy(condition(one, scope)) for one in arguments)
    if op == "OR":
        return any(truthy(condition(one, scope)) for one in arguments)
    if op == "NOT":
        return not truthy(condition(arguments[0], scope))
    values = [condition(one, scope) for one in arguments]
    return UNARY[op](values[0]) if op in UNARY else BINARY[op](*values)
