"""The archive that an image of Python is: a zipapp with a manifest. Written by the compiler and the SDK, read by the server.

    #!/usr/bin/env python3
    __main__.py       runs the program
    runtara.json      the manifest: what the image says of itself
    …                 whatever else the program needs

The bytes depend on the files and the manifest only: entries are sorted, their times fixed, and nothing is compressed,
because two versions of zlib may write different bytes and equal programs must be equal images.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from runtara_framework.errors import ImageInvalid

SHEBANG = b"#!/usr/bin/env python3\n"
MAIN = "__main__.py"
MANIFEST = "runtara.json"
MAX_MANIFEST_BYTES = 16 * 2**20

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can tell


def write_zipapp(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> bytes:
    """An executable archive of `files` (relative path with slashes -> content; one of them `__main__.py`) and the manifest.

    The same arguments give the same bytes. Raises `ValueError` for a path that is not relative and normal, a missing
    `__main__.py`, or a file that takes the manifest's name; `TypeError` for a manifest that is not JSON.
    """
    if MAIN not in files:
        raise ValueError(f"the archive needs a {MAIN}; it has: {', '.join(sorted(files)) or 'nothing'}")
    if MANIFEST in files:
        raise ValueError(f"{MANIFEST} is written from the manifest and cannot be a file of the program")
    text = json.dumps(manifest, ensure_ascii=False, sort_keys=True, indent=1, allow_nan=False)
    entries = {**files, MANIFEST: text.encode()}
    buffer = io.BytesIO()
    buffer.write(SHEBANG)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(entries):
            _check_name(name)
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3  # Unix, wherever it is written
            info.external_attr = 0o100644 << 16
            archive.writestr(info, entries[name])
    return buffer.getvalue()


def read_manifest(image: bytes | Path) -> dict[str, Any] | None:
    """The manifest of an image; None if the image is no zip archive or carries none (any executable may be an image).

    Raises `ImageInvalid` for a manifest that is no JSON object or larger than 16 MiB, and for an unreadable archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(image) if isinstance(image, bytes) else image) as archive:
            if MANIFEST not in archive.NameToInfo:
                return None
            with archive.open(MANIFEST) as member:
                data = member.read(MAX_MANIFEST_BYTES + 1)
    except zipfile.BadZipFile as error:
        if not _looks_like_zip(image):
            return None
        raise ImageInvalid(f"the image looks like a zip archive but cannot be read: {error}") from error
    except (NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise ImageInvalid(f"the image's {MANIFEST} cannot be read: {error}") from error
    if len(data) > MAX_MANIFEST_BYTES:
        raise ImageInvalid(f"the image's {MANIFEST} is larger than {MAX_MANIFEST_BYTES} bytes")
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ImageInvalid(f"the image's {MANIFEST} is no valid JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise ImageInvalid(f"the image's {MANIFEST} must be a JSON object, not {type(manifest).__name__}")
    return manifest


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or str(path) != name or "\\" in name or "\0" in name:
        raise ValueError(f"the path {name!r} is not a plain relative one")


def _looks_like_zip(image: bytes | Path) -> bool:
    """Whether a shebang, if any, is followed by the first entry of a zip."""
    if isinstance(image, bytes):
        head = image[:4096]
    else:
        with image.open("rb") as file:
            head = file.read(4096)
    if head.startswith(b"#!"):
        head = head.partition(b"\n")[2]
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))
