"""From a declared class, object or module to a usable `Agent`: its capabilities, with their models and descriptions.

This is where pydantic comes in; nothing here runs before an agent is looked up. What an author got wrong is a
`DriverBroken` that names the agent, the function and the remedy.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_type_hints

from runtara_framework.agents.context import CapabilityContext
from runtara_framework.agents.declare import (
    AGENT_ATTRIBUTE,
    CAPABILITY_ATTRIBUTE,
    AgentDeclaration,
    CapabilityDeclaration,
)
from runtara_framework.agents.metadata import AgentInfo, CapabilityInfo
from runtara_framework.errors import DriverBroken, DriverIncompatible
from runtara_framework.spec.agent import AGENT_API

if TYPE_CHECKING:
    from pydantic import BaseModel, TypeAdapter


@dataclass(frozen=True)
class Capability:
    """One callable capability."""

    agent_id: str
    declaration: CapabilityDeclaration
    function: Callable[..., Any]  # bound to the agent's object
    input_model: type[BaseModel] | None
    input_parameter: str | None
    context_parameter: str | None
    output_type: Any

    @property
    def id(self) -> str:
        return self.declaration.id

    @cached_property
    def is_async(self) -> bool:
        """Whether it runs on the event loop; otherwise in a thread."""
        return inspect.iscoroutinefunction(self.function)

    @cached_property
    def output(self) -> TypeAdapter[Any]:
        """Checks and dumps what the function returns."""
        from pydantic import TypeAdapter

        return TypeAdapter(self.output_type)

    @cached_property
    def secret_inputs(self) -> frozenset[str]:
        """The names and aliases of the inputs whose values nobody may see."""
        secret = {field.name for field in self.info.inputs if field.secret}
        return frozenset(secret | {alias for alias, name in self.declaration.input_aliases.items() if name in secret})

    @cached_property
    def info(self) -> CapabilityInfo:
        """What the validator, the compiler and the CLI see."""
        from runtara_framework.agents.describe import describe_capability

        return describe_capability(self)


class Agent:
    """One agent, loaded."""

    def __init__(
        self, declaration: AgentDeclaration, holder: object, capabilities: list[Capability], distribution: str
    ) -> None:
        self.declaration = declaration
        self.holder = holder
        self.distribution = distribution
        self.capabilities = capabilities
        self._by_name = {name: c for c in capabilities for name in (c.declaration.aliases)}
        self._by_name |= {c.id: c for c in capabilities}

    @property
    def id(self) -> str:
        return self.declaration.id

    def capability(self, name: str) -> Capability | None:
        """The capability of that id or alias."""
        return self._by_name.get(name)

    @property
    def capability_names(self) -> list[str]:
        """Every id and alias."""
        return sorted(self._by_name)

    @cached_property
    def info(self) -> AgentInfo:
        """What the agent says of itself. Raises `DriverBroken` if its models have no JSON Schema."""
        from runtara_framework.agents.describe import describe_connection

        declared = self.declaration
        try:
            return AgentInfo(
                id=declared.id,
                title=declared.title,
                description=declared.description,
                capabilities=tuple(c.info for c in self.capabilities),
                connection_types=tuple(kind.integration_id for kind in declared.connection_types),
                connections=tuple(describe_connection(kind) for kind in declared.connection_types),
                secure=declared.secure,
                distribution=self.distribution,
            )
        except (RuntimeError, TypeError, ValueError) as error:  # pydantic has no one base for these
            raise DriverBroken(f"agent {declared.id!r} cannot be described: {error}") from error

    def warm_up(self) -> None:
        """Import and build now what the first call would need."""
        for capability in self.capabilities:
            _ = capability.is_async, capability.output
        prepare = getattr(self.holder, "warm_up", None)
        if prepare is not None:
            prepare()

    async def aclose(self) -> None:
        """Let go of what the agent holds (connections to other systems)."""
        close = getattr(self.holder, "aclose", None)
        if close is not None:
            await close()


def load_agent(target: object, *, distribution: str = "", name: str | None = None) -> Agent:
    """Make the agent that `target` (a class, an object or a module) declares. `name` is that of the entry point.

    Raises `DriverBroken`, `DriverIncompatible`."""
    where = f"agent {name!r}" if name else repr(target)
    declaration = getattr(target, AGENT_ATTRIBUTE, None)
    if not isinstance(declaration, AgentDeclaration):
        raise DriverBroken(
            f"{where}: {target!r} is not decorated with @agent(id=...) and, if a module, sets no __agent__ = agent(id=...)"
        )
    if name is not None and declaration.id != name:
        raise DriverBroken(f"entry point {name!r} gives agent {declaration.id!r}: the two names must be equal")
    if declaration.api != AGENT_API:
        raise DriverIncompatible(
            f"agent {declaration.id!r} speaks contract {declaration.api}, this kernel speaks {AGENT_API}; "
            "install versions that fit each other"
        )
    try:
        holder = target() if isinstance(target, type) else target
    except Exception as error:
        raise DriverBroken(f"agent {declaration.id!r}: {target!r} cannot be created: {error}") from error
    capabilities = [_capability(declaration.id, *found) for found in _members(holder)]
    if not capabilities:
        raise DriverBroken(f"agent {declaration.id!r} has no capability: mark functions with @capability(id=...)")
    owners: dict[str, str] = {}
    for one in capabilities:
        for taken in (one.id, *one.declaration.aliases):
            if taken in owners:
                raise DriverBroken(
                    f"agent {declaration.id!r}: {owners[taken]} and {one.id!r} are both called {taken!r}"
                )
            owners[taken] = repr(one.id)
    return Agent(declaration, holder, capabilities, distribution)


def _members(holder: object) -> Iterator[tuple[CapabilityDeclaration, Callable[..., Any]]]:
    """The marked functions, in the order in which they are written, without touching any property."""
    if isinstance(holder, ModuleType):
        names: dict[str, Any] = dict(vars(holder))
    else:
        names = {}
        for cls in reversed(type(holder).__mro__):
            names |= vars(cls)
        names |= getattr(holder, "__dict__", {})
    for name, member in names.items():
        plain = member.__func__ if isinstance(member, staticmethod | classmethod) else member
        declared = getattr(plain, "__dict__", {}).get(CAPABILITY_ATTRIBUTE)
        if isinstance(declared, CapabilityDeclaration):
            yield declared, getattr(holder, name)


def _capability(agent_id: str, declaration: CapabilityDeclaration, function: Callable[..., Any]) -> Capability:
    from pydantic import BaseModel

    where = f"capability {agent_id}/{declaration.id}"
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception as error:
        raise DriverBroken(f"{where}: its annotations cannot be resolved: {error}") from error
    input_model: type[BaseModel] | None = None
    input_parameter = context_parameter = None
    for parameter in inspect.signature(function).parameters.values():
        hint = hints.get(parameter.name)
        if hint is CapabilityContext:
            context_parameter = parameter.name
        elif isinstance(hint, type) and issubclass(hint, BaseModel) and input_parameter is None:
            input_model, input_parameter = hint, parameter.name
        elif parameter.default is parameter.empty:
            raise DriverBroken(
                f"{where}: parameter {parameter.name!r} must be annotated with the pydantic model of the input, "
                "or with CapabilityContext; a capability takes one of each at most"
            )
    if "return" not in hints:
        raise DriverBroken(f"{where}: annotate what it returns; that is its output schema")
    unknown = set(declaration.input_aliases.values()) - _wire_names(input_model)
    if unknown:
        raise DriverBroken(f"{where}: input_aliases points at {sorted(unknown)}, which is no input of it")
    if unknown := set(declaration.harmless) - _wire_names(input_model):
        raise DriverBroken(f"{where}: harmless names {sorted(unknown)}, which is no input of it")
    return Capability(
        agent_id=agent_id,
        declaration=declaration,
        function=function,
        input_model=input_model,
        input_parameter=input_parameter,
        context_parameter=context_parameter,
        output_type=hints["return"],
    )


def _wire_names(model: type[BaseModel] | None) -> set[str]:
    if model is None:
        return set()
    return {field.alias or name for name, field in model.model_fields.items()}
