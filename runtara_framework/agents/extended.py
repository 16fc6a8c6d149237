"""A registry with more agents than are installed: those that a stdlib brings along without entry points of their own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

from runtara_framework.agents.registry import AgentRegistry, load_entry
from runtara_framework.errors import DriverAmbiguous, DriverNotFound

if TYPE_CHECKING:
    from runtara_framework.agents.loading import Agent


class ExtendedRegistry(AgentRegistry):
    """`base` and, beside it, `targets`: id -> what is decorated with `@agent`, or a text `module:name` that leads to it.

    A text is imported when its agent is looked up. An id that `base` has as well is `DriverAmbiguous` then. Closing it
    closes what it has loaded itself.
    """

    def __init__(self, base: AgentRegistry, targets: Mapping[str, object], *, group: str, distribution: str) -> None:
        super().__init__(disabled=base._disabled)
        self._base = base
        self._targets = targets
        self._group = group
        self._distribution = distribution

    def ids(self) -> list[str]:
        """The ids of all agents, sorted."""
        return sorted({*self._base.ids(), *self._targets, *self._loaded})

    def get(self, agent_id: str) -> Agent:
        """The agent of that id. Raises what `AgentRegistry.get` raises."""
        name = agent_id.lower()
        if name not in self._targets:
            if name not in self.ids():
                raise DriverNotFound(self._unknown(name), agent_id=agent_id)
            return self._loaded.get(name) or self._base.get(name)
        if name in self._base.ids():
            raise DriverAmbiguous(
                f"agent {name!r} is installed, and {self._distribution} brings one of the same id: rename one, or "
                "uninstall one",
                agent_id=agent_id,
            )
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _load(self, name: str) -> Agent:
        from runtara_framework.agents.loading import load_agent

        target = self._targets[name]
        if isinstance(target, str):
            return load_entry(EntryPoint(name, target, self._group), self._distribution)
        return load_agent(target, distribution=self._distribution, name=name)
