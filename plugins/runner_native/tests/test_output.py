"""The files of stdout and stderr: bounded on disk, whole at their end, text for any database."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from runtara_runner_native import NativeSettings
from runtara_runner_native.output import TAIL, Output, restart, text_of

from runtara_framework.testing.processes import soon

from .conftest import Start, prepared, spec

FLOOD = """
import os, sys, time
for stream in (1, 2):
    for _ in range(20):
        os.write(stream, b"x" * (1 << 20))
for _ in range(1000):
    if all(os.fstat(stream).st_blocks * 512 <= 128 << 10 for stream in (1, 2)):
        sys.exit(0)
    time.sleep(0.01)
sys.exit(1)
"""
MIB = 1024 * 1024


def on_disk(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_file_past_its_limit_loses_its_beginning_and_the_writer_notices_nothing(tmp_path: Path, stream: str) -> None:
    output = Output.of(tmp_path, 0xABC)
    descriptors = dict(zip(("stdout", "stderr"), output.open(), strict=True))
    writer, path = descriptors[stream], getattr(output, stream)
    try:
        os.write(writer, b"a" * MIB)
        assert not output.trim(MIB)
        for letter in b"bcdef":
            os.write(writer, bytes([letter]) * 2 * MIB)
            assert output.trim(MIB)
            assert on_disk(path) <= MIB
        os.write(writer, b"the end")
        assert not output.trim(MIB)
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)

    assert path.stat().st_size == 11 * MIB + 7
    assert path.read_bytes()[-MIB // 2 :] == b"f" * (MIB // 2 - 7) + b"the end"
    assert output.tail().endswith("the end") == (stream == "stderr")
    output.remove()
    output.remove()
    assert list(tmp_path.iterdir()) == []
    assert output.tail() == ""
    assert not output.trim(MIB)


def test_the_files_are_private_and_named_after_the_launch(tmp_path: Path) -> None:
    output = Output.of(tmp_path, 0xABC)
    for descriptor in output.open():
        os.close(descriptor)

    assert {path.name for path in tmp_path.iterdir()} == {"abc.stdout", "abc.stderr"}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    assert {Output.mark_of(path) for path in tmp_path.iterdir()} == {0xABC}


def test_without_holes_a_file_begins_again_with_its_tail(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    writer = os.open(tmp_path / "file", os.O_WRONLY | os.O_APPEND)
    try:
        os.write(writer, b"x" * MIB + b"words")
        restart(descriptor)
        os.write(writer, b" and more")
    finally:
        os.close(descriptor)
        os.close(writer)

    assert (tmp_path / "file").read_bytes() == b"x" * (TAIL - 5) + b"words and more"


def test_a_stdout_that_cannot_be_opened_leaves_no_descriptor(tmp_path: Path) -> None:
    output = Output.of(tmp_path, 1)
    output.stderr.mkdir()
    before = len(os.listdir("/proc/self/fd"))

    with pytest.raises(OSError, match=os.strerror(errno.EISDIR)):
        output.open()
    assert len(os.listdir("/proc/self/fd")) == before


@given(
    st.binary(max_size=64).map(lambda part: part * (3 * TAIL // max(1, len(part))))
    | st.binary()
    | st.text().map(str.encode)
)
def test_any_bytes_become_text_that_fits(data: bytes) -> None:
    text = text_of(data)

    assert len(text.encode()) <= TAIL
    assert "\0" not in text
    if len(data) <= TAIL and "\0" not in text_or(data):
        assert text == text_or(data)


def text_or(data: bytes) -> str:
    """What a short UTF-8 text must become; for anything else, something that it is not compared with."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "\0"


@pytest.mark.parametrize("character", ["a", "é", "€", "😀"])
def test_a_tail_begins_with_a_whole_character(character: str) -> None:
    for shift in range(5):
        text = text_of((character * 2 * TAIL + "." * shift).encode())
        assert set(text) <= {character, "."}
        assert len(text.encode()) > TAIL - 4


async def test_the_setting_bounds_a_running_process(start: Start, data_dir: Path, workdir: Path) -> None:
    runner = await start(NativeSettings(output_limit_bytes=64 * 1024))
    image = await prepared(runner, f"#!{sys.executable}\n{FLOOD}".encode())

    assert (await soon(runner.wait(await runner.launch(spec(image, workdir))))).code == 0


def test_a_limit_below_what_the_tail_needs_is_refused() -> None:
    with pytest.raises(ValidationError, match="output_limit_bytes"):
        NativeSettings(output_limit_bytes=1000)
