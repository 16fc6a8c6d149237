"""Results that are kept in memory, by the content of what they were compiled from."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from itertools import count
from threading import Lock
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

R = TypeVar("R")

_lock = Lock()
_numbers: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
_next = count(1)


def number_of(thing: object) -> int:
    """A number that no other object has or will ever have in this process, as `id` could be after its end."""
    with _lock:
        number = _numbers.get(thing)
        if number is None:
            number = _numbers[thing] = next(_next)
        return number


def fingerprint(content: object) -> str | None:
    """Equal for equal content, types included: 1 is not 1.0, bytes are no text, the order of keys counts. None for what
    has no content that could be compared (such things do not validate)."""
    data = io.BytesIO()
    pickler = pickle.Pickler(data, protocol=5)
    pickler.fast = True  # without a memo: what counts is the content, not whether two parts of it are one object
    try:
        pickler.dump(content)
    except Exception:  # a foreign object may raise anything
        return None
    return sha256(data.getbuffer()).hexdigest()


class Kept(Generic[R]):
    """The results of the last compilations: at most `most`, and `most_bytes` together but for the newest."""

    def __init__(self, most: int, most_bytes: int, size_of: Callable[[R], int]) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._size_of = size_of
        self._results: OrderedDict[str, R] = OrderedDict()
        self._lock = Lock()

    def get(self, key: str | None) -> R | None:
        """The result of that fingerprint, if it is still there."""
        with self._lock:
            if key is None or key not in self._results:
                return None
            self._results.move_to_end(key)
            return self._results[key]

    def put(self, key: str | None, result: R) -> None:
        """Keep a result."""
        if key is None:
            return
        with self._lock:
            self._results[key] = result
            while len(self._results) > self._most or (len(self._results) > 1 and self._bytes() > self._most_bytes):
                self._results.popitem(last=False)

    def _bytes(self) -> int:
        return sum(self._size_of(result) for result in self._results.values())
