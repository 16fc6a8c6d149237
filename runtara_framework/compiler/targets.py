"""What programs are packed into: the target of a name, and the one that is always there, `zipapp`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from runtara_framework.packaging import write_zipapp
from runtara_framework.spec.target import TARGET, Target

DEFAULT_TARGET = "zipapp"


class ZipappTarget(Target):
    """A zip archive that a Python with the runtime in it executes: small, packed at once, the same bytes everywhere."""

    api = 1
    suffix = ".pyz"

    def pack(self, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> bytes:
        return write_zipapp(files, manifest)


@cache
def load_target(name: str) -> Target:
    """The installed target of that name. Raises what `extension.drivers.load` raises: `DriverNotFound`, …"""
    from runtara_framework.extension.drivers import load

    return load(TARGET, name)()
