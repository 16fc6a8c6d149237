"""Declared variables and schema fields as models (DSL.md 1, 9 "Schemas")."""

from __future__ import annotations

from typing import Any, Literal

from runtara_framework.dsl.base import Model

FieldType = Literal["string", "integer", "number", "boolean", "array", "object", "file"]


class Variable(Model):
    """A declared variable: its type and the value it has unless the start gives another."""

    type: FieldType
    value: Any
    description: str | None = None


class VisibleWhen(Model):
    """A hint for forms: show the field only when another one has, or has not, this value."""

    field: str
    equals: Any = None
    not_equals: Any = None


class SchemaField(Model):
    """One field of an input, output or response schema."""

    type: FieldType
    description: str | None = None
    required: bool = False
    nullable: bool = False
    default: Any = None
    enum: list[Any] | None = None
    min: float | None = None
    """Least number; of a text its least length in characters, of an array its least number of members."""
    max: float | None = None
    """Greatest number, length or number of members."""
    pattern: str | None = None
    """A regular expression that a text must contain a match of (use ^ and $ for the whole text)."""
    items: SchemaField | None = None
    properties: dict[str, SchemaField] | None = None
    example: Any = None
    """For people and forms, like the keys below; nothing checks it."""
    label: str | None = None
    placeholder: str | None = None
    order: int | None = None
    format: str | None = None
    visible_when: VisibleWhen | None = None


Schema = dict[str, SchemaField]

SchemaField.model_rebuild()
