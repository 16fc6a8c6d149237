"""Who is there: every plugin of every kind, with its distribution, version, state and reason. `runtara plugins` prints it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.metadata import EntryPoint
from typing import Any

from runtara_framework import stdlib
from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.errors import RuntaraError
from runtara_framework.extension import drivers
from runtara_framework.extension.hooks import GROUP as HOOK_GROUP
from runtara_framework.extension.hooks import Hooks
from runtara_framework.installed import offers
from runtara_framework.model import Record
from runtara_framework.spec.agent import AGENT_GROUP
from runtara_framework.spec.driver import Kind
from runtara_framework.spec.persistence import PERSISTENCE
from runtara_framework.spec.runner import RUNNER
from runtara_framework.spec.scheduler import SCHEDULER
from runtara_framework.spec.target import TARGET
from runtara_framework.spec.transport import TRANSPORT

KINDS: tuple[Kind[Any], ...] = (PERSISTENCE, RUNNER, TRANSPORT, SCHEDULER, TARGET)


class PluginInfo(Record):
    """One line of the report."""

    kind: str
    name: str
    distribution: str
    version: str
    state: str  # enabled | available | disabled | broken
    reason: str = ""
    provides: list[str] = []  # hooks, capabilities of a driver, functions and agents of a stdlib


def report(*, enabled: dict[str, set[str]], disabled: frozenset[str], hooks: Hooks) -> list[PluginInfo]:
    """Every installed plugin. Loads each one, because only that tells whether it works."""
    lines = [_driver(kind, ep, enabled.get(kind.name, set())) for kind in KINDS for ep in _installed(kind.group)]
    agents = AgentRegistry()
    lines += [_agent(ep, disabled, agents) for ep in _installed(AGENT_GROUP)]
    lines += [_stdlib(ep) for ep in _installed(stdlib.GROUP)]
    lines += [_hook_plugin(ep, disabled, hooks) for ep in _installed(HOOK_GROUP)]
    return lines


def _installed(group: str) -> Iterable[EntryPoint]:
    return sorted(offers(group), key=lambda ep: ep.name)


def _line(kind: str, ep: EntryPoint, state: str, reason: str = "", provides: Iterable[str] = ()) -> PluginInfo:
    return PluginInfo(
        kind=kind,
        name=ep.name,
        distribution=ep.dist.name if ep.dist else "?",
        version=ep.dist.version if ep.dist else "?",
        state=state,
        reason=reason,
        provides=sorted(provides),
    )


def _driver(kind: Kind[Any], ep: EntryPoint, enabled: set[str]) -> PluginInfo:
    try:
        cls = drivers.load(kind, ep.name)
    except RuntaraError as error:
        return _line(kind.name, ep, "broken", error.message)
    return _line(kind.name, ep, "enabled" if ep.name in enabled else "available", provides=cls.capabilities)


def _agent(ep: EntryPoint, disabled: frozenset[str], agents: AgentRegistry) -> PluginInfo:
    if ep.name in disabled:
        return _line("agent", ep, "disabled", "listed in [plugins] disabled")
    try:
        agents.info(ep.name)
    except RuntaraError as error:
        return _line("agent", ep, "broken", error.message)
    return _line("agent", ep, "enabled")


def _stdlib(ep: EntryPoint) -> PluginInfo:
    try:
        found = stdlib.load(ep.name)
    except RuntaraError as error:
        return _line("stdlib", ep, "broken", error.message)
    chosen = os.environ.get(stdlib.ENVIRONMENT) == ep.name
    return _line("stdlib", ep, "enabled" if chosen else "available", provides=[*found.functions.by_name, *found.agents])


def _hook_plugin(ep: EntryPoint, disabled: frozenset[str], hooks: Hooks) -> PluginInfo:
    if ep.name in disabled:
        return _line("hooks", ep, "disabled", "listed in [plugins] disabled")
    if (error := hooks.failed.get(ep.name)) is not None:
        return _line("hooks", ep, "broken", str(error))
    return _line("hooks", ep, "enabled", provides=hooks.implemented_by(ep.name))
