"""One instance's life in every order that hypothesis thinks of, compared with a model of a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtara_framework.errors import InvalidState, RuntaraError, StaleLaunch
from runtara_framework.model import Change, LaunchRef
from runtara_framework.spec.persistence import Cancel
from runtara_framework.states import ACTIVE, TERMINAL, Reason, Status
from runtara_framework.testing.persistence_world import CRASH, FAIL, RESTART, TENANT, World

P, R, S, C, F, X = (
    Status.PENDING,
    Status.RUNNING,
    Status.SUSPENDED,
    Status.COMPLETED,
    Status.FAILED,
    Status.CANCELLED,
)
NAP_MS = 500
"""Some sleeps are over when the next operations come, some are not."""


@dataclass
class Model:
    """What an instance is, as far as its callers can tell. Every operation answers the status it leads to, an error, or
    None for "nothing happened"."""

    status: Status = P
    reason: Reason | None = None
    epoch: int = 0
    claimed: bool = False
    settled: set[int] = field(default_factory=set)
    due_ms: int | None = 0  # PENDING: may be claimed from then; SUSPENDED: wakes then
    key: str | None = None
    signals: set[str] = field(default_factory=set)
    custom: set[str] = field(default_factory=set)
    checkpoints: list[str] = field(default_factory=list)
    restarts: int = 0
    progress: bool = False  # a new checkpoint since the last crash
    ran: bool = False

    def move(self, status: Status, reason: Reason | None = None, due_ms: int | None = None) -> Status:
        self.status, self.reason, self.due_ms = status, reason, due_ms
        self.claimed = self.claimed and status is R
        self.key = None
        return status

    def fence(self, epoch: int, *statuses: Status) -> type[RuntaraError] | None:
        if epoch != self.epoch:
            return StaleLaunch
        return InvalidState if statuses and self.status not in statuses else None

    # -- what products and the server do ----------------------------------------------------------------

    def claim(self, now: int) -> Any:
        if self.status is P and not self.claimed and self.due_ms is not None and self.due_ms <= now:
            self.epoch, self.claimed = self.epoch + 1, True
            return P
        return None

    def wake(self, now: int) -> Any:
        if self.status is S and self.due_ms is not None and self.due_ms <= now:
            return self.move(P, due_ms=self.due_ms)
        return None

    def send(self, signal: str, now: int, deliver: bool = False) -> Any:
        if self.status in TERMINAL:
            return InvalidState
        if signal == "resume":
            if self.status is S:
                self.signals.discard("pause")
                return self.move(P, due_ms=now)
            if "pause" in self.signals:
                self.signals.discard("pause")
                return None
            return InvalidState
        if signal == "cancel" and (self.status is S or (self.status is P and not self.claimed)):
            if not deliver or not self.ran:
                return self.move(X, Reason.CANCELLED)
            self.signals.add("cancel")
            waits = self.status is P and self.due_ms is not None and self.due_ms <= now
            return None if waits else self.move(P, due_ms=now)
        if signal == "pause" and self.status is S:
            return None if self.reason is Reason.PAUSED else self.move(S, Reason.PAUSED)
        self.signals.add(signal)
        return None

    def send_custom(self, key: str, now: int) -> Any:
        if self.status in TERMINAL:
            return InvalidState
        self.custom.add(key)
        return self.move(P, due_ms=now) if self.status is S and self.key == key else None

    def stop(self) -> Any:
        if self.status in TERMINAL:
            return InvalidState
        self.epoch += 1
        return self.move(X, Reason.STOPPED)

    def settle(self, epoch: int, verdict: str, now: int, deliver: bool = False) -> Any:
        if epoch in self.settled or epoch == 0:
            return None
        self.settled.add(epoch)
        if epoch != self.epoch or not self.claimed or self.status not in (P, R):
            return None
        obeys = deliver and self.ran and "cancel" in self.signals
        if verdict in ("requeue", "restart") and "cancel" in self.signals:
            verdict = verdict if obeys else "cancel"
        elif verdict in ("requeue", "restart") and "pause" in self.signals and self.status is R:
            self.signals.discard("pause")
            return self.move(S, Reason.PAUSED)
        if verdict == "cancel":
            self.signals.discard("cancel")
            return self.move(X, Reason.CANCELLED)
        if verdict == "restart":
            crashes = 0 if self.progress else self.restarts
            if crashes >= RESTART.max_restarts:
                self.signals -= {"cancel"} if obeys else set()
                return self.move(X, Reason.CANCELLED) if obeys else self.move(F, RESTART.reason)
            self.restarts, self.progress = crashes + 1, False
            return self.move(P, due_ms=now + RESTART.delays_ms[min(crashes, len(RESTART.delays_ms) - 1)])
        return self.move(F, Reason.TIMEOUT) if verdict == "fail" else self.move(P, due_ms=now)

    # -- what the program does --------------------------------------------------------------------------

    def register(self, epoch: int) -> Any:
        if error := self.fence(epoch, P, R):
            return error
        if self.status is R:
            return None
        if not self.claimed:
            return (StaleLaunch, InvalidState)
        self.ran = True
        return self.move(R)

    def save(self, epoch: int, name: str) -> Any:
        if error := self.fence(epoch, R):
            return error
        if name not in self.checkpoints:
            self.checkpoints.append(name)
            self.progress = True
        return None

    def take(self, epoch: int, key: str) -> Any:
        if error := self.fence(epoch, R):
            return error
        if f"wait-{key}" not in self.checkpoints and key in self.custom:
            self.custom.discard(key)
            self.save(epoch, f"wait-{key}")
        return None

    def suspend(self, epoch: int, reason: Reason, due_ms: int | None, key: str | None, reached: str = "") -> Any:
        if error := self.fence(epoch, R, S):
            return error
        if self.status is S:
            return S
        stops = reason in (Reason.PAUSED, Reason.BREAKPOINT)
        over = "cancel" in self.signals if stops else bool(self.signals)
        if over or key in self.custom or f"wait-{key}" in self.checkpoints:
            return None
        if stops:
            self.signals.discard("pause")
        if reached:
            self.save(epoch, reached)
        self.move(S, reason, due_ms)
        self.key = key
        return S

    def finish(self, epoch: int, status: Status) -> Any:
        if error := self.fence(epoch, R, status):
            return error
        if self.status is status:
            return None
        return self.move(status, Reason.APPLICATION_ERROR if status is F else None)

    def acknowledge(self, epoch: int, signal: str, now: int) -> Any:
        if error := self.fence(epoch):
            return error
        if signal not in self.signals or self.status in TERMINAL:
            return None
        if signal != "cancel" and "cancel" in self.signals and self.status is R:
            self.signals.discard(signal)
            return self.move(P, due_ms=now)
        after, reason = (X, Reason.CANCELLED) if "cancel" in self.signals else (S, Reason.PAUSED)
        if self.status is P and after is S:
            return InvalidState
        self.signals -= {signal} if after is S else {"cancel", "pause"}
        return self.move(after, reason)


# An operation on both: what the model says, and what the driver does.
Step = tuple[str, Callable[[Model, int], Any], Callable[[World, LaunchRef], Any]]


def _step(
    operation: tuple[Any, ...], epoch: int
) -> tuple[Callable[[Model, int], Any], Callable[[World, LaunchRef], Any]]:
    match operation:
        case ("claim",):
            return lambda m, now: m.claim(now), lambda w, ref: w.persistence.claim_launches("n", limit=1, now_ms=w.now)
        case ("wake",):
            return lambda m, now: m.wake(now), lambda w, ref: w.persistence.claim_due(limit=1, now_ms=w.now)
        case ("stop",):
            return lambda m, now: m.stop(), lambda w, ref: w.stop(ref)
        case ("send", signal):
            return lambda m, now: m.send(signal, now), lambda w, ref: w.send(ref, signal)
        case ("deliver", signal):
            return lambda m, now: m.send(signal, now, True), lambda w, ref: w.send(ref, signal, deliver=True)
        case ("custom", key):
            return lambda m, now: m.send_custom(key, now), lambda w, ref: w.send_custom(ref, key)
        case ("settle", verdict, *deliver):
            named = {"restart": RESTART, "fail": FAIL, "cancel": Cancel(reason=Reason.CANCELLED)}.get(verdict)
            return (
                lambda m, now: m.settle(epoch, verdict, now, bool(deliver)),
                lambda w, ref: w.settle(ref, named, CRASH, deliver=bool(deliver)),
            )
        case ("register",):
            return lambda m, now: m.register(epoch), lambda w, ref: w.register(ref)
        case ("save", name):
            return lambda m, now: m.save(epoch, name), lambda w, ref: w.save(ref, name)
        case ("take", key):
            return lambda m, now: m.take(epoch, key), lambda w, ref: w.take(ref, key, f"wait-{key}")
        case ("sleep", nap):
            return (
                lambda m, now: m.suspend(epoch, Reason.SLEEPING, now + nap, None),
                lambda w, ref: w.suspend(ref, Reason.SLEEPING, nap),
            )
        case ("wait", key):
            return (
                lambda m, now: m.suspend(epoch, Reason.WAITING_SIGNAL, None, key),
                lambda w, ref: w.suspend(ref, Reason.WAITING_SIGNAL, None, (key,), waits=(f"wait-{key}",)),
            )
        case ("breakpoint",):
            return (
                lambda m, now: m.suspend(epoch, Reason.BREAKPOINT, None, None, "s1"),
                lambda w, ref: w.suspend(ref, Reason.BREAKPOINT, reached=("s1",)),
            )
        case ("pause",):
            return (
                lambda m, now: m.suspend(epoch, Reason.PAUSED, None, None),
                lambda w, ref: w.suspend(ref, Reason.PAUSED),
            )
        case ("finish", status):
            return lambda m, now: m.finish(epoch, status), lambda w, ref: w.finish(ref, status)
        case ("acknowledge", signal):
            return lambda m, now: m.acknowledge(epoch, signal, now), lambda w, ref: w.acknowledge(ref, signal)
    raise AssertionError(operation)


_SIGNALS = [("send", "cancel"), ("deliver", "cancel"), ("send", "pause"), ("send", "resume")]
_CUSTOM = [("custom", "a"), ("custom", "b")]
_SETTLE: list[tuple[Any, ...]] = [
    ("settle", "requeue"),
    ("settle", "requeue", "deliver"),
    ("settle", "restart"),
    ("settle", "restart", "deliver"),
    ("settle", "fail"),
    ("settle", "cancel"),
]
_PROGRAM = [
    ("save", "s1"),
    ("save", "s2"),
    ("save", "s3"),
    ("take", "a"),
    ("take", "b"),
    ("wait", "a"),
    ("wait", "b"),
    ("sleep", 1),
    ("sleep", NAP_MS),
    ("pause",),
    ("breakpoint",),
    ("acknowledge", "cancel"),
    ("acknowledge", "pause"),
    ("acknowledge", "resume"),
]
_ENDS = [("finish", C), ("finish", F), ("stop",)]
_ANYTHING: list[tuple[Any, ...]] = [
    ("claim",),
    ("register",),
    ("wake",),
    *_SIGNALS,
    *_CUSTOM,
    *_SETTLE,
    *_PROGRAM,
    *_ENDS,
]
_LIKELY: dict[Any, list[tuple[Any, ...]]] = {
    # By status, and for PENDING by whether it is claimed: what leads on, several times.
    (P, False): [("claim",)] * 6 + [("send", "pause"), ("deliver", "cancel"), *_CUSTOM],
    (P, True): [("register",)] * 5 + [("settle", "restart")] * 3 + [("settle", "requeue"), ("send", "pause")],
    R: [*_PROGRAM, ("send", "pause"), ("send", "cancel"), *_CUSTOM]
    + [("settle", "restart")] * 3
    + [("settle", "restart", "deliver")] * 3
    + [("settle", "requeue", "deliver")],
    S: [("wake",)] * 4
    + [("send", "resume"), ("send", "pause"), ("deliver", "cancel"), *_CUSTOM, ("sleep", 1), *_SETTLE],
}


def _next(data: st.DataObject, model: Model) -> tuple[tuple[Any, ...], int]:
    """An operation, and how many launches ago its caller was launched."""
    likely = _LIKELY.get((P, model.claimed) if model.status is P else model.status, _ANYTHING)
    if data.draw(st.integers(0, 4)):
        return data.draw(st.sampled_from(likely)), 0
    return data.draw(st.sampled_from(_ANYTHING)), data.draw(st.integers(0, 1))


class LifePromises:
    """Part of `PersistenceConformance`."""

    @settings(
        max_examples=150,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(data=st.data(), length=st.integers(1, 40))
    async def test_any_life_is_as_the_model_says(self, world: World, data: st.DataObject, length: int) -> None:
        model = Model()
        created = await world.create()
        model.due_ms = world.now
        instance_id = created.instance.instance_id
        try:
            for _ in range(length):
                operation, behind = _next(data, model)
                await _compare(world, model, operation, instance_id, max(0, model.epoch - behind))
                if model.status is P or (model.status is S and model.due_ms is not None):
                    world.tick(data.draw(st.sampled_from([10, NAP_MS])))
        finally:
            # The next life has the database for itself.
            if model.status in ACTIVE:
                await world.stop(LaunchRef(tenant_id=TENANT, instance_id=instance_id, epoch=model.epoch))


async def _compare(world: World, model: Model, operation: tuple[Any, ...], instance_id: str, epoch: int) -> None:
    ref = LaunchRef(tenant_id=TENANT, instance_id=instance_id, epoch=epoch)
    expect, act = _step(operation, epoch)
    was = model.status
    wanted = expect(model, world.now + 10)
    if operation[0] in ("claim", "wake"):
        world.tick()
    try:
        answer = await act(world, ref)
    except RuntaraError as error:
        assert isinstance(error, wanted), (operation, wanted)
    else:
        assert wanted is None or isinstance(wanted, Status), (operation, wanted)
        told = _change(answer)
        if operation[0] == "claim":
            assert len(answer) == (wanted is not None)
        elif operation[0] not in ("save", "take"):
            assert (told.after if told else None) == wanted, operation
            assert told is None or told.before is was
    stored = await world.look(LaunchRef(tenant_id=TENANT, instance_id=instance_id, epoch=0))
    assert (stored.status, stored.reason, stored.epoch) == (model.status, model.reason, model.epoch), operation
    assert stored.checkpoint_count == len(model.checkpoints)
    assert stored.checkpoint_id == (model.checkpoints[-1] if model.checkpoints else None)
    assert stored.restarts == (0 if model.progress else model.restarts)
    if model.status is S:
        assert stored.wake_at_ms == model.due_ms
    current = LaunchRef(tenant_id=TENANT, instance_id=instance_id, epoch=model.epoch)
    if model.status not in TERMINAL:
        assert set(await world.waiting(current)) == model.signals


def _change(answer: Any) -> Change | None:
    if isinstance(answer, list):
        answer = answer[0] if answer else None
    found: Change | None = getattr(answer, "change", answer)
    return found
