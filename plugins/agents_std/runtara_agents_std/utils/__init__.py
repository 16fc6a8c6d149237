"""Agent `utils`: small helpers. Those that give another answer each time (random, time) are not deterministic, so a replay
takes their first answer from its checkpoint; the others are pure."""

from __future__ import annotations

from runtara_agents_std.utils.calculate import calculate
from runtara_agents_std.utils.countries import country_name_to_iso_code
from runtara_agents_std.utils.dates import (
    format_date_from_iso,
    get_current_formatted_datetime,
    get_current_iso_datetime,
    get_current_unix_timestamp,
    iso_to_unix_timestamp,
)
from runtara_agents_std.utils.encodings import base64_decode, base64_encode, hash_value
from runtara_agents_std.utils.plain import (
    delay_in_ms,
    do_nothing,
    random_array,
    random_double,
    random_string,
    return_input,
    return_input_string,
)
from runtara_framework.agents import agent

__agent__ = agent(id="utils", title="Utilities", description="Numbers, dates, random values and other small helpers")

__all__ = [
    "base64_decode",
    "base64_encode",
    "calculate",
    "country_name_to_iso_code",
    "delay_in_ms",
    "do_nothing",
    "format_date_from_iso",
    "get_current_formatted_datetime",
    "get_current_iso_datetime",
    "get_current_unix_timestamp",
    "hash_value",
    "iso_to_unix_timestamp",
    "random_array",
    "random_double",
    "random_string",
    "return_input",
    "return_input_string",
]
