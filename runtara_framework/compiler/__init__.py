"""The compiler: from a scenario to an image that runs by itself.

`package` (`compile_scenario`, what products call) uses `codegen` (plans to Python), which uses `lower` (graph to plan),
`control` (edges to ordered arms), `definitions` and `expressions` (steps, mappings and conditions as source) and
`literals` (the one way for a scenario's text into the program). `plan` has the records in between, printable.
"""

from __future__ import annotations

from runtara_framework.compiler.package import (
    ChildDependency,
    ChildScenario,
    CompilationInput,
    CompilationResult,
    compile_scenario,
)

__all__ = ["ChildDependency", "ChildScenario", "CompilationInput", "CompilationResult", "compile_scenario"]
