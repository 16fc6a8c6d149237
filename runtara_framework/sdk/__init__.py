"""The instance side: what runs inside a process that the server launched.

The map. For authors of Python workflows: `context` (`Context`, what a program gets), `durable` (`@durable`, `@workflow`),
`failure` (`Failure`). For programs that speak the protocol themselves: `client` (`InstanceClient`, also `RuntaraSdk`).
For the compiled runtime: `keys` (`Key`), `bootstrap` (`run`). Inside: `parking` (who may leave the process when),
`dial` (address to channel), `values` (JSON), `package` (module to image).

Importing this package loads none of them: every process that we launch pays for what it imports.
"""

from __future__ import annotations
