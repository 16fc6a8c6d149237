"""What can run, how it is run, and that an image is complete or not there."""

# ruff: noqa: ASYNC240  # small files, read at once on purpose

from __future__ import annotations

import asyncio
import io
import logging
import os
import sys
import zipfile
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from runtara_runner_native import NativeRunner, NativeSettings

from runtara_framework.clock import SystemClock
from runtara_framework.errors import ChecksumMismatch, ImageInvalid, LaunchFailed
from runtara_framework.spec.driver import DriverContext
from runtara_framework.testing.processes import Go, Ready, image_of, reader, soon

from .conftest import Start, prepared, script, spec


def zip_of(files: dict[str, str], before: bytes = b"", comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.comment = comment
    return before + buffer.getvalue()


async def code_of(runner: NativeRunner, body: bytes, workdir: Path, env: dict[str, str] | None = None) -> int | None:
    handle = await runner.launch(spec(await prepared(runner, body), workdir, env))
    exit = await soon(runner.wait(handle))
    assert exit.stderr == ""
    return exit.code


@pytest.mark.parametrize(
    "before", [b"", b"#!/usr/bin/env python3\n", b"#!/no/such/python\n"], ids=["bare", "python3", "missing"]
)
async def test_a_zipapp_runs_with_the_packages_of_the_server(
    runner: NativeRunner, workdir: Path, before: bytes
) -> None:
    main = (
        f"import sys, helper, runtara_framework; sys.exit(helper.code if sys.executable == {sys.executable!r} else 1)"
    )
    body = zip_of({"__main__.py": main, "helper.py": "code = 5"}, before, comment=b"a comment at the end")

    assert await code_of(runner, body, workdir) == 5


async def test_python_variables_do_not_decide_what_a_zipapp_imports(runner: NativeRunner, workdir: Path) -> None:
    (workdir / "json.py").write_text("raise SystemExit(9)")
    body = zip_of({"__main__.py": "import json, sys; sys.exit(json.loads('4'))"})

    assert await code_of(runner, body, workdir, {"PYTHONPATH": str(workdir), "PYTHONSTARTUP": "json.py"}) == 4


async def test_the_setting_python_runs_zipapps(start: Start, workdir: Path, tmp_path: Path) -> None:
    python = tmp_path / "my-python"
    python.write_text('#!/bin/sh\n[ "$1" = -I ] && exit 42\n')
    python.chmod(0o755)
    runner = await start(NativeSettings(python=str(python)))

    assert await code_of(runner, zip_of({"__main__.py": ""}), workdir) == 42


async def test_an_elf_program_runs_even_with_a_zip_at_its_end(runner: NativeRunner, workdir: Path) -> None:
    false = Path("/bin/false").read_bytes()

    assert await code_of(runner, false, workdir) == 1
    assert await code_of(runner, zip_of({"__main__.py": ""}, before=false), workdir) == 1


async def test_a_script_that_carries_an_archive_is_a_script(runner: NativeRunner, workdir: Path) -> None:
    assert await code_of(runner, zip_of({"payload": "x"}, before=b"#!/bin/sh\nexit 3\n"), workdir) == 3


async def test_a_main_deeper_in_the_archive_does_not_count(runner: NativeRunner) -> None:
    with pytest.raises(ImageInvalid, match=r"zip archive without __main__\.py"):
        await prepared(runner, zip_of({"package/__main__.py": ""}))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"print('hello')\n", r"a text without a #! line\. What can run: "),
        (b'{"steps": {}}', "a JSON text; `runtara compile`"),
        (b"MZ\x90\0", "Windows"),
        (b"\xcf\xfa\xed\xfe\7\0\0\1", "macOS"),
        (b"\0asm\1\0\0\0", "WebAssembly"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\1\2\3\xff", "unknown bytes beginning with 01 02 03 ff"),
        (b"\x7fELF\2\1\1", "truncated ELF"),
        (b"\x7fELF\2\1\1" + bytes(9) + b"\1\0\x3e\0" + bytes(60), "no program: an object file"),
        (b"#! \t\n/bin/sh\n", "names no interpreter"),
        (zip_of({"readme.txt": "x"}), r"zip archive without __main__\.py"),
    ],
)
async def test_anything_else_is_refused_with_what_it_seems_to_be(
    runner: NativeRunner, data_dir: Path, body: bytes, said: str
) -> None:
    with pytest.raises(ImageInvalid, match=said):
        await prepared(runner, body)

    folder = data_dir / "runner_native"
    assert [path for name in ("images", "unfinished") for path in (folder / name).rglob("*") if path.is_file()] == []


async def test_a_program_for_another_machine_is_named_at_launch(runner: NativeRunner, workdir: Path) -> None:
    body = bytearray(Path("/bin/true").read_bytes())
    body[18:20] = (40 if os.uname().machine == "aarch64" else 183).to_bytes(2, sys.byteorder)
    image = await prepared(runner, bytes(body))

    with pytest.raises(LaunchFailed, match=r"cannot run the program: it is for (aarch64|arm)"):
        await runner.launch(spec(image, workdir))


async def test_an_interpreter_that_is_no_program_is_explained(runner: NativeRunner, workdir: Path) -> None:
    image = await prepared(runner, b"#!/etc/passwd\n")

    with pytest.raises(LaunchFailed, match=r"its interpreter is no executable, or .* noexec"):
        await runner.launch(spec(image, workdir))


async def test_a_carriage_return_in_the_first_line_shows(runner: NativeRunner, workdir: Path) -> None:
    image = await prepared(runner, b"#!/bin/sh\r\nexit 0\r\n")

    with pytest.raises(LaunchFailed, match=r"interpreter '/bin/sh\\r' does not exist"):
        await runner.launch(spec(image, workdir))


async def test_a_name_that_is_no_digest_never_becomes_a_path(runner: NativeRunner, workdir: Path) -> None:
    image = image_of(b"#!/bin/sh\n")
    for sha256 in ("../../../etc", "", "a" * 63, "A" * 64):
        evil = type(image)(**{**{name: getattr(image, name) for name in image.__struct_fields__}, "sha256": sha256})
        with pytest.raises(ImageInvalid):
            await runner.prepare(evil, reader(b""))
        with pytest.raises(ImageInvalid):
            await runner.launch(spec(evil, workdir))
        with pytest.raises(ImageInvalid):
            await runner.discard(evil)


# -- complete or not there --------------------------------------------------------------------------------


def program_in(data_dir: Path, sha256: str) -> Path:
    return data_dir / "runner_native" / "images" / sha256 / "program"


async def test_a_prepared_image_is_an_executable_file(runner: NativeRunner, data_dir: Path) -> None:
    image = await script(runner, "exit 0")
    program = program_in(data_dir, image.sha256)

    assert program.read_bytes() == b"#!/bin/sh\nexit 0\n"
    assert program.stat().st_mode & 0o7777 == 0o755
    assert list((data_dir / "runner_native" / "unfinished").iterdir()) == []


async def test_the_next_server_launches_what_this_one_prepared(start: Start, workdir: Path) -> None:
    image = await script(await start(), "exit 6")
    runner = await start()

    assert (await soon(runner.wait(await runner.launch(spec(image, workdir))))).code == 6


@pytest.mark.parametrize("damage", [b"", b"#!/bin/sh\nexit", b"#!/bin/sh\nexit 7\n"], ids=["empty", "half", "other"])
async def test_a_damaged_image_is_written_again_by_the_next_server(
    start: Start, data_dir: Path, workdir: Path, damage: bytes
) -> None:
    body = b"#!/bin/sh\nexit 6\n"
    image = await prepared(await start(), body)
    program_in(data_dir, image.sha256).write_bytes(damage)

    runner = await start()
    await runner.prepare(image, reader(body))
    assert (await soon(runner.wait(await runner.launch(spec(image, workdir))))).code == 6


async def test_what_a_kill_left_unfinished_is_removed(start: Start, data_dir: Path) -> None:
    await start()
    (data_dir / "runner_native" / "unfinished" / "half").write_bytes(b"#!/bin")
    await start()

    assert list((data_dir / "runner_native" / "unfinished").iterdir()) == []


async def test_damaged_bytes_are_told_from_invalid_ones(runner: NativeRunner) -> None:
    image = image_of(b"#!/bin/sh\nexit 1\n")

    with pytest.raises(ChecksumMismatch, match="the stored image is damaged"):
        await runner.prepare(image, reader(b"#!/bin/sh\nexit 2\n"))


async def test_discard_removes_the_files_and_a_running_process_goes_on(
    runner: NativeRunner, data_dir: Path, workdir: Path
) -> None:
    ready = Ready(workdir)
    image = await script(runner, "echo ready > ready; read line < go; exit 5")
    with Go(workdir) as go:
        handle = await runner.launch(spec(image, workdir))
        await ready.wait()
        await runner.discard(image)
        assert list((data_dir / "runner_native" / "images").iterdir()) == []
        go.say()
        assert (await soon(runner.wait(handle))).code == 5
    with pytest.raises(LaunchFailed, match="never prepared"):
        await runner.launch(spec(image, workdir))


async def test_a_folder_that_cannot_be_written_is_a_failed_launch(runner: NativeRunner, data_dir: Path) -> None:
    image = image_of(b"#!/bin/sh\n")
    (data_dir / "runner_native" / "images" / image.sha256).write_text("a file in the place of the folder")

    with pytest.raises(LaunchFailed, match="Not a directory"):
        await runner.prepare(image, reader(b"#!/bin/sh\n"))


async def test_a_program_that_somebody_still_holds_for_writing_is_launched_when_it_is_let_go(
    runner: NativeRunner, data_dir: Path, workdir: Path
) -> None:
    image = await script(runner, "exit 6")
    with program_in(data_dir, image.sha256).open("ab"):
        with pytest.raises(LaunchFailed, match="Text file busy"):
            await runner.launch(spec(image, workdir))
        launching = asyncio.create_task(runner.launch(spec(image, workdir)))
        await asyncio.sleep(0)
        assert not launching.done()

    assert (await soon(runner.wait(await soon(launching)))).code == 6


async def test_a_relative_data_directory_is_no_trap(
    tmp_path: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch, stack: AsyncExitStack
) -> None:

    monkeypatch.chdir(tmp_path)
    context = DriverContext(
        clock=SystemClock(), data_dir=Path("data"), node_id="test", logger=logging.getLogger("native")
    )
    runner = NativeRunner(NativeSettings(), context)
    await runner.start(stack)

    assert await code_of(runner, b"#!/bin/sh\nexit 3\n", workdir) == 3
