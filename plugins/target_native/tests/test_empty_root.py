"""The executable runs in a root filesystem that holds nothing but itself, to the same result, whenever it is killed."""

from __future__ import annotations

import io
import json
import os
import ssl
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from runtara_framework.packaging import read_manifest

from .conftest import SCENARIO, Core, compiled, inside, tree

HERE = f"/runtara-native-{os.geteuid()}/"


async def test_a_scenario_runs_to_its_result_with_its_agents_and_its_stdlib(core: Core) -> None:
    instance = await core.run({"name": "Ada"})
    assert instance.error is None
    assert json.loads(instance.output or b"")["text"] == "GRÜSS GOTT, ADA!"
    assert (core.root / "calls").read_text().split() == ["greet", "look"]


async def test_killed_after_every_checkpoint_it_ends_with_the_same_result_and_repeats_nothing(core: Core) -> None:
    core.kill_after_each_checkpoint = True
    instance = await core.run({"name": "Ada"})
    assert json.loads(instance.output or b"")["text"] == "GRÜSS GOTT, ADA!"
    assert instance.epoch == 3
    assert (core.root / "calls").read_text().split() == ["greet", "look"]
    # Kills leave nothing behind.
    assert sorted(path.name for path in core.root.iterdir()) == ["calls", "core.sock", "program", HERE.strip("/")]


async def test_it_sees_its_own_python_and_nothing_else(core: Core) -> None:
    seen = json.loads((await core.run({"name": "Ada"})).output or b"")["seen"]
    assert seen["path"][0] == "/program"
    assert all(entry.startswith(HERE) for entry in seen["path"][1:])
    assert seen["python"].startswith(HERE)
    assert seen["isolated"] and seen["utf8"]
    assert core.process is not None
    assert seen["pid"] == core.process.pid  # and no process of a launcher beside it


async def test_what_it_needs_is_inside(core: Core) -> None:
    seen = json.loads((await core.run({"name": "Ada"})).output or b"")["seen"]
    assert seen["certificates"] > 100
    assert seen["noon"] == 7200.0
    assert seen["version"] == "2.1"


async def test_only_the_plugins_that_it_uses_are_inside(core: Core) -> None:
    seen = json.loads((await core.run({"name": "Ada"})).output or b"")["seen"]
    dialers = [plugin for plugin in seen["plugins"] if plugin.startswith("runtara.dialers ")]
    assert "runtara.dialers unix" in dialers
    assert sorted(set(seen["plugins"]) - set(dialers)) == ["runtara.agents greeter", "runtara.stdlib greeter"]
    names = {path.name for path in tree(core.root).rglob("*")}
    assert {"probe.pyc", "words.txt", "cacert.pem"} <= names
    assert not names & {
        "archivist.pyc",
        "unused.pyc",
        "sqlite3",
        "sqlalchemy",
        "alembic",
        "stevedore",
        "services",
        "cli",
    }


async def test_beside_other_libraries_it_loads_its_own(core: Core) -> None:
    instance = await core.run({"name": "Ada"}, outside=True, TMPDIR=str(core.root))
    libraries = json.loads(instance.output or b"")["seen"]["libraries"]
    assert any("/libc.so" in library for library in libraries)
    assert all(library.startswith(f"{core.root}{HERE}") for library in libraries)


async def test_the_certificates_of_the_machine_and_of_the_user_come_before_its_own(core: Core) -> None:
    async def chosen(**environ: str) -> Any:
        instance = await core.run({"name": "Ada"}, **environ)
        return json.loads(instance.output or b"")["seen"]["certificates_file"]

    assert (await chosen()).startswith(HERE)
    assert await chosen(SSL_CERT_FILE="/program") == "/program"
    (core.root / ssl.get_default_verify_paths().openssl_capath.lstrip("/")).mkdir(parents=True)
    assert await chosen() is None


async def test_an_input_that_does_not_fit_fails_as_everywhere(core: Core) -> None:
    instance = await core.run({"name": 7})
    assert instance.error is not None
    assert "name" in instance.error["message"]


def test_the_licences_of_what_is_inside_are_inside(root: Path) -> None:
    inside(root)
    licensed = {path.parts[-3].partition("-")[0] for path in tree(root).rglob("licenses/*")}
    assert {"runtara_framework", "pydantic", "jinja2", "msgspec"} <= licensed


def test_the_server_reads_the_manifest_in_it(root: Path) -> None:
    result = compiled()
    assert read_manifest(result.binary) == read_manifest(root / "program") == result.manifest
    assert result.manifest["inputSchema"] == SCENARIO["inputSchema"]


def test_the_program_is_the_archive_at_its_end(executable: bytes) -> None:
    with ZipFile(io.BytesIO(executable)) as archive:
        assert archive.testzip() is None
        assert {"__main__.py", "program.py", "runtara.json", "scenario.json"} <= set(archive.namelist())


def test_it_is_an_elf_program_without_a_loader(executable: bytes) -> None:
    assert executable.startswith(b"\x7fELF")
    assert executable[16] == 2  # ET_EXEC: linked to its place, by nobody but the linker
