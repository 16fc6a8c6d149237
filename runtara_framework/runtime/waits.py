"""Delay and WaitForSignal: the steps that may let the process go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from runtara_framework.dsl.bounds import MAX_MILLIS
from runtara_framework.dsl.errors import CoercionFailed
from runtara_framework.dsl.jsontext import plain_text
from runtara_framework.dsl.mapping import coerce
from runtara_framework.dsl.schemas import check
from runtara_framework.runtime.events import bounded
from runtara_framework.runtime.graph import Graph, run_graph
from runtara_framework.runtime.scope import Scope
from runtara_framework.runtime.step import Step
from runtara_framework.sdk.failure import WaitTimeout
from runtara_framework.sdk.keys import Key
from runtara_framework.sdk.values import decode

Mapper = Callable[[dict[str, Any]], Any]


def _milliseconds(value: Any, what: str) -> int:
    number = coerce(value, "number", what)
    if number is None or not 0 <= number <= MAX_MILLIS:
        text = str(plain_text(value))[:60]
        raise CoercionFailed(f"{what} must be a number of milliseconds, from 0 to {MAX_MILLIS}, not {text}", path=what)
    milliseconds: int = round(number)
    return milliseconds


class Delay(Step, frozen=True, kw_only=True):
    """Sleeps until an absolute moment, which is fixed when the step is first entered."""

    kind: ClassVar[str] = "Delay"

    duration: Mapper
    durable: bool = True

    def prepare(self, s: Scope) -> Any:
        return _milliseconds(self.duration(s.roots), "durationMs")

    async def perform(self, s: Scope, given: Any) -> dict[str, Any]:
        if self.durable and s.durable:
            await s.ctx.sleep(s.key.step(self.id), given)
        else:
            await asyncio.sleep(given / 1000)
        return self.result({"duration_ms": given}, duration_ms=given)


class WaitForSignal(Step, frozen=True, kw_only=True):
    """Waits for the custom signal whose key is the step's own place in the instance."""

    kind: ClassVar[str] = "WaitForSignal"

    timeout: Mapper | None = None
    on_wait: Graph | None = None
    schema: Mapping[str, Any] = {}
    action: str | None = None
    correlation: Mapper | None = None
    context: Mapper | None = None
    durable: bool = True

    def prepare(self, s: Scope) -> Any:
        given: dict[str, Any] = {
            "timeout_ms": None if self.timeout is None else _optional_milliseconds(self.timeout(s.roots))
        }
        if self.action is not None:
            given["action"] = {
                "key": self.action,
                "correlation": {} if self.correlation is None else self.correlation(s.roots),
                "context": {} if self.context is None else self.context(s.roots),
            }
        return given

    async def perform(self, s: Scope, given: Any) -> dict[str, Any]:
        key = s.key.step(self.id)
        signal_id = str(key)
        if s.ctx.saved(key) is None and s.ctx.saved(key.suffix("asked")) is None:
            if self.on_wait is not None:
                await self._prepare_people(s, key, signal_id)
            said = {
                "type": "external_input_requested",
                "signal_id": signal_id,
                "step_id": self.id,
                "step_name": self.name or self.id,
                "response_schema": self.schema or None,
                "action": given.get("action"),
            }
            await s.ctx.emit("external_input_requested", bounded(said), key=key.suffix("request"))
            if self.on_wait is not None:
                await s.ctx.checkpoint(key.suffix("asked"), b"true")
        payload = await self._payload(s, key, signal_id, given["timeout_ms"])
        return self.result(payload, signal_id=signal_id)

    async def _payload(self, s: Scope, key: Key, signal_id: str, timeout_ms: int | None) -> Any:
        if timeout_ms is None:
            return await self._valid_payload(s, key, signal_id)
        try:
            if self.durable and s.durable:
                async with s.ctx.timeout(key, timeout_ms):
                    return await self._valid_payload(s, key, signal_id)
            async with asyncio.timeout(timeout_ms / 1000):
                return await self._valid_payload(s, key, signal_id)
        except TimeoutError:
            raise WaitTimeout(
                f"no valid signal {signal_id!r} came within {timeout_ms} ms", attributes={"signalId": signal_id}
            ) from None

    async def _valid_payload(self, s: Scope, key: Key, signal_id: str) -> Any:
        """The first payload that satisfies the response schema; others are refused by an event, and the wait goes on."""
        number = 0
        while True:
            here = key if number == 0 else key.suffix("again").index(number)
            payload = _value(await s.ctx.wait_signal(here, signal_id))
            payload, violations = check(self.schema, payload, "payload")
            if not violations:
                return payload
            said = {
                "signal_id": signal_id,
                "step_id": self.id,
                "violations": [violation.to_wire() for violation in violations],
            }
            await s.ctx.emit("external_input_rejected", bounded(said), key=here.suffix("rejected"))
            number += 1

    async def _prepare_people(self, s: Scope, key: Key, signal_id: str) -> None:
        assert self.on_wait is not None
        variables = dict(s.variables)
        variables.update((name, declared.get("value")) for name, declared in self.on_wait.variables.items())
        variables["_signal_id"] = signal_id
        roots = {"data": s.roots["data"], "scenario": s.roots["scenario"], "variables": variables}
        inner = Scope(
            s.run,
            self.on_wait,
            roots,
            key.site("onWait"),
            durable=s.durable,
            budget=s.budget,
            indices=s.indices,
            scope_id=str(key) if s.debug else None,
        )
        await run_graph(inner)


def _optional_milliseconds(value: Any) -> int | None:
    return None if value is None else _milliseconds(value, "timeoutMs")


def _value(payload: bytes) -> Any:
    try:
        return decode(payload) if payload else None
    except ValueError:
        return payload.decode("utf-8", "replace")
