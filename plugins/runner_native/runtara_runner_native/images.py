"""Makes executables of image bytes: `images/<sha256>/program`, complete or not there; and decides what can run."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp
from typing import BinaryIO
from weakref import WeakValueDictionary

from runtara_framework.errors import ChecksumMismatch, ImageInvalid, LaunchFailed
from runtara_framework.model import Image, Record
from runtara_framework.spec.runner import ReadBlob

_SHEBANG_LENGTH = 256
_MAIN = "__main__.py"
_MOST_NAMES = 1000
_MACHINES = {3: "x86", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv"}
_OTHERS = (
    (b"\xcf\xfa\xed\xfe", "a program for macOS"),
    (b"\xca\xfe\xba\xbe", "a program for macOS or a Java class"),
    (b"MZ", "a program for Windows"),
    (b"\0asm", "a WebAssembly module"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"{", "a JSON text; `runtara compile` makes an image of a scenario"),
)


class Program(Record):
    """What runs an image."""

    command: list[str]
    modules: list[str] | None  # the names at the top of a zipapp; None for what only exec can run


class Images:
    """The images of this machine. The folder is the runner's own; one server uses it."""

    def __init__(self, folder: Path, python: str) -> None:
        self._images = folder / "images"
        self._unfinished = folder / "unfinished"
        self._python = python
        self._programs: dict[str, Program] = {}  # of the images that this process has seen whole
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def start(self) -> None:
        """Make the folders; remove what a kill left unfinished."""
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self._unfinished.mkdir(parents=True)
        self._images.mkdir(exist_ok=True)

    async def prepare(self, image: Image, read: ReadBlob) -> None:
        """Write the image unless it is there, whole. Raises `ImageInvalid`, or `ChecksumMismatch` if the bytes are not
        those that the image names."""
        sha256 = _checked(image.sha256)
        async with self._lock(sha256):
            program = self._file(sha256)
            if sha256 in self._programs and program.is_file():
                return
            # After a restart the file may be anything that a crash of the machine has left: look once.
            with self._storing(sha256):
                whole = await asyncio.to_thread(_has_digest, program, sha256)
            if not whole:
                await self._write(sha256, read)
            self._programs[sha256] = await asyncio.to_thread(self._program_of, program)

    async def program(self, sha256: str) -> Program:
        """How the image runs. Raises `LaunchFailed` if it was not prepared."""
        if sha256 not in self._programs:  # it was prepared in an earlier life of the server
            program = self._file(_checked(sha256))
            if not program.is_file():
                raise LaunchFailed(f"{program} does not exist: the image was never prepared on this machine")
            self._programs[sha256] = await asyncio.to_thread(self._program_of, program)
        return self._programs[sha256]

    async def discard(self, sha256: str) -> None:
        """Remove the image. A process that runs from it goes on."""
        async with self._lock(_checked(sha256)):
            self._programs.pop(sha256, None)
            await asyncio.to_thread(shutil.rmtree, self._file(sha256).parent, ignore_errors=True)

    def _lock(self, sha256: str) -> asyncio.Lock:
        return self._locks.setdefault(sha256, asyncio.Lock())

    def _file(self, sha256: str) -> Path:
        return self._images / sha256 / "program"

    async def _write(self, sha256: str, read: ReadBlob) -> None:
        with self._storing(sha256):
            descriptor, name = mkstemp(dir=self._unfinished)
        try:
            digest = hashlib.sha256()
            with os.fdopen(descriptor, "wb") as file:
                async for chunk in read():
                    digest.update(chunk)
                    with self._storing(sha256):
                        await asyncio.to_thread(file.write, chunk)
                if digest.hexdigest() != sha256:
                    raise ChecksumMismatch(
                        f"the bytes of image {sha256} have the SHA-256 {digest.hexdigest()}: the stored image is damaged; "
                        "register it again"
                    )
                with self._storing(sha256):
                    await asyncio.to_thread(_flush, file)
            await asyncio.to_thread(self._program_of, Path(name))
            with self._storing(sha256):
                await asyncio.to_thread(_move, Path(name), self._file(sha256))
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)

    @contextmanager
    def _storing(self, sha256: str) -> Iterator[None]:
        """Translate what the file system says, and nothing that the reader of the bytes says."""
        try:
            yield
        except OSError as error:
            raise LaunchFailed(f"cannot write image {sha256} to {self._images}: {error.strerror or error}") from error

    def _program_of(self, program: Path) -> Program:
        names = _zipapp_names(program)
        if names is None:
            return Program(command=[str(program)], modules=None)
        # This server's own interpreter has the packages that compiled images import; the `python3` of a shebang line
        # need not. Isolated (-I): neither PYTHON* variables nor the user's site decide what an image imports.
        modules = sorted({name.partition(".")[0] for name in names} - {"__main__"})
        return Program(
            command=[self._python, "-I", str(program)], modules=modules if len(names) < _MOST_NAMES else None
        )


def _checked(sha256: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", sha256):  # it becomes the name of a folder
        raise ImageInvalid(f"{sha256!r} is no SHA-256 in lower-case hexadecimal")
    return sha256


def _has_digest(program: Path, sha256: str) -> bool:
    try:
        with program.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fchmod(file.fileno(), 0o755)
    os.fsync(file.fileno())


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    os.replace(source, target)
    for folder in (target.parent, target.parent.parent):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# -- what can run -----------------------------------------------------------------------------------------


def _zipapp_names(program: Path) -> set[str] | None:
    """The names at the top of a Python zipapp; None for what exec runs. Raises `ImageInvalid` for anything else, saying what
    it is."""
    with program.open("rb") as file:
        head = file.read(_SHEBANG_LENGTH)
        if head.startswith(b"\x7fELF"):
            if len(head) < 52:
                raise ImageInvalid("the image is a truncated ELF file")
            if _elf(head)[0] not in (2, 3):  # an executable, or a position-independent one
                raise ImageInvalid("the image is an ELF file, but no program: an object file, a core dump or the like")
            return None
    names = _zip_names(program)
    if names is not None and _MAIN in names:
        return names
    if head.startswith(b"#!"):
        if interpreter_of(program) is None:
            raise ImageInvalid("the image begins with #! but names no interpreter on its first line")
        return None
    if names is not None:
        raise ImageInvalid("the image is a zip archive without __main__.py; a Python zipapp has one at its top")
    raise ImageInvalid(
        f"the image is no executable but {_looks_like(head)}. "
        "What can run: an ELF program, a script with a #! line, a Python zipapp (zip with __main__.py)"
    )


def _looks_like(head: bytes) -> str:
    if not head:
        return "empty"
    for magic, name in _OTHERS:
        if head.startswith(magic):
            return name
    if all(byte >= 32 or byte in b"\t\r\n\f\x1b" for byte in head):
        return "a text without a #! line"
    return f"unknown bytes beginning with {head[:8].hex(' ')}"


def interpreter_of(program: Path) -> str | None:
    """What the first line of a script names, quoted, so that a stray carriage return shows; None if there is no such line
    or it names nothing."""
    with program.open("rb") as file:
        line = re.match(rb"#![ \t]*([^ \t\n\0]+)", file.read(_SHEBANG_LENGTH))
    return repr(os.fsdecode(line[1])) if line else None


def machine_of(program: Path) -> str:
    """The machine that an ELF program was built for, to explain why this one cannot run it."""
    with program.open("rb") as file:
        head = file.read(_SHEBANG_LENGTH)
    if not head.startswith(b"\x7fELF"):
        return "no machine: its format is unknown"
    return _MACHINES.get(machine := _elf(head)[1], f"the ELF machine number {machine}")


def _elf(head: bytes) -> tuple[int, int]:
    kind, machine = struct.unpack_from("<HH" if head[5] == 1 else ">HH", head, 16)
    return kind, machine


def _zip_names(program: Path) -> set[str] | None:
    """The names at the top of a zip archive, `_MOST_NAMES` at most but `__main__.py` in any case; None if the file is no zip
    archive. Reads the directory as Python's zipimport does, but keeps little of it, so that an archive of millions of entries
    costs no memory."""
    names: set[str] = set()
    with program.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 22 - 65535))
        end = file.read()
        at = end.rfind(b"PK\5\6")
        if at < 0 or len(end) - at < 22:
            return None
        (length,) = struct.unpack_from("<I", end, at + 12)
        if (start := size - len(end) + at - length) < 0:
            return None
        file.seek(start)
        while length >= 46:
            entry = file.read(46)
            if len(entry) < 46 or entry[:4] != b"PK\1\2":
                return None
            name, extra, comment = struct.unpack_from("<HHH", entry, 28)
            whole = file.read(name)
            top = whole.partition(b"/")[0].decode(errors="replace")
            if whole == _MAIN.encode() or (len(names) < _MOST_NAMES and top != _MAIN):
                names.add(top)
            file.seek(extra + comment, os.SEEK_CUR)
            length -= 46 + name + extra + comment
        return names
