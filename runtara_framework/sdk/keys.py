"""The one builder of checkpoint keys. Runtime, `@durable`, tests and debug tools all make their keys here.

A key is a path of parts, never a joined string: a step, an iteration, a call site, and at the end what the checkpoint
is about. It is written so that a person can read it and so that two different paths are never the same text:

    Key.root().step("each").index(3).step("call")             each[3]/call
    Key.root().step("each").index(3).step("call").attempt(2)  each[3]/call#attempt[2]
    Key.root().step("child").site("billing").step("a/b")      child@billing/a%2Fb

Whatever separates parts is percent-escaped inside a name (with control characters, which some databases refuse), so the
text can be taken apart in one way only. A text beyond `MAX_LENGTH` keeps its readable beginning and ends in the SHA-256
of the whole, because databases limit the length of what they index.
"""

from __future__ import annotations

import re
from typing import Final

MAX_LENGTH: Final = 512
"""Characters of an encoded key."""

_UNSAFE = re.compile("[%/\\[\\]@#\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_HASHED = "%~"  # what no escape begins with


class Key:
    """An immutable path. `str(key)` is the checkpoint id."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        """For this module; use `Key.root()`."""
        self._text = text

    @staticmethod
    def root() -> Key:
        """The empty path."""
        return _ROOT

    @staticmethod
    def of(key: Key | str) -> Key:
        """The key itself, or for a text the step of that name at the root."""
        return key if isinstance(key, Key) else _ROOT.step(key)

    def step(self, name: str) -> Key:
        """A step inside this. `name` is any text but the empty one."""
        return Key(f"{self._text}/{_escape(name)}" if self._text else _escape(name))

    def index(self, number: int) -> Key:
        """The iteration or occurrence of that number, from 0."""
        if number < 0:
            raise ValueError(f"an index cannot be negative: {number}")
        return Key(f"{self._text}[{number}]")

    def site(self, name: str) -> Key:
        """What is called from here: a child scenario, or a function with the digest of its arguments."""
        return Key(f"{self._text}@{_escape(name)}")

    def suffix(self, kind: str) -> Key:
        """What the checkpoint says about this: a deadline, an attempt, …"""
        return Key(f"{self._text}#{_escape(kind)}")

    def attempt(self, number: int) -> Key:
        """The failure of the attempt of that number, from 1."""
        return self.suffix("attempt").index(number)

    def deadline(self) -> Key:
        """The moment at which a sleep, wait or time limit ends."""
        return self.suffix("deadline")

    def timeout(self) -> Key:
        """That a wait or time limit ended without what it waited for."""
        return self.suffix("timeout")

    def __str__(self) -> str:
        return self._text if len(self._text) <= MAX_LENGTH else _shorten(self._text)

    def __repr__(self) -> str:
        return f"Key({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


_ROOT = Key()


def _escape(name: str) -> str:
    if not name:
        raise ValueError("a part of a key needs a name; this one is empty")
    return _UNSAFE.sub(_percent, name) if _UNSAFE.search(name) else name


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match.group().encode("utf-8", "surrogatepass"))


def _shorten(text: str) -> str:
    from hashlib import sha256  # rarely needed, and not free to import

    digest = sha256(text.encode()).hexdigest()
    return text[: MAX_LENGTH - len(_HASHED) - len(digest)] + _HASHED + digest
