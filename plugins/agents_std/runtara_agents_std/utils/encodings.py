"""Capabilities of `utils` about bytes: digests and base64."""

from __future__ import annotations

import base64
import binascii

from pydantic import BaseModel, Field

from runtara_agents_std.digests import BASE64_INVALID, Digest, HashInput, digest
from runtara_framework.agents import AgentError, capability, permanent


@capability(
    id="hash",
    side_effects=False,
    deterministic=True,
    input_aliases={"data": "value", "text": "value"},
    errors=[BASE64_INVALID],
)
async def hash_value(input: HashInput) -> Digest:
    """The digest of a text or a file."""
    return digest(input.value, input.algorithm, input.output_format)


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
