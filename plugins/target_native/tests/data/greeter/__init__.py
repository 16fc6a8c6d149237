"""What a product may bring along: a stdlib with a function and an agent, two agents of its own, and a data file."""

from __future__ import annotations

from runtara_framework.stdlib import function

AGENTS = {"probe": "greeter.probe:Probe", "unused": "greeter.unused:Unused"}


@function
def shout(text: str) -> str:
    """The text, louder."""
    return text.upper() + "!"
