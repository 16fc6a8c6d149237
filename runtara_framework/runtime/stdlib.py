"""The product's stdlib, when a program starts: load the one that it was compiled with, or say why that cannot be."""

from __future__ import annotations

from runtara_framework.errors import PluginError
from runtara_framework.runtime.agent import agents, use_agents
from runtara_framework.sdk.failure import Failure
from runtara_framework.stdlib import Pin

STDLIB_UNAVAILABLE = "STDLIB_UNAVAILABLE"


def start(pin: Pin) -> None:
    """From now on, in this task and those that it starts, the stdlib's agents can be called. Raises `Failure`."""
    try:
        found = pin.load()
    except PluginError as error:
        wanted = {"stdlib": pin.name, "distribution": pin.distribution, "version": pin.version}
        raise Failure(
            STDLIB_UNAVAILABLE,
            f"the program needs the stdlib {pin.name!r} ({pin.distribution} {pin.version}): {error.message}",
            attributes={**wanted, "reason": error.code},
        ) from error
    if found.agents:
        use_agents(found.extend(agents()), ours=True)
