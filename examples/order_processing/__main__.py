"""What `make run` runs: opens the shop's service, runs the order scenario against it, shows the result."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from service import serving

HERE = Path(__file__).parent


def main() -> int:
    with serving() as shop:
        envelope = {"data": json.loads((HERE / "input.json").read_text()), "variables": {"service": shop.url}}
        command = [str(Path(sys.executable).with_name("runtara")), "run", str(HERE / "order.json")]
        return subprocess.run([*command, "--input", json.dumps(envelope)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
