"""What an image says of itself, as far as the server acts on it: checked once, when the image is registered.

Anybody may write an archive with a manifest. The server checks inputs by it, so a malformed one must not get that far.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from runtara_framework.dsl.bounds import MAX_SECONDS
from runtara_framework.dsl.fields import Schema, SchemaField, Variable
from runtara_framework.dsl.patterns import matcher
from runtara_framework.errors import ImageInvalid
from runtara_framework.memory import MemoryTier

MOST_LEVELS = 200
"""Arrays and objects inside each other; what the compiler writes has far fewer."""


class _Manifest(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, strict=True)

    execution_timeout_seconds: Annotated[int, Field(ge=1, le=MAX_SECONDS)] | None = None
    memory_tier: MemoryTier | None = None


class _Scenario(_Manifest):
    input_schema: Schema = Field(default_factory=dict)
    output_schema: Schema = Field(default_factory=dict)
    variables: dict[str, Variable] = Field(default_factory=dict)


def checked(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest itself. Raises `ImageInvalid`, which names the first thing wrong."""
    if _is_too_deep(manifest):
        raise ImageInvalid(f"the image's manifest is nested more than {MOST_LEVELS} levels deep")
    try:
        found = (_Scenario if manifest.get("kind") == "scenario" else _Manifest).model_validate(manifest)
        for schema in (found.input_schema, found.output_schema) if isinstance(found, _Scenario) else ():
            _check_patterns(schema)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ImageInvalid(f"the image's manifest is malformed at {place}: {first['msg']}") from None
    except ValueError as error:
        raise ImageInvalid(f"the image's manifest has a pattern that cannot be used: {error}") from None
    return manifest


def _is_too_deep(value: Any) -> bool:
    layer = [value]
    for _ in range(MOST_LEVELS):
        members = [
            item.values() if isinstance(item, dict) else item for item in layer if isinstance(item, (dict, list))
        ]
        layer = [member for group in members for member in group]
    return bool(layer)


def _check_patterns(schema: Schema) -> None:
    todo: list[SchemaField] = [*schema.values()]
    while todo:
        field = todo.pop()
        if field.pattern is not None:
            matcher(field.pattern)
        todo += [*(field.properties or {}).values(), *([field.items] if field.items else [])]
