"""Validation: everything that is wrong with a scenario, in one pass (DSL.md 7).

`validate` reads the document into models (`shape`), then asks every family of rules: `structure`, `edges`,
`order`, `operands`, `scope`, `agents`, `connections`, `children`, `declarations`. `codes` lists all codes.
A rule is a function of a `Context`; a plugin's rule is a function of a `Graph`.
"""

from __future__ import annotations

from runtara_framework.dsl.validation.codes import MEANINGS
from runtara_framework.dsl.validation.context import AgentCatalog, Agents, ExtraRule
from runtara_framework.dsl.validation.findings import Finding, ValidationReport
from runtara_framework.dsl.validation.graphs import Graph
from runtara_framework.dsl.validation.limits import Limits
from runtara_framework.dsl.validation.run import validate

__all__ = [
    "MEANINGS", "AgentCatalog", "Agents", "ExtraRule", "Finding", "Graph", "Limits", "ValidationReport", "validate",
]  # fmt: skip
