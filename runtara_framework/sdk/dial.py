"""From an address to a channel: `unix://` is built in, other schemes come from the entry points `runtara.dialers`."""

from __future__ import annotations

from typing import cast

from runtara_framework.errors import ConfigError, DriverAmbiguous, DriverBroken
from runtara_framework.installed import offers
from runtara_framework.protocol.channel import Channel, Dial

GROUP = "runtara.dialers"
DEFAULT_SCHEME = "http"


async def dial(address: str, *, token: str | None = None, timeout: float = 10.0) -> Channel:
    """Connect to `scheme://…`; a bare `host:port` means http. See `protocol.channel.Dial` for what it raises; beside
    those `ConfigError` for a scheme that no installed distribution can dial."""
    scheme, separator, _ = address.partition("://")
    if not separator:
        scheme, address = DEFAULT_SCHEME, f"{DEFAULT_SCHEME}://{address}"
    return await dialer(scheme, address)(address, token=token, timeout=timeout)


def dialer(scheme: str, address: str) -> Dial:
    """The dialer of a scheme; `address` is for the message only."""
    if scheme == "unix":
        from runtara_framework.transport_local.client import dial as dial_unix

        return dial_unix
    found = [point for point in offers(GROUP) if point.name == scheme]
    if not found:
        known = sorted({"unix", *(point.name for point in offers(GROUP))})
        raise ConfigError(
            f"no installed distribution can dial {address!r}; schemes that work here: {', '.join(known)}"
            + (f"; install runtara-transport-{scheme}" if scheme in ("http", "https", "quic") else "")
        )
    if len({point.value for point in found}) > 1:
        owners = sorted(point.dist.name if point.dist else point.value for point in found)
        raise DriverAmbiguous(f"more than one distribution offers a dialer for {scheme!r}: {', '.join(owners)}")
    try:
        loaded = found[0].load()
    except Exception as error:
        raise DriverBroken(f"the dialer for {scheme!r} ({found[0].value}) cannot be imported: {error}") from error
    if not callable(loaded):
        raise DriverBroken(f"the dialer for {scheme!r} ({found[0].value}) is no function")
    return cast(Dial, loaded)
