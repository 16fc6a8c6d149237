"""Agent `crypto`: digests, with and without a key. All of it is pure."""

from __future__ import annotations

import hmac as keyed
from typing import Literal

from pydantic import BaseModel, Field, SecretStr

from runtara_agents_std.digests import BASE64_INVALID, Algorithm, Digest, Format, content_of, digest, written
from runtara_framework.agents import agent, capability
from runtara_framework.agents.files import FileData

__agent__ = agent(id="crypto", title="Crypto", description="Digests of texts and files, with and without a key")


class HashInput(BaseModel):
    data: str | FileData = Field(description="A text, of which the UTF-8 bytes count, or a file")
    algorithm: Algorithm = Field("sha256", description="The digest")
    output_format: Format = Field("hex", description="How to write it")


@capability(id="hash", side_effects=False, deterministic=True, errors=[BASE64_INVALID])
async def hash_data(input: HashInput) -> Digest:
    """The digest of a text or a file."""
    return digest(input.data, input.algorithm, input.output_format)


class HmacInput(BaseModel):
    data: str | FileData = Field(description="A text, of which the UTF-8 bytes count, or a file")
    secret: SecretStr = Field(description="The key; its UTF-8 bytes count")
    algorithm: Literal["hmac-sha256", "hmac-sha512"] = Field("hmac-sha256", description="The digest")
    output_format: Format = Field("hex", description="How to write it")


@capability(id="hmac", side_effects=False, deterministic=True, errors=[BASE64_INVALID])
async def hmac(input: HmacInput) -> Digest:
    """The keyed digest (HMAC, RFC 2104) of a text or a file."""
    key = input.secret.get_secret_value().encode()
    found = keyed.digest(key, content_of(input.data), input.algorithm.removeprefix("hmac-"))
    return Digest(hash=written(found, input.output_format), algorithm=input.algorithm, format=input.output_format)
