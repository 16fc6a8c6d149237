"""Says in words why a request does not fit its operation; every transport answers a malformed request with this."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from msgspec import structs

from runtara_framework.errors import InvalidRequest, UnknownOperation
from runtara_framework.protocol.operations import Operation

_PLACE = re.compile(r" - at `(?:key in )?(\$[^`]*)`$")
_FIELD = re.compile(r"Object (contains unknown|missing required) field `([^`]*)`")

MALFORMED = (ValueError, RecursionError)  # msgspec's errors are ValueErrors
"""What decoding a malformed message raises."""


def invalid_request(operation: Operation[Any, Any], error: Exception) -> InvalidRequest:
    """The error for a request that msgspec refused. `details` has `operation`, and `field` (a dotted path) if known."""
    text = _words(error)
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


def integer_fields(message: type[Any]) -> tuple[str, ...]:
    """The fields of a message that hold an integer, for `refuse_wide`."""
    return tuple(field.name for field in structs.fields(message) if field.type in (int, int | None))


def refuse_wide(operation: Operation[Any, Any], request: Any, fields: tuple[str, ...]) -> None:
    """Raise `InvalidRequest` if one of these fields does not fit into 64 bits: no storage could hold it."""
    for field in fields:
        value = getattr(request, field)
        if value is not None and not -(2**63) <= value < 2**63:
            raise InvalidRequest(
                f"{operation.name}: field `{field}`: the number does not fit into 64 bits",
                operation=operation.name,
                field=field,
            )


def unsendable(message: Any, error: Exception) -> InvalidRequest:
    """The error for a message that cannot be encoded, on the side that sends it."""
    return InvalidRequest(f"a {type(message).__name__} holds something that is no JSON value: {_words(error)}")


def unknown_operation(name: str, known: Iterable[str]) -> UnknownOperation:
    """The error for an operation that the endpoint does not have."""
    return UnknownOperation(f"this server has no operation {name!r}{suggestion(name, known)}", operation=name)


def suggestion(word: str, known: Iterable[str]) -> str:
    """ "; did you mean …?" or nothing."""
    import difflib  # only on the way to an error

    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean `{close[0]}`?" if close else ""


def _words(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _only(**details: str) -> dict[str, str]:
    return {name: value for name, value in details.items() if value}
