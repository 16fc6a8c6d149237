"""Keeps what is costly to make, on disk, for as long as what it was made from stays the same.

`<key>.base` is a line of JSON, which names the files that the base was made from, each with size and time, and then the
base. A key is held with `flock` while its base is made, so two compilations at once make it once.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from tempfile import mkstemp

import msgspec

from runtara_framework.errors import DriverUnavailable

KEPT = 8
"""Bases; the one that was not used for the longest time goes first."""

Stamp = tuple[str, int, int]
"""Path, size, time of the last change in nanoseconds."""


class _Head(msgspec.Struct, frozen=True):
    sha256: str  # of the base
    sources: list[Stamp]


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/runtara/target_native`, by default in `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "runtara" / "target_native"


class Cache:
    """The bases in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, identity: Iterable[str], make: Callable[[], tuple[bytes, list[Path]]]) -> bytes:
        """The base of that identity, made now unless it is there and all of its sources are as they were. `make` answers
        with the base and its sources. Raises `DriverUnavailable` if the folder cannot be used."""
        key = sha256("\0".join(identity).encode()).hexdigest()
        entry = self._folder / f"{key}.base"
        with self._keeping():
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = (self._folder / f"{key}.lock").open("w")
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            base = _read(entry)
            if base is None:
                began = time.time_ns()
                base, sources = make()
                head = _Head(sha256=sha256(base).hexdigest(), sources=[_stamp(path) for path in sources])
                if all(changed < began for _, _, changed in head.sources):  # else nobody knows which content was read
                    with self._keeping():
                        self._write(entry, msgspec.json.encode(head) + b"\n" + base)
                    self._tidy()
            with suppress(FileNotFoundError):  # another process may tidy, too
                os.utime(entry)
        return base

    @contextmanager
    def _keeping(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DriverUnavailable(
                f"target native cannot keep what it makes in {self._folder}: {error.strerror or error}; set XDG_CACHE_HOME "
                "to a folder that can be written to"
            ) from error

    def _write(self, path: Path, content: bytes) -> None:
        descriptor, name = mkstemp(dir=self._folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.replace(name, path)
        except OSError:
            os.unlink(name)
            raise

    def _tidy(self) -> None:
        used: dict[Path, int] = {}
        for path in self._folder.glob("*.base"):
            with suppress(FileNotFoundError):
                used[path] = path.stat().st_mtime_ns
        for path in sorted(used, key=used.__getitem__, reverse=True)[KEPT:]:
            path.unlink(missing_ok=True)


def _read(entry: Path) -> bytes | None:
    """The base, if it is whole and none of its sources has changed."""
    try:
        line, _, base = entry.read_bytes().partition(b"\n")
        head = msgspec.json.decode(line, type=_Head)
        changed = any(_stamp(Path(path)) != (path, size, time) for path, size, time in head.sources)
    except (OSError, msgspec.DecodeError):
        return None
    return None if changed or sha256(base).hexdigest() != head.sha256 else base


def _stamp(path: Path) -> Stamp:
    stat = path.stat()
    return (str(path), stat.st_size, stat.st_mtime_ns)
