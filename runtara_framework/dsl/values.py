"""Mapping values and conditions as models: what a scenario writes where a value is expected (DSL.md 3, 5)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Discriminator, Field, Tag

from runtara_framework.dsl.base import Model

TypeHint = Literal["string", "integer", "number", "boolean", "json", "file"]
ValueType = Literal["reference", "immediate", "composite", "template"]
Operator = Literal[
    "AND", "OR", "NOT", "EQ", "NE", "GT", "GTE", "LT", "LTE", "STARTS_WITH", "ENDS_WITH", "CONTAINS",
    "IN", "NOT_IN", "LENGTH", "IS_DEFINED", "IS_EMPTY", "IS_NOT_EMPTY",
]  # fmt: skip
VALUE_TYPES: tuple[str, ...] = get_args(ValueType)
OPERATORS: tuple[str, ...] = get_args(Operator)


def _value_tag(value: Any) -> str | None:
    if isinstance(value, dict):
        tag = value.get("valueType")
    else:
        tag = getattr(value, "value_type", None)
    return tag if isinstance(tag, str) else None


class Reference(Model):
    """A path into the scope, optionally coerced to a type, with a default for missing, null or uncoercible."""

    value_type: Literal["reference"]
    """Says that it is a reference."""
    value: str
    """The path, for example `steps.fetch.outputs.items[0]`."""
    type: TypeHint | None = None
    """What to convert the value to."""
    default: Any = None
    """Used when the value is missing or null, or cannot be converted."""


class Immediate(Model):
    """A literal."""

    value_type: Literal["immediate"]
    """Says that it is a literal."""
    value: Any
    """Any JSON value."""


def _members_tag(value: Any) -> str | None:
    if isinstance(value, dict):
        return "object"
    return "array" if isinstance(value, list) else None


class Composite(Model):
    """An object or an array built of mapping values."""

    value_type: Literal["composite"]
    """Says that it is a composite."""
    value: Members
    """An object or an array whose members are mapping values."""


class Template(Model):
    """A text in Jinja syntax, rendered in a sandbox."""

    value_type: Literal["template"]
    """Says that it is a template."""
    value: str
    """The text, for example `Order {{ data.id }}`."""


MappingValue = Annotated[
    Annotated[Reference, Tag("reference")]
    | Annotated[Immediate, Tag("immediate")]
    | Annotated[Composite, Tag("composite")]
    | Annotated[Template, Tag("template")],
    Discriminator(
        _value_tag,
        custom_error_type="value_type_unknown",
        custom_error_message="valueType must be reference, immediate, composite or template",
    ),
]
Members = Annotated[
    Annotated[dict[str, MappingValue], Tag("object")] | Annotated[list[MappingValue], Tag("array")],
    Discriminator(
        _members_tag,
        custom_error_type="members_unknown",
        custom_error_message="the value of a composite is an object or an array of mapping values",
    ),
]
InputMapping = dict[str, MappingValue]


class Operation(Model):
    """An operator over arguments; each argument is a condition or a mapping value."""

    type: Literal["operation"]
    """Says that it is an operation."""
    op: Operator
    """The operator."""
    arguments: list[Argument] = Field(default_factory=list)
    """Conditions or mapping values."""


class ReferenceTest(Model):
    """The truth of a referenced value. `type` is taken by the discriminator, so the hint is `valueTypeHint`."""

    type: Literal["value"]
    value_type: Literal["reference"]
    value: str
    value_type_hint: TypeHint | None = None
    default: Any = None

    @property
    def mapping(self) -> Reference:
        """The mapping value whose truth is asked for."""
        given: dict[str, Any] = {"default": self.default} if self.given("default") else {}
        return Reference(valueType="reference", value=self.value, type=self.value_type_hint, **given)


class ImmediateTest(Model):
    """The truth of a literal."""

    type: Literal["value"]
    value_type: Literal["immediate"]
    value: Any

    @property
    def mapping(self) -> Immediate:
        """The mapping value whose truth is asked for."""
        return Immediate(valueType="immediate", value=self.value)


class CompositeTest(Model):
    """The truth of a composite: true when it has members."""

    type: Literal["value"]
    value_type: Literal["composite"]
    value: Members

    @property
    def mapping(self) -> Composite:
        """The mapping value whose truth is asked for."""
        return Composite(valueType="composite", value=self.value)


class TemplateTest(Model):
    """The truth of a rendered text: true when it is not empty."""

    type: Literal["value"]
    value_type: Literal["template"]
    value: str

    @property
    def mapping(self) -> Template:
        """The mapping value whose truth is asked for."""
        return Template(valueType="template", value=self.value)


def _condition_tag(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    if kind == "operation":
        return "operation"
    tag = _value_tag(value)
    return f"value:{tag}" if kind == "value" and tag in VALUE_TYPES else None


def _argument_tag(value: Any) -> str | None:
    return _condition_tag(value) or _value_tag(value)


Condition = Annotated[
    Annotated[Operation, Tag("operation")]
    | Annotated[ReferenceTest, Tag("value:reference")]
    | Annotated[ImmediateTest, Tag("value:immediate")]
    | Annotated[CompositeTest, Tag("value:composite")]
    | Annotated[TemplateTest, Tag("value:template")],
    Discriminator(
        _condition_tag,
        custom_error_type="condition_unknown",
        custom_error_message='a condition has type "operation" (with op and arguments), or type "value" with a valueType',
    ),
]
Argument = Annotated[
    Annotated[Operation, Tag("operation")]
    | Annotated[ReferenceTest, Tag("value:reference")]
    | Annotated[ImmediateTest, Tag("value:immediate")]
    | Annotated[CompositeTest, Tag("value:composite")]
    | Annotated[TemplateTest, Tag("value:template")]
    | Annotated[Reference, Tag("reference")]
    | Annotated[Immediate, Tag("immediate")]
    | Annotated[Composite, Tag("composite")]
    | Annotated[Template, Tag("template")],
    Discriminator(
        _argument_tag,
        custom_error_type="argument_unknown",
        custom_error_message="an argument is a condition (it has a type) or a mapping value (it has a valueType)",
    ),
]
ValueTest = ReferenceTest | ImmediateTest | CompositeTest | TemplateTest

Composite.model_rebuild()
CompositeTest.model_rebuild()
Operation.model_rebuild()
