"""What pydantic refuses, in the words of the DSL: the place as a JSON pointer, a code, and a suggestion.

A location that pydantic reports mixes keys of the document with tags of unions; `_trace` walks the annotations of
the models along with it, and so knows which is which, what may be left out, and which names would be right.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import Tag

from runtara_framework.dsl.base import Model
from runtara_framework.dsl.documents import escape
from runtara_framework.dsl.models import (
    MATCH_TYPES,
    OPERATORS,
    Compensation,
    Edge,
    ExecutionGraph,
    FilterConfig,
    GroupByConfig,
    Operation,
    Scenario,
    SchemaField,
    SplitConfig,
    StepBase,
    SwitchCase,
    SwitchConfig,
    Variable,
)
from runtara_framework.dsl.schemas import kind_of
from runtara_framework.dsl.validation.findings import did_you_mean, listed
from runtara_framework.dsl.values import VALUE_TYPES

_NOTHING = {"valueType": "immediate", "value": None}
_ALWAYS = {"type": "value", "valueType": "immediate", "value": True}
_NEUTRAL: Mapping[str, Any] = {
    # What stands in for a required part that is missing or malformed, so that the rest can be checked.
    "agentId": "", "capabilityId": "", "condition": _ALWAYS, "value": _NOTHING, "key": "key", "id": "",
    "subgraph": ExecutionGraph(steps={}, entryPoint=""), "childScenarioId": "", "childVersion": "latest",
    "code": "", "message": "", "connectionId": "", "integrationId": "", "durationMs": _NOTHING, "compensationStep": "",
    "op": "AND", "matchType": "EQ",
    "config": {"value": _NOTHING, "condition": _ALWAYS, "key": "key"},
}  # fmt: skip
_NEUTRAL_OWNERS = (
    StepBase,
    Operation,
    SwitchCase,
    Compensation,
    SwitchConfig,
    SplitConfig,
    FilterConfig,
    GroupByConfig,
)
_NAMES: Mapping[type, str] = {
    ExecutionGraph: "a graph", Scenario: "a scenario", Edge: "an edge", SchemaField: "a schema field",
    Variable: "a variable", SwitchCase: "a case",
}  # fmt: skip
_TYPES = {
    "string_type": "a text", "int_type": "a whole number", "float_type": "a number", "bool_type": "true or false",
    "dict_type": "an object", "list_type": "an array", "model_type": "an object", "model_attributes_type": "an object",
}  # fmt: skip


_REFERENCE = re.compile(r"(data|variables|steps|scenario|item|loop|iteration|__error|error)(\.|\[|$)")


class _Part(NamedTuple):
    key: Any
    kind: str  # field | map | item
    required: bool
    owner: type[Model] | None


class Refusal(NamedTuple):
    """One refused place: where, why, and what the models say about it."""

    code: str
    pointer: str
    message: str
    suggestion: str | None
    parts: tuple[_Part, ...]
    unknown: bool


def explain(model: type[Model], raw: Any, details: Any) -> Refusal:
    """The refusal for one of pydantic's error details."""
    parts, owner = _trace(model, details["loc"])
    pointer = "".join(f"/{escape(part.key)}" for part in parts)
    kind, given = details["type"], details.get("input")
    name = str(parts[-1].key) if parts else "it"
    if kind == "extra_forbidden":
        known = [field.alias or key for key, field in owner.model_fields.items()] if owner else []
        message = f"{_what(owner)} has no field {name!r}; it has {listed(known, 30)}"
        return Refusal("E005", pointer, message, did_you_mean(name, known), parts, True)
    if kind == "missing":
        message = f"{_what(owner)} needs {name!r}"
        return Refusal("E017", pointer.rpartition("/")[0], message, f"add {name!r}", parts, False)
    if name in ("op", "matchType") and kind == "literal_error":
        names = OPERATORS if name == "op" else MATCH_TYPES
        message = f"there is no {'operator' if name == 'op' else 'matchType'} {given!r}; there are {listed(names, 30)}"
        return Refusal("E008", pointer, message, did_you_mean(str(given), names), parts, False)
    if name == "childVersion":
        return Refusal("E050", pointer, 'childVersion is a number of at least 1, or "latest"', None, parts, False)
    if kind == "literal_error":
        choices = [choice.strip("'") for choice in details["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        message = f"{name!r} is one of {listed(choices, 20)}, not {given!r}"
        return Refusal("E018", pointer, message, did_you_mean(str(given), choices), parts, False)
    if kind in _TYPES:
        message = f"{name!r} must be {_TYPES[kind]}, not {kind_of(given)}"
    elif kind == "value_type_unknown":
        tag = given.get("valueType") if isinstance(given, dict) else None
        message = f"{name!r}: {details['msg']}" + (f", not {tag!r}" if tag is not None else "")
        hint = did_you_mean(str(tag), VALUE_TYPES) if tag is not None else f"write {_as_mapping(given)}"
        return Refusal("E018", pointer, message, hint, parts, False)
    elif kind.endswith("_unknown"):
        tag = given.get("valueType") if isinstance(given, dict) else None
        message = f"{name!r}: {details['msg']}" + (f", not {tag!r}" if tag is not None else "")
    else:
        message = f"{name!r}: {details['msg'][0].lower()}{details['msg'][1:]}"
    return Refusal("E018", pointer, message, None, parts, False)


def _as_mapping(given: Any) -> str:
    """The mapping value that somebody probably means who wrote a plain value."""
    kind = "immediate"
    if isinstance(given, str):
        kind = "template" if "{{" in given else "reference" if _REFERENCE.match(given) else kind
    short = given is None or (isinstance(given, str) and len(given) <= 80)
    plain = isinstance(given, float) or (isinstance(given, int) and given.bit_length() <= 64)
    text = json.dumps(given, ensure_ascii=False) if short or plain else "…"
    return f'{{"valueType": "{kind}", "value": {text}}}'


def repaired(
    model: type[Model], raw: dict[str, Any], refusals: Sequence[Refusal]
) -> tuple[dict[str, Any] | None, set[str]]:
    """A copy of `raw` without what was refused, and the pointers of the parts that are gone; None if hopeless."""
    value: Any = dict(raw)
    opaque: set[str] = set()
    for refusal in refusals:
        parts = list(refusal.parts)
        while parts:
            part = parts[-1]
            container = _copied(value, [step.key for step in parts[:-1]])
            if container is None:  # gone already, with something around it
                break
            place = "".join(f"/{escape(step.key)}" for step in parts)
            if refusal.unknown:
                if isinstance(container, dict):
                    container.pop(part.key, None)
                break
            if part.kind == "map" or (part.kind == "field" and not part.required):
                if isinstance(container, dict):
                    container.pop(part.key, None)
                opaque.add(place)
                break
            neutral = part.owner is not None and issubclass(part.owner, _NEUTRAL_OWNERS) and part.key in _NEUTRAL
            if neutral and part.owner and isinstance(container, dict):
                container[part.key] = _neutral(part.key, part.owner)
                opaque.add(place)
                break
            parts.pop()
        else:
            return None, opaque
    return value, opaque


def _neutral(key: str, owner: type[Model]) -> Any:
    if key != "config":
        return _NEUTRAL[key]
    config = owner.model_fields["config"].annotation
    if not (isinstance(config, type) and issubclass(config, Model)):
        return _NEUTRAL[key]
    known = {field.alias for field in config.model_fields.values()}
    return {name: value for name, value in _NEUTRAL["config"].items() if name in known}


def _copied(value: Any, keys: Sequence[Any]) -> Any:
    """The container at `keys`, every container on the way to it replaced by a copy; None if there is none."""
    for key in keys:
        inside = key in value if isinstance(value, dict) else isinstance(key, int) and key < len(value)
        if not inside:
            return None
        below = value[key]
        if not isinstance(below, (dict, list)):
            return None
        value[key] = type(below)(below)
        value = value[key]
    return value


def _what(owner: type[Model] | None) -> str:
    if owner is None:
        return "this object"
    if owner in _NAMES:
        return _NAMES[owner]
    name = owner.__name__
    if issubclass(owner, StepBase):
        name = f"{name.removesuffix('Step')} step"
    elif name.endswith("Config"):
        return f"the config of a {name.removesuffix('Config')} step"
    else:
        name = name.removesuffix("Test").lower()
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Model)


def _trace(model: type[Model], loc: Sequence[Any]) -> tuple[tuple[_Part, ...], type[Model] | None]:
    """The keys of the document in a location of pydantic's, and the model that the last one is a field of."""
    parts: list[_Part] = []
    here: Any = model
    owner: type[Model] | None = model
    for element in loc:
        here = _plain(here)
        tagged = _tags(here)
        if element in tagged:
            here = tagged[element]
        elif _is_model(here):
            owner = here
            field = next((f for name, f in here.model_fields.items() if (f.alias or name) == element), None)
            parts.append(_Part(element, "field", field is not None and field.is_required(), here))
            here = field.annotation if field else None
        elif get_origin(here) is dict and element != "[key]":
            owner = None
            parts.append(_Part(element, "map", False, None))
            here = get_args(here)[1]
        elif get_origin(here) is list:
            owner = None
            parts.append(_Part(element, "item", True, None))
            here = get_args(here)[0]
    return tuple(parts), owner


def _plain(annotation: Any) -> Any:
    """Without `Annotated` and without the `None` of an optional field."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
            continue
        if get_origin(annotation) in (Union, UnionType):
            members = [member for member in get_args(annotation) if member is not NoneType]
            if len(members) == 1:
                annotation = members[0]
                continue
            if len(members) < len(get_args(annotation)):
                annotation = Union[tuple(members)]  # noqa: UP007  # built at run time
        return annotation


def _tags(annotation: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    if get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            if get_origin(member) is Annotated:
                found |= {note.tag: member for note in get_args(member)[1:] if isinstance(note, Tag)}
    return found
