"""The instance side: what runs inside a process that the server launched.

The map. For authors of Python workflows: `context` (`Context`, what a program gets), `durable` (`@durable`, `@workflow`),
`failure` (`Failure`), `package` (`build`: function to image). For programs that speak the protocol themselves: `client`
(`InstanceClient`, also `RuntaraSdk`), `config`. For the compiled runtime: `keys` (`Key`), `values` (JSON), `bootstrap`
(`run`, `execute`). Inside: `parking` (who may leave the process, and when), `scope` (which call is which), `dial` (address
to channel).

Importing this package loads none of them: every process that we launch pays for what it imports.
"""

from __future__ import annotations
