"""Digests of texts and files: what `utils` and `crypto` share."""

from __future__ import annotations

import base64
import hashlib
from typing import Literal

from pydantic import BaseModel, Field

from runtara_framework.agents import AgentError, permanent
from runtara_framework.agents.files import FileData

Algorithm = Literal["sha256", "sha512", "sha1", "md5"]
Format = Literal["hex", "base64"]

BASE64_INVALID = permanent("BASE64_INVALID", "The content of the file is no base64")


class HashInput(BaseModel):
    value: str | FileData = Field(description="A text, of which the UTF-8 bytes count, or a file")
    algorithm: Algorithm = Field("sha256", description="The digest")
    output_format: Format = Field("hex", description="How to write it")


class Digest(BaseModel):
    hash: str = Field(description="The digest")
    algorithm: str = Field(description="The algorithm used")
    format: str = Field(description="How the digest is written")


def content_of(value: str | FileData) -> bytes:
    """The bytes that count. Raises `AgentError` BASE64_INVALID."""
    if isinstance(value, str):
        return value.encode()
    try:
        return value.to_bytes()
    except ValueError as error:
        raise AgentError("BASE64_INVALID", f"the content of the file: {error}") from error


def digest(value: str | FileData, algorithm: Algorithm, output_format: Format) -> Digest:
    """The digest of a text or a file."""
    # sha1 and md5 are offered to match what others have computed, not to protect anything.
    found = hashlib.new(algorithm, content_of(value), usedforsecurity=False).digest()
    return Digest(hash=written(found, output_format), algorithm=algorithm, format=output_format)


def written(content: bytes, output_format: Format) -> str:
    """The bytes as text."""
    return content.hex() if output_format == "hex" else base64.b64encode(content).decode()
