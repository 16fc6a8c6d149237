"""What validation answers: findings, each with its place, and the report of them all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from runtara_framework.dsl.validation.codes import severity as severity_of

if TYPE_CHECKING:
    from runtara_framework.dsl.models import Scenario


class Finding(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One thing that is wrong (`error`) or doubtful (`warning`) in a scenario."""

    code: str
    severity: str = ""
    step_id: str | None = None
    pointer: str = ""
    """JSON pointer (RFC 6901) into the document that was given."""
    message: str
    suggestion: str | None = None

    def __post_init__(self) -> None:
        if not self.severity:
            msgspec.structs.force_setattr(self, "severity", severity_of(self.code))

    def to_json(self) -> dict[str, Any]:
        """This finding as JSON, with camelCase names."""
        result: dict[str, Any] = msgspec.to_builtins(self)
        return result


class ValidationReport(msgspec.Struct, frozen=True, kw_only=True):
    """Every finding, in order of the document, and the models when there is no error."""

    findings: tuple[Finding, ...]
    scenario: Scenario | None = None
    children: dict[str, Scenario] = {}
    """The child scenarios that are called, directly or not, under the keys they were supplied with."""

    @property
    def ok(self) -> bool:
        """True when nothing is wrong (warnings may be there)."""
        return not self.errors

    @property
    def errors(self) -> list[Finding]:
        """The findings that keep the scenario from being compiled."""
        return [finding for finding in self.findings if finding.severity == "error"]


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name among `names` that `name` is probably a misspelling of."""
    from difflib import SequenceMatcher, get_close_matches

    plain: dict[str, str] = {}
    for known in names:
        plain.setdefault(_plain(known), known)
    wanted = _plain(name[:100])
    found = get_close_matches(wanted, plain, n=1, cutoff=0.6)
    if not found and len(wanted) > 2:  # one contains the other: `output` for `outputs`, `customer` for `customerId`
        found = [
            k for k in plain if wanted in k or (len(k) > 2 and k in wanted) or (len(k) > 1 and wanted.startswith(k))
        ]
        found.sort(key=lambda known: -SequenceMatcher(None, known, wanted).ratio())
    return plain[found[0]] if found else None


def did_you_mean(name: str, names: Iterable[str]) -> str | None:
    """A suggestion, or None when nothing is near. It names a character that only looks like the one that is meant."""
    found = nearest(name, names)
    if found is None:
        return None
    strange = next((char for char in name if not char.isascii() and char not in found), None)
    if strange is None:
        return f"did you mean {found!r}?"
    import unicodedata

    return (
        f"did you mean {found!r}? There is a U+{ord(strange):04X} {unicodedata.name(strange, '')}".rstrip() + " in it"
    )


def _plain(name: str) -> str:
    name = name.lower().replace("_", "").replace("-", "")
    if name.isascii():
        return name
    import unicodedata

    return "".join(char for char in unicodedata.normalize("NFKC", name) if unicodedata.category(char) != "Cf")


def listed(names: Sequence[str], limit: int = 12) -> str:
    """Names for a message, not too many."""
    shown = ", ".join(repr(name) for name in names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown or "none"
