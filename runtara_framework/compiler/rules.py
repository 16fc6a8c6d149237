"""The rules of installed plugins (`runtara_validate_scenario`), asked for every document that is validated or compiled.

A rule that fails says so as a finding, so that it refuses the scenario and hides nothing else that is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from runtara_framework.dsl.validation.findings import Finding
from runtara_framework.installed import offers

if TYPE_CHECKING:
    from runtara_framework.extension.hooks import Hooks

GROUP = "runtara.plugins"
HOOK = "runtara_validate_scenario"
SEVERITIES = ("error", "warning")


def judge(documents: Mapping[str, Any], as_json: Callable[[Any], dict[str, Any]]) -> dict[str, list[Finding]]:
    """What the rules say of each document, under its key. Each is asked about once, whatever its keys; without rules it
    costs nothing."""
    hooks = _hooks()
    if hooks is None:
        return {}
    said: dict[int, list[Finding]] = {}
    for document in documents.values():
        if id(document) not in said:
            said[id(document)] = _of(hooks, as_json(document))
    return {key: said[id(document)] for key, document in documents.items()}


def _of(hooks: Hooks, document: dict[str, Any]) -> list[Finding]:
    found: list[Finding] = []
    for plugin, answer in hooks.answers_now(HOOK, document=document):
        try:
            if isinstance(answer, Exception):
                raise answer
            found += [_sound(finding) for finding in answer or ()]
        except Exception as error:  # a plugin's rule may raise anything: this is the boundary
            reason = f"{type(error).__name__}: {error}"
            found.append(Finding(code="E064", message=f"the rule of the plugin {plugin!r} failed: {reason}"))
    return found


def _sound(finding: Finding) -> Finding:
    """The finding, if it is one. Raises `TypeError` or `ValueError`."""
    if not isinstance(finding, Finding):
        raise TypeError(f"its answer has {finding!r}, which is no Finding")
    if finding.severity not in SEVERITIES:
        raise ValueError(f"a finding of the severity {finding.severity!r}; there are {', '.join(SEVERITIES)}")
    checked: Finding = msgspec.convert(finding.to_json(), Finding)
    return checked


@cache
def _hooks() -> Hooks | None:
    """The installed plugins, if any has a rule. They are looked for once in a process."""
    if not offers(GROUP):
        return None  # spare the import of pluggy
    from runtara_framework.extension.hooks import Hooks

    hooks = Hooks()
    hooks.load_installed()
    return hooks if hooks.has(HOOK) else None
