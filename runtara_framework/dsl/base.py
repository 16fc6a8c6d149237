"""The base of every model of a scenario: camelCase in JSON, snake_case in Python, strict, closed, frozen."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """A JSON object of the DSL: an unknown key is an error, and no value is converted silently."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        strict=True,
        frozen=True,
        use_attribute_docstrings=True,
    )

    def given(self, name: str) -> bool:
        """True when the document sets the field (Python name), be it to null."""
        return name in self.model_fields_set
