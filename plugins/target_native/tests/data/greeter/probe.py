"""An agent that tells where it is."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from runtara_framework.agents import agent, capability


@agent(id="probe", title="Probe", description="Looks around")
class Probe:
    @capability(id="look", title="Look", side_effects=True)
    def look(self) -> dict[str, Any]:
        """Look around."""
        import ssl
        from datetime import datetime
        from importlib.metadata import entry_points, version
        from zoneinfo import ZoneInfo

        with Path("calls").open("a") as calls:
            calls.write("look\n")
        return {
            "path": sys.path,
            "python": sys.executable,
            "isolated": bool(sys.flags.isolated),
            "utf8": bool(sys.flags.utf8_mode),
            "pid": os.getpid(),
            "libraries": _libraries(),
            "plugins": sorted(f"{p.group} {p.name}" for g in entry_points().groups for p in entry_points(group=g)),
            "version": version("greeter"),
            "certificates_file": os.environ.get("SSL_CERT_FILE"),
            "certificates": len(ssl.create_default_context().get_ca_certs()),
            "noon": datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin")).utcoffset().total_seconds(),
        }


def _libraries() -> list[str]:
    """The files that are mapped into this process; none if there is no /proc."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    return sorted({line.split()[-1] for line in lines if ".so" in line})
