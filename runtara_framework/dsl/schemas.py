"""Checks data against inputSchema, outputSchema and response schemas, and fills defaults in (DSL.md 1, 9).

Schemas are JSON as the scenario writes them: field name to `{type, required?, nullable?, default?, enum?, min?,
max?, pattern?, items?, properties?}`. Undeclared fields pass through; null for a field that is neither
required nor nullable is the same as leaving it out; a default applies wherever its parent object is present.
Nothing is converted. Every violation is reported, each with its path (but for those beyond `MOST_VIOLATIONS`, which are
counted). The data given is never changed. Servers check what strangers send: the work grows with the data alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from runtara_framework.dsl.conditions import Choices
from runtara_framework.dsl.jsontext import json_text, plain_text
from runtara_framework.dsl.paths import format_path
from runtara_framework.dsl.patterns import matcher

Field = Mapping[str, Any]
Place = tuple[str | int, ...]

MOST_VIOLATIONS = 1_000
MOST_FILLED = 16 * 2**20
"""Characters of JSON that defaults may add, all in all."""
_SHOWN = 20


class Violation(NamedTuple):
    """One thing in the data that its schema does not allow."""

    path: str
    message: str

    def to_wire(self) -> dict[str, str]:
        """This violation as JSON, for the details of an error."""
        return {"path": self.path, "message": self.message}


class Envelope(NamedTuple):
    """The input of a run: its data with defaults, and the value of every variable."""

    data: Any
    variables: dict[str, Any]


def check_input(
    input_schema: Mapping[str, Field] | None, variables: Mapping[str, Field] | None, raw_input: Any
) -> tuple[Envelope, list[Violation]]:
    """The input of a run as the scenario will see it, and what is wrong with it.

    An object whose only keys are `data` and/or `variables` is the envelope; anything else is the data; no
    input (null) is empty data. The variables given must be declared, of the declared type, and not of the
    system (leading underscore); the others have their declared values. With violations, the envelope is as
    complete as it can be, and must not be run.
    """
    given: Any = {}
    data: Any = {} if raw_input is None else raw_input
    if isinstance(data, dict) and data and data.keys() <= {"data", "variables"}:
        given = data.get("variables")
        data = data.get("data", {})
    checker = _Checker()
    if input_schema:
        data = checker.object(input_schema, {} if data is None else data, ("data",))
    values = {name: deepcopy(declared.get("value")) for name, declared in (variables or {}).items()}
    if given is not None and not isinstance(given, dict):
        checker.say(("variables",), f"must be an object, not {kind_of(given)}")
        given = None
    known = ", ".join([*values][:_SHOWN]) + (", …" if len(values) > _SHOWN else "") or "none"
    for name, value in (given or {}).items():
        place = ("variables", name)
        if name.startswith("_"):
            checker.say(place, "names that begin with an underscore are the system's and cannot be set")
        elif name not in values:
            checker.say(place, f"no such variable is declared; declared: {known}")
        elif value is None and values[name] is None:
            continue
        else:
            values[name] = checker.value({"type": (variables or {})[name].get("type")}, value, place)
    return Envelope(data, values), checker.told()


def check_output(output_schema: Mapping[str, Field] | None, value: Any, root: str = "outputs") -> list[Violation]:
    """What is wrong with the result of a graph; nothing without a schema."""
    return check(output_schema, value, root)[1]


def check(schema: Mapping[str, Field] | None, value: Any, root: str = "data") -> tuple[Any, list[Violation]]:
    """`value`, which must be an object, with defaults filled in, and its violations; any value without a schema."""
    checker = _Checker()
    return (checker.object(schema, value, (root,)) if schema else value), checker.told()


def kind_of(value: Any) -> str:
    """What sort of JSON value this is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    names = {str: "a text", int: "a number", float: "a number", list: "an array", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def is_file(value: Any) -> bool:
    """An object with base64 text under `content`, and texts, if any, under `filename` and `mimeType`."""
    if not isinstance(value, dict) or not isinstance(value.get("content"), str):
        return False
    if any(not isinstance(value.get(key, ""), (str, type(None))) for key in ("filename", "mimeType")):
        return False
    import binascii  # files are rare

    try:
        binascii.a2b_base64(value["content"], strict_mode=True)
    except ValueError:
        return False
    return True


def _is_integer(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_TYPES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "string": ("a text", lambda value: isinstance(value, str)),
    "integer": ("a whole number", _is_integer),
    "number": ("a number", _is_number),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "array": ("an array", lambda value: isinstance(value, list)),
    "object": ("an object", lambda value: isinstance(value, dict)),
    "file": ('a file {"content": base64, "filename"?, "mimeType"?}', is_file),
}
_ABSENT = object()


class _Checker:
    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self._more = 0
        self._filled = 0
        self._sizes: dict[int, int] = {}  # of defaults, by the identity of their field
        self._choices: dict[int, Choices] = {}  # likewise

    def say(self, place: Place, message: str) -> None:
        if len(self.violations) < MOST_VIOLATIONS:
            self.violations.append(Violation(format_path(place), message))
        else:
            self._more += 1

    def told(self) -> list[Violation]:
        """What was said, and how much more there was to say."""
        more = [Violation("", f"there are {self._more} more violations")] if self._more else []
        return self.violations + more

    def object(self, schema: Mapping[str, Field], value: Any, place: Place) -> Any:
        """A copy of the object `value` with every declared field checked and its default filled in."""
        if not isinstance(value, dict):
            self.say(place, f"must be an object, not {kind_of(value)}")
            return value
        result = dict(value)
        for name, field in schema.items():
            checked = self._member(field, value.get(name, _ABSENT), (*place, name))
            if checked is _ABSENT:
                result.pop(name, None)
            else:
                result[name] = checked
        return result

    def _member(self, field: Field, value: Any, place: Place) -> Any:
        if value is None and field.get("nullable"):
            return None
        if value is None or value is _ABSENT:
            if field.get("default") is None:
                if field.get("required"):
                    self.say(place, "is required")
                return _ABSENT
            value = self._default(field, place)
        return self.value(field, value, place)

    def _default(self, field: Field, place: Place) -> Any:
        """A copy of the default, unless the defaults together have become too large."""
        key, default = id(field), field["default"]
        if key not in self._sizes:
            self._sizes[key] = len(json_text(default))
        if self._filled <= MOST_FILLED < self._filled + self._sizes[key]:
            self.say(place, f"the defaults add more than {MOST_FILLED} characters")
        self._filled += self._sizes[key]
        return deepcopy(default) if self._filled <= MOST_FILLED else default

    def value(self, field: Field, value: Any, place: Place) -> Any:
        """`value` checked against one field, with defaults filled in below it."""
        kind = field.get("type")
        what, fits = _TYPES.get(str(kind), ("", lambda _: True))
        if not fits(value):
            self.say(place, f"must be {what}, not {kind_of(value)}")
            return value
        allowed = field.get("enum")
        if allowed is not None and not self._is_allowed(allowed, value):
            shown = ", ".join(plain_text(choice)[:100] for choice in allowed[:_SHOWN])
            self.say(place, f"must be one of {shown}{', …' if len(allowed) > _SHOWN else ''}")
        for problem in _out_of_bounds(field, value):
            self.say(place, problem)
        if isinstance(value, list) and field.get("items"):
            return [self._item(field["items"], item, (*place, index)) for index, item in enumerate(value)]
        if isinstance(value, dict) and field.get("properties"):
            return self.object(field["properties"], value, place)
        return value

    def _is_allowed(self, allowed: list[Any], value: Any) -> bool:
        if id(allowed) not in self._choices:
            self._choices[id(allowed)] = Choices(allowed)
        return value in self._choices[id(allowed)]

    def _item(self, field: Field, value: Any, place: Place) -> Any:
        if value is None:
            if not field.get("nullable"):
                self.say(place, "must not be null")
            return None
        return self.value(field, value, place)


def _out_of_bounds(field: Field, value: Any) -> Iterator[str]:
    least, most, pattern = field.get("min"), field.get("max"), field.get("pattern")
    size: float | None
    if isinstance(value, (str, list)):
        size, unit = len(value), " characters" if isinstance(value, str) else " members"
    else:
        size, unit = (value if _is_number(value) else None), ""
    if size is not None and least is not None and size < least:
        yield f"must be at least {least:g}{unit}" if not unit else f"must have at least {least:g}{unit}"
    if size is not None and most is not None and size > most:
        yield f"must be at most {most:g}{unit}" if not unit else f"must have at most {most:g}{unit}"
    if pattern is not None and isinstance(value, str) and not matcher(pattern)(value):
        yield f"must match the pattern {pattern}"
