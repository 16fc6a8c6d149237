"""The end of a launch's process: what it used is kept, and the launcher's verdict applied if the program did not report."""

from __future__ import annotations

from typing import assert_never

from runtara_framework.faults import fault_point
from runtara_framework.model import Change, Exit, LaunchRef
from runtara_framework.spec.persistence import Cancel, Fail, Requeue, Restart, Verdict
from runtara_framework.states import Reason, Status, allowed
from runtara_framework.storage.statements import common, signals
from runtara_framework.storage.statements.common import Head
from runtara_framework.storage.tx import Tx


def settle(
    tx: Tx, ref: LaunchRef, exit: Exit | None, verdict: Verdict, *, deliver: bool = False, now_ms: int
) -> Change | None:
    """`Persistence.settle_launch`."""
    head = common.owned(tx, ref.tenant_id, ref.instance_id)
    current = head.epoch == ref.epoch and head.claimed and head.status in (Status.PENDING, Status.RUNNING)
    # A program that nobody launched has no launch row: its first settlement is the one that finds it current.
    if not _end(tx, ref, head, exit, now_ms=now_ms) and (not current or _was_launched(tx, ref, head)):
        return None
    if exit is not None:
        _put_usage(tx, head, exit)
    change = None
    if current:
        seen = exit is not None and (exit.code is not None or exit.signal is not None)
        until = now_ms if seen or head.status is Status.PENDING else common.last_sign_of_life(tx, head, now_ms)
        change = _judge(tx, ref, head, verdict, deliver=deliver, ran_until_ms=until, now_ms=now_ms)
    fault_point("settle.before_commit")
    return change


def _end(tx: Tx, ref: LaunchRef, head: Head, exit: Exit | None, *, now_ms: int) -> bool:
    """End the launch row; False if there is none, or if that was done before."""
    return bool(
        tx.run(
            "launches.end",
            for_instance=head.id,
            for_epoch=ref.epoch,
            now_ms=now_ms,
            new_exit_code=exit.code if exit else None,
            new_exit_signal=exit.signal if exit else None,
            new_cpu_usec=exit.cpu_usec if exit else None,
            new_memory_peak_bytes=exit.memory_peak_bytes if exit else None,
        )
    )


def _was_launched(tx: Tx, ref: LaunchRef, head: Head) -> bool:
    return tx.one("launches.exists", instance=head.id, epoch=ref.epoch) is not None


def _put_usage(tx: Tx, head: Head, exit: Exit) -> None:
    code = exit.code
    if code is None and exit.signal is not None:
        code = 128 + exit.signal  # as a shell says it
    tx.run(
        "instances.put_usage",
        id=head.id,
        new_exit_code=code,
        new_cpu_usage_usec=_sum(head.cpu_usage_usec, exit.cpu_usec),
        new_memory_peak_bytes=max(head.memory_peak_bytes or 0, exit.memory_peak_bytes or 0) or None,
    )
    if exit.stderr:  # the last words stay until there are newer ones
        tx.run("instances.put_stderr", instance=head.id, stderr=exit.stderr)


def _sum(before: int | None, more: int | None) -> int | None:
    return before if more is None else (before or 0) + more


def _judge(
    tx: Tx, ref: LaunchRef, head: Head, verdict: Verdict, *, deliver: bool = False, ran_until_ms: int, now_ms: int
) -> Change:
    obeys = False
    if isinstance(verdict, Requeue | Restart):
        waiting = signals.waiting_types(tx, head.id)
        if "cancel" in waiting:
            obeys = deliver and head.started_at_ms is not None
            if not obeys:
                verdict = Cancel(reason=Reason.CANCELLED)
        elif "pause" in waiting and allowed(head.status, Status.SUSPENDED):
            signals.done(tx, head.id, "pause", now_ms=now_ms)
            return common.move(
                tx,
                head,
                ref.instance_id,
                Status.SUSPENDED,
                reason=Reason.PAUSED,
                now_ms=now_ms,
                ran_until_ms=ran_until_ms,
            )
    match verdict:
        case Requeue():
            return common.queue(tx, head, ref.instance_id, now_ms=now_ms, ran_until_ms=ran_until_ms)
        case Restart():
            last = Cancel(reason=Reason.CANCELLED) if obeys else Fail(reason=verdict.reason, error=verdict.error)
            return _restart(tx, ref, head, verdict, last, ran_until_ms=ran_until_ms, now_ms=now_ms)
        case Fail():
            change = common.move(
                tx,
                head,
                ref.instance_id,
                Status.FAILED,
                reason=verdict.reason,
                now_ms=now_ms,
                ran_until_ms=ran_until_ms,
            )
            common.put_outcome(tx, head, None, verdict.error)
            return change
        case Cancel():
            signals.done(tx, head.id, "cancel", now_ms=now_ms)
            return common.move(
                tx,
                head,
                ref.instance_id,
                Status.CANCELLED,
                reason=verdict.reason,
                now_ms=now_ms,
                ran_until_ms=ran_until_ms,
            )
        case _:
            assert_never(verdict)


def _restart(
    tx: Tx, ref: LaunchRef, head: Head, verdict: Restart, last: Verdict, *, ran_until_ms: int, now_ms: int
) -> Change:
    newest = tx.one("checkpoints.newest", instance=head.id)
    seq = newest[0] if newest else 0
    # A new checkpoint since the last crash forgives the crashes before it.
    crashes = head.restarts if seq <= head.restart_seq else 0
    if crashes >= verdict.max_restarts:
        return _judge(tx, ref, head, last, ran_until_ms=ran_until_ms, now_ms=now_ms)
    delay = verdict.delays_ms[min(crashes, len(verdict.delays_ms) - 1)] if verdict.delays_ms else 0
    change = common.queue(
        tx, head, ref.instance_id, now_ms=now_ms, wake_at_ms=now_ms + delay, ran_until_ms=ran_until_ms
    )
    tx.run("instances.count_restart", id=head.id, new_restarts=crashes + 1, new_restart_seq=seq)
    return change
