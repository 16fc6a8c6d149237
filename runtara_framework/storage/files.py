"""A SQLite database file: its address, how a connection to it is made, and what its errors mean."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from runtara_framework.errors import ConfigError, RuntaraError, StorageCorrupt, StorageError

SCHEME = "sqlite:///"
BUSY_MS = 10_000
"""How long a statement waits for another process that writes to the same file."""
LOG_PAGES = 1000
"""Pages of write-ahead log after which a commit copies them back into the file."""


def path_of(url: str) -> Path:
    """The file that `sqlite:///relative.db` or `sqlite:////absolute.db` names. Raises `ConfigError`."""
    name = url.removeprefix(SCHEME)
    if name == url or name in ("", ":memory:"):
        raise ConfigError(
            f"[persistence] url {url!r} names no database file; write sqlite:///relative/path.db or "
            "sqlite:////absolute/path.db"
        )
    return Path(name)


def connect(
    path: Path,
    *,
    synchronous: str = "full",
    read_only: bool = False,
    busy_ms: int = BUSY_MS,
    log_pages: int = LOG_PAGES,
) -> sqlite3.Connection:
    """A connection without implicit transactions, for the calling thread. Makes the file, readable by this user only, if
    there is none. `log_pages` 0: it never copies the write-ahead log back. Raises `sqlite3.Error` or `OSError`."""
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
    try:
        connection.execute(f"PRAGMA busy_timeout = {busy_ms}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {log_pages}")
        mode = _write_ahead(connection, busy_ms)
        if mode != "wal":
            raise sqlite3.OperationalError(f"the file system does not allow write-ahead logging (journal mode {mode})")
        connection.execute(f"PRAGMA synchronous = {synchronous.upper()}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        connection.create_function("runtara_contains", 2, _contains, deterministic=True)
    except BaseException:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection, busy_ms: int) -> str:
    """Switch to write-ahead logging; answers the mode that it is in. Two that switch a new file at once are told at once that
    it is locked: SQLite's own patience does not hold for that, so it is ours."""
    until = time.monotonic() + busy_ms / 1000
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return str(mode)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
        time.sleep(0.005)


def _contains(payload: bytes, needle: str) -> bool:
    # SQL's own lower() and LIKE know no letters beyond ASCII.
    return needle.casefold() in payload.decode("utf-8", "replace").casefold()


_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_ADVICE = {
    sqlite3.SQLITE_BUSY: "another process writes to it; only one server may use a data directory",
    sqlite3.SQLITE_LOCKED: "another process writes to it; only one server may use a data directory",
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_READONLY: "the file or its directory is read-only; give this user write access to both",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened; does its directory exist, and may this user write to it?",
    sqlite3.SQLITE_IOERR: "the disk reported an error",
}


def translate(error: Exception, path: Path) -> Exception:
    """What an exception of the database means to everybody else; any other exception is returned as it is."""
    if isinstance(error, RuntaraError) or not isinstance(error, sqlite3.Error | OSError):
        return error
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest is detail
    translated: RuntaraError
    if code in _DAMAGED:
        translated = StorageCorrupt(
            f"{path} is damaged or is no SQLite database ({error}); restore it from a backup, or move it away (with its "
            "-wal and -shm files) to begin anew"
        )
    else:
        advice = (
            "its directory does not exist; create it" if isinstance(error, FileNotFoundError) else _ADVICE.get(code)
        )
        translated = StorageError(f"the database {path} failed: {error}{f'; {advice}' if advice else ''}")
    translated.__cause__ = error
    return translated
