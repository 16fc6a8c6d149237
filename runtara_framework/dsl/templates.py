"""Templates: Jinja syntax in a sandbox that knows JSON values only (DSL.md 3, 9).

No clock, no randomness, no files, no attribute of a Python object: a replay renders the same text. A missing
value renders as nothing, but going *through* a missing or null value is an error, as is asking an array for a
named key. Values are written as JSON writes them (`true`, not `True`). Work that grows without limit is cut off.
A product's functions (`functions`, `calls`) see and give JSON only. `sandbox` has the environment, `writing` the texts.

This module imports jinja2; `mapping.render` imports it when the first template is rendered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from jinja2 import Template, TemplateError, nodes

from runtara_framework.dsl.errors import TemplateFailed
from runtara_framework.dsl.functions import FILTERS, GLOBALS, Functions
from runtara_framework.dsl.paths import Segment
from runtara_framework.dsl.sandbox import ATTRIBUTES, FORBIDDEN, Guarding, allowance, sandbox
from runtara_framework.dsl.writing import bounded

_BY_NAME = {
    "map": ("filter", 0),
    "select": ("test", 0),
    "reject": ("test", 0),
    "selectattr": ("test", 1),
    "rejectattr": ("test", 1),
}
"""Filters that take the name of a filter or a test, and as which argument."""


def _parsed(text: str) -> nodes.Template:
    try:
        tree = sandbox().parse(text)
    except (TemplateError, RecursionError) as error:
        raise TemplateFailed(f"the template is malformed: {error}") from error
    for node in tree.find_all(FORBIDDEN):
        raise TemplateFailed(f"a template has no {type(node).__name__.lower()} (line {node.lineno})")
    return tree


@lru_cache(maxsize=1024)
def _compiled(text: str, functions: Functions | None) -> Template:
    tree = _parsed(text)
    environment = sandbox(functions)
    try:
        code = environment.compile(Guarding().visit(tree))
    except (TemplateError, RecursionError, SyntaxError) as error:
        raise TemplateFailed(f"the template is malformed: {error}") from error
    return Template.from_code(environment, code, {**environment.globals})


def render(text: str, scope: Mapping[str, Any], functions: Functions | None = None) -> str:
    """`text` rendered over the roots in `scope`, with the functions of a stdlib. Raises `TemplateFailed`."""
    template = _compiled(text, functions)
    pieces: list[str] = []
    size = 0
    try:
        with allowance():
            for piece in template.generate(scope):
                size += len(piece)
                bounded(size)
                pieces.append(piece)
    except TemplateFailed:
        raise
    except MemoryError:
        raise TemplateFailed("the template needs more memory than there is") from None
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
            method = called and chain[-1] in ATTRIBUTES[dict] | ATTRIBUTES[str]
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
        return frozenset(sandbox().tests)
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
