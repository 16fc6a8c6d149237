"""What a process writes to stdout and stderr: in files that it can write without us, and that do not fill the disk.

A pipe would die with the server, and with it every program that writes to it (SIGPIPE) or waits for a reader. A file
survives, and `RLIMIT_FSIZE` would also cut the program's own files. So each stream is a file opened with O_APPEND, and the
runner looks at it from time to time: once it has grown past the limit, the beginning is punched out of it, which frees the
blocks and leaves the end, the offsets and the writer alone. What is on the disk at any moment is the limit plus what can
be written between two looks (half a second at most, 20 ms for one that floods); while the server is down nobody looks, and
the first look after `adopt` makes good for it.
"""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

TAIL = 8 * 1024
_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01
_BLOCK = 4096


@dataclass
class Output:
    """The files of one launch."""

    stdout: Path
    stderr: Path
    _kept_from: dict[Path, int] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, mark: int) -> Output:
        """Where the launch with this mark writes."""
        return cls(folder / f"{mark:x}.stdout", folder / f"{mark:x}.stderr")

    @staticmethod
    def mark_of(file: Path) -> int:
        """The launch that a file belongs to."""
        return int(file.stem, 16)

    def open(self) -> tuple[int, int]:
        """Create the files; return the descriptors for the process."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        stdout = os.open(self.stdout, flags, 0o600)
        try:
            return stdout, os.open(self.stderr, flags, 0o600)
        except OSError:
            os.close(stdout)
            raise

    def trim(self, limit: int) -> bool:
        """Free the beginning of a file that has grown past the limit; True if one had."""
        trimmed = False
        for file in (self.stdout, self.stderr):
            with suppress(FileNotFoundError):
                size, kept_from = os.stat(file).st_size, self._kept_from.get(file, 0)
                if size - kept_from > limit:
                    self._kept_from[file] = _forget_beginning(file, size - limit // 2)
                    trimmed = True
        return trimmed

    def tail(self) -> str:
        """The end of stderr: at most 8 KiB of UTF-8 that begins with a whole character."""
        try:
            with open(self.stderr, "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
                return text_of(file.read())
        except FileNotFoundError:
            return ""

    def remove(self) -> None:
        """Delete the files."""
        self.stdout.unlink(missing_ok=True)
        self.stderr.unlink(missing_ok=True)


def text_of(tail: bytes) -> str:
    """The last 8 KiB as text that any database takes: whole characters, and U+FFFD for what is no UTF-8 or is NUL."""
    for _ in range(2):  # replacing makes it longer, so it is cut once more
        tail = tail[-TAIL:]
        start = next((i for i, byte in enumerate(tail[:4]) if byte & 0xC0 != 0x80), 0)
        tail = tail[start:].decode(errors="replace").replace("\0", "\ufffd").encode()
    return tail[-TAIL:].decode(errors="ignore")


def _forget_beginning(file: Path, keep_from: int) -> int:
    """Free the blocks before `keep_from`; return where the file now begins."""
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        keep_from -= keep_from % _BLOCK
        libc = ctypes.CDLL(None, use_errno=True)
        punch = libc.fallocate(
            ctypes.c_int(descriptor), ctypes.c_int(_PUNCH_HOLE_KEEP_SIZE), ctypes.c_long(0), ctypes.c_long(keep_from)
        )
        if punch == 0:
            return keep_from
        code = ctypes.get_errno()
        if code not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise OSError(code, os.strerror(code), str(file))
        restart(descriptor)
        return 0
    finally:
        os.close(descriptor)


def restart(descriptor: int) -> None:
    """For a file system without holes: empty the file but for its tail. What is written in that instant may be lost."""
    tail = os.pread(descriptor, TAIL, max(0, os.fstat(descriptor).st_size - TAIL))
    os.ftruncate(descriptor, 0)
    os.write(descriptor, tail)
