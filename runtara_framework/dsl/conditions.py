"""The operators of conditions and Switch cases, each as a small function (DSL.md 5, 9).

Compiled programs call the functions; schemas and the validator use the same equality. Values are JSON values: None, bool,
int, float, str, list, dict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runtara_framework.dsl.errors import UnknownOperator
from runtara_framework.dsl.literals import parse_instant, parse_number


def truthy(value: Any) -> bool:
    """False for null, false, 0, "", [] and {}; true for everything else."""
    return bool(value)


def eq(a: Any, b: Any) -> bool:
    """The equality of EQ, IN and CONTAINS.

    Numbers by value; a number and a numeric text by value; a boolean equals only a boolean; everything else
    by type and structure, the members of arrays and objects by this same rule. Uses no recursion, so that
    data of any depth can be compared.
    """
    if not isinstance(a, (dict, list)):  # the usual case, without the work list
        return not isinstance(b, (dict, list)) and _same_scalar(a, b)
    pairs = [(a, b)]
    while pairs:
        a, b = pairs.pop()
        if isinstance(a, dict):
            if not isinstance(b, dict) or len(a) != len(b):
                return False
            for key, value in a.items():
                if key not in b:
                    return False
                pairs.append((value, b[key]))
        elif isinstance(a, list):
            if not isinstance(b, list) or len(a) != len(b):
                return False
            pairs.extend(zip(a, b, strict=True))
        elif isinstance(b, (dict, list)) or not _same_scalar(a, b):
            return False
    return True


def _same_scalar(a: Any, b: Any) -> bool:
    if a is None or b is None or isinstance(a, bool) or isinstance(b, bool):
        return a is b
    a_is_text, b_is_text = isinstance(a, str), isinstance(b, str)
    if a_is_text is not b_is_text:
        number = parse_number(a if a_is_text else b)
        return number is not None and number == (b if a_is_text else a)
    return bool(a == b)


def ne(a: Any, b: Any) -> bool:
    """Not `eq`."""
    return not eq(a, b)


def _order(a: Any, b: Any) -> tuple[Any, Any] | None:
    """Two values that can be ordered, or None: the comparison is then false."""
    if isinstance(a, str):
        if isinstance(b, str):
            first = parse_instant(a)
            second = None if first is None else parse_instant(b)
            return (a, b) if first is None or second is None else (first, second)
        a = parse_number(a)
    elif isinstance(b, str):
        b = parse_number(b)
    return (a, b) if _is_number(a) and _is_number(b) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def gt(a: Any, b: Any) -> bool:
    """a > b: numbers, a number and a numeric text, or two texts (as moments if both are ISO 8601)."""
    pair = _order(a, b)
    return pair is not None and bool(pair[0] > pair[1])


def gte(a: Any, b: Any) -> bool:
    """a >= b, under the rules of `gt`."""
    pair = _order(a, b)
    return pair is not None and bool(pair[0] >= pair[1])


def lt(a: Any, b: Any) -> bool:
    """a < b, under the rules of `gt`."""
    pair = _order(a, b)
    return pair is not None and bool(pair[0] < pair[1])


def lte(a: Any, b: Any) -> bool:
    """a <= b, under the rules of `gt`."""
    pair = _order(a, b)
    return pair is not None and bool(pair[0] <= pair[1])


def starts_with(text: Any, start: Any) -> bool:
    """Both are texts and the first begins with the second."""
    return isinstance(text, str) and isinstance(start, str) and text.startswith(start)


def ends_with(text: Any, end: Any) -> bool:
    """Both are texts and the first ends with the second."""
    return isinstance(text, str) and isinstance(end, str) and text.endswith(end)


def contains(whole: Any, part: Any) -> bool:
    """An array that has a member equal to `part`, or a text that has the text `part` in it."""
    if isinstance(whole, list):
        return any(eq(member, part) for member in whole)
    return isinstance(whole, str) and isinstance(part, str) and part in whole


def is_in(value: Any, members: Any) -> bool:
    """`members` is an array and has a member equal to `value`."""
    return isinstance(members, list) and contains(members, value)


class Choices:
    """The members of an array, when `is_in` is asked for many values: a question costs what the value costs, however many
    members there are."""

    __slots__ = ("_alike",)

    def __init__(self, members: list[Any]) -> None:
        self._alike: dict[Any, list[Any]] = {}
        for member in members:
            self._alike.setdefault(_likeness(member), []).append(member)

    def __contains__(self, value: Any) -> bool:
        return any(eq(member, value) for member in self._alike.get(_likeness(value), ()))


def _likeness(value: Any) -> Any:
    """The same for values that are equal, and seldom for others."""
    if isinstance(value, str):
        number = parse_number(value)
        return value if number is None else number
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, list):
        return (
            "array",
            len(value),
            *(_likeness(member) for member in value[:8] if not isinstance(member, (dict, list))),
        )
    if isinstance(value, dict):
        return ("object", *sorted(value)[:8])
    return value


def not_in(value: Any, members: Any) -> bool:
    """Not `is_in`: also true when `members` is no array."""
    return not is_in(value, members)


def length(value: Any) -> int | None:
    """Characters of a text, members of an array or object, 0 of null; a number or a boolean has none."""
    if value is None:
        return 0
    return len(value) if isinstance(value, (str, list, dict)) else None


def is_defined(value: Any) -> bool:
    """Not null."""
    return value is not None


def is_empty(value: Any) -> bool:
    """Null, "", [] or {}."""
    return value is None or (isinstance(value, (str, list, dict)) and not value)


def is_not_empty(value: Any) -> bool:
    """Not `is_empty`."""
    return not is_empty(value)


UNARY: Mapping[str, Callable[[Any], Any]] = {
    "LENGTH": length,
    "IS_DEFINED": is_defined,
    "IS_EMPTY": is_empty,
    "IS_NOT_EMPTY": is_not_empty,
}
BINARY: Mapping[str, Callable[[Any, Any], bool]] = {
    "EQ": eq,
    "NE": ne,
    "GT": gt,
    "GTE": gte,
    "LT": lt,
    "LTE": lte,
    "STARTS_WITH": starts_with,
    "ENDS_WITH": ends_with,
    "CONTAINS": contains,
    "IN": is_in,
    "NOT_IN": not_in,
}
# Least and greatest number of arguments; None is any number.
ARITY: Mapping[str, tuple[int, int | None]] = {
    "AND": (1, None),
    "OR": (1, None),
    "NOT": (1, 1),
    **dict.fromkeys(UNARY, (1, 1)),
    **dict.fromkeys(BINARY, (2, 2)),
}
RANGE_BOUNDS: Mapping[str, Callable[[Any, Any], bool]] = {"gte": gte, "gt": gt, "lte": lte, "lt": lt}


def matches(match_type: str, value: Any, match: Any) -> bool:
    """Does a Switch case match? EQ and NE against an array ask for membership."""
    if match_type in ("EQ", "NE"):
        found = is_in(value, match) if isinstance(match, list) else eq(value, match)
        return found is (match_type == "EQ")
    if match_type == "BETWEEN":
        return isinstance(match, list) and len(match) == 2 and gte(value, match[0]) and lte(value, match[1])
    if match_type == "RANGE":
        return (
            isinstance(match, dict)
            and bool(match)
            and all(name in RANGE_BOUNDS and RANGE_BOUNDS[name](value, bound) for name, bound in match.items())
        )
    if match_type in BINARY:
        return BINARY[match_type](value, match)
    if match_type in UNARY and match_type != "LENGTH":
        return bool(UNARY[match_type](value))
    raise UnknownOperator(f"there is no matchType {match_type!r}", match_type=match_type)
