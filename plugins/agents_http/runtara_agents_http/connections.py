"""How to sign in to an HTTP service: the connection types of agent `http`."""

from __future__ import annotations

import base64
import re
from abc import ABC, abstractmethod
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr

from runtara_framework.agents.connections import ConnectionParameters

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _header_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError("not the name of a header")
    return name


def _one_line(secret: SecretStr) -> SecretStr:
    if re.search(r"[\x00-\x1f\x7f]", secret.get_secret_value()):
        raise ValueError("control characters are not allowed in a header")
    return secret


HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderSecret = Annotated[SecretStr, Field(min_length=1), AfterValidator(_one_line)]


class HttpConnection(ConnectionParameters, ABC):
    """Base of the connection types of this agent."""

    base_url: str | None = Field(
        None,
        description="Where the service is. Relative URLs are resolved against it, and the credentials never leave it",
    )

    @abstractmethod
    def auth_headers(self) -> dict[str, str]:
        """The headers that prove who we are."""


class HttpBearer(HttpConnection):
    """A token sent as `Authorization: Bearer …`."""

    integration_id: ClassVar[str] = "http_bearer"
    title: ClassVar[str] = "HTTP bearer token"

    token: HeaderSecret = Field(description="The token")

    def auth_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token.get_secret_value()}"}


class HttpApiKey(HttpConnection):
    """A key sent in a header."""

    integration_id: ClassVar[str] = "http_api_key"
    title: ClassVar[str] = "HTTP API key"

    api_key: HeaderSecret = Field(description="The key")
    header_name: HeaderName = Field("X-API-Key", description="The header that carries the key")

    def auth_headers(self) -> dict[str, str]:
        return {self.header_name: self.api_key.get_secret_value()}


class HttpBasic(HttpConnection):
    """A user name and a password sent as `Authorization: Basic …`."""

    integration_id: ClassVar[str] = "http_basic"
    title: ClassVar[str] = "HTTP basic authentication"

    username: str = Field(description="The user's name", pattern=r"^[^:\x00-\x1f\x7f]*$")
    password: SecretStr = Field(description="The password")

    def auth_headers(self) -> dict[str, str]:
        return {"Authorization": f"Basic {self._pair()}"}

    def secret_texts(self) -> list[str]:
        return [*super().secret_texts(), self._pair()]

    def _pair(self) -> str:
        return base64.b64encode(f"{self.username}:{self.password.get_secret_value()}".encode()).decode()


CONNECTION_TYPES: tuple[type[HttpConnection], ...] = (HttpBearer, HttpApiKey, HttpBasic)
