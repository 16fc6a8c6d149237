"""The generated regions of docs/reference/plugins.md: the kinds of plugins, and those that this repository has."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from runtara_framework import stdlib
from runtara_framework.extension.hooks import GROUP as HOOKS
from runtara_framework.extension.report import KINDS
from runtara_framework.sdk.dial import GROUP as DIALERS
from runtara_framework.spec.agent import AGENT_GROUP

ROOT = Path(__file__).parents[1]
CHOSEN = {
    "persistence": ("one", "the scheme of `[persistence] url`"),
    "runner": ("the enabled ones, one for each image", "`[runner] default` and `enabled`; the image's runner"),
    "transport": ("the enabled ones", "the scheme of each address in `[transports]`"),
    "scheduler": ("one", "`[scheduler] driver`"),
    "target": ("one for each compilation", "`runtara compile --target`"),
}
OTHERS = (
    ("agent", AGENT_GROUP, "all", "`[plugins] disabled` leaves some out", "spec/agent.py"),
    ("dialer", DIALERS, "one for each connection", "the scheme of the server's address", "protocol/channel.py"),
    ("stdlib", stdlib.GROUP, "at most one for each compilation", f"`{stdlib.ENVIRONMENT}`", "stdlib.py"),
    ("hooks", HOOKS, "any number", "`[plugins] disabled` leaves some out", "spec/lifecycle.py"),
)
NAMES = {kind.group: kind.name for kind in KINDS} | {group: name for name, group, *_ in OTHERS}


def kinds() -> str:
    """Every kind. Raises `KeyError` for one that nobody has described."""
    lines = ["| kind | group | how many are used | chosen by | contract |", "| --- | --- | --- | --- | --- |"]
    rows = [(kind.name, kind.group, *CHOSEN[kind.name], f"spec/{kind.name}.py") for kind in KINDS]
    for name, group, count, chosen, contract in (*rows, *OTHERS):
        lines.append(f"| {name} | `{group}` | {count} | {chosen} | `runtara_framework/{contract}` |")
    return "\n".join(lines)


def available() -> str:
    """Every plugin of this repository: kind, names, distribution."""
    lines = ["| distribution | kind | names |", "| --- | --- | --- |"]
    for folder in (ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))):
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        shown = f"`{project['name']}`"
        if folder != ROOT:
            shown = f"[{shown}](../../{folder.relative_to(ROOT)}/README.md)"
        lines += [f"| {shown} | {kind} | {names} |" for kind, names in _entries(project)]
    return "\n".join(lines)


def _entries(project: dict[str, dict[str, dict[str, str]]]) -> Iterator[tuple[str, str]]:
    for group, entries in project.get("entry-points", {}).items():
        if group != DIALERS:  # the other half of a transport
            yield NAMES[group], ", ".join(f"`{name}`" for name in sorted(entries))
