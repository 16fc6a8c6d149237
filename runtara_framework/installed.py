"""What installed distributions offer by entry points, looked for once: the search reads a file of every distribution.

Found again when a folder of the search path has changed, so that what is installed meanwhile is seen.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def offers(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of a group, of all distributions; imports none of what they name."""
    return tuple(_all(tuple(map(_state, sys.path))).select(group=group))


def _state(folder: str) -> tuple[str, int]:
    try:
        return folder, os.stat(folder or ".").st_mtime_ns
    except OSError:
        return folder, 0


@lru_cache(maxsize=4)
def _all(path: tuple[tuple[str, int], ...]) -> Any:
    """Something with a method `select`: its type depends on the version of Python."""
    from importlib.metadata import entry_points  # an import that costs more than the rest of us

    return entry_points()
