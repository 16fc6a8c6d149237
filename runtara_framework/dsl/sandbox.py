"""The Jinja environment of templates: what they can reach, call and spend.

They reach JSON values and nothing of Python's; they call the filters and globals of `functions` and a product's own; they
spend at most `MAX_TURNS` passes of loops and calls. Whatever would produce text without limit is in `writing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, partial, wraps
from typing import Any, cast

from jinja2 import Undefined, nodes
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Namespace
from jinja2.visitor import NodeTransformer

from runtara_framework.dsl import writing
from runtara_framework.dsl.calls import guarded
from runtara_framework.dsl.errors import TemplateFailed
from runtara_framework.dsl.functions import FILTERS, GLOBALS, Functions
from runtara_framework.dsl.literals import parse_number
from runtara_framework.dsl.writing import MAX_OUTPUT, MAX_WIDTH, bounded, written

MAX_TURNS = 1_000_000

ATTRIBUTES: Mapping[type, frozenset[str]] = {
    dict: frozenset({"items", "keys", "values", "get"}),
    str: frozenset(
        {"upper", "lower", "title", "capitalize", "strip", "lstrip", "rstrip", "split", "splitlines", "startswith",
         "endswith", "replace", "find", "count", "removeprefix", "removesuffix"}
    ),
    Cycler: frozenset({"next", "current", "reset"}),
    LoopContext: frozenset(
        {"index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "depth",
         "depth0", "cycle", "changed"}
    ),
}  # fmt: skip
FORBIDDEN = (
    nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block, nodes.ScopedEvalContextModifier,
)  # fmt: skip
"""Parts of the syntax that a single text without escaping has no use for."""
_TEXT_FILTERS = ("upper", "lower", "title", "capitalize", "trim", "truncate", "wordcount")
_SIZED_FILTERS = ("batch", "slice", "round")  # what they make grows with a number they are given
_SIZES = ("linecount", "slices", "precision")
_GROUP_FIELDS = ("grouper", "list")


class Missing(Undefined):
    """A value that is not there: renders as nothing, is false, and may not be gone through."""

    __slots__ = ()


class Sandbox(ImmutableSandboxedEnvironment):
    """Attributes, items, operators and calls of templates."""

    intercepted_binops = frozenset({"*", "**", "+", "%"})
    concat = staticmethod(writing.concat)

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if obj is None:
            raise TemplateFailed(f"the template goes through null for {argument!r}")
        if isinstance(obj, Undefined):
            obj._fail_with_undefined_error()
        if isinstance(obj, dict):
            key = argument if isinstance(argument, str) else _key(argument)
            if key in obj:
                return obj[key]
        elif isinstance(obj, (list, tuple)):
            return self._member(obj, argument)
        elif isinstance(obj, str) and not isinstance(argument, str):
            return super().getitem(obj, argument)
        elif isinstance(obj, Namespace) and isinstance(argument, str) and not argument.startswith("_"):
            try:
                return getattr(obj, argument)
            except AttributeError:
                return self._missing(argument)
        if argument in ATTRIBUTES.get(type(obj), ()):
            if isinstance(obj, str) and argument == "replace":
                return partial(writing.replace, obj)
            return getattr(obj, argument)
        if not isinstance(obj, (dict, str, int, float, LoopContext)):
            raise TemplateFailed(f"the template asks for {str(argument)!r} of something that is no JSON value")
        return self._missing(argument)

    def _missing(self, name: Any) -> Undefined:
        return self.undefined(f"it goes through {str(name)!r}, which is missing", name=str(name))

    def _member(self, obj: list[Any] | tuple[Any, ...], argument: Any) -> Any:
        if isinstance(obj, tuple) and argument in _GROUP_FIELDS:  # what the filter groupby gives
            return getattr(obj, argument, None)
        if isinstance(argument, str):
            number = parse_number(argument)
            if not isinstance(number, int):
                raise TemplateFailed(f"the template asks an array for the key {argument!r}; use an index")
            argument = number
        if isinstance(argument, slice):
            return obj[argument]
        if isinstance(argument, int) and -len(obj) <= argument < len(obj):
            return obj[argument]
        return self._missing(argument)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # named as jinja has it
        spend(1)
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            if not all(isinstance(side, (int, float)) and abs(side) <= 1000 for side in (left, right)):
                raise TemplateFailed("the operands of ** may not exceed 1000")
        elif operator == "*":
            for text, count in ((left, right), (right, left)):
                if isinstance(text, (str, list)) and isinstance(count, int) and len(text) * count > MAX_OUTPUT:
                    raise TemplateFailed("the template repeats a value too often")
            if any(isinstance(side, int) and side.bit_length() > 4096 for side in (left, right)):
                raise TemplateFailed("a number in the template grows too large")
        elif operator == "%":
            if isinstance(left, str):
                return writing.format_text(left, *_values(left, right), **(right if _is_named(left, right) else {}))
        elif isinstance(left, (str, list)) and isinstance(right, (str, list)):
            bounded(len(left), len(right))
        return super().call_binop(context, operator, left, right)


def _key(argument: Any) -> str:
    return str(argument) if isinstance(argument, int) else ""


def _is_named(text: str, value: Any) -> bool:
    return isinstance(value, dict) and "%(" in text


def _values(text: str, value: Any) -> tuple[Any, ...]:
    if _is_named(text, value):
        return ()
    return value if isinstance(value, tuple) else (value,)


# -- what a template may spend --------------------------------------------------------------------------------

_turns: ContextVar[list[int] | None] = ContextVar("runtara_template_turns", default=None)


@contextmanager
def allowance() -> Iterator[None]:
    """What one rendering may spend."""
    token = _turns.set([MAX_TURNS])
    try:
        yield
    finally:
        _turns.reset(token)


def spend(turns: int) -> None:
    """Count passes of loops and calls. Raises `TemplateFailed` when there were too many."""
    left = _turns.get()
    if left is not None:
        left[0] -= turns
        if left[0] < 0:
            raise TemplateFailed(f"the template loops and calls more than {MAX_TURNS} times")


def _passes(members: Any) -> Any:
    """What a loop goes over, counted."""
    if members is None:
        raise TemplateFailed("the template loops over null; say what it shall be then: `| default([], true)`")
    if isinstance(members, (list, tuple, dict, str, range)):
        spend(len(members))
        return members
    return members if isinstance(members, Undefined) else _counted(members)


def _counted(members: Any) -> Iterator[Any]:
    for member in members:
        spend(1)
        yield member


class Guarding(NodeTransformer):
    """Turns `a ~ b` into a filter call, so that it writes values as JSON and has a limit, and counts what loops go over."""

    def visit_Concat(self, node: nodes.Concat, *args: Any, **kwargs: Any) -> nodes.Node:
        self.generic_visit(node, *args, **kwargs)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), "_concat")

    def visit_For(self, node: nodes.For, *args: Any, **kwargs: Any) -> nodes.Node:
        self.generic_visit(node, *args, **kwargs)
        node.iter = _filtered(node.iter, "_passes")
        return node

    def visit_Call(self, node: nodes.Call, *args: Any, **kwargs: Any) -> nodes.Node:
        self.generic_visit(node, *args, **kwargs)
        if isinstance(node.node, nodes.Name) and node.node.name == "loop" and node.args:  # a recursive loop
            node.args = [_filtered(node.args[0], "_passes"), *node.args[1:]]
        return node


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(cast(nodes.Expr, node), name, [], [], None, None, lineno=node.lineno)


# -- filters --------------------------------------------------------------------------------------------------


def _on_text(filter_: Callable[..., Any]) -> Callable[..., Any]:
    """A filter on texts, which is given every value as it is written."""
    at = 1 if hasattr(filter_, "jinja_pass_arg") else 0

    @wraps(filter_)  # keeps jinja's mark of what else the filter is called with
    def textual(*args: Any, **kwargs: Any) -> Any:
        return filter_(*args[:at], written(args[at]), *args[at + 1 :], **kwargs)

    return textual


def _sized(filter_: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, refusing numbers that would make it produce without limit."""
    at = 1 if hasattr(filter_, "jinja_pass_arg") else 0

    @wraps(filter_)
    def limited(*args: Any, **kwargs: Any) -> Any:
        for size in (*args[at + 1 : at + 2], *(kwargs.get(name) for name in _SIZES)):
            if isinstance(size, (int, float)) and abs(size) > MAX_WIDTH:
                raise TemplateFailed(f"a filter of the template is asked for more than {MAX_WIDTH}")
        return filter_(*args, **kwargs)

    return limited


def _join(value: Any, d: Any = "", attribute: str | int | None = None) -> str:
    members = writing.plain(value) or []
    if attribute is not None:
        members = [sandbox().getitem(member, attribute) for member in members]
    texts, between = [written(member) for member in members], written(d)
    bounded(len(between) * len(texts), *map(len, texts))
    return between.join(texts)


_jinja_sum = JINJA_FILTERS["sum"]
_jinja_wordwrap = JINJA_FILTERS["wordwrap"]
_jinja_urlencode = JINJA_FILTERS["urlencode"]


@wraps(_jinja_sum)
def _sum(environment: Any, value: Any, attribute: Any = None, start: Any = 0) -> Any:
    members = writing.plain(value) or []
    if isinstance(start, list):
        lists = members if attribute is None else [environment.getitem(member, attribute) for member in members]
        bounded(len(start), *(len(one) for one in lists if isinstance(one, list)))
    return _jinja_sum(environment, members, attribute, start)


@wraps(_jinja_wordwrap)
def _wordwrap(
    environment: Any,
    value: Any,
    width: int = 79,
    break_long_words: bool = True,
    wrapstring: str | None = None,
    *more: Any,
) -> str:
    text = written(value)
    bounded(len(text), (len(text) + 1) * (len(wrapstring or "") - 1))
    wrapped: str = _jinja_wordwrap(environment, text, width, break_long_words, wrapstring, *more)
    return wrapped


def _urlencode(value: Any) -> str:
    encoded: str = _jinja_urlencode(value if isinstance(value, (dict, list, tuple)) else written(value))
    return encoded


@lru_cache(maxsize=16)
def sandbox(functions: Functions | None = None) -> Sandbox:
    """The environment for templates that may call the functions of a stdlib."""
    environment = Sandbox(undefined=Missing, finalize=written, autoescape=False, cache_size=0)
    added = {} if functions is None else guarded(functions, MAX_OUTPUT)
    environment.globals = {**{name: environment.globals[name] for name in GLOBALS}, **added}
    own: dict[str, Callable[..., Any]] = {
        "tojson": writing.to_json, "string": written, "escape": writing.escape, "e": writing.escape, "join": _join,
        "format": writing.format_text, "replace": writing.replace, "indent": writing.indent, "sum": _sum,
        "wordwrap": _wordwrap, "urlencode": _urlencode,
        **{name: _on_text(JINJA_FILTERS[name]) for name in _TEXT_FILTERS},
        **{name: _sized(JINJA_FILTERS[name]) for name in _SIZED_FILTERS},
    }  # fmt: skip
    environment.filters = {name: JINJA_FILTERS[name] for name in FILTERS - own.keys()}
    environment.filters.update({**own, **added, "_concat": writing.concat, "_passes": _passes})
    return environment
