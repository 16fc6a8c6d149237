"""`runtara-server`: serves until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtara_framework import __version__
from runtara_framework.cli import output
from runtara_framework.cli.arguments import Parser
from runtara_framework.errors import InvalidRequest, RuntaraError

if TYPE_CHECKING:
    from runtara_framework.config import Settings

DESCRIPTION = """\
Run a Runtara server. Without a configuration file it is an embedded one: state in .data, a unix socket there, and
HTTP on 127.0.0.1:8002 if that transport is installed. SIGTERM or ^C stops it cleanly: running instances are stopped and
go on when it is started again. SIGKILL loses nothing either."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of `runtara-server`."""
    parser = Parser(
        prog="runtara-server", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"runtara-server {__version__}")
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: runtara.toml here, if there is one")
    parser.add_argument("--data-dir", metavar="DIR", help="short for --set server.data_dir=DIR")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="set any key, e.g. runner.timeout_seconds=60"
    )
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point of `runtara-server`: serve, return an exit code."""
    try:
        args = build_parser().parse_args(sys.argv[1:] if argv is None else list(argv))
        logging.basicConfig(
            stream=sys.stderr, level=args.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        from runtara_framework import config

        return asyncio.run(_serve(config.load(args.config, flags=_flags(args)).settings))
    except RuntaraError as error:
        return output.fail(error)


def _flags(args: argparse.Namespace) -> dict[str, Any]:
    from runtara_framework.config import literal

    flags: dict[str, Any] = {}
    for pair in args.set:
        key, separator, value = pair.partition("=")
        if not separator:
            raise InvalidRequest(f"--set wants KEY=VALUE, not {pair!r}")
        flags[key] = literal(value)
    if args.data_dir:
        flags["server.data_dir"] = args.data_dir
    return flags


async def _serve(settings: Settings) -> int:
    from runtara_framework import kernel

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        server = await kernel.start(settings, stack)
        for protocol, addresses in server.addresses.items():
            for address in addresses:
                output.say(f"{protocol}: {address}")
        output.say("ready")
        await stop.wait()
        output.say("stopping …")
    return 0


if __name__ == "__main__":
    sys.exit(main())
