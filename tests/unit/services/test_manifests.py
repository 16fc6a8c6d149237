"""A manifest that the server cannot act on is refused when the image is registered, not when an instance starts."""

from __future__ import annotations

from typing import Any

import pytest

from runtara_framework.errors import ImageInvalid
from runtara_framework.services.manifests import checked


def nested(levels: int) -> Any:
    value: Any = {"type": "string"}
    for _ in range(levels):
        value = {"type": "array", "items": value}
    return value


@pytest.mark.parametrize(
    ("manifest", "place"),
    [
        ({"inputSchema": 5}, "inputSchema"),
        ({"inputSchema": {"a": 5}}, "inputSchema.a"),
        ({"inputSchema": {"a": {"type": ["x"]}}}, "inputSchema.a.type"),
        ({"inputSchema": {"a": {"type": "string", "min": "x"}}}, "inputSchema.a.min"),
        ({"inputSchema": {"a": {"type": "string", "enum": 5}}}, "inputSchema.a.enum"),
        ({"inputSchema": {"a": {"type": "string", "pattern": "["}}}, "pattern"),
        ({"outputSchema": {"a": {"type": "array", "items": {"type": "string", "pattern": "(?=a)"}}}}, "pattern"),
        ({"inputSchema": {"a": nested(300)}}, "deep"),
        ({"variables": [1]}, "variables"),
        ({"variables": {"v": 3}}, "variables.v"),
        ({"executionTimeoutSeconds": "x"}, "executionTimeoutSeconds"),
        ({"executionTimeoutSeconds": -5}, "executionTimeoutSeconds"),
        ({"executionTimeoutSeconds": 10**40}, "executionTimeoutSeconds"),
        ({"kind": "workflow", "executionTimeoutSeconds": 1.5}, "executionTimeoutSeconds"),
        ({"memoryTier": "XXL"}, "memoryTier"),
        ({"kind": "python", "memoryTier": 64}, "memoryTier"),
    ],
)
def test_a_malformed_manifest_is_refused_with_the_place(manifest: dict[str, Any], place: str) -> None:
    with pytest.raises(ImageInvalid) as caught:
        checked({"kind": "scenario", **manifest})
    assert place in caught.value.message


def test_what_compilers_write_and_what_is_not_ours_passes() -> None:
    for manifest in (
        {},
        {"anything": [1, {"at": "all"}]},
        {"kind": "workflow", "inputSchema": 5},
        {"kind": "scenario", "inputSchema": {"a": nested(60)}, "variables": {"v": {"type": "file", "value": None}}},
    ):
        assert checked(manifest) is manifest
