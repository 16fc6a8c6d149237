"""A stdlib whose agent does what no agent should."""

from __future__ import annotations

AGENTS = {"odd": "odd_stdlib.rogue:Rogue"}
