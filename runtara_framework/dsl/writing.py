"""How templates write values: as JSON text does, and never more than `MAX_OUTPUT` characters.

A small template can make a value that is small in memory and endless as text (a list of a list of a list, each twice), or
ask a filter to repeat something. So whatever produces text asks first how long it will be.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any

from jinja2 import Undefined
from jinja2.runtime import LoopContext

from runtara_framework.dsl.errors import TemplateFailed
from runtara_framework.dsl.jsontext import json_text

MAX_OUTPUT = 16 * 1024 * 1024
MAX_WIDTH = 10_000
LAZY = (Iterator, range, KeysView, ValuesView, ItemsView)
"""What filters, `range` and the methods of objects give instead of an array."""

_CONVERSION = re.compile(
    r"%(?:\((?P<name>[^)]*)\))?(?P<how>[#0\- +]*)(?P<width>[0-9]*)(?:\.(?P<precision>[0-9]*))?(?P<kind>.?)", re.DOTALL
)
_NUMERIC_KINDS = "diouxXeEfFgGc"


def bounded(*lengths: int) -> None:
    """Raise `TemplateFailed` if that is too much text, or too many members, together."""
    if sum(lengths) > MAX_OUTPUT:
        raise TemplateFailed(f"the template makes a text of more than {MAX_OUTPUT} characters")


def plain(value: Any) -> Any:
    """Null for what is missing, an array for what is given lazily."""
    if isinstance(value, Undefined):
        return None
    return list(value) if isinstance(value, LAZY) and not isinstance(value, LoopContext) else value


def written(value: Any) -> str:
    """How a value stands in the rendered text: nothing for null and missing, else as JSON."""
    if isinstance(value, str):
        return str(value)
    value = plain(value)
    return "" if value is None else _encoded(value)


def to_json(value: Any, indent: int | None = None) -> str:
    """The filter `tojson`."""
    value = plain(value)
    if indent is None:
        return _encoded(value)
    width = max(0, min(indent, 16))
    _weigh(value, width)
    return json.dumps(value, indent=width, ensure_ascii=False, allow_nan=False)


def _encoded(value: Any) -> str:
    if isinstance(value, (list, tuple, dict)):
        _weigh(value)
    return json_text(value)


def _weigh(value: Any, indent: int = 0) -> None:
    """Refuse a value whose JSON is longer than a text may be. What is in it twice counts twice, but is looked at once."""
    known: dict[int, tuple[int, int]] = {}  # characters and levels, by the identity of arrays and objects

    def weight(item: Any) -> tuple[int, int]:
        if id(item) in known:
            return known[id(item)]
        size, levels = 2, 0
        if isinstance(item, dict):
            size += sum(len(key) + 3 for key in item if isinstance(key, str))
        for member in item.values() if isinstance(item, dict) else item:
            if isinstance(member, str):
                size += len(member) + 3
            elif isinstance(member, (list, tuple, dict)):
                inner, below = weight(member)
                size, levels = size + inner + 1, max(levels, below)
            else:
                size += 2
        size += len(item) * indent * (levels + 1)
        bounded(size)
        known[id(item)] = (size, levels + 1)
        return known[id(item)]

    try:
        weight(value if isinstance(value, (list, tuple, dict)) else [value])
    except RecursionError:
        raise TemplateFailed("a value in the template is nested too deeply to be written as JSON") from None


def concat(parts: Any) -> str:
    """Texts one after the other."""
    texts = [written(part) for part in parts]
    bounded(*map(len, texts))
    return "".join(texts)


def escape(value: Any) -> str:
    """The filter `escape`."""
    return html.escape(written(value))


def replace(value: Any, old: Any, new: Any, count: int | None = None) -> str:
    """The filter `replace`, and the method of texts."""
    text, old, new = written(value), written(old), written(new)
    times = text.count(old)
    if count is not None and count >= 0:
        times = min(times, count)
    bounded(len(text), times * len(new))
    return text.replace(old, new, times)


def indent(value: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    """The filter `indent`."""
    from jinja2.filters import do_indent

    text = written(value)
    step = len(width) if isinstance(width, str) else int(width)
    bounded(len(text), (text.count("\n") + 1) * max(0, step))
    return do_indent(text, width, first, blank)


def format_text(value: Any, *args: Any, **kwargs: Any) -> str:
    """The filter `format`, and `text % values`: `%s` writes a value as `written` does, the others take numbers."""
    text = written(value)
    pieces: list[str] = []
    size, at, used = 0, 0, 0
    for match in _CONVERSION.finditer(text):
        piece = "%"
        if match["kind"] != "%":
            if match["name"] is None:
                if used >= len(args):
                    raise TemplateFailed(f"the format {text[:60]!r} has more places than values")
                given, used = args[used], used + 1
            else:
                if match["name"] not in kwargs:
                    raise TemplateFailed(f"the format {text[:60]!r} has no value for {match['name']!r}")
                given = kwargs[match["name"]]
            piece = _converted(match, given)
        between = text[at : match.start()]
        at, size = match.end(), size + len(between) + len(piece)
        bounded(size)
        pieces += [between, piece]
    if used < len(args):
        raise TemplateFailed(f"the format {text[:60]!r} has more values than places")
    bounded(size, len(text) - at)
    return "".join(pieces) + text[at:]


def _converted(match: re.Match[str], value: Any) -> str:
    for number in (match["width"], match["precision"] or ""):
        if len(number) > 5 or int(number or 0) > MAX_WIDTH:
            raise TemplateFailed(f"a format of the template is wider than {MAX_WIDTH}")
    kind = match["kind"]
    spec = "%" + match["how"] + match["width"] + ("" if match["precision"] is None else "." + match["precision"])
    if kind == "s":
        return str(f"{spec}s" % (written(value),))
    if not kind or kind not in _NUMERIC_KINDS:
        raise TemplateFailed(f"a format of the template has {match[0][:20]!r}; there are %s, %d, %f and their like")
    return str(f"{spec}{kind}" % (value,))
