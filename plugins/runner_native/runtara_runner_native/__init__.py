"""Runner `native`: instances as processes on this host.

`runner.py` keeps the books: handles, exits, stop, adoption. `images.py` makes executables of image bytes and decides what
can run. `launching.py` starts one process; another way to start one (a fork server) would stand beside it. `processes.py`
knows what belongs to a launch and ends all of it. `output.py` bounds what a process writes to stdout and stderr.
"""

from __future__ import annotations

from runtara_runner_native.runner import NativeRunner, NativeSettings

__all__ = ["NativeRunner", "NativeSettings"]
