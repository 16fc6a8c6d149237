"""Agent crypto, as a scenario calls it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from runtara_framework.agents import AgentError
from runtara_framework.agents.registry import AgentRegistry

Call = Callable[..., Awaitable[Any]]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "sha1", "md5"])
@pytest.mark.parametrize("data", ["é", {"content": "w6k=", "filename": "f"}])
async def test_texts_and_files_are_hashed(invoke: Call, algorithm: str, data: Any) -> None:
    expected = hashlib.new(algorithm, "é".encode(), usedforsecurity=False).hexdigest()
    output = await invoke("crypto", "hash", {"data": data, "algorithm": algorithm})
    assert output == {"hash": expected, "algorithm": algorithm, "format": "hex"}


# RFC 4231, test case 2.
@pytest.mark.parametrize(
    ("algorithm", "output_format", "expected"),
    [
        ("hmac-sha256", "hex", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        ("hmac-sha256", "base64", "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="),
    ],
)
async def test_keyed_digests_are_those_of_the_standard(
    invoke: Call, algorithm: str, output_format: str, expected: str
) -> None:
    inputs = {"data": "what do ya want for nothing?", "secret": "Jefe"}
    output = await invoke("crypto", "hmac", inputs | {"algorithm": algorithm, "output_format": output_format})
    assert output == {"hash": expected, "algorithm": algorithm, "format": output_format}


async def test_the_longer_digest_is_offered_too(invoke: Call) -> None:
    output = await invoke("crypto", "hmac", {"data": "", "secret": "", "algorithm": "hmac-sha512"})
    assert output["hash"] == hmac.digest(b"", b"", "sha512").hex()


async def test_the_key_is_a_secret(invoke: Call) -> None:
    (field,) = [f for f in AgentRegistry().info("crypto").capabilities[1].inputs if f.name == "secret"]
    assert field.secret
    for inputs in ({"data": {"content": "my-secret-key%"}}, {"data": "x", "algorithm": "my-secret-key"}):
        with pytest.raises(AgentError) as caught:
            await invoke("crypto", "hmac", inputs | {"secret": "my-secret-key"})
        assert "my-secret-key" not in json.dumps(caught.value.to_failure())


@pytest.mark.parametrize("capability", ["hash", "hmac"])
async def test_a_file_that_is_none_is_an_error(invoke: Call, capability: str) -> None:
    with pytest.raises(AgentError) as caught:
        await invoke("crypto", capability, {"data": {"content": "%"}, "secret": "k"})
    assert (caught.value.code, caught.value.category) == ("BASE64_INVALID", "permanent")
