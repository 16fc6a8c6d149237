"""Capabilities of `text` about its bytes."""

from __future__ import annotations

import codecs
import hashlib
from typing import Final, Literal

from pydantic import BaseModel, Field

from runtara_agents_std.charsets import codec_of
from runtara_agents_std.text.declared import TextInput, pure
from runtara_framework.agents import AgentError, permanent
from runtara_framework.agents.files import BytesInput, FileData, to_bytes

_INVALID_DATA: Final = permanent("TEXT_INVALID_FILE_DATA", "The data is no base64")
_OUT_OF_RANGE: Final = permanent("TEXT_BYTE_OUT_OF_RANGE", "A number of the byte array is not from 0 to 255")

BOMS: Final = ((codecs.BOM_UTF8, "UTF-8"), (codecs.BOM_UTF16_LE, "UTF-16LE"), (codecs.BOM_UTF16_BE, "UTF-16BE"))

_BY_TLD: Final = {
    "windows-1251": ("ru", "ua", "by", "bg", "rs", "mk", "kz"),
    "windows-1250": ("pl", "cz", "sk", "hu", "ro", "si", "hr", "ba"),
    "windows-1253": ("gr", "cy"),
    "windows-1254": ("tr", "az"),
    "windows-1255": ("il",),
    "windows-1256": ("sa", "ae", "eg", "ir"),
    "windows-1257": ("lt", "lv", "ee"),
    "windows-1258": ("vn",),
    "windows-874": ("th",),
    "Shift_JIS": ("jp",),
    "EUC-KR": ("kr",),
    "GBK": ("cn", "sg"),
    "Big5": ("tw", "hk"),
}


def content_of(data: BytesInput) -> bytes:
    """The bytes. Raises `AgentError` TEXT_INVALID_FILE_DATA or TEXT_BYTE_OUT_OF_RANGE."""
    try:
        return to_bytes(data)
    except ValueError as error:
        code = "TEXT_BYTE_OUT_OF_RANGE" if isinstance(data, list) else "TEXT_INVALID_FILE_DATA"
        raise AgentError(code, f"`data`: {error}") from error


@pure(id="hash-text")
async def hash_text(input: TextInput) -> str:
    """The SHA-256 of the text's UTF-8 bytes, in hexadecimal; of an empty text, an empty text."""
    return hashlib.sha256(input.given.encode()).hexdigest() if input.given else ""


class BytesOfInput(TextInput):
    encoding: Literal["UTF-8"] = Field("UTF-8", description="How to write the characters")


@pure(id="as-byte-array")
async def as_byte_array(input: BytesOfInput) -> list[int]:
    """The bytes of a text, as numbers."""
    return list(input.given.encode())


class FromBase64Input(BaseModel):
    data: BytesInput = Field(description="Base64 text, a file, or an array of byte numbers")
    encoding: str = Field("UTF-8", description="How the bytes spell characters")


@pure(
    id="from-base64",
    errors=[
        _INVALID_DATA,
        _OUT_OF_RANGE,
        permanent("TEXT_UNSUPPORTED_ENCODING", "There is no such encoding"),
        permanent("TEXT_INVALID_BYTE_ARRAY", "The bytes are not a text of that encoding"),
    ],
)
async def from_base64(input: FromBase64Input) -> str:
    """The text that bytes spell."""
    codec = codec_of(input.encoding)
    if codec is None:
        raise AgentError("TEXT_UNSUPPORTED_ENCODING", f"there is no encoding {input.encoding[:50]!r}")
    try:
        return content_of(input.data).decode(codec)
    except UnicodeDecodeError as error:
        raise AgentError(
            "TEXT_INVALID_BYTE_ARRAY", f"the bytes are no {input.encoding} text: {error.reason} at byte {error.start}"
        ) from None


class ToBase64Input(BaseModel):
    data: BytesInput = Field(description="A text, of which the UTF-8 bytes count, a file, or an array of byte numbers")
    filename: str | None = Field(None, description="The name of the file")
    mime_type: str | None = Field(None, alias="mimeType", description="Its media type")


@pure(id="to-base64", errors=[_INVALID_DATA, _OUT_OF_RANGE])
async def to_base64(input: ToBase64Input) -> FileData:
    """A file with the bytes of a text or of an array. A file stays one; its name and type can be replaced."""
    before = input.data if isinstance(input.data, FileData) else FileData(content="")
    content = input.data.encode() if isinstance(input.data, str) else content_of(input.data)
    return FileData.of(content, input.filename or before.filename, input.mime_type or before.mime_type)


class DetectInput(BaseModel):
    data: BytesInput = Field(description="Base64 text, a file, or an array of byte numbers")
    tld_hint: str | None = Field(None, description="The top-level domain that it comes from, such as `ua`")
    allow_utf8: bool = Field(True, description="Whether the answer may be UTF-8 without a byte order mark")


class Detected(BaseModel):
    encoding: str = Field(description="The encoding, by its name on the web")
    confident: bool = Field(description="Whether the bytes prove it")
    bom: bool = Field(description="Whether they begin with a byte order mark")


@pure(id="detect-encoding", errors=[_INVALID_DATA, _OUT_OF_RANGE])
async def detect_encoding(input: DetectInput) -> Detected:
    """How bytes probably spell characters: by their byte order mark, else UTF-8 if they are valid UTF-8, else what is
    usual where they come from."""
    content = content_of(input.data)
    for mark, encoding in BOMS:
        if content.startswith(mark):
            return Detected(encoding=encoding, confident=True, bom=True)
    if input.allow_utf8 and _fits(content, "utf-8"):
        return Detected(encoding="UTF-8", confident=True, bom=False)
    hint = (input.tld_hint or "").lower().lstrip(".")
    usual = next((encoding for encoding, tlds in _BY_TLD.items() if hint in tlds), "windows-1252")
    if not _fits(content, codec_of(usual) or usual):
        usual = "windows-1252"
    return Detected(encoding=usual, confident=content.isascii(), bom=False)


def _fits(content: bytes, codec: str) -> bool:
    try:
        content.decode(codec)
    except UnicodeDecodeError:
        return False
    return True
