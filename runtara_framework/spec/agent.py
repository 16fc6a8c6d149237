"""Agent: what a workflow may call. Group `runtara.agents`.

An agent is a named set of capabilities. It is no driver: nothing configures or starts it, it is looked up by id when a
step needs it, inside the instance's process, and only then imported. So this file imports nothing.

An agent package must provide:

* An entry point in group `runtara.agents`. Its name is the agent's id; its value is a class, an object or a module. A
  class or an object is decorated with `@agent(id=...)`; a module says `__agent__ = agent(id=...)`. The id declared and
  the name of the entry point are equal. Two installed distributions with one id are an error that names both.
* Capabilities: functions marked `@capability(id=...)`, members of that class, object or module. Each takes at most one
  input, a pydantic v2 model given as its annotation, and, if it wants, a `CapabilityContext`; its return annotation is
  its output. `async def` runs on the event loop of the instance, so it must not block; `def` runs in a thread.
* The truth about effects: `side_effects` (default True) and `deterministic` (default False). A capability without side
  effects that is deterministic is run again on a replay and never checkpointed; any other result is kept.
* A description of the agent, of every capability and of every field.
* `AgentError` for each failure that a scenario may want to handle, with a code declared in `errors=`. Any other
  exception becomes the failure `CAPABILITY_ERROR`.

It may provide:

* Connection types: subclasses of `ConnectionParameters`, listed in `@agent(connection_types=...)`. A connection is
  checked against its type before a capability sees it, and its secret fields are removed from every error text.
* `def warm_up(self)` on the class or object, or in the module: imports what a call will need. A process that others are
  forked from calls it, so it opens no connection and starts no thread.
* `async def aclose(self)`, likewise: called once when the instance's process is about to end.

It must not keep anything in memory that a later step relies on: the next step may run in another process.

Prove it by inheriting `runtara_framework.testing.agents.AgentConformance`.
"""

from __future__ import annotations

from typing import Final

AGENT_GROUP: Final = "runtara.agents"
"""The entry-point group; the name of an entry point is the id of its agent."""

AGENT_API: Final = 1
"""The version of this contract that the kernel speaks. `@agent(api=...)` says what an agent was written for (default 1:
the first); any other number is refused."""
