"""What every rule works on: the graphs of one document, the agents, the child scenarios, and where to say things."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from runtara_framework.dsl.models import ExecutionGraph, StartScenarioStep
from runtara_framework.dsl.validation.findings import Finding
from runtara_framework.dsl.validation.graphs import Graph
from runtara_framework.dsl.validation.limits import Limits
from runtara_framework.errors import DriverNotFound, RuntaraError

if TYPE_CHECKING:
    from runtara_framework.agents.metadata import AgentInfo
    from runtara_framework.dsl.functions import Functions

ExtraRule = Callable[[Graph], Iterable[Finding]]


class AgentCatalog(Protocol):
    """Where validation looks agents up; `agents.registry.AgentRegistry` is one, `Agents` another."""

    def ids(self) -> Sequence[str]:
        """The ids of all agents, in lower case."""
        ...

    def info(self, agent_id: str) -> AgentInfo:
        """What an agent says of itself. Raises `DriverNotFound`, or another `RuntaraError` if it is broken."""
        ...


class Agents:
    """A catalogue of agents that need not be installed here."""

    def __init__(self, *infos: AgentInfo) -> None:
        self._infos = {info.id.lower(): info for info in infos}

    def ids(self) -> list[str]:
        """The ids of all agents."""
        return sorted(self._infos)

    def info(self, agent_id: str) -> AgentInfo:
        """The agent of that id; upper and lower case are the same. Raises `DriverNotFound`."""
        try:
            return self._infos[agent_id.lower()]
        except KeyError:
            raise DriverNotFound(f"there is no agent {agent_id!r}") from None


class Lookup(NamedTuple):
    """An agent that was found, or why not."""

    info: AgentInfo | None
    problem: RuntaraError | None = None


class Context:
    """One document under validation."""

    def __init__(
        self,
        graphs: Sequence[Graph],
        agents: AgentCatalog,
        child_of: Callable[[StartScenarioStep], tuple[str, ExecutionGraph] | None],
        limits: Limits,
        is_opaque: Callable[[str], bool],
        *,
        extra_variables: frozenset[str] = frozenset(),
        functions: Functions | None = None,
    ) -> None:
        self.graphs = graphs
        self.agents = agents
        self.child_of = child_of
        """The key and the graph of the child that a step calls; None if it was not supplied."""
        self.limits = limits
        self.extra_variables = extra_variables
        """Variables that are supplied from outside the document (a compilation's default variables)."""
        self.functions = functions
        """What a stdlib adds to templates."""
        self.findings: list[Finding] = []
        self.is_opaque = is_opaque
        """Whether a place could not be read in the first place, so that nothing more is to be said of it."""
        self._agents: dict[str, Lookup] = {}

    def say(
        self, code: str, pointer: str, message: str, suggestion: str | None = None, *, step: str | None = None
    ) -> None:
        """Report a finding, unless the place could not be read in the first place."""
        if not self.is_opaque(pointer):
            self.findings.append(
                Finding(code=code, pointer=pointer, message=message, suggestion=suggestion, step_id=step)
            )

    def agent(self, agent_id: str) -> Lookup:
        """An agent by id in any case, looked up once."""
        key = agent_id.lower()
        if key not in self._agents:
            try:
                self._agents[key] = Lookup(self.agents.info(key))
            except RuntaraError as error:  # unknown, or installed but broken, which is as good as unknown
                self._agents[key] = Lookup(None, error)
        return self._agents[key]


Rule = Callable[[Context], None]
