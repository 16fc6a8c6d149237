"""The addresses of this transport: ``unix:///absolute/path`` or ``unix://path/from/here``."""

from __future__ import annotations

import os

from runtara_framework.errors import ConfigError

SCHEME = "unix://"
LONGEST_PATH = 107  # sun_path of Linux has 108 bytes and the last is zero


def path_of(address: str) -> str:
    """The absolute path of the socket; a relative one starts at the working directory. The text is taken literally, no
    percent-encoding. Raises `ConfigError`."""
    if not address.startswith(SCHEME) or not (text := address[len(SCHEME) :]):
        raise ConfigError(f"{address!r} is no address of a unix socket; write unix:///path/to/name.sock")
    if "\0" in text:
        raise ConfigError(f"{address!r} has a zero byte, which no path can hold")
    path = os.path.abspath(text)
    if (length := len(os.fsencode(path))) > LONGEST_PATH:
        raise ConfigError(
            f"the path of the unix socket {path!r} has {length} bytes and the system allows {LONGEST_PATH}; "
            "choose a shorter one, for example below /tmp or /run"
        )
    return path
