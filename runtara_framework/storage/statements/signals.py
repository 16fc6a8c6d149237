"""Signals for the instance as a whole, and custom signals for its wait keys."""

from __future__ import annotations

import msgspec

from runtara_framework.errors import InvalidRequest, InvalidState
from runtara_framework.model import Change, LaunchRef, Signal
from runtara_framework.spec.persistence import SignalSent
from runtara_framework.states import TERMINAL, Reason, Status
from runtara_framework.storage.statements import common
from runtara_framework.storage.statements.common import Head
from runtara_framework.storage.tx import Tx

_keys = msgspec.json.Decoder(list[str]).decode


# -- what products send -----------------------------------------------------------------------------------


def send(
    tx: Tx, tenant_id: str, instance_id: str, signal_type: str, payload: bytes, *, deliver: bool = False, now_ms: int
) -> SignalSent:
    """`Persistence.send_signal`."""
    if signal_type not in ("cancel", "pause", "resume"):
        raise InvalidRequest(f"a signal is cancel, pause or resume, not {signal_type!r}")
    head = common.owned(tx, tenant_id, instance_id)
    if head.status in TERMINAL:
        raise common.ended(head, instance_id, f"sent a {signal_type}")
    if signal_type == "resume":
        return SignalSent(signal=None, change=_resume(tx, head, instance_id, now_ms=now_ms))
    change = None
    if signal_type == "cancel" and (head.status is Status.SUSPENDED or not _launched(head)):
        if not deliver or head.started_at_ms is None:  # what never ran has nothing to clean up
            done(tx, head.id, "cancel", now_ms=now_ms)
            change = common.move(tx, head, instance_id, Status.CANCELLED, reason=Reason.CANCELLED, now_ms=now_ms)
            return SignalSent(signal=None, change=change)
        change = _launch_to_obey(tx, head, instance_id, now_ms=now_ms)
    if signal_type == "pause" and head.status is Status.SUSPENDED:
        if head.reason == Reason.PAUSED:
            return SignalSent(signal=None, change=None)
        change = common.move(tx, head, instance_id, Status.SUSPENDED, reason=Reason.PAUSED, now_ms=now_ms)
        return SignalSent(signal=None, change=change)
    waits = [signal for signal in waiting(tx, head.id) if signal.signal_type == signal_type]
    signal = waits[0] if waits else _add(tx, head, signal_type, payload, now_ms=now_ms)
    return SignalSent(signal=signal, change=change)


def _launched(head: Head) -> bool:
    return head.status is not Status.PENDING or head.claimed


def _launch_to_obey(tx: Tx, head: Head, instance_id: str, *, now_ms: int) -> Change | None:
    if head.status is Status.PENDING and (head.wake_at_ms or 0) <= now_ms:
        return None  # it has its place in the queue
    return common.queue(tx, head, instance_id, now_ms=now_ms)


def _resume(tx: Tx, head: Head, instance_id: str, *, now_ms: int) -> Change | None:
    if head.status is Status.SUSPENDED:
        done(tx, head.id, "pause", now_ms=now_ms)
        return common.queue(tx, head, instance_id, now_ms=now_ms)
    if done(tx, head.id, "pause", now_ms=now_ms):
        return None
    raise InvalidState(
        f"instance {instance_id!r} is {head.status} and not asked to pause; there is nothing to resume",
        instance_id=instance_id,
        status=str(head.status),
    )


def _add(tx: Tx, head: Head, signal_type: str, payload: bytes, *, now_ms: int) -> Signal:
    row = tx.one("signals.add", instance=head.id, signal_type=signal_type, payload=payload, now_ms=now_ms)
    assert row is not None  # an insert that returns its id
    return Signal(signal_id=row[0], signal_type=signal_type, payload=payload, created_at_ms=now_ms)


def send_custom(
    tx: Tx, tenant_id: str, instance_id: str, signal_key: str, payload: bytes, *, now_ms: int
) -> Change | None:
    """`Persistence.send_custom_signal`."""
    head = common.owned(tx, tenant_id, instance_id)
    if head.status in TERMINAL:
        raise common.ended(head, instance_id, "sent a custom signal")
    tx.run("signals.put_custom", instance=head.id, signal_key=signal_key, payload=payload, now_ms=now_ms)
    waits = head.status is Status.SUSPENDED and head.reason == Reason.WAITING_SIGNAL and head.wait_keys is not None
    if waits and signal_key in _keys(head.wait_keys or "[]"):
        return common.queue(tx, head, instance_id, now_ms=now_ms)
    return None


# -- what the instance sees -------------------------------------------------------------------------------


def waiting(tx: Tx, instance: int) -> list[Signal]:
    """The signals that wait, cancel first, then by age."""
    return [
        Signal(signal_id=row[0], signal_type=row[1], payload=bytes(row[2]), created_at_ms=row[3])
        for row in tx.all("signals.waiting", instance=instance)
    ]


def waiting_types(tx: Tx, instance: int) -> set[str]:
    """The types of the signals that wait."""
    return {row[0] for row in tx.all("signals.waiting_types", instance=instance)}


def done(tx: Tx, instance: int, signal_type: str, *, now_ms: int) -> bool:
    """The waiting signals of a type are obeyed or withdrawn. Whether there were any."""
    return tx.run("signals.finish", for_instance=instance, for_type=signal_type, now_ms=now_ms) > 0


def pending(tx: Tx, ref: LaunchRef) -> list[Signal]:
    """`Persistence.pending_signals`."""
    return waiting(tx, common.fenced(tx, ref, lock=False).id)


def acknowledge(tx: Tx, ref: LaunchRef, signal_type: str, *, now_ms: int) -> Change | None:
    """`Persistence.acknowledge_signal`."""
    head = common.fenced(tx, ref)
    types = waiting_types(tx, head.id)
    if signal_type not in types or head.status in TERMINAL:
        return None
    after, reason = Status.SUSPENDED, Reason.PAUSED
    if "cancel" in types:
        if signal_type != "cancel" and head.status is Status.RUNNING and head.image_id is not None:
            # It came after the pause was delivered, and the process is about to exit: the next launch obeys it.
            done(tx, head.id, signal_type, now_ms=now_ms)
            return common.queue(tx, head, ref.instance_id, now_ms=now_ms)
        after, reason = Status.CANCELLED, Reason.CANCELLED
    change = common.move(tx, head, ref.instance_id, after, reason=reason, now_ms=now_ms)
    for acknowledged in types if after is Status.CANCELLED else (signal_type,):
        done(tx, head.id, acknowledged, now_ms=now_ms)
    return change
