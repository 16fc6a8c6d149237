"""What all capabilities of `text` have in common."""

from __future__ import annotations

from functools import partial

from pydantic import BaseModel, Field

from runtara_framework.agents import capability

pure = partial(capability, side_effects=False, deterministic=True)


class TextInput(BaseModel):
    """A text that may be missing, which is the same as empty."""

    text: str | None = Field(None, description="The text; nothing counts as an empty one")

    @property
    def given(self) -> str:
        """The text, never None."""
        return self.text or ""
