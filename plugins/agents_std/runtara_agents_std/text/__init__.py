"""Agent `text`: cut, change, search and compare texts. All of it is pure, and counts characters, never bytes."""

from __future__ import annotations

from runtara_agents_std.text.changing import (
    case_conversion,
    collapse_expand_lines,
    find_replace,
    remove_characters,
    render_template,
    slugify,
    trim_normalize,
)
from runtara_agents_std.text.comparing import compare_text, count_occurrences
from runtara_agents_std.text.cutting import (
    extract_first_line,
    extract_first_word,
    join,
    split,
    split_join,
    substring_extraction,
)
from runtara_agents_std.text.encodings import as_byte_array, detect_encoding, from_base64, hash_text, to_base64
from runtara_agents_std.text.finding import extract_emails, extract_numbers, extract_urls
from runtara_agents_std.text.layout import pad_text, truncate_text, wrap_text
from runtara_agents_std.text.regexes import regex_match, regex_replace, regex_split, regex_test
from runtara_framework.agents import agent

__agent__ = agent(id="text", title="Text", description="Cuts, changes, searches and compares texts")

__all__ = [
    "as_byte_array",
    "case_conversion",
    "collapse_expand_lines",
    "compare_text",
    "count_occurrences",
    "detect_encoding",
    "extract_emails",
    "extract_first_line",
    "extract_first_word",
    "extract_numbers",
    "extract_urls",
    "find_replace",
    "from_base64",
    "hash_text",
    "join",
    "pad_text",
    "regex_match",
    "regex_replace",
    "regex_split",
    "regex_test",
    "remove_characters",
    "render_template",
    "slugify",
    "split",
    "split_join",
    "substring_extraction",
    "to_base64",
    "trim_normalize",
    "truncate_text",
    "wrap_text",
]
