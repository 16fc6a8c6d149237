"""Says in words why a request does not fit its operation; every transport answers a malformed request with this."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from runtara_framework.errors import InvalidRequest, UnknownOperation
from runtara_framework.protocol.operations import Operation

_PLACE = re.compile(r" - at `(?:key in )?(\$[^`]*)`$")
_FIELD = re.compile(r"Object (contains unknown|missing required) field `([^`]*)`")

MALFORMED = (ValueError, RecursionError)  # msgspec's errors are ValueErrors
"""What decoding a malformed message raises."""


def invalid_request(operation: Operation[Any, Any], error: Exception) -> InvalidRequest:
    """The error for a request that msgspec refused. `details` has `operation`, and `field` (a dotted path) if known."""
    text = str(error) or "it is nested too deeply"
    place = _PLACE.search(text)
    path = place[1].lstrip("$").lstrip(".") if place else ""
    text = text[: place.start()] if place else text
    if not (found := _FIELD.match(text)):
        at = f"field `{path}`: " if path else ""
        return InvalidRequest(f"{operation.name}: {at}{text}", operation=operation.name, **_only(field=path))
    kind, name = found.groups()
    field = f"{path}.{name}" if path else name
    if kind == "missing required":
        message = f"field `{field}` is missing"
    else:
        hint = "" if path else suggestion(name, operation.request.__struct_fields__)
        message = f"there is no field `{field}`{hint}"
    return InvalidRequest(f"{operation.name}: {message}", operation=operation.name, field=field)


def unknown_operation(name: str, known: Iterable[str]) -> UnknownOperation:
    """The error for an operation that the endpoint does not have."""
    return UnknownOperation(f"this server has no operation {name!r}{suggestion(name, known)}", operation=name)


def suggestion(word: str, known: Iterable[str]) -> str:
    """ "; did you mean …?" or nothing."""
    import difflib  # only on the way to an error

    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean `{close[0]}`?" if close else ""


def _only(**details: str) -> dict[str, str]:
    return {name: value for name, value in details.items() if value}
