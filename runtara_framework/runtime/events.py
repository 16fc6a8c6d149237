"""What a program tells the world about itself: payloads that stay within the limit of an event."""

from __future__ import annotations

from typing import Any

from runtara_framework.sdk.failure import Failure
from runtara_framework.sdk.values import encode, plain

EVENT_LIMIT = 10 * 1024
"""Bytes of an event's payload (DSL.md 6)."""
PREVIEW = 1024


def bounded(payload: dict[str, Any], limit: int = EVENT_LIMIT) -> bytes:
    """`payload` as JSON of at most `limit` bytes: members that are too large, the largest first, become
    `{_truncated, _original_size, _preview}`."""
    try:
        data = encode(payload, "the payload of an event")
    except Failure:  # nothing fails because of what is told about it
        payload = plain(payload)
        data = encode(payload, "the payload of an event")
    if len(data) <= limit:
        return data
    whole = len(data)
    sizes = {name: encode(value, name) for name, value in payload.items()}
    cut = dict(payload)
    for name in sorted(sizes, key=lambda name: -len(sizes[name])):
        size = len(sizes[name])
        # A cut in the middle of a character leaves that character out, never half of it.
        preview = sizes[name][:PREVIEW].decode("utf-8", "ignore")
        cut[name] = {"_truncated": True, "_original_size": size, "_preview": preview}
        data = encode(cut, "the payload of an event")
        if len(data) <= limit:
            return data
    return encode({"_truncated": True, "_original_size": whole}, "the payload of an event")
