"""`python -m benchmarks [NAME …]`: measure, and print a table of medians with their range."""

from __future__ import annotations

import argparse
import asyncio
import platform
import statistics
import sys

from benchmarks.durable import MEASUREMENTS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(MEASUREMENTS)} (default: all)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: 3)")
    args = parser.parse_args()
    if unknown := set(args.names) - set(MEASUREMENTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    print(f"Python {platform.python_version()}, {platform.machine()}, {args.rounds} rounds")
    print(f"{'what':<44}  {'median':>10}  {'min':>10}  {'max':>10}")
    for name in args.names or MEASUREMENTS:
        rounds = [asyncio.run(MEASUREMENTS[name]()) for _ in range(args.rounds)]
        for rows in zip(*rounds, strict=True):
            what, _, unit = rows[0]
            figures = [figure for _, figure, _ in rows]
            print(
                f"{what:<44}  {statistics.median(figures):>10.1f}  {min(figures):>10.1f}  {max(figures):>10.1f}  {unit}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
