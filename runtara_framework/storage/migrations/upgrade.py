"""The part of the migrations that needs SQLAlchemy and alembic; imported only when there is something to upgrade."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError

from runtara_framework.errors import MigrationError, StorageError
from runtara_framework.storage import files, schema
from runtara_framework.storage.migrations import (
    BRANCHES,
    CORE_HEADS,
    FOLDER,
    HEADS,
    current,
    refuse_foreign,
    refuse_newer,
)

LOCK = 0x52554E54415241  # "RUNTARA": one migration at a time on a database server

# The queries' search in payloads, as `files._contains` does it for SQLite. What is no UTF-8 is searched byte by byte:
# `escape` writes a backslash as two and any other strange byte as \nnn, which becomes a question mark.
CONTAINS = r"""
CREATE OR REPLACE FUNCTION runtara_contains(payload bytea, needle text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  haystack text;
BEGIN
  BEGIN
    haystack := convert_from(payload, 'UTF8');
  EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    haystack := replace(encode(payload, 'escape'), '\\', chr(1));
    haystack := replace(regexp_replace(haystack, '\\[0-7]{3}', '?', 'g'), chr(1), '\');
  END;
  RETURN position(lower(needle) IN lower(haystack)) > 0;
END $$
"""


def file(path: Path, heads: frozenset[str], extra: Sequence[Path]) -> frozenset[str]:
    """Upgrade a SQLite file."""
    engine = sa.create_engine("sqlite://", creator=lambda: files.connect(path), poolclass=sa.NullPool)
    # The connection begins nothing by itself; so two servers that upgrade at once take turns.
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.begin() as connection:
        return _upgrade(connection, heads, extra, str(path))


def server(url: str, heads: frozenset[str], extra: Sequence[Path]) -> str:
    """Create or upgrade the schema on a database server."""
    address = sa.make_url(url)
    if address.drivername in ("postgres", "postgresql"):
        address = address.set(drivername="postgresql+psycopg")
    where = address.render_as_string(hide_password=True)
    try:
        engine = sa.create_engine(address, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
            revisions = on_connection(connection, heads, extra, where)
    except (sa.exc.DBAPIError, ModuleNotFoundError) as error:
        raise StorageError(f"the database {where} cannot be migrated: {error}") from error
    return ", ".join(sorted(revisions))


def on_connection(
    connection: sa.Connection, heads: frozenset[str], extra: Sequence[Path], where: str
) -> frozenset[str]:
    """Create or upgrade the schema over an open transaction; `where` names the database in errors."""
    tables = set(sa.inspect(connection).get_table_names())
    if "alembic_version" not in tables:
        refuse_foreign(tables, where)
        schema.metadata.create_all(connection, tables=schema.CORE if heads == CORE_HEADS else None)
        _stamp(connection, heads)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(CONTAINS)
    revisions = _revisions(connection)
    refuse_newer(revisions, where)
    return _upgrade(connection, heads, extra, where) if extra or not current(revisions, heads) else revisions


def _upgrade(connection: sa.Connection, heads: frozenset[str], extra: Sequence[Path], where: str) -> frozenset[str]:
    config = Config()
    folders = [str(FOLDER / branch) for branch in BRANCHES] + [str(folder) for folder in extra]
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", os.pathsep.join(folders).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "heads" if heads == HEADS else "core@head")
    except CommandError as error:
        raise MigrationError(
            f"the database {where} cannot be upgraded from {', '.join(sorted(_revisions(connection)))}: {error}. A revision "
            "that cannot be located belongs to a plugin: install that plugin again"
        ) from error
    except Exception as error:  # whatever a migration, ours or a plugin's, may raise
        raise _failed(error, where) from error
    return _revisions(connection)


def _failed(error: Exception, where: str) -> Exception:
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else None
    if isinstance(cause, sqlite3.Error) and cause.sqlite_errorcode != sqlite3.SQLITE_ERROR:
        return cause  # not the migration but the file: locked, full, damaged
    detail = str(cause or error).strip()
    return MigrationError(f"upgrading the database {where} failed and was undone: {type(error).__name__}: {detail}")


def _revisions(connection: sa.Connection) -> frozenset[str]:
    return frozenset(MigrationContext.configure(connection).get_current_heads())


def _stamp(connection: sa.Connection, heads: frozenset[str]) -> None:
    version = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))
    version.create(connection)
    connection.execute(version.insert(), [{"version_num": head} for head in sorted(heads)])
