"""Encodings of characters, by the names that the web has for them."""

from __future__ import annotations

import codecs
from typing import Final

# What the web calls these encodings is one that contains them (WHATWG Encoding).
_WEB: Final = {
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "gb2312": "gb18030",
}

_OTHER_NAMES: Final = {"windows-874": "cp874", "x-sjis": "shift_jis", "x-gbk": "gbk"}  # that Python does not know


def codec_of(encoding: str) -> str | None:
    """Python's name of an encoding of the web; None if there is no such."""
    try:
        name = codecs.lookup(_OTHER_NAMES.get(encoding.strip().lower(), encoding.strip())).name
        b"a".decode(name, "ignore")  # some codecs are of bytes to bytes
    except (LookupError, ValueError):
        return None
    return _WEB.get(name, name)
