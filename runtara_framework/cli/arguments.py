"""The parser of the command lines: what is wrong with one is told as every other failure is, in words and as JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from runtara_framework.errors import InvalidRequest


class Parser(argparse.ArgumentParser):
    """Subparsers are of this class too. Raises `InvalidRequest` instead of leaving the process."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """An unknown argument is the error of the command that it was given to, which knows what it takes."""
        parsed, rest = super().parse_known_args(args, namespace)
        if rest and self._subparsers is None:
            self.error(f"unrecognized arguments: {' '.join(rest)}{self._meant(rest)}")
        return parsed, rest

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        raise InvalidRequest(f"{self.prog}: {message}; {self.prog} --help says what it takes")

    def _meant(self, unknown: Sequence[str]) -> str:
        known = [name for name in self._option_string_actions if name.startswith("--")]
        close = [near for one in unknown for near in get_close_matches(one.partition("=")[0], known, n=1)]
        return f" (did you mean {close[0]}?)" if close else ""
