"""JSON, as programs hand it over: encoded once, by msgspec, and never with a silent null."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from runtara_framework.memory import LIMIT
from runtara_framework.sdk.failure import OUTPUT_INVALID, Failure

MESSAGE_CHARACTERS = 8_000
"""What is left of the message of a failure that is too large."""


def _foreign(value: Any) -> Any:
    """What msgspec does not know: a pydantic model, by its own method, without importing pydantic."""
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json", by_alias=True)
    raise TypeError(f"an object of type {type(value).__qualname__} has no JSON form")


_encoder = msgspec.json.Encoder(enc_hook=_foreign)
_stable = msgspec.json.Encoder(enc_hook=_foreign, order="deterministic")
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def encode(value: Any, what: str, *, stable: bool = False, code: str = OUTPUT_INVALID) -> bytes:
    """`value` as JSON. `what` names it in messages ("the output"). `stable`: equal values give equal bytes, whatever the
    order of their keys. Raises `Failure` with `code` for what is no JSON: other types, NaN, infinities, cycles."""
    try:
        with LIMIT.lifted:
            data = (_stable if stable else _encoder).encode(value)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        reason = "it is too deep or contains itself" if isinstance(error, RecursionError) else str(error)
        raise Failure(code, f"{what} cannot be written as JSON: {reason}") from error
    # msgspec writes NaN and infinities as null; look for one only where there is a null at all.
    if b"null" in data and (place := not_a_number(value, what)):
        raise Failure(code, f"{what} cannot be written as JSON: {place} is no finite number")
    return data


def decode(data: bytes) -> Any:
    """The JSON value of `data`. Raises `ValueError` (msgspec's) if it is not JSON."""
    with LIMIT.lifted:
        value = _decoder.decode(data)
    LIMIT.check(len(data))  # a value may be many times as much as its text
    return value


def plain(value: Any, depth: int = 64) -> Any:
    """`value` as JSON, whatever it is: for what is told of a failure, which must not fail itself. What has no JSON form,
    or is deeper than `depth`, becomes its `repr`; NaN, infinities and half characters become text."""
    try:
        return decode(encode(value, "it"))
    except (Failure, ValueError, msgspec.MsgspecError):
        pass
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping) and depth:
        return {plain(str(name)): plain(member, depth - 1) for name, member in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)) and depth:
        return [plain(member, depth - 1) for member in value]
    try:
        return plain(repr(value))
    except Exception:  # it is foreign code, and Python refuses to write the largest numbers
        return f"<{type(value).__qualname__}>"


def shortened(failure: Mapping[str, Any]) -> dict[str, Any]:
    """A failure as JSON (DSL.md 6) without what may be large: its attributes are marked as cut, and its message is, at
    `MESSAGE_CHARACTERS`; so are those of its causes."""
    size = len(encode(plain(failure.get("attributes")), "the attributes"))
    cut = {
        **failure,
        "message": str(failure.get("message"))[:MESSAGE_CHARACTERS],
        "attributes": {"_truncated": True, "_original_size": size},
    }
    if isinstance(cause := failure.get("cause"), Mapping):
        cut["cause"] = shortened(cause)
    return cut


def not_a_number(value: Any, place: str) -> str | None:
    """Where in `value` (called `place`) a NaN or an infinity is, or None."""
    stack: list[tuple[Any, str]] = [(value, place)]
    while stack:
        item, where = stack.pop()
        if isinstance(item, float):
            if not math.isfinite(item):
                return where
        elif isinstance(item, Mapping):
            stack.extend((member, f"{where}.{name}") for name, member in item.items())
        elif isinstance(item, (list, tuple, set, frozenset)):
            stack.extend((member, f"{where}[{index}]") for index, member in enumerate(item))
        elif isinstance(item, msgspec.Struct) or hasattr(item, "__dataclass_fields__"):
            stack.extend((getattr(item, name), f"{where}.{name}") for name in _fields(item))
        elif callable(dump := getattr(item, "model_dump", None)):
            stack.append((dump(), where))
    return None


def _fields(item: Any) -> list[str]:
    return list(getattr(item, "__struct_fields__", None) or item.__dataclass_fields__)
