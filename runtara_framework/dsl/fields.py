"""Declared variables and schema fields as models (DSL.md 1, 9 "Schemas")."""

from __future__ import annotations

from typing import Any, Literal

from runtara_framework.dsl.base import Model

FieldType = Literal["string", "integer", "number", "boolean", "array", "object", "file"]


class Variable(Model):
    """A declared variable: its type and the value it has unless the start gives another."""

    type: FieldType
    """What its value is."""
    value: Any
    """The value, unless the start gives another."""
    description: str | None = None
    """For people."""


class VisibleWhen(Model):
    """A hint for forms: show the field only when another one has, or has not, this value."""

    field: str
    """The name of the other field."""
    equals: Any = None
    """Show when it is this."""
    not_equals: Any = None
    """Show when it is not this."""


class SchemaField(Model):
    """One field of an input, output or response schema."""

    type: FieldType
    """What the value must be; nothing is converted."""
    description: str | None = None
    """For people and forms."""
    required: bool = False
    """It must be there, unless a default fills it in."""
    nullable: bool = False
    """May it be null?"""
    default: Any = None
    """Filled in where the field is missing."""
    enum: list[Any] | None = None
    """The values allowed."""
    min: float | None = None
    """Least number; of a text its least length in characters, of an array its least number of members."""
    max: float | None = None
    """Greatest number, length or number of members."""
    pattern: str | None = None
    """A regular expression that a text must contain a match of (use ^ and $ for the whole text); at most 1 000 characters,
    without look-around and back-references."""
    items: SchemaField | None = None
    """What each member of an array must be."""
    properties: dict[str, SchemaField] | None = None
    """The declared members of an object; others pass through."""
    example: Any = None
    """For people and forms, like the keys below; nothing checks it."""
    label: str | None = None
    """What a form calls it."""
    placeholder: str | None = None
    """What a form shows in the empty field."""
    order: int | None = None
    """Its place in a form."""
    format: str | None = None
    """How a form shows it, such as `date`."""
    visible_when: VisibleWhen | None = None
    """When a form shows it."""


Schema = dict[str, SchemaField]

SchemaField.model_rebuild()
