"""What must be inside for a program to run: what it imports, its agents, its stdlib, and the ways to reach a server."""

from __future__ import annotations

import ast
import sys
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution
from types import ModuleType
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from runtara_framework import packaging, stdlib
from runtara_framework.errors import CompilationFailed, DriverAmbiguous
from runtara_framework.installed import offers
from runtara_framework.sdk import dial
from runtara_framework.spec.agent import AGENT_GROUP

KERNEL = "runtara-framework"
CERTIFICATES = "certifi"
TIME_ZONES = "tzdata"

# Whatever the compiler may write into a program, so that all scenarios with the same agents share one base.
SDK = ("runtara_framework.sdk.bootstrap", "runtara_framework.transport_local.client")
LANGUAGE = (
    "json",
    "runtara_framework.dsl.conditions",
    "runtara_framework.dsl.mapping",
    "runtara_framework.dsl.paths",
    "runtara_framework.sdk.bootstrap",
    "runtara_framework.stdlib",
)
RUNTIME = "runtara_framework.runtime"  # with everything below it


@dataclass(frozen=True)
class Needs:
    """What one base must hold."""

    imports: tuple[str, ...]  # statements; what the program imports beside the runtime
    plugins: tuple[EntryPoint, ...]  # the agents that it calls, its stdlib, and every way to dial a server
    modules: tuple[str, ...] = ()  # what these name as a text only: agents of a stdlib

    @cached_property
    def distributions(self) -> dict[str, Distribution]:
        """What may be inside, by canonical name: the kernel, the plugins, what the program imports, and what these
        require. An import of anything else is an optional one that nobody has asked for."""
        found: dict[str, Distribution] = {}
        waiting = deque((name, frozenset[str]()) for name in (KERNEL, CERTIFICATES, *self._owners()))
        seen = set(waiting)
        while waiting:
            name, extras = waiting.popleft()
            try:
                dist = found[canonicalize_name(name)] = distribution(name)
            except PackageNotFoundError:
                continue  # an optional dependency, or one for another platform
            for requirement in map(Requirement, dist.requires or ()):
                if _applies(requirement, extras):
                    wanted = (canonicalize_name(requirement.name), frozenset(requirement.extras))
                    if wanted not in seen:
                        seen.add(wanted)
                        waiting.append(wanted)
        return found

    def _owners(self) -> Iterable[str]:
        owners = {plugin.dist.name for plugin in self.plugins if plugin.dist is not None}
        tops = {name.split()[1].partition(".")[0] for name in self.imports} - sys.stdlib_module_names
        if tops:
            # Here and not above: it reads the records of everything that is installed.
            from importlib.metadata import packages_distributions

            installed = packages_distributions()
            owners |= {owner for top in tops for owner in installed.get(top, ())}
        return sorted(owners)

    @property
    def identity(self) -> list[str]:
        """What makes two needs different."""
        return [
            *self.imports,
            *self.modules,
            *(f"{point.group} {point.name} = {point.value}" for point in self.plugins),
            *sorted(f"{name} {dist.version}" for name, dist in self.distributions.items()),
        ]


def needs_of(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> Needs:
    """What the program in `files` needs; `manifest` names its agents and its stdlib. Raises `CompilationFailed` for an agent
    that no installed distribution offers, `DriverAmbiguous` for one that two offer, and what `stdlib.load` raises."""
    agents = {str(use["agent"]).lower() for use in manifest.get("agents", ())}
    plugins: list[EntryPoint] = []
    modules: list[str] = []
    if chosen := manifest.get("stdlib"):
        brought = stdlib.load(chosen["name"])
        plugins.append(_only(stdlib.GROUP, brought.name))
        modules += [_module(brought.agents[agent]) for agent in sorted(agents & brought.agents.keys())]
        agents -= brought.agents.keys()
    plugins += [_only(AGENT_GROUP, agent) for agent in sorted(agents)]
    plugins += sorted(offers(dial.GROUP), key=lambda point: (point.name, point.value))
    return Needs(imports=tuple(sorted(_imports(files))), plugins=tuple(plugins), modules=tuple(modules))


def _only(group: str, name: str) -> EntryPoint:
    """The one entry point of that name, whatever its case."""
    offered = [point for point in offers(group) if point.name.lower() == name.lower()]
    found = {(point.value, point.dist and point.dist.name): point for point in offered}
    if not found:
        raise CompilationFailed(
            f"{name!r} cannot be put into a native executable: no installed distribution offers it as an entry point in "
            f"group {group!r}"
        )
    if len(found) > 1:
        owners = " and ".join(sorted(str(owner) for _, owner in found))
        raise DriverAmbiguous(f"{name!r} in group {group!r} is provided by {owners}; uninstall one")
    return next(iter(found.values()))


def _module(target: object) -> str:
    """Where an agent of a stdlib is."""
    if isinstance(target, str):
        return target.partition(":")[0]
    if isinstance(target, ModuleType):
        return target.__name__
    return str(getattr(target, "__module__", None) or type(target).__module__)


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or {""})


def _imports(files: Mapping[str, bytes]) -> set[str]:
    """The statements that import from outside of `files` what is not always inside."""
    own = {name.partition("/")[0].removesuffix(".py") for name in files}
    found: set[str] = set()
    for name, content in files.items():
        if not name.endswith(".py"):
            continue
        try:
            tree = ast.parse(content)
        except (SyntaxError, ValueError) as error:
            if name == packaging.MAIN:
                raise CompilationFailed(f"{name} is no Python: {error}") from error
            continue  # a template, a test of a linter, …: whatever it is, nothing imports it
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {f"import {alias.name}" for alias in node.names if _is_foreign(alias.name, own)}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level and _is_foreign(node.module, own):
                found |= {f"from {node.module} import {alias.name}" for alias in node.names}
    return found


def _is_foreign(module: str, own: set[str]) -> bool:
    inside = module in LANGUAGE or module == RUNTIME or module.startswith(f"{RUNTIME}.")
    return not inside and module.partition(".")[0] not in own
