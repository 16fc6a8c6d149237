"""Templates: Jinja syntax in a sandbox that knows JSON values only (DSL.md 3, 9).

No clock, no randomness, no files, no attribute of a Python object: a replay renders the same text. A missing
value renders as nothing, but going *through* a missing or null value is an error, as is asking an array for a
named key. Values are written as JSON writes them (`true`, not `True`). Work that grows without limit is cut off.
A product's functions (`functions`, `calls`) see and give JSON only.

This module imports jinja2; `mapping.render` imports it when the first template is rendered.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, wraps
from typing import Any, NamedTuple

from jinja2 import Template, TemplateError, Undefined, nodes
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Namespace
from jinja2.visitor import NodeTransformer

from runtara_framework.dsl.calls import guarded
from runtara_framework.dsl.errors import TemplateFailed
from runtara_framework.dsl.functions import FILTERS, GLOBALS, Functions
from runtara_framework.dsl.jsontext import json_text, plain_text
from runtara_framework.dsl.literals import parse_number
from runtara_framework.dsl.paths import Segment

MAX_OUTPUT = 16 * 1024 * 1024
MAX_WIDTH = 10_000

_ATTRIBUTES: Mapping[type, frozenset[str]] = {
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
_SIZED_FILTERS = ("indent", "batch", "slice", "round")  # what they make grows with a number they are given
_SIZES = ("width", "linecount", "slices", "precision")
_GROUP_FIELDS = ("grouper", "list")
_BY_NAME = {
    "map": ("filter", 0),
    "select": ("test", 0),
    "reject": ("test", 0),
    "selectattr": ("test", 1),
    "rejectattr": ("test", 1),
}
"""Filters that take the name of a filter or a test, and as which argument."""
_FORBIDDEN = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block)
_WIDTHS = re.compile(r"%[^a-zA-Z%]*(?:\*|[0-9]{5,})")


class _Missing(Undefined):
    """A value that is not there: renders as nothing, is false, and may not be gone through."""

    __slots__ = ()


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "+"})

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
        if argument in _ATTRIBUTES.get(type(obj), ()):
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

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            if not all(isinstance(side, (int, float)) and abs(side) <= 1000 for side in (left, right)):
                raise TemplateFailed("the operands of ** may not exceed 1000")
        elif operator == "*":
            for text, count in ((left, right), (right, left)):
                if isinstance(text, (str, list)) and isinstance(count, int) and len(text) * count > MAX_OUTPUT:
                    raise TemplateFailed("the template repeats a value too often")
            if any(isinstance(side, int) and side.bit_length() > 4096 for side in (left, right)):
                raise TemplateFailed("a number in the template grows too large")
        elif isinstance(left, (str, list)) and isinstance(right, (str, list)):
            _bounded_sum(len(left), len(right))
        return super().call_binop(context, operator, left, right)


def _key(argument: Any) -> str:
    return str(argument) if isinstance(argument, int) else ""


def _bounded_sum(*lengths: int) -> None:
    if sum(lengths) > MAX_OUTPUT:
        raise TemplateFailed(f"the template makes a text of more than {MAX_OUTPUT} characters")


def _plain(value: Any) -> Any:
    """Null for what is missing, an array for what the filters and `range` give lazily."""
    if isinstance(value, Undefined):
        return None
    lazy = not isinstance(value, (str, dict, list)) and hasattr(value, "__iter__")
    return list(value) if lazy else value


def _written(value: Any) -> str:
    """How a value stands in the rendered text: nothing for null and missing, else as JSON."""
    value = _plain(value)
    return "" if value is None else str(plain_text(value))


def _to_json(value: Any, indent: int | None = None) -> str:
    value = _plain(value)
    if indent is None:
        return json_text(value)
    return json.dumps(value, indent=max(0, min(indent, 16)), ensure_ascii=False, allow_nan=False)


def _escape(value: Any) -> str:
    return html.escape(_written(value))


def _concat(parts: list[Any]) -> str:
    texts = [_written(part) for part in parts]
    _bounded_sum(*map(len, texts))
    return "".join(texts)


def _join(value: Any, d: str = "", attribute: str | int | None = None) -> str:
    members = _plain(value) or []
    if attribute is not None:
        members = [_sandbox().getitem(member, attribute) for member in members]
    texts = [_written(member) for member in members]
    _bounded_sum(len(d) * len(texts), *map(len, texts))
    return d.join(texts)


def _format(value: Any, *args: Any, **kwargs: Any) -> str:
    text = _written(value)
    if _WIDTHS.search(text):
        raise TemplateFailed(f"the format {text[:60]!r} asks for too great a width")
    return text % (kwargs or args)


def _sized(filter_: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, refusing numbers that would make it produce without limit."""

    @wraps(filter_)  # keeps jinja's mark of what else the filter is called with
    def bounded(*args: Any, **kwargs: Any) -> Any:
        value_at = 1 if hasattr(filter_, "jinja_pass_arg") else 0
        for size in (*args[value_at + 1 : value_at + 2], *(kwargs.get(name) for name in _SIZES)):
            if isinstance(size, (int, float)) and abs(size) > MAX_WIDTH:
                raise TemplateFailed(f"a filter of the template is asked for more than {MAX_WIDTH}")
        return filter_(*args, **kwargs)

    return bounded


class _BoundConcat(NodeTransformer):
    """Turns `a ~ b` into a filter call, so that it writes values as JSON and has a limit."""

    def visit_Concat(self, node: nodes.Concat, *args: Any, **kwargs: Any) -> nodes.Node:
        self.generic_visit(node, *args, **kwargs)
        members = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(members, "_concat", [], [], None, None, lineno=node.lineno)


@lru_cache(maxsize=16)
def _sandbox(functions: Functions | None = None) -> _Sandbox:
    sandbox = _Sandbox(undefined=_Missing, finalize=_written, autoescape=False, cache_size=0)
    own = {"tojson": _to_json, "join": _join, "format": _format, "string": _written, "escape": _escape, "e": _escape}
    added = {} if functions is None else guarded(functions, MAX_OUTPUT)
    sandbox.globals = {**{name: sandbox.globals[name] for name in GLOBALS}, **added}
    sandbox.filters = {name: JINJA_FILTERS[name] for name in FILTERS - own.keys()}
    sandbox.filters.update({name: _sized(JINJA_FILTERS[name]) for name in _SIZED_FILTERS})
    sandbox.filters.update({**own, **added, "_concat": _concat})
    return sandbox


def _parsed(text: str) -> nodes.Template:
    try:
        tree = _sandbox().parse(text)
    except (TemplateError, RecursionError) as error:
        raise TemplateFailed(f"the template is malformed: {error}") from error
    for node in tree.find_all(_FORBIDDEN):
        raise TemplateFailed(f"a template has no {type(node).__name__.lower()} (line {node.lineno})")
    return tree


@lru_cache(maxsize=1024)
def _compiled(text: str, functions: Functions | None) -> Template:
    tree = _parsed(text)
    sandbox = _sandbox(functions)
    try:
        code = sandbox.compile(_BoundConcat().visit(tree))
    except (TemplateError, RecursionError, SyntaxError) as error:
        raise TemplateFailed(f"the template is malformed: {error}") from error
    return Template.from_code(sandbox, code, {**sandbox.globals})


def render(text: str, scope: Mapping[str, Any], functions: Functions | None = None) -> str:
    """`text` rendered over the roots in `scope`, with the functions of a stdlib. Raises `TemplateFailed`."""
    template = _compiled(text, functions)
    pieces: list[str] = []
    size = 0
    try:
        for piece in template.generate(scope):
            size += len(piece)
            _bounded_sum(size)
            pieces.append(piece)
    except TemplateFailed:
        raise
    except Exception as error:  # a template can raise whatever Python can: this is the boundary
        raise TemplateFailed(f"the template fails: {error}") from error
    return "".join(pieces)


class Call(NamedTuple):
    """What a template calls by name."""

    kind: str  # function | filter | test
    name: str


class Reading(NamedTuple):
    """What a template reads from its scope, and what it calls."""

    references: tuple[tuple[Segment, ...], ...]
    calls: frozenset[Call]


def references(text: str) -> Iterator[tuple[Segment, ...]]:
    """The references of `read`."""
    yield from read(text).references


@lru_cache(maxsize=1024)
def read(text: str) -> Reading:
    """What a template reads and calls, as far as that stands in the text.

    A name that the template sets itself is not of the scope. Raises `TemplateFailed` for a malformed template.
    """
    tree = _parsed(text)
    own = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    own |= {"loop", "caller", "varargs", "kwargs"} if tree.find(nodes.For) or tree.find(nodes.Macro) else set()
    own |= {macro.name for macro in tree.find_all(nodes.Macro)}
    found: list[tuple[Segment, ...]] = []
    calls: set[Call] = set()
    stack: list[nodes.Node] = [tree]
    while stack:
        node = stack.pop()
        called = isinstance(node, nodes.Call)
        chain, rest = _chain(node.node if isinstance(node, nodes.Call) else node)
        if called and len(chain) == 1 and not rest:
            if chain[0] not in own:
                calls.add(Call("function", str(chain[0])))
        elif chain and chain[0] not in own | GLOBALS:
            method = called and chain[-1] in _ATTRIBUTES[dict] | _ATTRIBUTES[str]
            found.append(chain[:-1] if method else chain)
        calls.update(_named(node))
        if isinstance(node, nodes.Call) and chain:
            stack.extend(child for child in node.iter_child_nodes(exclude=("node",)))
        stack.extend(rest if chain else node.iter_child_nodes())
    return Reading(tuple(found), frozenset(calls))


def _named(node: nodes.Node) -> Iterator[Call]:
    """The filter or test that a node is, and the one whose name it gives to a filter such as `map`."""
    if isinstance(node, nodes.Test):
        yield Call("test", node.name)
    elif isinstance(node, nodes.Filter):
        yield Call("filter", node.name)
        place = _BY_NAME.get(node.name)
        if place is not None and len(node.args) > place[1]:
            argument = node.args[place[1]]
            if isinstance(argument, nodes.Const) and isinstance(argument.value, str):
                yield Call(place[0], argument.value)


def known(kind: str, functions: Functions | None = None) -> frozenset[str]:
    """The names that templates can call: functions, filters or tests."""
    if kind == "test":
        return frozenset(_sandbox().tests)
    added = () if functions is None else functions.by_name
    return (GLOBALS if kind == "function" else FILTERS).union(added)


def _chain(node: nodes.Node) -> tuple[tuple[Segment, ...], list[nodes.Node]]:
    """The constant part of a chain `a.b[0]` from its root, and the nodes inside brackets; empty if none."""
    steps: list[Segment | None] = []
    rest: list[nodes.Node] = []
    while isinstance(node, (nodes.Getattr, nodes.Getitem)):
        if isinstance(node, nodes.Getattr):
            steps.append(node.attr)
        elif isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, (str, int)):
            steps.append(node.arg.value)
        else:
            rest.append(node.arg)
            steps.append(None)
        node = node.node
    if not isinstance(node, nodes.Name) or node.ctx != "load":
        return (), []
    known: list[Segment] = [node.name]
    for step in reversed(steps):
        if step is None:
            break
        known.append(step)
    return tuple(known), rest
