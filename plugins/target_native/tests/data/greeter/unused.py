"""An agent that no scenario of these tests calls, and what it would bring along."""

from __future__ import annotations

import sqlite3

from runtara_framework.agents import agent, capability


@agent(id="unused", title="Unused", description="Keeps things")
class Unused:
    @capability(id="version", title="Version")
    def version(self) -> str:
        """The version of the library."""
        return sqlite3.sqlite_version
