"""Migrations: they make the same schema as the metadata, from every revision, and know what they may not touch."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from runtara_framework.errors import MigrationError, StorageCorrupt, StorageError
from runtara_framework.storage import migrations, schema
from runtara_framework.storage.migrations import BRANCHES, CORE_HEADS, FOLDER, HEADS
from runtara_framework.storage.sqlite import SqlitePersistence
from runtara_framework.testing.persistence_world import Connect

from .conftest import dump

CORE = {table.name for table in schema.CORE}
ALL = CORE | {table.name for table in schema.ENVIRONMENT}


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def config(connection: sa.Connection | None = None) -> Config:
    made = Config()
    made.set_main_option("script_location", str(FOLDER))
    made.set_main_option("path_separator", "os")
    made.set_main_option("version_locations", os.pathsep.join(str(FOLDER / branch) for branch in BRANCHES))
    made.attributes["connection"] = connection
    return made


def engine(path: Path) -> sa.Engine:
    return sa.create_engine(url(path), poolclass=sa.NullPool)


def alembic(path: Path, *targets: str) -> None:
    """Upgrade from nothing by the migrations alone."""
    for target in targets:
        with engine(path).begin() as connection:
            command.upgrade(config(connection), target)


def by_metadata(path: Path) -> None:
    with engine(path).begin() as connection:
        schema.metadata.create_all(connection)


def described(path: Path) -> dict[str, Any]:
    """Tables, columns, keys, checks and indexes, as the database itself describes them."""
    connection = sqlite3.connect(path)

    def rows(query: str) -> list[Any]:
        return connection.execute(query).fetchall()

    def plain(sql: str | None) -> str:
        return re.sub(r"[\s\"]+", "", sql or "")

    def parts(sql: str) -> list[str]:
        """What stands between the outermost commas, whatever its order."""
        found, depth = [""], 0
        for letter in plain(sql):
            depth += (letter == "(") - (letter == ")")
            if letter == "," and depth == 1:
                found.append("")
            else:
                found[-1] += letter
        return sorted(part.removesuffix(")") if part.count("(") < part.count(")") else part for part in found)

    description: dict[str, Any] = {}
    for (table,) in rows("SELECT name FROM sqlite_master WHERE type = 'table'"):
        if table == "alembic_version":
            continue
        (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        description[table] = {
            "columns": rows(f"PRAGMA table_xinfo({table})"),
            "parts": parts(sql),
            "indexes": sorted(
                (name, unique, partial, [column[2] for column in rows(f"PRAGMA index_info({name})")])
                for _, name, unique, _, partial in rows(f"PRAGMA index_list({table})")
            ),
        }
    description["sql of indexes"] = sorted(
        plain(sql) for (sql,) in rows("SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    )
    connection.close()
    return description


def revisions(path: Path) -> set[str]:
    return {row[0] for row in dump(path)["alembic_version"]}


def tables(path: Path) -> set[str]:
    return set(dump(path)) - {"alembic_version"}


# -- agreement --------------------------------------------------------------------------------------------


def test_fresh_migrated_and_described_databases_are_equal(tmp_path: Path) -> None:
    fresh, migrated, metadata = (tmp_path / name for name in ("fresh", "migrated", "metadata"))
    migrations.run(url(fresh))
    alembic(migrated, "heads")
    by_metadata(metadata)
    assert described(fresh) == described(migrated) == described(metadata)
    assert revisions(fresh) == revisions(migrated) == HEADS
    assert tables(fresh) == ALL


def test_a_fresh_core_is_equal_to_a_migrated_one(tmp_path: Path) -> None:
    fresh, migrated = tmp_path / "fresh", tmp_path / "migrated"
    migrations.run_core(url(fresh))
    alembic(migrated, "core@head")
    assert described(fresh) == described(migrated)
    assert revisions(fresh) == revisions(migrated) == CORE_HEADS
    assert tables(fresh) == CORE


@pytest.mark.parametrize("how", [migrations.run, lambda address: alembic(Path(address[10:]), "heads")])
def test_alembic_finds_no_difference_to_the_metadata(path: Path, how: Callable[[str], Any]) -> None:
    how(url(path))
    with engine(path).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []


def test_the_heads_and_the_names_of_the_files_are_those_of_alembic() -> None:
    script = ScriptDirectory.from_config(config())
    found = {revision.revision: Path(revision.path) for revision in script.walk_revisions()}
    assert set(found) == migrations.known()
    assert set(script.get_heads()) == CORE_HEADS | HEADS
    for revision, file in found.items():
        assert file.parent.name == revision.split("_")[0]


# -- upgrades ---------------------------------------------------------------------------------------------


def histories() -> Iterable[list[str]]:
    """Each revision that a database may be at, and how it got there."""
    script = ScriptDirectory.from_config(config())
    yield from ([revision.revision] for revision in script.walk_revisions())
    yield ["core@head", "heads"]


@pytest.mark.parametrize("history", [*histories()], ids=" ".join)
def test_every_revision_is_upgraded_with_what_it_holds(tmp_path: Path, path: Path, history: list[str]) -> None:
    alembic(path, *history)
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO secrets VALUES ('kept', x'00')")
    connection.commit()
    connection.close()
    assert migrations.run(url(path)) == ", ".join(sorted(HEADS))
    migrations.run(url(tmp_path / "fresh"))
    assert described(path) == described(tmp_path / "fresh")
    assert dump(path)["secrets"] == [("kept", b"\0")]


def test_core_becomes_everything_and_stays_it(path: Path) -> None:
    assert migrations.run_core(url(path)) == "core_0001"
    assert migrations.run(url(path)) == "environment_0001"
    assert tables(path) == ALL
    assert migrations.run_core(url(path)) == "environment_0001"
    assert tables(path) == ALL


def test_running_again_changes_nothing(path: Path) -> None:
    migrations.run(url(path))
    before = described(path)
    assert migrations.run(url(path)) == "environment_0001"
    assert described(path) == before


@pytest.mark.parametrize("begin", ["nothing", "core"])
def test_servers_that_migrate_at_once_take_turns(path: Path, begin: str) -> None:
    if begin == "core":
        migrations.run_core(url(path))
    start, answers = threading.Barrier(4), []

    def run() -> None:
        start.wait()
        try:
            answers.append(migrations.run(url(path)))
        except Exception as error:
            answers.append(repr(error))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["environment_0001"] * 4
    assert tables(path) == ALL


@pytest.mark.parametrize("state", ["fresh", "current"])
def test_nothing_heavy_is_imported_unless_there_is_something_to_upgrade(path: Path, state: str) -> None:
    if state == "current":
        migrations.run(url(path))
    program = (
        "import asyncio, logging, sys\n"
        "from contextlib import AsyncExitStack\n"
        "from pathlib import Path\n"
        "from runtara_framework.clock import SystemClock\n"
        "from runtara_framework.spec.driver import DriverContext\n"
        "from runtara_framework.storage.sqlite import SqlitePersistence, SqliteSettings\n"
        "async def main():\n"
        "    context = DriverContext(SystemClock(), Path(sys.argv[1]).parent, 'n', logging.getLogger())\n"
        "    async with AsyncExitStack() as stack:\n"
        "        driver = SqlitePersistence(SqliteSettings(url='sqlite:///' + sys.argv[1]), context)\n"
        "        await driver.start(stack)\n"
        "        await driver.migrate()\n"
        "        print(await driver.claim_self('t', 'i', node_id='n', now_ms=1))\n"
        "        print(*({'alembic', 'sqlalchemy'} & set(sys.modules)))\n"
        "asyncio.run(main())\n"
    )
    run = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == ""


# -- what plugins bring -----------------------------------------------------------------------------------

ACME = '''"""Acme's own table."""

import sqlalchemy as sa
from alembic import op

revision = "acme_0001"
down_revision = None
branch_labels = ("acme",)
depends_on = "core_0001"


def upgrade() -> None:
    op.create_table("acme_notes", sa.Column("instance", sa.Integer, sa.ForeignKey("instances.id")))
'''


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """A plugin's folder of revisions, with a name that needs care."""
    folder = tmp_path / "acme 100%"
    folder.mkdir()
    (folder / "acme_0001_notes.py").write_text(ACME)
    return folder


@pytest.mark.parametrize("begin", ["nothing", "core", "everything"])
def test_a_plugins_branch_is_run_beside_ours(path: Path, acme: Path, begin: str) -> None:
    if begin != "nothing":
        (migrations.run_core if begin == "core" else migrations.run)(url(path))
    assert migrations.run(url(path), [acme]) == "acme_0001, environment_0001"
    assert tables(path) == ALL | {"acme_notes"}
    assert migrations.run(url(path), [acme]) == "acme_0001, environment_0001"


def test_a_plugin_that_is_gone_does_not_stop_the_server(path: Path, acme: Path) -> None:
    migrations.run(url(path), [acme])
    assert migrations.run(url(path)) == "acme_0001, environment_0001"


def test_an_upgrade_past_a_plugin_that_is_gone_names_its_revision(path: Path, acme: Path) -> None:
    alembic(path, "core@head")
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO alembic_version VALUES ('acme_0001')")
    connection.commit()
    connection.close()
    before = dump(path)
    with pytest.raises(MigrationError) as caught:
        migrations.run(url(path))
    assert "acme_0001" in caught.value.message
    assert "plugin" in caught.value.message
    assert dump(path) == before


async def test_the_driver_takes_the_plugins_folders(persistence: SqlitePersistence, acme: Path, path: Path) -> None:
    assert await persistence.migrate([acme]) == "acme_0001, environment_0001"
    assert "acme_notes" in tables(path)
    await persistence.claim_self("t", "i", node_id="n", now_ms=1)


def test_a_migration_that_fails_leaves_nothing(path: Path, acme: Path) -> None:
    (acme / "acme_0002_broken.py").write_text(
        ACME.replace('"acme_0001"', '"acme_0002"')
        .replace("down_revision = None", 'down_revision = "acme_0001"')
        .replace('branch_labels = ("acme",)', "")
        .replace("acme_notes", "instances")
    )
    migrations.run_core(url(path))
    before = dump(path)
    with pytest.raises(MigrationError) as caught:
        migrations.run(url(path), [acme])
    assert "instances" in caught.value.message
    assert dump(path) == before


# -- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", ["core_9999", "environment_9999"])
async def test_a_newer_database_is_refused(path: Path, connect: Connect, revision: str) -> None:
    migrations.run(url(path))
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.commit()
    connection.close()
    before = dump(path)
    with pytest.raises(MigrationError) as caught:
        await connect()
    assert revision in caught.value.message
    assert "upgrade Runtara" in caught.value.message
    assert dump(path) == before


def test_tables_that_no_migration_made_are_refused(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE instances (mine TEXT)")
    connection.commit()
    connection.close()
    before = dump(path)
    with pytest.raises(MigrationError) as caught:
        migrations.run(url(path))
    assert "another database" in caught.value.message
    assert dump(path) == before


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"dear diary, " * 1000)
    with pytest.raises(StorageCorrupt) as caught:
        migrations.run(url(path))
    assert str(path) in caught.value.message


def test_a_server_that_is_away_is_a_storage_error() -> None:
    with pytest.raises(StorageError) as caught:
        migrations.run("postgresql://someone:secret@127.0.0.1:1/none")
    assert "secret" not in caught.value.message
