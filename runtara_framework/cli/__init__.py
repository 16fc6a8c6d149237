"""`runtara`: the command line. Each module here adds its commands; what a command needs is imported when it runs.

`run.py` runs a scenario on an embedded server; `scenarios.py` validates and compiles; `remote.py` drives a server;
`inspect.py` shows what is installed and configured; `server.py` is `runtara-server`; `output.py` prints; `arguments.py`
says what is wrong with a command line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from runtara_framework import __version__
from runtara_framework.errors import RuntaraError
from runtara_framework.installed import offers

EPILOG = """\
first steps:
  runtara run order.json --input '{"order": {"id": 1}}'   run a scenario to its result
  runtara validate order.json                             see what is wrong with it
  runtara-server                                          start a server; then, in another terminal:
  runtara compile order.json                              make an image of it, order.pyz
  runtara images register order.pyz                       give the image to the server
  runtara instances start order --input @input.json       start an instance of it

A command that needs a server finds it by --server, RUNTARA_ENVIRONMENT_ADDR, or the socket in the data directory."""


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point of `runtara`: run one command, return its exit code."""
    from runtara_framework.cli import output

    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        parsed = build_parser().parse_args(arguments)
        return int(parsed.run(parsed))
    except RuntaraError as error:
        return output.fail(error)
    except BrokenPipeError:  # the reader of a pipe went away: nothing to say, nobody to say it to
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    """The parser with every command, those of plugins included."""
    from runtara_framework.cli import inspect, remote, run, scenarios
    from runtara_framework.cli.arguments import Parser

    parser = Parser(
        prog="runtara",
        description="Durable workflows in isolated processes.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"runtara {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (run, scenarios, remote, inspect):
        module.add_commands(commands)
    _add_plugin_commands(commands)
    return parser


def _add_plugin_commands(commands: Any) -> None:
    if not offers("runtara.plugins"):
        return  # nobody could add a command: spare the import of pluggy
    from runtara_framework.extension.hooks import Hooks

    hooks = Hooks()
    hooks.load_installed()
    hooks.collect_now("runtara_commands", commands=commands)
