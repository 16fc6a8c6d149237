"""Finds the installed agents and calls their capabilities, in instances and in the server alike.

Discovery is `importlib.metadata` alone: it reads entry points and imports nothing. Looking up one agent imports that
agent and no other; listing imports them all and reports the ones that cannot be used.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import msgspec

from runtara_framework.agents.errors import (
    AGENT_NOT_FOUND,
    AGENT_UNAVAILABLE,
    CAPABILITY_NOT_FOUND,
    AgentError,
)
from runtara_framework.agents.metadata import AgentInfo
from runtara_framework.errors import DriverAmbiguous, DriverBroken, DriverNotFound, PluginError
from runtara_framework.installed import offers
from runtara_framework.spec.agent import AGENT_GROUP

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from runtara_framework.agents.context import CapabilityContext
    from runtara_framework.agents.loading import Agent


class AgentProblem(msgspec.Struct, frozen=True, kw_only=True):
    """An installed agent that cannot be used, and why."""

    id: str
    distribution: str  # "name version"; of an ambiguous id all of them
    code: str  # DRIVER_BROKEN, DRIVER_AMBIGUOUS, DRIVER_INCOMPATIBLE, DRIVER_UNAVAILABLE
    reason: str


class AgentListing(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is installed, in order of id."""

    agents: tuple[AgentInfo, ...]
    problems: tuple[AgentProblem, ...]


class AgentRegistry:
    """The agents of this process. One per process: it keeps what it has loaded. Close it when the process is done.

    `disabled`: ids that are treated as not installed.
    """

    def __init__(self, *, disabled: Collection[str] = ()) -> None:
        self._disabled = frozenset(name.lower() for name in disabled)
        self._loaded: dict[str, Agent] = {}
        self._entries: dict[str, list[EntryPoint]] | None = None

    async def __aenter__(self) -> AgentRegistry:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every agent that was loaded. The registry can be used again afterwards."""
        loaded, self._loaded = self._loaded, {}
        for agent in loaded.values():
            await agent.aclose()

    def ids(self) -> list[str]:
        """The ids of all agents that are installed or added, sorted. Imports none."""
        return sorted({*self._installed(), *self._loaded})

    def add(self, target: object, *, distribution: str = "") -> Agent:
        """Add a decorated class, object or module that no entry point names (tests, an agent in a script).

        Raises `DriverBroken`, `DriverIncompatible`; `DriverAmbiguous` if the id is taken."""
        from runtara_framework.agents.loading import load_agent

        agent = load_agent(target, distribution=distribution)
        if agent.id in self._installed() or agent.id in self._loaded:
            raise DriverAmbiguous(f"agent {agent.id!r} exists already")
        self._loaded[agent.id] = agent
        return agent

    def get(self, agent_id: str) -> Agent:
        """The agent of that id (upper and lower case are the same), imported now if it was not yet.

        Raises `DriverNotFound`, `DriverAmbiguous`, `DriverBroken`, `DriverIncompatible`, `DriverUnavailable`."""
        name = agent_id.lower()
        if (agent := self._loaded.get(name)) is not None:
            return agent
        entries = self._installed().get(name)
        if not entries:
            raise DriverNotFound(self._unknown(name), agent_id=agent_id)
        if len(entries) > 1:
            owners = " and ".join(sorted(_owner(entry) for entry in entries))
            raise DriverAmbiguous(f"agent {name!r} is provided by {owners}; uninstall one", agent_id=agent_id)
        agent = self._loaded[name] = load_entry(entries[0], _owner(entries[0]))
        return agent

    def info(self, agent_id: str) -> AgentInfo:
        """What the agent says of itself. Raises what `get` raises."""
        return self.get(agent_id).info

    def shown(self, agent_id: str, capability_id: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs of a call as they may be shown: without connections, and without what the capability calls secret; of
        one that cannot be looked up, nothing."""
        from runtara_framework.agents.invoke import CONNECTION_INPUT
        from runtara_framework.agents.redaction import MASK

        try:
            capability = self.get(agent_id).capability(capability_id)
            secret = {CONNECTION_INPUT, *(inputs if capability is None else capability.secret_inputs)}
        except PluginError:
            secret = set(inputs)
        return {name: MASK if name in secret else value for name, value in inputs.items()}

    def listing(self) -> AgentListing:
        """Import and describe every agent; those that fail are among `problems`, and stop nobody else."""
        agents: list[AgentInfo] = []
        problems: list[AgentProblem] = []
        for name in self.ids():
            try:
                agents.append(self.info(name))
            except PluginError as error:
                owners = " and ".join(sorted(_owner(entry) for entry in self._installed().get(name, ())))
                problems.append(AgentProblem(id=name, distribution=owners, code=error.code, reason=error.message))
        return AgentListing(agents=tuple(agents), problems=tuple(problems))

    def warm_up(self) -> list[str]:
        """Load every agent and let it import what its calls need, so that processes forked from this one need not.

        Opens no connection and starts no thread. Returns the ids that are ready; an agent that fails is left out, and says
        why when it is looked up."""
        ready = []
        for name in self.ids():
            try:
                self.get(name).warm_up()
            except Exception:  # whatever it is, it must not stop the others; `get` or the call will raise it again
                continue
            ready.append(name)
        return ready

    async def invoke(
        self, agent_id: str, capability_id: str, inputs: Mapping[str, Any], context: CapabilityContext
    ) -> Any:
        """Call a capability with JSON values; return its output as plain JSON.

        Raises `AgentError`, and nothing else: AGENT_NOT_FOUND, AGENT_UNAVAILABLE, CAPABILITY_NOT_FOUND,
        AGENT_INPUT_INVALID, REQUIRED_INPUT_NULL, CONNECTION_INVALID, CAPABILITY_ERROR, or the capability's own code.
        Cancelling it cancels an `async` capability; one that runs in a thread is abandoned.
        """
        from runtara_framework.agents.invoke import call

        try:
            agent = self.get(agent_id)
        except DriverNotFound as error:
            raise AgentError(AGENT_NOT_FOUND, error.message, attributes={"agent_id": agent_id}) from error
        except PluginError as error:
            raise AgentError(AGENT_UNAVAILABLE, error.message, attributes={"agent_id": agent_id}) from error
        capability = agent.capability(capability_id)
        if capability is None:
            known = agent.capability_names
            raise AgentError(
                CAPABILITY_NOT_FOUND,
                f"agent {agent.id!r} has no capability {capability_id!r}{_hint(capability_id, known)}; "
                f"it has: {', '.join(c.id for c in agent.capabilities)}",
                attributes={"agent_id": agent.id, "capability_id": capability_id},
            )
        return await call(agent, capability, inputs, context)

    def _installed(self) -> dict[str, list[EntryPoint]]:
        if self._entries is None:
            found: dict[str, list[EntryPoint]] = {}
            for entry in offers(AGENT_GROUP):
                same = found.setdefault(entry.name.lower(), [])
                # A path that is searched twice (a wheel beside its own editable install) gives the same one again.
                if all((_owner(other), other.value) != (_owner(entry), entry.value) for other in same):
                    same.append(entry)
            self._entries = {name: same for name, same in found.items() if name not in self._disabled}
        return self._entries

    def _unknown(self, name: str) -> str:
        if name in self._disabled:
            return f"agent {name!r} is disabled by the configuration"
        known = self.ids()
        return f"no agent {name!r}{_hint(name, known)}; installed: {', '.join(known) or 'none'}"


def load_entry(entry: EntryPoint, owner: str) -> Agent:
    """The agent that an entry point of the distribution `owner` leads to. Raises `DriverBroken`, `DriverIncompatible`."""
    from runtara_framework.agents.loading import load_agent

    try:
        target = entry.load()
    except PluginError:
        raise  # it says of itself what this machine lacks
    except (Exception, SystemExit) as error:
        raise DriverBroken(
            f"agent {entry.name!r} of {owner} ({entry.value}) cannot be imported: {type(error).__name__}: {error}"
        ) from error
    return load_agent(target, distribution=owner, name=entry.name)


def _owner(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown distribution"


def _hint(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
