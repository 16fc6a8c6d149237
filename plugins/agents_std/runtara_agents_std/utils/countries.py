"""Capability `country-name-to-iso-code` of `utils`: ISO 3166-1 by name. The table is countries.tsv."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

from pydantic import BaseModel, Field

from runtara_framework.agents import AgentError, capability, permanent


class Country(NamedTuple):
    """One line of the table."""

    alpha2: str
    alpha3: str
    name: str


class CountryInput(BaseModel):
    country_name: str = Field(description="The English name of a country, a usual variant of it, or its code")
    code_type: Literal["alpha2", "alpha3"] = Field("alpha2", description="Two letters or three")


@capability(
    id="country-name-to-iso-code",
    side_effects=False,
    deterministic=True,
    errors=[permanent("COUNTRY_NOT_FOUND", "No country is called that, or nearly that")],
)
async def country_name_to_iso_code(input: CountryInput) -> str:
    """The ISO 3166-1 code of a country. Case, accents and punctuation do not matter; a typing error in a name of at least
    six letters is forgiven if it can mean one country only."""
    country = find(input.country_name)
    if country is None:
        raise AgentError("COUNTRY_NOT_FOUND", f"no country is called {input.country_name[:100]!r}")
    return country.alpha2 if input.code_type == "alpha2" else country.alpha3


def find(name: str) -> Country | None:
    """The country that the name means."""
    names = _names()
    plain = _plain(name)
    if (country := names.get(plain)) is not None:
        return country
    # Short names are too close to each other (Iran and Iraq, Mali and Malta) to guess between them.
    allowed = 0 if len(plain) < 6 else 1 if len(plain) < 10 else 2
    best: dict[int, set[Country]] = {}
    for known, country in names.items():
        if len(known) > 3 and (distance := _distance(plain, known, allowed)) <= allowed:
            best.setdefault(distance, set()).add(country)
    nearest = best[min(best)] if best else set()
    return nearest.pop() if len(nearest) == 1 else None


@cache
def _names() -> dict[str, Country]:
    """Every name, variant and code, plain -> the country."""
    names: dict[str, Country] = {}
    text = files("runtara_agents_std").joinpath("utils/countries.tsv").read_text(encoding="utf-8")
    for line in text.splitlines():
        alpha2, alpha3, name, variants = line.split("\t")
        country = Country(alpha2, alpha3, name)
        for one in (alpha2, alpha3, name, *filter(None, variants.split("|"))):
            names[_plain(one)] = country
    return names


def _plain(name: str) -> str:
    """Small letters without accents; `&` is and, `St` is saint, `the` and punctuation are nothing."""
    letters = unicodedata.normalize("NFKD", name[:200].replace("&", " and ").replace("ß", "ss"))
    words = re.sub(r"[^\w\s]|_", " ", "".join(c for c in letters if not unicodedata.combining(c))).lower().split()
    return " ".join("saint" if word == "st" else word for word in words if word != "the")


def _distance(one: str, other: str, limit: int) -> int:
    """The Levenshtein distance, or any number above `limit` if it is above."""
    if abs(len(one) - len(other)) > limit:
        return limit + 1
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
        if min(row) > limit:
            return limit + 1
    return row[-1]
