"""Capabilities of `utils` about bytes: digests and base64."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Literal

from pydantic import BaseModel, Field

from runtara_framework.agents import AgentError, capability, permanent
from runtara_framework.agents.files import FileData


class HashInput(BaseModel):
    value: str | FileData = Field(description="A text, of which the UTF-8 bytes count, or a file")
    algorithm: Literal["sha256", "sha512", "sha1", "md5"] = Field("sha256", description="The digest")
    output_format: Literal["hex", "base64"] = Field("hex", description="How to write it")


class Digest(BaseModel):
    hash: str = Field(description="The digest")
    algorithm: str = Field(description="The algorithm used")
    format: str = Field(description="How the digest is written")


@capability(
    id="hash",
    side_effects=False,
    deterministic=True,
    input_aliases={"data": "value", "text": "value"},
    errors=[permanent("BASE64_INVALID", "The content of the file is no base64")],
)
async def hash_value(input: HashInput) -> Digest:
    """The digest of a text or a file."""
    if isinstance(input.value, FileData):
        try:
            content = input.value.to_bytes()
        except ValueError as error:
            raise AgentError("BASE64_INVALID", f"`value.content`: {error}") from error
    else:
        content = input.value.encode()
    # sha1 and md5 are offered to match what others have computed, not to protect anything.
    digest = hashlib.new(input.algorithm, content, usedforsecurity=False)
    written = digest.hexdigest() if input.output_format == "hex" else base64.b64encode(digest.digest()).decode()
    return Digest(hash=written, algorithm=input.algorithm, format=input.output_format)


class TextInput(BaseModel):
    value: str = Field(description="A text")


@capability(
    id="base64-encode", side_effects=False, deterministic=True, input_aliases={"data": "value", "text": "value"}
)
async def base64_encode(input: TextInput) -> str:
    """The UTF-8 bytes of a text in base64."""
    return base64.b64encode(input.value.encode()).decode()


@capability(
    id="base64-decode",
    side_effects=False,
    deterministic=True,
    input_aliases={"data": "value", "text": "value"},
    errors=[permanent("BASE64_INVALID", "The value is no base64, or not of a UTF-8 text")],
)
async def base64_decode(input: TextInput) -> str:
    """The text whose UTF-8 bytes are given in base64."""
    try:
        return base64.b64decode("".join(input.value.split()), validate=True).decode()
    except binascii.Error as error:
        raise AgentError("BASE64_INVALID", f"the value is no base64: {error}") from error
    except UnicodeDecodeError:
        raise AgentError("BASE64_INVALID", "the bytes in the value are no UTF-8 text") from None
