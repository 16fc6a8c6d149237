"""What a compiled program calls. Meanings are in `dsl`, durability is in `sdk`; here a step becomes the one and the other.

The map: `scope` (what a graph sees while it runs), `step` (run one step: failures, debug events, breakpoints), `flow`
(handlers, branches, merges), `graph` and `scenario` (a graph from its start to its result), `attempts` (retries), and a
module for each family of steps: `agent`, `choices`, `lists`, `log`, `ends`, `waits`, `split`, `loop`, `child`,
`connection`, `compensation`.

Imports stay light: no pydantic before an agent is called, no jinja2 before a template is rendered. A program imports the
modules of the steps that it has, and no others.
"""

from __future__ import annotations
