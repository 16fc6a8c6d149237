"""`AgentError`: the failure of a capability, as an agent author raises it and as a step's error carries it.

Light on purpose: the runtime imports it without pydantic.
"""

from __future__ import annotations

from typing import Any, Literal

from runtara_framework.errors import RuntaraError
from runtara_framework.memory import OUT_OF_MEMORY

Category = Literal["transient", "permanent", "timeout"]
Severity = Literal["info", "warning", "error", "critical"]

AGENT_NOT_FOUND = "AGENT_NOT_FOUND"
AGENT_UNAVAILABLE = "AGENT_UNAVAILABLE"
CAPABILITY_NOT_FOUND = "CAPABILITY_NOT_FOUND"
AGENT_INPUT_INVALID = "AGENT_INPUT_INVALID"
REQUIRED_INPUT_NULL = "REQUIRED_INPUT_NULL"
CONNECTION_INVALID = "CONNECTION_INVALID"
CAPABILITY_ERROR = "CAPABILITY_ERROR"

ENGINE_CODES = frozenset(
    {
        AGENT_NOT_FOUND,
        AGENT_UNAVAILABLE,
        CAPABILITY_NOT_FOUND,
        AGENT_INPUT_INVALID,
        REQUIRED_INPUT_NULL,
        CONNECTION_INVALID,
        CAPABILITY_ERROR,
        OUT_OF_MEMORY,
    }
)
"""The codes that the engine itself gives; a capability need not declare them."""


class AgentError(RuntaraError):
    """A capability failed.

    `code` is what scenarios match on. `category` decides about retries (DSL.md section 6): transient and timeout are
    retried, permanent never. `severity` defaults to warning for what is retried and error for the rest.
    `retry_after_ms` is how long the other side asked us to wait. `attributes` are facts for the handler: JSON, no secrets.
    """

    code = "AGENT_ERROR"
    category: Category = "permanent"
    severity: Severity = "error"
    retry_after_ms: int | None = None

    def __init__(
        self,
        code: str,
        message: str,
        *,
        category: Category = "permanent",
        severity: Severity | None = None,
        retry_after_ms: int | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message, **(attributes or {}))
        # Agents name their own codes, so these belong to the object, not to the class.
        self.code = code  # type: ignore[misc]
        self.category = category
        self.severity = severity or ("error" if category == "permanent" else "warning")
        self.retry_after_ms = retry_after_ms
        self.retryable = category != "permanent"  # type: ignore[misc]

    @property
    def attributes(self) -> dict[str, Any]:
        """Machine-readable facts about the failure."""
        return self.details

    def to_failure(self) -> dict[str, Any]:
        """This error in the shape of DSL.md section 6, without what only the step knows (`stepId`, …)."""
        failure: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "category": self.category,
            "severity": self.severity,
            "attributes": self.attributes,
        }
        if self.retry_after_ms is not None:
            failure["retryAfterMs"] = self.retry_after_ms
        return failure

    def __repr__(self) -> str:
        return f"AgentError({self.code!r}, {self.message!r}, category={self.category!r})"
