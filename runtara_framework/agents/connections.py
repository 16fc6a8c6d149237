"""Connection types: the parameters that a kind of connection has, which of them are secret, and their checks."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, SecretStr

_INTEGRATION_ID = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")


class ConnectionParameters(BaseModel):
    """Base of a connection type: subclass it, name it, and give every field a description; secret fields are `SecretStr`.

    Unknown parameters are ignored: connections are stored by the product and may carry more than an agent needs.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True, hide_input_in_errors=True)

    integration_id: ClassVar[str]  # what a connection of this type is called: "http_bearer"
    title: ClassVar[str] = ""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        name = getattr(cls, "integration_id", None)
        if name is not None and not _INTEGRATION_ID.fullmatch(name):
            raise TypeError(f"{cls.__name__}.integration_id {name!r}: use lower-case words joined by underscores")

    def secret_texts(self) -> list[str]:
        """Every text that must not appear in an error or a log. Add forms that the agent derives (an encoded pair)."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
