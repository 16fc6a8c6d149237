"""Delay and WaitForSignal: the steps that may let the process go."""

from __future__ import annotations

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
from runtara_framework.sdk.failure import Failure, WaitTimeout
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
            await s.ctx.nap(given)
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
            "timeout_ms": None if self.timeout is None else _milliseconds(self.timeout(s.roots), "timeoutMs")
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
        durable = self.durable and s.durable
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
            if self.on_wait is not None and durable:
                await s.ctx.checkpoint(key.suffix("asked"), b"true")
        if durable:
            payload = await self._payload(s, key, signal_id, given["timeout_ms"])
        else:
            with s.ctx.hold():
                payload = await self._payload(s, key, signal_id, given["timeout_ms"])
        return self.result(payload, signal_id=signal_id)

    async def _payload(self, s: Scope, key: Key, signal_id: str, timeout_ms: int | None) -> Any:
        """The first payload that satisfies the response schema; others are refused by an event, and the wait goes on."""
        ctx, durable = s.ctx, self.durable and s.durable
        until_ms = None
        if timeout_ms is not None and ctx.saved(key.timeout()) is None:
            until_ms = await ctx.deadline(key, timeout_ms) if durable else ctx.clock_ms() + timeout_ms
        number = 0
        while timeout_ms is None or until_ms is not None:
            here = key if number == 0 else key.suffix("again").index(number)
            received = await ctx.receive(here, signal_id, until_ms)
            if received is None:
                if durable:
                    await ctx.checkpoint(key.timeout(), b"true")
                break
            payload, violations = check(self.schema, _value(received), "payload")
            if not violations:
                return payload
            said = {
                "signal_id": signal_id,
                "step_id": self.id,
                "violations": [violation.to_wire() for violation in violations],
            }
            await ctx.emit("external_input_rejected", bounded(said), key=here.suffix("rejected"))
            number += 1
        raise WaitTimeout(
            f"no valid signal {signal_id!r} came within {timeout_ms} ms", attributes={"signalId": signal_id}
        )

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
            outer=s,
            owner=self.id,
        )
        try:
            await run_graph(inner)
        except Failure as cause:
            raise Failure(
                cause.code,
                f"onWait of {self.id!r} failed: {cause.message}",
                category=cause.category,
                severity=cause.severity,
                retry_after_ms=cause.retry_after_ms,
                cause=cause,
            ) from cause


def _value(payload: bytes) -> Any:
    try:
        return decode(payload) if payload else None
    except ValueError:
        return payload.decode("utf-8", "replace")
