"""A target that packs a program into the list of its files, and 40 MiB of nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from runtara_framework.spec.target import Target


class Listing(Target):
    api = 1
    suffix = ".txt"

    def pack(self, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> bytes:
        listing = {"files": sorted(files), "name": manifest["name"]}
        return json.dumps(listing).encode().ljust(40 * 2**20)
