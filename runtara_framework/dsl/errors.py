"""What can go wrong while a path, a mapping or a template is read or evaluated (codes: DSL.md 9)."""

from __future__ import annotations

from typing import ClassVar

from runtara_framework.errors import ErrorKind, RuntaraError


class EvaluationError(RuntaraError):
    """A value of the scenario could not be computed; trying again gives the same answer."""

    code = "EVALUATION_ERROR"
    kind = ErrorKind.INVALID
    category: ClassVar[str] = "permanent"


class PathSyntaxError(EvaluationError):
    """A reference path is malformed; `details` has the path and the position, counted from 0."""

    code = "PATH_SYNTAX_ERROR"

    def __init__(self, reason: str, path: str, position: int) -> None:
        super().__init__(f"{reason} at position {position} of the path {path!r}", path=path, position=position)


class PathTypeError(EvaluationError):
    """A path asks an array for a named key."""

    code = "PATH_TYPE_ERROR"


class CoercionFailed(EvaluationError):
    """A value cannot be turned into the type that its mapping asks for."""

    code = "COERCION_FAILED"


class TemplateFailed(EvaluationError):
    """A template is malformed, goes through a missing or null value, or grows beyond its limit."""

    code = "TEMPLATE_ERROR"


class UnknownOperator(EvaluationError):
    """A condition or a Switch case has an operator that does not exist."""

    code = "UNKNOWN_OPERATOR"


class DestinationClash(EvaluationError):
    """Two destination keys of one mapping want the same place."""

    code = "DESTINATION_CLASH"
