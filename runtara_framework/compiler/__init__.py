"""The compiler: from a scenario to an image that runs by itself.

`package` (`compile_scenario` and `check_scenario`, what products call) uses `rules` (those of plugins), `children`,
`defaults` (variables of the compilation), `kept` (results of before) and `codegen` (plans to Python), which uses `lower`
(graph to plan), `control` (edges to ordered arms), `definitions` and `expressions` (steps, mappings and conditions as
source) and `literals` (the one way for a scenario's text into the program). `plan` has the records in between, printable.
"""

from __future__ import annotations

from runtara_framework.compiler.children import ChildScenario
from runtara_framework.compiler.package import (
    ChildDependency,
    CompilationInput,
    CompilationResult,
    check_scenario,
    compile_scenario,
)

__all__ = [
    "ChildDependency", "ChildScenario", "CompilationInput", "CompilationResult", "check_scenario", "compile_scenario",
]  # fmt: skip
