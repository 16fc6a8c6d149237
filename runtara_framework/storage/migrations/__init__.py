"""Brings a database to this version's schema: `run(url)` for all of it, `run_core(url)` for core alone.

Two alembic branches: `core/`, and `environment/` on top of it; plugins add branches of their own. alembic costs half a
second to import, so it is used only when there is something to upgrade: an empty SQLite file gets the tables as they are
now (`sql/`, proven equal to the migrations by a test) and a stamp, and a file that is up to date is left alone.

A revision's file is named after it: `core_0001_instances.py` is `core_0001`. To make the next one:
write it into the branch's folder, change `schema.py` alike, and set `HEADS` below.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from runtara_framework.errors import MigrationError
from runtara_framework.storage import files
from runtara_framework.storage.tx import sqlite_texts

__all__ = ["CORE_HEADS", "HEADS", "current", "known", "run", "run_core"]

FOLDER = Path(__file__).parent
BRANCHES = ("core", "environment")

CORE_HEADS = frozenset({"core_0001"})
"""What `alembic_version` holds when core alone is up to date …"""
HEADS = frozenset({"environment_0001"})
"""… and when everything is: alembic drops the row of a revision that another one depends on."""


def run(url: str, extra: Sequence[Path] = ()) -> str:
    """Bring the whole schema up to date and return the revision. `extra` are folders of alembic revisions of plugins.
    Idempotent; of two callers at once one waits for the other.

    Raises `MigrationError` if the database is newer than this version or cannot be upgraded, `StorageCorrupt` if it is no
    database, `StorageError` if it cannot be reached.
    """
    return _run(url, HEADS, extra)


def run_core(url: str) -> str:
    """As `run`, for instances that register themselves, without images and launches. A database that has more keeps it."""
    return _run(url, CORE_HEADS, ())


def _run(url: str, heads: frozenset[str], extra: Sequence[Path]) -> str:
    if not url.startswith("sqlite:"):
        from runtara_framework.storage.migrations import upgrade

        return upgrade.server(url, heads, extra)
    path = files.path_of(url)
    try:
        connection = files.connect(path)
        try:
            revisions = _create(connection, path, heads)
        finally:
            connection.close()
        if extra or not current(revisions, heads):
            from runtara_framework.storage.migrations import upgrade

            revisions = upgrade.file(path, heads, extra)
    except (sqlite3.Error, OSError) as error:
        raise files.translate(error, path) from error
    return ", ".join(sorted(revisions))


def _create(connection: sqlite3.Connection, path: Path, heads: frozenset[str]) -> frozenset[str]:
    """The revisions of the database, after making the tables if it has none."""
    connection.execute("BEGIN IMMEDIATE")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "alembic_version" in tables:
        revisions = frozenset(row[0] for row in connection.execute("SELECT version_num FROM alembic_version"))
        refuse_newer(revisions, str(path))
    else:
        refuse_foreign(tables, str(path))
        for branch in BRANCHES if heads == HEADS else BRANCHES[:1]:
            for statement in sqlite_texts(branch).values():
                connection.execute(statement)
        # As alembic makes it.
        connection.execute(
            "CREATE TABLE alembic_version ("
            "version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
        connection.executemany("INSERT INTO alembic_version VALUES (?)", [(head,) for head in sorted(heads)])
        revisions = heads
    connection.execute("COMMIT")
    return revisions


def known() -> frozenset[str]:
    """The revisions that this version has, by the names of their files."""
    stems = (path.stem for branch in BRANCHES for path in (FOLDER / branch).glob("*_*_*.py"))
    return frozenset("_".join(stem.split("_")[:2]) for stem in stems)


def current(revisions: frozenset[str], heads: frozenset[str]) -> bool:
    """Whether nothing is left to do for these heads."""
    return heads <= revisions or (heads == CORE_HEADS and revisions >= HEADS)


def refuse_newer(revisions: frozenset[str], where: str) -> None:
    """Raises `MigrationError` for a revision of ours that this version does not have. Those of plugins are their own."""
    newer = sorted(r for r in revisions - known() if r.startswith(tuple(f"{branch}_" for branch in BRANCHES)))
    if newer:
        raise MigrationError(
            f"the database {where} has the schema {', '.join(newer)}, which is newer than this version of Runtara knows "
            f"({', '.join(sorted(HEADS))}); upgrade Runtara, or use another database",
            revisions=sorted(revisions),
        )


def refuse_foreign(tables: set[str], where: str) -> None:
    """Raises `MigrationError` for tables with our names that no migration made."""
    if "instances" in tables:
        raise MigrationError(
            f"the database {where} has a table `instances` but no record of its schema's version (alembic_version); it is "
            "not one that Runtara made. Use another database"
        )
