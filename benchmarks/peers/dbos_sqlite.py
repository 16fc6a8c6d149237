"""DBOS on SQLite, default durability: prints `what<TAB>figure<TAB>unit` lines. Run by `python -m benchmarks --peers`.

Its workflows run as threads of one process: what it does not pay for is a process, and isolation, for each run.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS


@DBOS.step()
def step(number: int) -> int:
    return number


@DBOS.workflow()
def steps(count: int) -> float:
    begin = time.perf_counter()
    for number in range(count):
        step(number)
    return time.perf_counter() - begin


def say(what: str, figure: float, unit: str) -> None:
    sys.stdout.write(f"{what}\t{figure}\t{unit}\n")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{folder}/dbos.sqlite", "log_level": "ERROR"})
        DBOS.launch()
        say("1 000 sequential steps of one run", 1000 / steps(1000), "steps/s")
        count = 300
        begin = time.perf_counter()
        with ThreadPoolExecutor(32) as pool:
            list(pool.map(lambda _: DBOS.start_workflow(steps, 3).get_result(), range(count)))
        say(f"{count} runs of 3 steps, 32 at once", count / (time.perf_counter() - begin), "runs/s")
        took = []
        for number in range(110):
            begin = time.perf_counter()
            DBOS.start_workflow(steps, 1).get_result()
            if number >= 10:
                took.append((time.perf_counter() - begin) * 1000)
        say("start to result, one step, p50", statistics.median(took), "ms")
        say("start to result, one step, p99", statistics.quantiles(took, n=100)[98], "ms")
        DBOS.destroy()


if __name__ == "__main__":
    main()
