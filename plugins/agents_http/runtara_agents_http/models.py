"""Input and output of `http-request`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

Scalar = str | int | float | bool

MAX_RESPONSE_BYTES: Final = 16 * 1024 * 1024
"""The default limit of a response, which is also that of a step's output (DSL.md section 6)."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The client computes these; another value could smuggle a second request.
_FORBIDDEN = frozenset({"content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"})


def text_of(value: Scalar) -> str:
    """A scalar as it stands in a header or a query: `true`, not `True`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _headers(given: dict[str, Scalar]) -> dict[str, Scalar]:
    seen: set[str] = set()
    for name, value in given.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
        if name.lower() in _FORBIDDEN:
            raise ValueError(f"the header {name!r} is set by the client and may not be given")
        if name.lower() in seen:
            raise ValueError(f"the header {name!r} is given twice, in different cases")
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text_of(value)):
            raise ValueError(f"the value of the header {name!r} has control characters")
        seen.add(name.lower())
    return given


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


class Part(BaseModel):
    """One part of a multipart body: a `value`, or a file's `content`."""

    model_config = ConfigDict(populate_by_name=True, extra="forbid")

    name: str = Field(description="The name of the form field")
    value: Any = Field(None, description="Text, or any JSON value, which is sent as JSON text")
    content: str | None = Field(None, description="The bytes of a file, in base64")
    filename: str | None = Field(None, description="The name of the file")
    content_type: str | None = Field(None, alias="contentType", description="The media type of the part")


class HttpRequest(BaseModel):
    """What to send, where, and what to make of the answer."""

    method: Annotated[Literal["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"], BeforeValidator(_upper)] = (
        Field("GET", description="The HTTP method")
    )
    url: str = Field(
        description="Where to: an absolute http or https URL, or, with a connection that has a base_url, a path below it",
        max_length=65_536,
    )
    headers: Annotated[dict[str, Scalar], AfterValidator(_headers)] = Field(
        {}, description="Headers to send; they win over those of the connection, whatever their case"
    )
    query_parameters: dict[str, Scalar | list[Scalar] | None] = Field(
        {}, description="Added to the URL's query; an array repeats the parameter, null leaves it out"
    )
    body: Any = Field(
        None,
        description="What to send, by body_type: a JSON value (a text is taken as JSON already written); a text; a file, "
        "base64 or an array of bytes; an array of parts. Null and an empty text mean no body",
    )
    body_type: Literal["json", "text", "binary", "multipart"] = Field("json", description="What the body is")
    multipart: list[Part] = Field([], description="The parts, when body_type is multipart and body is not given")
    response_type: Literal["json", "text", "binary"] = Field(
        "json", description="json: the parsed value, or the text if it is no JSON; text; binary: base64"
    )
    timeout_ms: int = Field(30_000, ge=1, le=3_600_000, description="For the whole exchange, in milliseconds")
    fail_on_error: bool = Field(True, description="Fail unless the status is 2xx")
    max_response_bytes: int = Field(
        MAX_RESPONSE_BYTES, ge=1, le=64 * 1024 * 1024, description="Fail if the response's body is longer"
    )


class HttpResponse(BaseModel):
    """What came back."""

    status_code: int = Field(description="The HTTP status")
    headers: dict[str, str] = Field(description="The headers; names in lower case, repeated ones joined by commas")
    body: Any = Field(description="The body, by response_type; null if it is empty JSON")
    success: bool = Field(description="Whether the status is 2xx")
