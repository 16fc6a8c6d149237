"""Arithmetic expressions: `(price + 2) * -amount % 7`. A tokenizer and a precedence climber; nothing is ever executed.

sum     := product (("+" | "-") product)*
product := signed (("*" | "/" | "%") signed)*
signed  := ("+" | "-")* atom
atom    := number | name | "(" sum ")"
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, Final, NoReturn

from runtara_framework.agents import AgentError

MAX_LENGTH: Final = 10_000
MAX_DEPTH: Final = 100  # of parentheses and signs; the parser recurses

RESERVED: Final = frozenset({"true", "false", "null", "and", "or", "not", "in", "is"})

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![A-Za-z0-9_.])|(?P<name>[A-Za-z_]\w*)|(?P<sign>[-+*/%()]))",
    re.ASCII,
)
_NUMERIC = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def evaluate(expression: str, variables: dict[str, Any]) -> float:
    """The value of the expression. Raises `AgentError` EXPRESSION_INVALID, VARIABLE_INVALID, DIVISION_BY_ZERO,
    NUMBER_OUT_OF_RANGE."""
    return _Parser(expression, variables).run()


class _Parser:
    def __init__(self, text: str, variables: dict[str, Any]) -> None:
        self._text = text
        self._variables = variables
        self._at = 0  # behind the token that `_kind` and `_token` describe
        self._start = 0  # of that token
        self._kind = self._token = ""
        self._depth = 0

    def run(self) -> float:
        if len(self._text) > MAX_LENGTH:
            raise AgentError("EXPRESSION_INVALID", f"the expression is longer than {MAX_LENGTH} characters")
        self._advance()
        value = self._sum()
        if self._kind != "end":
            self._unexpected("an operator")
        return value

    def _advance(self) -> None:
        rest = self._text[self._at :]
        found = _TOKEN.match(self._text, self._at)
        if found is not None and found.lastgroup is not None:
            self._kind, self._token = found.lastgroup, found[found.lastgroup]
            self._start, self._at = found.start(found.lastgroup), found.end()
            return
        self._start = self._at + len(rest) - len(rest.lstrip())
        self._token = rest.strip()[:1]
        if self._token:
            self._unexpected("a number, a name, an operator or a parenthesis")
        self._kind = "end"

    def _unexpected(self, wanted: str) -> NoReturn:
        got = repr(self._token) if self._token else "the end"
        raise AgentError(
            "EXPRESSION_INVALID",
            f"expected {wanted} instead of {got} at position {self._start} of the expression",
            attributes={"position": self._start},
        )

    def _sum(self) -> float:
        value = self._product()
        while self._kind == "sign" and self._token in "+-":
            operator = self._token
            self._advance()
            other = self._product()
            value = _finite(value + other if operator == "+" else value - other)
        return value

    def _product(self) -> float:
        value = self._signed()
        while self._kind == "sign" and self._token in "*/%":
            operator = self._token
            self._advance()
            value = _OPERATORS[operator](value, self._signed())
        return value

    def _signed(self) -> float:
        sign = 1
        while self._kind == "sign" and self._token in "+-":
            sign = -sign if self._token == "-" else sign
            self._advance()
        return sign * self._atom()

    def _atom(self) -> float:
        if self._kind == "number":
            value = _finite(float(self._token))
            self._advance()
            return value
        if self._kind == "name":
            value = self._variable(self._token)
            self._advance()
            return value
        if self._token != "(":
            self._unexpected("a number, a name or an opening parenthesis")
        if self._depth == MAX_DEPTH:
            raise AgentError("EXPRESSION_INVALID", f"more than {MAX_DEPTH} parentheses are open at once")
        self._depth += 1
        self._advance()
        value = self._sum()
        if self._token != ")":
            self._unexpected("a closing parenthesis")
        self._advance()
        self._depth -= 1
        return value

    def _variable(self, name: str) -> float:
        if name in RESERVED:
            raise AgentError("EXPRESSION_INVALID", f"{name!r} is a reserved word and cannot be a variable")
        if name not in self._variables:
            close = get_close_matches(name, self._variables, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise AgentError(
                "VARIABLE_INVALID", f"the expression uses {name!r}, which is not among the variables{hint}"
            )
        value = self._variables[name]
        if isinstance(value, str) and _NUMERIC.fullmatch(value.strip()):
            return _finite(float(value))
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise AgentError("VARIABLE_INVALID", f"the variable {name!r} is neither a number nor a numeric text")
        try:
            return _finite(float(value))
        except OverflowError:
            return _finite(math.inf)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise AgentError("NUMBER_OUT_OF_RANGE", "the calculation leaves the range of numbers (about 1.8e308)")
    return value


def _divided(one: float, other: float) -> float:
    if other == 0:
        raise AgentError("DIVISION_BY_ZERO", "the expression divides by zero")
    return _finite(one / other)


def _remainder(one: float, other: float) -> float:
    """What is left of a division, with the sign of the dividend."""
    if other == 0:
        raise AgentError("DIVISION_BY_ZERO", "the expression divides by zero (%)")
    return math.fmod(one, other)


_OPERATORS: Final[dict[str, Callable[[float, float], float]]] = {
    "*": lambda one, other: _finite(one * other),
    "/": _divided,
    "%": _remainder,
}
