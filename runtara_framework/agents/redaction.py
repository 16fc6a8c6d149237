"""Takes known secrets out of texts and JSON values, in the forms in which they tend to come back."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
_SHORTEST = 4  # masking shorter texts would ruin every message and protect nothing


class Redactor:
    """Replaces each secret, also URL-encoded, JSON-escaped or in base64, by `***`."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms: set[str] = set()
        for secret in secrets:
            if len(secret) >= _SHORTEST:
                encoded = base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode().rstrip("=")
                forms |= {secret, quote(secret, safe="", errors="replace"), quote_plus(secret, errors="replace")}
                forms |= {json.dumps(secret)[1:-1], repr(secret)[1:-1], encoded}
        # Longest first: a form may contain another one.
        self._forms = sorted((form for form in forms if form), key=len, reverse=True)

    def text(self, text: str) -> str:
        """The text with every secret masked."""
        for form in self._forms:
            text = text.replace(form, MASK)
        return text

    def value(self, value: Any) -> Any:
        """The JSON value with every secret masked, in keys too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.value(member) for key, member in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(member) for member in value]
        return value
