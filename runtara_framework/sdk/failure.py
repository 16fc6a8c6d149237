"""`Failure`: the structured error of a program (DSL.md section 6), as an exception and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from runtara_framework.errors import ErrorKind, RuntaraError
from runtara_framework.memory import OUT_OF_MEMORY, lighten, ran_out, told

Category = Literal["transient", "permanent", "timeout", "cancelled"]
Severity = Literal["info", "warning", "error", "critical"]

CATEGORIES: tuple[str, ...] = get_args(Category)
SEVERITIES: tuple[str, ...] = get_args(Severity)
RETRIED = frozenset({"transient", "timeout"})

UNHANDLED_ERROR = "UNHANDLED_ERROR"
INPUT_INVALID = "INPUT_INVALID"
OUTPUT_INVALID = "OUTPUT_INVALID"
OUTPUT_TOO_LARGE = "OUTPUT_TOO_LARGE"
WAIT_TIMEOUT = "WAIT_TIMEOUT"
EXECUTION_TIMEOUT = "EXECUTION_TIMEOUT"


class Failure(Exception):
    """A program, or a step of it, failed in a way that others can act on.

    `code` is what handlers match on; `category` decides about retries: transient and timeout are retried, permanent and
    cancelled never. `retry_after_ms` is how long to wait before the next attempt. `attributes` are facts (JSON, no
    secrets). `cause` is the failure behind this one.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        category: Category = "permanent",
        severity: Severity = "error",
        step_id: str | None = None,
        step_name: str | None = None,
        step_type: str | None = None,
        retry_after_ms: int | None = None,
        attributes: Mapping[str, Any] | None = None,
        cause: Failure | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.category: Category = category
        self.severity: Severity = severity
        self.step_id = step_id
        self.step_name = step_name
        self.step_type = step_type
        self.retry_after_ms = retry_after_ms
        self.attributes: dict[str, Any] = dict(attributes or {})
        self.cause = cause

    @property
    def retryable(self) -> bool:
        """Whether another attempt may help."""
        return self.category in RETRIED

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of DSL.md section 6; fields that are not known are left out."""
        wire: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "category": self.category,
            "severity": self.severity,
        }
        optional = {
            "stepId": self.step_id,
            "stepName": self.step_name,
            "stepType": self.step_type,
            "retryAfterMs": self.retry_after_ms,
        }
        wire.update((name, value) for name, value in optional.items() if value is not None)
        wire["attributes"] = self.attributes
        if self.cause is not None:
            wire["cause"] = self.cause.to_dict()
        return wire

    @staticmethod
    def from_dict(wire: Mapping[str, Any]) -> Failure:
        """The failure that `to_dict` wrote; what is missing or of the wrong type gets its default."""
        category, severity = wire.get("category"), wire.get("severity")
        attributes, cause = wire.get("attributes"), wire.get("cause")
        retry_after = wire.get("retryAfterMs")
        return Failure(
            str(wire.get("code", UNHANDLED_ERROR)),
            str(wire.get("message", "")),
            category=category if category in CATEGORIES else "permanent",
            severity=severity if severity in SEVERITIES else "error",
            step_id=_text(wire.get("stepId")),
            step_name=_text(wire.get("stepName")),
            step_type=_text(wire.get("stepType")),
            retry_after_ms=retry_after if isinstance(retry_after, int) else None,
            attributes=attributes if isinstance(attributes, Mapping) else None,
            cause=Failure.from_dict(cause) if isinstance(cause, Mapping) else None,
        )

    @staticmethod
    def of(error: BaseException) -> Failure:
        """Any exception as a failure, with the exception as its `__cause__`.

        A `Failure` is itself. An exception with a method `to_failure() -> dict` (such as `AgentError`) says what it is. A
        `RuntaraError` keeps its code and is transient if it is retryable. The rest is `OUT_OF_MEMORY`, permanent, if it
        says or was raised because memory has run out; otherwise `UNHANDLED_ERROR`, permanent, with the type in `attributes`.
        """
        if isinstance(error, Failure):
            return error
        describe = getattr(error, "to_failure", None)
        if callable(describe):
            failure = Failure.from_dict(describe())
            if failure.code == OUT_OF_MEMORY:
                lighten(error)
        elif ran_out(error):
            message, facts = told(error)
            failure = Failure(OUT_OF_MEMORY, message, attributes=facts)
        elif isinstance(error, RuntaraError):
            failure = Failure(error.code, error.message, category=_category(error), attributes=error.details)
        else:
            name = type(error).__qualname__
            text = str(error)
            failure = Failure(UNHANDLED_ERROR, f"{name}: {text}" if text else name, attributes={"type": name})
        failure.__cause__ = error
        return failure

    def __repr__(self) -> str:
        return f"Failure({self.code!r}, {self.message!r}, category={self.category!r})"


class WaitTimeout(Failure):
    """A wait ended without its signal."""

    def __init__(self, message: str, **known: Any) -> None:
        super().__init__(WAIT_TIMEOUT, message, category="timeout", **known)


def _category(error: RuntaraError) -> Category:
    if error.kind is ErrorKind.TIMEOUT:
        return "timeout"
    return "transient" if error.retryable else "permanent"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
