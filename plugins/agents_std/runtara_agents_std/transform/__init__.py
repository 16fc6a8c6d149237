"""Agent `transform`: take JSON data apart and put it together. All of it is pure."""

from __future__ import annotations

from runtara_agents_std.transform.objects import get_value_by_path, map_fields, merge, set_value_by_path
from runtara_agents_std.transform.rows import extract, filter_non_values, filter_rows, flat_map, group_by, sort
from runtara_agents_std.transform.single import (
    append,
    array_length,
    coalesce,
    ensure_array,
    from_json_string,
    select_first,
    to_json_string,
)
from runtara_framework.agents import agent

__agent__ = agent(id="transform", title="Transform", description="Takes JSON data apart and puts it together")

__all__ = [
    "append",
    "array_length",
    "coalesce",
    "ensure_array",
    "extract",
    "filter_non_values",
    "filter_rows",
    "flat_map",
    "from_json_string",
    "get_value_by_path",
    "group_by",
    "map_fields",
    "merge",
    "select_first",
    "set_value_by_path",
    "sort",
    "to_json_string",
]
