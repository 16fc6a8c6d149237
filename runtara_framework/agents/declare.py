"""`@agent` and `@capability`: how an author says what a function is. They only record; nothing is inspected or built
until somebody looks the agent up, so an agent's module costs no more to import than its functions and models."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from runtara_framework.agents.metadata import ErrorInfo

if TYPE_CHECKING:
    from runtara_framework.agents.connections import ConnectionParameters

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

AGENT_ATTRIBUTE = "__agent__"
CAPABILITY_ATTRIBUTE = "__capability__"

_ID = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class AgentDeclaration:
    """What `@agent` was told. Calling it decorates a class or an object."""

    id: str
    title: str
    description: str
    connection_types: tuple[type[ConnectionParameters], ...]
    secure: bool
    api: int

    def __call__(self, target: T) -> T:
        setattr(target, AGENT_ATTRIBUTE, self)
        return target


@dataclass(frozen=True, slots=True)
class CapabilityDeclaration:
    """What `@capability` was told."""

    id: str
    title: str
    description: str
    side_effects: bool
    harmless: Mapping[str, Sequence[Any]]
    deterministic: bool
    idempotent: bool
    rate_limited: bool
    errors: tuple[ErrorInfo, ...]
    aliases: tuple[str, ...]
    input_aliases: Mapping[str, str] = field(default_factory=dict)


def agent(
    *,
    id: str,
    title: str | None = None,
    description: str = "",
    connection_types: Sequence[type[ConnectionParameters]] = (),
    secure: bool = False,
    api: int = 1,
) -> AgentDeclaration:
    """Declare an agent: decorate a class or an object with it, or write `__agent__ = agent(...)` in a module.

    `connection_types`: the connections its capabilities can use. `secure`: the agent may receive what a Connection step
    gives (E040). `api`: the version of the contract (`spec/agent.py`) that it was written for. Raises `ValueError` for an
    id that is not lower-case words joined by dashes.
    """
    return AgentDeclaration(
        id=_checked(id, "agent"),
        title=title or _titled(id),
        description=description,
        connection_types=tuple(connection_types),
        secure=secure,
        api=api,
    )


def capability(
    *,
    id: str,
    title: str | None = None,
    description: str | None = None,
    side_effects: bool = True,
    harmless: Mapping[str, Sequence[Any]] | None = None,
    deterministic: bool = False,
    idempotent: bool | None = None,
    rate_limited: bool = False,
    errors: Sequence[ErrorInfo] = (),
    aliases: Sequence[str] = (),
    input_aliases: Mapping[str, str] | None = None,
) -> Callable[[F], F]:
    """Declare a function to be a capability; the function itself stays as it is.

    `description` defaults to the first paragraph of the docstring. `side_effects=False, deterministic=True` means pure:
    run again on a replay, never checkpointed. `harmless`: input -> values with each of which a call has no side effects, such
    as the methods that only read; nothing needs compensation then. `idempotent` (a repetition does no harm) defaults to
    having no side effects. `errors`: see `transient` and `permanent`. `aliases`: other ids, and `input_aliases`: other name
    -> input name, that scenarios may use (DSL.md section 8). Raises `ValueError` for a malformed id.
    """
    for name in (id, *aliases):
        _checked(name, "capability")

    def mark(function: F) -> F:
        text = description if description is not None else _first_paragraph(function.__doc__)
        function.__dict__[CAPABILITY_ATTRIBUTE] = CapabilityDeclaration(
            id=id,
            title=title or _titled(id),
            description=text,
            side_effects=side_effects,
            harmless=dict(harmless or {}),
            deterministic=deterministic,
            idempotent=(not side_effects) if idempotent is None else idempotent,
            rate_limited=rate_limited,
            errors=tuple(errors),
            aliases=tuple(aliases),
            input_aliases=dict(input_aliases or {}),
        )
        return function

    return mark


def transient(code: str, description: str = "") -> ErrorInfo:
    """A failure that may be gone at the next attempt; it is retried."""
    return ErrorInfo(code=code, category="transient", description=description)


def timeout(code: str, description: str = "") -> ErrorInfo:
    """Something took too long; it is retried."""
    return ErrorInfo(code=code, category="timeout", description=description)


def permanent(code: str, description: str = "") -> ErrorInfo:
    """A failure that would be the same at every attempt; it is never retried."""
    return ErrorInfo(code=code, category="permanent", description=description)


def _checked(name: str, what: str) -> str:
    if not _ID.fullmatch(name):
        raise ValueError(f"{what} id {name!r}: use lower-case words joined by dashes, like 'create-order'")
    return name


def _titled(id: str) -> str:
    words = re.split("[-_]", id)
    return " ".join([words[0].capitalize(), *words[1:]])


def _first_paragraph(doc: str | None) -> str:
    return " ".join((doc or "").strip().split("\n\n")[0].split())
