"""Bytes in JSON: the `file` type of the DSL, and the forms in which a capability accepts bytes."""

from __future__ import annotations

import base64
import binascii

from pydantic import BaseModel, ConfigDict, Field


class FileData(BaseModel):
    """A file as a JSON value."""

    model_config = ConfigDict(populate_by_name=True, extra="forbid")

    content: str = Field(description="The bytes, in base64")
    filename: str | None = Field(None, description="The name of the file, without a folder")
    mime_type: str | None = Field(None, alias="mimeType", description="The media type, such as text/csv")

    @staticmethod
    def of(content: bytes, filename: str | None = None, mime_type: str | None = None) -> FileData:
        """The file with these bytes."""
        return FileData(content=base64.b64encode(content).decode(), filename=filename, mime_type=mime_type)

    def to_bytes(self) -> bytes:
        """The file's bytes. Raises `ValueError` if `content` is no base64."""
        return to_bytes(self.content)


BytesInput = FileData | str | list[int]
"""What a capability that wants bytes accepts: a file, base64 text, or an array of byte numbers."""


def to_bytes(value: BytesInput) -> bytes:
    """The bytes that the value stands for. Raises `ValueError`, without showing the value, if it stands for none."""
    if isinstance(value, FileData):
        return value.to_bytes()
    if isinstance(value, str):
        try:
            return base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"the text is not base64 ({error})") from None
    try:
        return bytes(value)
    except (TypeError, ValueError):
        raise ValueError("a byte is a whole number from 0 to 255") from None
