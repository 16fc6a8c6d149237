"""`python -m benchmarks [NAME …]`: measure, and print a table of medians with their range.

With `--peers` other platforms do the same work in the same run, each in an environment of its own in `.venv-peers`.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.durable import MEASUREMENTS, Row

HERE = Path(__file__).parent
PEERS = {"dbos": ("dbos_sqlite.py", "DBOS")}
"""By the name of the package: what runs it, and what it is called."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(MEASUREMENTS)} (default: all)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: 3)")
    parser.add_argument("--peers", action="store_true", help=f"measure these too: {', '.join(PEERS)}")
    args = parser.parse_args()
    if unknown := set(args.names) - set(MEASUREMENTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    print(f"Python {platform.python_version()}, {platform.machine()}, {args.rounds} rounds")
    print(f"{'what':<48}  {'median':>10}  {'min':>10}  {'max':>10}")
    for name in args.names or MEASUREMENTS:
        table(lambda name=name: asyncio.run(MEASUREMENTS[name]()), args.rounds)  # type: ignore[misc]
    for package, (script, title) in PEERS.items() if args.peers else ():
        python = installed(package)
        table(lambda python=python, script=script, title=title: peer(python, script, title), args.rounds)  # type: ignore[misc]
    return 0


def table(measure: Callable[[], list[Row]], rounds: int) -> None:
    """Measure, and print a line for each figure."""
    for rows in zip(*(measure() for _ in range(rounds)), strict=True):
        what, _, unit = rows[0]
        figures = [figure for _, figure, _ in rows]
        middle = statistics.median(figures)
        print(f"{what:<48}  {middle:>10.4g}  {min(figures):>10.4g}  {max(figures):>10.4g}  {unit}", flush=True)


def installed(package: str) -> Path:
    """The interpreter of an environment that has the peer, made now if it was not."""
    folder = HERE.parent / ".venv-peers" / package
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package], check=True)
    return python


def peer(python: Path, script: str, title: str) -> list[Row]:
    """What the peer says of itself."""
    done = subprocess.run([str(python), str(HERE / "peers" / script)], capture_output=True, text=True, check=True)
    lines = [line.split("\t") for line in done.stdout.splitlines() if line.count("\t") == 2]
    return [(f"{title}: {what}", float(figure), unit) for what, figure, unit in lines]


if __name__ == "__main__":
    sys.exit(main())
