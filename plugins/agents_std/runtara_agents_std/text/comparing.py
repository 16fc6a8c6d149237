"""Capabilities of `text` that compare texts and count in them."""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal, assert_never

from pydantic import BaseModel, Field

from runtara_agents_std.text.declared import TextInput, pure
from runtara_agents_std.text.regexes import INVALID, matches
from runtara_framework.agents import AgentError, permanent

MAX_CELLS: Final = 25_000_000
"""The largest product of two lengths whose distance is computed; a few seconds."""

Mode = Literal[
    "exact",
    "case-insensitive",
    "levenshtein-distance",
    "contains",
    "jaro-similarity",
    "jaro-winkler-similarity",
    "ngram-jaccard",
    "ngram-overlap",
]


class CompareInput(BaseModel):
    text_a: str | None = Field(None, description="One text; nothing counts as an empty one")
    text_b: str | None = Field(None, description="The other text")
    mode: Mode = Field(
        "exact",
        description="exact, case-insensitive and contains (a has b in it) give true or false, levenshtein-distance the "
        "number of changes, the others a similarity from 0 to 1",
    )
    ngram_n: int = Field(2, ge=1, le=255, description="How many characters an n-gram has")


# A plain function, so that it runs in a thread: two long texts take seconds.
@pure(id="compare-text", errors=[permanent("TEXT_TOO_LONG", "The texts are too long to be compared in this way")])
def compare_text(input: CompareInput) -> bool | int | float:
    """How equal two texts are, by one of many measures."""
    a, b = input.text_a or "", input.text_b or ""
    match input.mode:
        case "exact":
            return a == b
        case "case-insensitive":
            return a.casefold() == b.casefold()
        case "contains":
            return b in a
        case "ngram-jaccard":
            return _shared(a, b, input.ngram_n, jaccard=True)
        case "ngram-overlap":
            return _shared(a, b, input.ngram_n, jaccard=False)
        case "levenshtein-distance" | "jaro-similarity" | "jaro-winkler-similarity":
            if len(a) * len(b) > MAX_CELLS:
                raise AgentError("TEXT_TOO_LONG", f"{input.mode} takes texts whose lengths multiply to {MAX_CELLS}")
            if input.mode == "levenshtein-distance":
                return levenshtein(a, b)
            return jaro(a, b) if input.mode == "jaro-similarity" else jaro_winkler(a, b)
        case _:
            assert_never(input.mode)


def levenshtein(a: str, b: str) -> int:
    """How many characters must be inserted, left out or replaced to make one text of the other."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def jaro(a: str, b: str) -> float:
    """The Jaro similarity: equal characters not far from each other, less half of those out of order."""
    if not a or not b:
        return float(a == b)
    window = max(0, max(len(a), len(b)) // 2 - 1)
    taken = [False] * len(b)
    of_a = []
    for i, x in enumerate(a):
        for j in range(max(0, i - window), min(len(b), i + window + 1)):
            if not taken[j] and b[j] == x:
                taken[j] = True
                of_a.append(x)
                break
    if not of_a:
        return 0.0
    of_b = [y for y, used in zip(b, taken, strict=True) if used]
    m = len(of_a)
    moved = sum(x != y for x, y in zip(of_a, of_b, strict=True)) / 2
    return (m / len(a) + m / len(b) + (m - moved) / m) / 3


def jaro_winkler(a: str, b: str) -> float:
    """The Jaro similarity, raised for a common beginning of up to four characters."""
    similarity = jaro(a, b)
    prefix = 0
    for x, y in zip(a[:4], b[:4], strict=False):
        if x != y:
            break
        prefix += 1
    return similarity + prefix * 0.1 * (1 - similarity)


def _shared(a: str, b: str, n: int, *, jaccard: bool) -> float:
    """How much of their n-grams two texts share: of all of them (Jaccard), or of the fewer (overlap)."""
    one, other = _ngrams(a, n), _ngrams(b, n)
    if not one or not other:
        return float(a == b)
    common = (one & other).total()
    return common / ((one | other).total() if jaccard else min(one.total(), other.total()))


def _ngrams(text: str, n: int) -> Counter[str]:
    return Counter(text[i : i + n] for i in range(len(text) - n + 1))


class CountInput(TextInput):
    pattern: str = Field(description="What to count; an empty one is nowhere")
    use_regex: bool = Field(False, description="Whether it is a regular expression")
    case_insensitive: bool = Field(False, description="Take small letters and capitals for the same")


@pure(id="count-occurrences", errors=[INVALID])
async def count_occurrences(input: CountInput) -> int:
    """How often something is in a text, none overlapping another."""
    text, pattern = input.given, input.pattern
    if not text or not pattern:
        return 0
    if input.use_regex:
        return sum(1 for _ in matches(pattern, text, input.case_insensitive))
    if input.case_insensitive:
        text, pattern = text.casefold(), pattern.casefold()
    return text.count(pattern)
