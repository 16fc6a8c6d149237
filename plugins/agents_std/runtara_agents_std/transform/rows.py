"""Capabilities of `transform` that work on the items of an array."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, assert_never

from pydantic import BaseModel, BeforeValidator, Field

from runtara_agents_std.transform.declared import PATH, pure
from runtara_agents_std.values import INVALID_INPUT, getter, identity, is_number, key_text, order
from runtara_framework.agents import AgentError


class Items(BaseModel):
    items: list[Any] = Field(description="The items, in order")
    count: int = Field(description="How many there are")


class Kept(Items):
    removed_count: int = Field(description="How many were left out")


class ExtractInput(BaseModel):
    value: list[Any] = Field(description="The items")
    property_path: str = Field(description=PATH)


class Extracted(BaseModel):
    values: list[Any] = Field(description="What was found in each item, null where nothing was")
    count: int = Field(description="How many there are")


@pure(id="extract")
async def extract(input: ExtractInput) -> Extracted:
    """One property of every item."""
    get = getter(input.property_path)
    values = [get(item) for item in input.value]
    return Extracted(values=values, count=len(values))


class FilterNonValuesInput(BaseModel):
    value: list[Any] = Field(description="The items")
    property_path: str | None = Field(None, description=PATH)
    filter_empty_strings: bool = Field(False, description='Leave out `""`')
    filter_null_values: bool = Field(False, description="Leave out null, and what is missing")
    filter_blank_strings: bool = Field(False, description="Leave out texts of nothing but white space")
    filter_zero_values: bool = Field(False, description='Leave out 0 and `"0"`')


@pure(id="filter-non-values")
async def filter_non_values(input: FilterNonValuesInput) -> Kept:
    """The items without those whose value is nothing, by the kinds of nothing that are chosen."""
    get = getter(input.property_path)

    def is_nothing(value: Any) -> bool:
        if value is None:
            return input.filter_null_values
        if isinstance(value, str):
            return (
                (input.filter_empty_strings and value == "")
                or (input.filter_blank_strings and not value.strip())
                or (input.filter_zero_values and value == "0")
            )
        return input.filter_zero_values and is_number(value) and value == 0

    return _kept(input.value, [item for item in input.value if not is_nothing(get(item))])


def _kept(before: list[Any], after: list[Any]) -> Kept:
    return Kept(items=after, count=len(after), removed_count=len(before) - len(after))


def _condition(given: Any) -> Any:
    """`StartsWith` and `starts-with` are STARTS_WITH too."""
    if not isinstance(given, str):
        return given
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[-\s]", "_", given).upper()


MatchCondition = Literal["INCLUDES", "EXCLUDES", "STARTS_WITH", "ENDS_WITH", "CONTAINS"]


class FilterInput(BaseModel):
    value: list[Any] | None = Field(None, description="The items; null counts as none")
    property_path: str = Field(description=PATH)
    match_values: Any = Field(
        description="What to compare with: a value, or an array of values, of which any may match"
    )
    match_condition: Annotated[MatchCondition, BeforeValidator(_condition)] = Field(
        description="INCLUDES keeps items whose property is one of the values (or, an array, has one of them), EXCLUDES the "
        "others; STARTS_WITH, ENDS_WITH and CONTAINS compare texts"
    )


@pure(id="filter")
async def filter_rows(input: FilterInput) -> Kept:
    """The items whose property matches. A property that is null or missing matches nothing."""
    items = input.value or []
    wanted = input.match_values if isinstance(input.match_values, list) else [input.match_values]
    matches, get = _matcher(input.match_condition, wanted), getter(input.property_path)
    return _kept(items, [item for item in items if matches(get(item))])


def _matcher(condition: MatchCondition, wanted: list[Any]) -> Callable[[Any], bool]:
    texts = tuple(one for one in wanted if isinstance(one, str))
    ids = {identity(one) for one in wanted}

    def includes(value: Any) -> bool:
        if value is None:
            return False
        if identity(value) in ids:
            return True
        return isinstance(value, list) and any(one is not None and identity(one) in ids for one in value)

    def of_text(test: Callable[[str], bool]) -> Callable[[Any], bool]:
        def matches(value: Any) -> bool:
            candidates = value if isinstance(value, list) else [value]
            return any(isinstance(one, str) and test(one) for one in candidates)

        return matches

    match condition:
        case "INCLUDES":
            return includes
        case "EXCLUDES":
            return lambda value: not includes(value)
        case "STARTS_WITH":
            return of_text(lambda text: text.startswith(texts))
        case "ENDS_WITH":
            return of_text(lambda text: text.endswith(texts))
        case "CONTAINS":
            return of_text(lambda text: any(one in text for one in texts))
        case _:
            assert_never(condition)


class SortInput(BaseModel):
    value: list[Any] = Field(description="The items")
    property_path: str | None = Field(None, description=PATH)
    ascending: bool = Field(True, description="Smallest first")


@pure(id="sort")
async def sort(input: SortInput) -> Items:
    """The items in order of a property. Equal ones stay as they were; nulls are last, or first if descending."""
    get = getter(input.property_path)

    def key(item: Any) -> tuple[Any, ...]:
        value = get(item)
        return (1,) if value is None else (0, *order(value))

    return Items(items=sorted(input.value, key=key, reverse=not input.ascending), count=len(input.value))


class GroupByInput(BaseModel):
    value: Any = Field(description="The items, an array")
    key: str = Field(description="Where the group is written in each item, such as `customer.country`")
    as_map: bool = Field(False, description="Give an object, group -> its items, instead of an array of groups")


class Groups(BaseModel):
    groups: list[list[Any]] | dict[str, list[Any]] = Field(
        description="The items of each group, the groups in the order in which they were first met"
    )
    group_count: int = Field(description="How many groups there are")


@pure(id="group-by")
async def group_by(input: GroupByInput) -> Groups:
    """The items by the value of a property. An item whose property is null or missing is in no group."""
    if not isinstance(input.value, list):
        raise AgentError(INVALID_INPUT, "`value` must be an array to be grouped")
    get = getter(input.key)
    groups: dict[str, list[Any]] = {}
    for item in input.value:
        value = get(item)
        if value is not None:
            groups.setdefault(key_text(value), []).append(item)
    return Groups(groups=groups if input.as_map else list(groups.values()), group_count=len(groups))


class FlatMapInput(BaseModel):
    value: list[Any] = Field(description="The items")
    property_path: str = Field(
        min_length=1, description="Where each item has its array, such as `lines`; `$` for itself"
    )


@pure(id="flat-map")
async def flat_map(input: FlatMapInput) -> Items:
    """The members of an array in every item, as one array. An item that has none there is skipped."""
    get = getter(input.property_path)
    items = [member for item in input.value if isinstance(inner := get(item), list) for member in inner]
    return Items(items=items, count=len(items))
