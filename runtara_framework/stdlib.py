"""A product's own stdlib: functions for templates, and agents, that compiled programs bring along.

A stdlib is a module that an entry point in group `runtara.stdlib` names. Its functions are those marked with `@function`
(see `dsl.functions` for what they may do); its agents are listed in `AGENTS`, a mapping from id to what is decorated with
`@agent`, or to a text `module:name` that is imported when the agent is called.

One is chosen when a scenario is validated or compiled: by name, or by RUNTARA_STDLIB_NAME. The program names it in a `Pin`
and loads it when it starts. Without a choice there is what every program has, which is called `standard`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

from runtara_framework.dsl.functions import Functions, function, is_function
from runtara_framework.errors import DriverAmbiguous, DriverBroken, DriverIncompatible, DriverNotFound
from runtara_framework.installed import offers

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from runtara_framework.agents.registry import AgentRegistry

__all__ = ["ENVIRONMENT", "GROUP", "STANDARD", "Pin", "Stdlib", "choose", "function", "load", "names"]

GROUP = "runtara.stdlib"
ENVIRONMENT = "RUNTARA_STDLIB_NAME"
STANDARD = frozenset({"", "standard", "runtara_workflow_stdlib"})
"""Names that choose none; the last one is the default that the documentation of the variable gives."""


@dataclass(frozen=True, eq=False)
class Stdlib:
    """One stdlib, loaded."""

    name: str
    distribution: str
    version: str
    functions: Functions
    agents: Mapping[str, object]

    @property
    def identity(self) -> dict[str, str]:
        """What an image records of it."""
        return {"name": self.name, "distribution": self.distribution, "version": self.version}

    def extend(self, registry: AgentRegistry) -> AgentRegistry:
        """The registry with this stdlib's agents beside its own."""
        if not self.agents:
            return registry
        from runtara_framework.agents.extended import ExtendedRegistry

        owner = f"{self.distribution} {self.version}"
        return ExtendedRegistry(registry, self.agents, group=GROUP, distribution=owner)


@dataclass(frozen=True)
class Pin:
    """The stdlib that a program was compiled with."""

    name: str
    distribution: str
    version: str

    def load(self) -> Stdlib:
        """That stdlib as it is installed here: of the same distribution, not older, and by its version compatible.

        Raises what `load` raises, and `DriverIncompatible`."""
        return self._loaded

    @property
    def functions(self) -> Functions:
        """Its functions, for templates. Raises what `load` raises."""
        return self._loaded.functions

    @cached_property
    def _loaded(self) -> Stdlib:
        found = load(self.name)
        if _normal(found.distribution) != _normal(self.distribution) or not fits(found.version, self.version):
            raise DriverIncompatible(
                f"the stdlib {self.name!r} here is {found.distribution} {found.version}; the program was compiled with "
                f"{self.distribution} {self.version}. Install a version that fits, or compile it again",
            )
        return found


def choose(name: str | None = None) -> Stdlib | None:
    """The stdlib of that name; without one that of RUNTARA_STDLIB_NAME. None for the standard one. Raises as `load`."""
    wanted = os.environ.get(ENVIRONMENT, "") if name is None else name
    return None if wanted in STANDARD else load(wanted)


def names() -> list[str]:
    """The stdlibs that installed distributions offer, sorted; imports none."""
    return sorted({entry.name for entry in _entries()})


def load(name: str) -> Stdlib:
    """The installed stdlib of that name.

    Raises `DriverNotFound`, `DriverAmbiguous` if two distributions offer it, `DriverBroken` if it cannot be used."""
    found = {(_owner(entry), entry.value): entry for entry in _entries() if entry.name == name}
    if not found:
        from difflib import get_close_matches

        close = get_close_matches(name, names(), n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise DriverNotFound(
            f"no stdlib {name!r} is installed{hint}; installed: {', '.join(names()) or 'none'}. Install the package that "
            f"offers it, or choose another with --stdlib or {ENVIRONMENT}"
        )
    if len(found) > 1:
        owners = " and by ".join(sorted(" ".join(owner) for owner, _ in found))
        raise DriverAmbiguous(f"the stdlib {name!r} is provided by {owners}; uninstall one of them")
    entry = next(iter(found.values()))
    return _load(entry, *_owner(entry))


def fits(installed: str, wanted: str) -> bool:
    """May a program that was compiled with version `wanted` run with `installed`? By the rules of semantic versioning: not
    older, and of the same major version (before 1.0 of the same minor version)."""
    have, want = _release(installed), _release(wanted)
    if not have or not want:
        return installed == wanted
    same = 1 if want[0] else 2
    return have[:same] == want[:same] and have >= want


def _entries() -> Iterable[EntryPoint]:
    return offers(GROUP)


def _owner(entry: EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist else ("an unknown distribution", "?")


@lru_cache(maxsize=16)  # one object for one stdlib: what templates are compiled to is kept for each
def _load(entry: EntryPoint, distribution: str, version: str) -> Stdlib:
    where = f"stdlib {entry.name!r} of {distribution} {version} ({entry.value})"
    try:
        module = entry.load()
    except (Exception, SystemExit) as error:
        raise DriverBroken(f"{where} cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(module, ModuleType):
        raise DriverBroken(f"{where} is {module!r}, no module: let the entry point name the module alone")
    marked = {name: member for name, member in vars(module).items() if is_function(member)}
    agents = getattr(module, "AGENTS", {})
    if not isinstance(agents, Mapping):
        raise DriverBroken(f"{where}: AGENTS is a mapping from id to agent, not {agents!r}")
    for agent_id in agents:
        if not isinstance(agent_id, str) or agent_id != agent_id.lower():
            raise DriverBroken(f"{where}: {agent_id!r} in AGENTS is no id of an agent (lower case)")
    if not marked and not agents:
        raise DriverBroken(f"{where} offers nothing: mark functions with @function, or list agents in AGENTS")
    try:
        functions = Functions(entry.name, marked)
    except ValueError as error:
        raise DriverBroken(f"{where}: {error}") from error
    return Stdlib(entry.name, distribution, version, functions, dict(agents))


def _release(version: str) -> tuple[int, ...]:
    match = re.match(r"[vV]?(\d+(?:\.\d+)*)", version)
    numbers = [int(part) for part in match[1].split(".")] if match else []
    return (*numbers, *([0] * (3 - len(numbers)))) if numbers else ()


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
