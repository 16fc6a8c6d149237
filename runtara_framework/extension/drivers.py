"""Pick exactly one implementation of a kind, by name, importing nothing else."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import EntryPoint
from typing import Any, TypeVar

from pydantic import ValidationError
from stevedore.named import NamedExtensionManager

from runtara_framework.errors import (
    ConfigError,
    DriverAmbiguous,
    DriverBroken,
    DriverIncompatible,
    DriverNotFound,
)
from runtara_framework.installed import offers
from runtara_framework.spec.driver import Driver, DriverContext, Kind

D = TypeVar("D", bound=Driver)

_FOLDERS = {"persistence": "storage"}
"""Where the word in a distribution's name is not that of the kind."""
P = TypeVar("P")  # a contract class: of drivers, or of targets


class _Loader(NamedExtensionManager[Any]):
    def list_entry_points(self) -> list[EntryPoint]:
        # stevedore's on-disk cache can be stale right after a reinstall and loses EntryPoint.dist.
        return list(offers(self.namespace))


def owner(entry_point: EntryPoint) -> str:
    """The distribution and version that an entry point comes from."""
    dist = entry_point.dist
    return f"{dist.name} {dist.version}" if dist else "an unknown distribution"


def available(kind: Kind[Any]) -> list[str]:
    """The names that installed distributions offer, sorted; imports nothing."""
    return sorted({entry_point.name for entry_point in offers(kind.group)})


def load(kind: Kind[P], name: str) -> type[P]:
    """The class of that name, a driver or a target.

    Raises `DriverNotFound`, `DriverAmbiguous`, `DriverBroken` or `DriverIncompatible`, each naming the distribution.
    """
    where = f"{kind.name} driver {name!r}"
    # stevedore keeps only the last of two providers of one name, so look before it loads.
    owners = sorted(owner(ep) for ep in offers(kind.group) if ep.name == name)
    if len(owners) > 1:
        raise DriverAmbiguous(f"{where} is provided by {' and by '.join(owners)}; uninstall one of them")

    def broken(_manager: object, entry_point: EntryPoint, error: BaseException) -> None:
        raise DriverBroken(
            f"{where} from {owner(entry_point)} ({entry_point.value}) cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error

    found = _Loader(
        kind.group, [name], on_load_failure_callback=broken, on_missing_entrypoints_callback=None
    ).extensions
    if not found:
        names = available(kind)
        close = get_close_matches(name, names, n=1)
        raise DriverNotFound(
            f"no {where} is installed{f' (did you mean {close[0]!r}?)' if close else ''}; installed {kind.name} drivers: "
            f"{', '.join(names) or 'none'}. "
            f"Install the package that offers it (usually runtara-{_FOLDERS.get(kind.name, kind.name)}-{name}) or change "
            "the configuration"
        )
    return _check(kind, where, found[0].plugin, owners[0])


def _check(kind: Kind[P], where: str, plugin: object, distribution: str) -> type[P]:
    if not (isinstance(plugin, type) and issubclass(plugin, kind.base)):
        raise DriverBroken(f"{where} from {distribution} is {plugin!r}, which does not subclass {kind.base.__name__}")
    declared = getattr(plugin, "api", None)
    if declared != kind.api:
        raise DriverIncompatible(
            f"{where} from {distribution} speaks version {declared} of the {kind.name} contract, "
            f"this kernel speaks {kind.api}; install a version of it that fits"
        )
    return plugin


def configure(cls: type[D], table: dict[str, Any], context: DriverContext, *, where: str) -> D:
    """An instance of the driver with its table of `runtara.toml` validated. Raises `ConfigError` naming the key."""
    try:
        settings = cls.Settings(**table)
    except ValidationError as error:
        from runtara_framework.config import explain  # who only compiles has no configuration

        raise ConfigError(explain(error, cls.Settings, where)) from error
    return cls(settings, context)
