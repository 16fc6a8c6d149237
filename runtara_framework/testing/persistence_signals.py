"""Promises about signals, waits and wakes, and about events."""

from __future__ import annotations

import msgspec
import pytest

from runtara_framework.errors import InvalidState
from runtara_framework.model import LaunchRef, NewEvent
from runtara_framework.spec.persistence import Requeue
from runtara_framework.states import Reason, Status
from runtara_framework.testing.persistence_world import (
    CRASH,
    DAY_MS,
    NODE,
    RESTART,
    TENANT,
    Snapshot,
    World,
    change,
    refused,
    same,
)


class SignalPromises:
    """Part of `PersistenceConformance`."""

    # -- signals --------------------------------------------------------------------------------------------

    async def test_a_signal_waits_with_its_payload_until_it_is_acknowledged(self, world: World) -> None:
        ref = await world.running()
        sent = await world.send(ref, "pause", b"\x00why")
        assert (sent.change, sent.signal.signal_type, sent.signal.payload) == (None, "pause", b"\x00why")
        assert sent.signal.created_at_ms == world.now
        assert await world.persistence.pending_signals(ref) == [sent.signal]
        assert await world.persistence.pending_signals(ref) == [sent.signal]  # looking does not consume

    async def test_waiting_signals_come_with_every_answer(self, world: World) -> None:
        ref = await world.running()
        signal = (await world.send(ref, "pause")).signal
        now = world.tick()
        saved = await world.persistence.checkpoint(ref, "step", b"1", now_ms=now)
        again = await world.persistence.checkpoint(ref, "step", b"2", now_ms=now)
        taken = await world.persistence.take_signal(ref, "k", "wait", now_ms=now)
        registered = await world.persistence.register(ref, checkpoint_id=None, now_ms=now)
        assert [answer.signals for answer in (saved, again, taken, registered)] == [[signal]] * 4

    async def test_a_signal_that_waits_already_is_not_doubled(self, world: World) -> None:
        ref = await world.running()
        first = await world.send(ref, "cancel", b"first")
        again = await world.send(ref, "cancel", b"again")
        assert again.signal == first.signal
        assert await world.waiting(ref) == ["cancel"]

    async def test_cancel_is_delivered_before_an_older_pause(self, world: World) -> None:
        ref = await world.running()
        await world.send(ref, "pause")
        await world.send(ref, "cancel")
        assert await world.waiting(ref) == ["cancel", "pause"]

    async def test_ids_of_signals_only_grow(self, world: World) -> None:
        ref = await world.running()
        ids = []
        for _ in range(3):
            ids.append((await world.send(ref, "pause")).signal.signal_id)
            await world.send(ref, "resume")
        assert ids == sorted(set(ids))

    async def test_a_cancel_is_obeyed_once(self, world: World) -> None:
        ref = await world.running()
        await world.send(ref, "cancel")
        obeyed = await world.acknowledge(ref, "cancel")
        assert obeyed == change(ref, Status.RUNNING, Status.CANCELLED, Reason.CANCELLED)
        assert await world.acknowledge(ref, "cancel") is None
        assert await world.waiting(ref) == []

    async def test_a_pause_is_obeyed_once_and_resumed(self, world: World) -> None:
        ref = await world.running()
        await world.send(ref, "pause")
        assert await world.acknowledge(ref, "pause") == change(ref, Status.RUNNING, Status.SUSPENDED, Reason.PAUSED)
        assert await world.acknowledge(ref, "pause") is None
        assert (await world.send(ref, "resume")).change == change(ref, Status.SUSPENDED, Status.PENDING)
        current = await world.relaunch(ref)
        assert await world.waiting(current) == []

    async def test_a_cancel_that_came_after_the_pause_was_delivered_is_obeyed_by_the_next_launch(
        self, world: World
    ) -> None:
        ref = await world.running()
        await world.send(ref, "pause")
        await world.send(ref, "cancel")
        assert same(await world.acknowledge(ref, "pause"), change(ref, Status.RUNNING, Status.PENDING))
        assert await world.settle(ref) is None  # its process is gone; the instance has moved on
        current = await world.relaunch(ref)
        assert await world.waiting(current) == ["cancel"]
        await world.acknowledge(current, "cancel")
        assert await world.status(ref) == (Status.CANCELLED, Reason.CANCELLED)

    async def test_a_cancel_after_the_pause_of_a_program_that_nobody_launches_is_obeyed_at_once(
        self, world: World
    ) -> None:
        ref = await world.persistence.claim_self(TENANT, "own", node_id=NODE, now_ms=world.tick())
        await world.register(ref)
        await world.send(ref, "pause")
        await world.send(ref, "cancel")
        ended = change(ref, Status.RUNNING, Status.CANCELLED, Reason.CANCELLED)
        assert same(await world.acknowledge(ref, "pause"), ended)

    # -- a cancel that a launch has to obey -------------------------------------------------------------------

    @pytest.mark.parametrize("state", ["sleeping", "waiting", "paused"])
    async def test_a_cancel_to_be_delivered_launches_who_is_suspended(self, world: World, state: str) -> None:
        ref = await world.in_state(state)
        sent = await world.send(ref, "cancel", b"why", deliver=True)
        assert sent.change == change(ref, Status.SUSPENDED, Status.PENDING)
        assert (sent.signal.signal_type, sent.signal.payload) == ("cancel", b"why")
        again = await world.send(ref, "cancel", b"again", deliver=True)
        assert (again.signal, again.change) == (sent.signal, None)
        (launch,) = await world.claim()
        assert launch.cancelled
        answer = await world.persistence.register(launch.ref, checkpoint_id=None, now_ms=world.tick())
        assert answer.signals == [sent.signal]
        await world.acknowledge(launch.ref, "cancel")
        assert await world.status(ref) == (Status.CANCELLED, Reason.CANCELLED)

    async def test_a_cancel_to_be_delivered_ends_what_never_ran(self, world: World) -> None:
        ref = await world.in_state("pending")
        sent = await world.send(ref, "cancel", deliver=True)
        assert (sent.signal, sent.change.after) == (None, Status.CANCELLED)
        claimed = await world.in_state("claimed")
        await world.settle(claimed)
        sent = await world.send(claimed, "cancel", deliver=True)
        assert (sent.signal, sent.change.after) == (None, Status.CANCELLED)

    async def test_a_cancel_to_be_delivered_waits_for_no_restart_delay(self, world: World) -> None:
        ref = await world.running()
        await world.settle(ref, RESTART, CRASH)
        assert await world.claim() == []
        sent = await world.send(ref, "cancel", deliver=True)
        assert sent.change == change(ref, Status.PENDING, Status.PENDING)
        assert await world.waiting(await world.relaunch(ref)) == ["cancel"]

    async def test_a_cancel_to_be_delivered_keeps_the_place_in_the_queue(self, world: World) -> None:
        ref, other = await world.running(), await world.running()
        await world.settle(ref)
        await world.settle(other)
        sent = await world.send(ref, "cancel", deliver=True)
        assert sent.change is None
        assert [launch.instance_id for launch in await world.claim(limit=2)] == [ref.instance_id, other.instance_id]

    @pytest.mark.parametrize("state", ["claimed", "running"])
    async def test_a_cancel_to_be_delivered_waits_for_the_launch_that_there_is(self, world: World, state: str) -> None:
        ref = await world.in_state(state)
        sent = await world.send(ref, "cancel", deliver=True)
        assert sent.change is None
        assert await world.waiting(ref) == ["cancel"]

    async def test_a_live_launch_tells_whether_a_cancel_waits(self, world: World) -> None:
        ref = await world.running()
        assert [launch.cancelled for launch in await world.persistence.live_launches(NODE)] == [False]
        await world.send(ref, "pause")
        assert [launch.cancelled for launch in await world.persistence.live_launches(NODE)] == [False]
        await world.send(ref, "cancel")
        assert [launch.cancelled for launch in await world.persistence.live_launches(NODE)] == [True]

    async def test_neither_pause_nor_resume_hold_up_a_cancel_that_is_to_be_obeyed(self, world: World) -> None:
        ref = await world.in_state("paused")
        await world.send(ref, "cancel", deliver=True)
        with pytest.raises(InvalidState):
            await world.send(ref, "resume")
        await world.send(ref, "pause")
        current = await world.relaunch(ref)
        assert await world.waiting(current) == ["cancel", "pause"]
        assert await world.suspend(current, Reason.PAUSED) is None
        assert await world.suspend(current, Reason.BREAKPOINT, reached=("here",)) is None
        await world.acknowledge(current, "cancel")
        assert await world.waiting(current) == []

    async def test_suspending_as_paused_obeys_the_pause_but_not_over_a_cancel(self, world: World) -> None:
        ref = await world.running()
        await world.send(ref, "pause")
        await world.send(ref, "cancel")
        assert await world.suspend(ref, Reason.PAUSED) is None
        assert await world.status(ref) == (Status.RUNNING, None)
        other = await world.running()
        await world.send(other, "pause")
        assert await world.suspend(other, Reason.PAUSED)
        await world.send(other, "resume")
        assert await world.waiting(await world.relaunch(other)) == []

    async def test_a_pause_that_waits_can_be_withdrawn(self, world: World) -> None:
        ref = await world.running()
        await world.send(ref, "pause")
        withdrawn = await world.send(ref, "resume")
        assert (withdrawn.signal, withdrawn.change) == (None, None)
        assert await world.waiting(ref) == []
        with pytest.raises(InvalidState):
            await world.send(ref, "resume")
        assert await world.acknowledge(ref, "pause") is None

    async def test_a_pause_before_the_first_launch_is_delivered_by_it(self, world: World) -> None:
        ref = await world.in_state("pending")
        await world.send(ref, "pause")
        (launch,) = await world.claim()
        answer = await world.persistence.register(launch.ref, checkpoint_id=None, now_ms=world.tick())
        assert [signal.signal_type for signal in answer.signals] == ["pause"]

    async def test_what_is_cancelled_in_the_queue_is_never_claimed(self, world: World) -> None:
        ref = await world.in_state("pending")
        await world.send(ref, "cancel")
        assert await world.claim() == []

    async def test_pausing_a_sleeper_drops_its_due_time(self, world: World) -> None:
        ref = await world.in_state("sleeping")
        await world.send(ref, "pause")
        assert (await world.look(ref)).wake_at_ms is None
        world.tick(2 * DAY_MS)
        assert await world.persistence.claim_due(limit=9, now_ms=world.now) == []
        paused = await world.send(ref, "pause")
        assert (paused.signal, paused.change) == (None, None)

    async def test_resuming_a_sleeper_launches_it_at_once(self, world: World) -> None:
        ref = await world.in_state("sleeping")
        await world.send(ref, "resume")
        assert (await world.relaunch(ref)).epoch == 2

    # -- custom signals -------------------------------------------------------------------------------------

    async def test_a_custom_signal_is_consumed_into_a_checkpoint(self, world: World) -> None:
        ref = await world.running()
        assert await world.take(ref, "approval") is None
        await world.send_custom(ref, "approval", b"\x00yes")
        assert await world.take(ref, "approval") == b"\x00yes"
        assert await world.save(ref, "wait", b"no") == b"\x00yes"
        assert await world.take(ref, "approval", "another wait") is None

    async def test_a_wait_that_was_answered_keeps_its_answer(self, world: World) -> None:
        ref = await world.running()
        await world.send_custom(ref, "approval", b"first")
        assert await world.take(ref, "approval") == b"first"
        await world.send_custom(ref, "approval", b"second")
        assert await world.take(ref, "approval") == b"first"
        assert await world.take(ref, "approval", "next wait") == b"second"

    async def test_the_newest_of_unconsumed_custom_signals_counts(self, world: World) -> None:
        ref = await world.running()
        await world.send_custom(ref, "approval", b"old")
        await world.send_custom(ref, "approval", b"new")
        await world.send_custom(ref, "other", b"else")
        assert await world.take(ref, "approval") == b"new"
        assert await world.take(ref, "other", "wait 2") == b"else"

    async def test_an_empty_payload_is_a_payload(self, world: World) -> None:
        ref = await world.running()
        await world.send_custom(ref, "approval", b"")
        assert await world.take(ref, "approval") == b""
        assert await world.take(ref, "approval") == b""

    async def test_a_custom_signal_survives_a_crash_before_it_is_taken(self, world: World) -> None:
        ref = await world.running()
        await world.send_custom(ref, "approval", b"yes")
        await world.settle(ref)
        current = await world.relaunch(ref)
        assert await world.take(current, "approval") == b"yes"
        await world.settle(current)
        assert await world.take(await world.relaunch(current), "approval") == b"yes"

    async def test_a_custom_signal_wakes_who_waits_for_its_key(self, world: World) -> None:
        ref = await world.running()
        await world.suspend(ref, Reason.WAITING_SIGNAL, None, ("a", "b%_"))
        assert await world.send_custom(ref, "b") is None
        assert await world.send_custom(ref, "b%_", b"x") == change(ref, Status.SUSPENDED, Status.PENDING)
        assert await world.send_custom(ref, "a", b"y") is None  # it is awake
        current = await world.relaunch(ref)
        assert await world.take(current, "b%_") == b"x"

    async def test_a_signal_before_the_wait_keeps_the_program_in_its_process(
        self, world: World, snapshot: Snapshot
    ) -> None:
        ref = await world.running()
        await world.send_custom(ref, "approval")
        before = await snapshot()
        assert await world.suspend(ref, Reason.WAITING_SIGNAL, DAY_MS, ("other", "approval")) is None
        assert await snapshot() == before
        assert await world.take(ref, "approval") == b'"yes"'
        assert await world.suspend(ref, Reason.WAITING_SIGNAL, DAY_MS, ("other", "approval"))

    async def test_a_paused_waiter_is_not_woken_but_finds_its_signal(self, world: World) -> None:
        ref = await world.in_state("waiting")
        await world.send(ref, "pause")
        assert await world.send_custom(ref, "approval", b"yes") is None
        assert await world.status(ref) == (Status.SUSPENDED, Reason.PAUSED)
        await world.send(ref, "resume")
        assert await world.take(await world.relaunch(ref), "approval") == b"yes"

    async def test_nobody_waits_for_what_a_lost_answer_brought(self, world: World, snapshot: Snapshot) -> None:
        ref = await world.running()
        await world.send_custom(ref, "approval", b"yes")
        assert await world.take(ref, "approval", "wait") == b"yes"  # and the answer was lost
        before = await snapshot()
        assert await world.suspend(ref, Reason.WAITING_SIGNAL, DAY_MS, ("approval",), waits=("other", "wait")) is None
        assert await snapshot() == before
        assert await world.suspend(ref, Reason.WAITING_SIGNAL, DAY_MS, ("approval",), waits=("other",))

    # -- breakpoints ----------------------------------------------------------------------------------------

    async def test_a_breakpoint_is_recorded_with_its_suspension(self, world: World) -> None:
        ref = await world.running()
        await world.save(ref, "before", b"1")
        stopped = await world.suspend(ref, Reason.BREAKPOINT, reached=("here", "there", "before"))
        assert stopped == change(ref, Status.RUNNING, Status.SUSPENDED, Reason.BREAKPOINT)
        assert await world.suspend(ref, Reason.BREAKPOINT, reached=("here", "there"))  # a repeated call
        await world.send(ref, "resume")
        (launch,) = await world.claim()
        answer = await world.persistence.register(launch.ref, checkpoint_id=None, now_ms=world.tick())
        assert [(c.checkpoint_id, c.state) for c in answer.checkpoints] == [
            ("before", b"1"),
            ("here", b"true"),
            ("there", b"true"),
        ]

    async def test_a_refused_breakpoint_is_not_recorded(self, world: World, snapshot: Snapshot) -> None:
        ref = await world.running()
        await world.send(ref, "cancel")
        before = await snapshot()
        assert await world.suspend(ref, Reason.BREAKPOINT, reached=("here",)) is None
        assert await snapshot() == before

    async def test_a_breakpoint_obeys_a_pause(self, world: World) -> None:
        ref = await world.running()
        await world.send(ref, "pause")
        assert await world.suspend(ref, Reason.BREAKPOINT, reached=("here",))
        assert await world.status(ref) == (Status.SUSPENDED, Reason.BREAKPOINT)
        await world.send(ref, "resume")
        assert await world.waiting(await world.relaunch(ref)) == []

    # -- suspend and wake -----------------------------------------------------------------------------------

    async def test_a_suspended_instance_remembers_why_and_until_when(self, world: World) -> None:
        ref = await world.running()
        suspended = await world.suspend(ref, Reason.SLEEPING, 5000)
        assert suspended is not None
        assert suspended.wake_at_ms == world.now + 5000
        stored = await world.look(ref)
        assert (stored.status, stored.reason) == (Status.SUSPENDED, Reason.SLEEPING)
        assert stored.wake_at_ms == world.now + 5000

    async def test_suspending_again_answers_the_same(self, world: World, snapshot: Snapshot) -> None:
        ref = await world.running()
        first = await world.suspend(ref, Reason.WAITING_SIGNAL, 5000, ("k",))
        before = await snapshot()
        again = await world.suspend(ref, Reason.WAITING_SIGNAL, 5000, ("k",))
        assert first is not None
        assert again is not None
        assert (again.before, again.after, again.reason) == (Status.SUSPENDED, Status.SUSPENDED, first.reason)
        assert again.wake_at_ms == first.wake_at_ms
        assert await snapshot() == before

    @pytest.mark.parametrize("wake_in_ms", [0, -1])
    async def test_nobody_suspends_until_a_moment_that_has_passed(
        self, world: World, snapshot: Snapshot, wake_in_ms: int
    ) -> None:
        ref = await world.running()
        before = await snapshot()
        assert await world.suspend(ref, Reason.SLEEPING, wake_in_ms) is None
        assert await snapshot() == before

    @pytest.mark.parametrize("signal_type", ["cancel", "pause"])
    async def test_nobody_suspends_over_a_signal_that_waits(self, world: World, signal_type: str) -> None:
        ref = await world.running()
        await world.send(ref, signal_type)
        assert await world.suspend(ref, Reason.SLEEPING, DAY_MS) is None
        assert await world.status(ref) == (Status.RUNNING, None)

    async def test_sleepers_wake_when_due_the_most_overdue_first(self, world: World) -> None:
        due = {}
        for wake_in in (3000, 1000, 2000, 9000):
            ref = await world.running()
            await world.suspend(ref, Reason.SLEEPING, wake_in)
            due[ref.instance_id] = world.now + wake_in
        early = await world.in_state("paused")
        order = sorted(due, key=lambda instance_id: due[instance_id])
        now = due[order[2]]
        first = await world.persistence.claim_due(limit=2, now_ms=now)
        assert [c.instance_id for c in first] == order[:2]
        assert all((c.before, c.after) == (Status.SUSPENDED, Status.PENDING) for c in first)
        rest = await world.persistence.claim_due(limit=9, now_ms=now)
        assert [c.instance_id for c in rest] == [order[2]]
        assert await world.persistence.claim_due(limit=9, now_ms=now) == []
        assert await world.status(early) == (Status.SUSPENDED, Reason.PAUSED)

    async def test_a_wake_loses_no_time(self, world: World) -> None:
        ref = await world.running()
        await world.suspend(ref, Reason.SLEEPING, 1000)
        due = world.now + 1000
        assert await world.persistence.claim_due(limit=1, now_ms=due - 1) == []
        assert len(await world.persistence.claim_due(limit=1, now_ms=due)) == 1
        assert [launch.ref.epoch for launch in await world.persistence.claim_launches("n", limit=1, now_ms=due)] == [2]

    async def test_the_next_due_time_is_the_earliest_after_the_given_moment(self, world: World) -> None:
        persistence = world.persistence
        assert await persistence.next_due_ms(after_ms=0) is None
        one, two = await world.running(), await world.running()
        await world.suspend(one, Reason.SLEEPING, 1000)
        first = world.now + 1000
        await world.suspend(two, Reason.WAITING_SIGNAL, 5000, ("k",))
        second = world.now + 5000
        assert await persistence.next_due_ms(after_ms=world.now) == first
        assert await persistence.next_due_ms(after_ms=first - 1) == first
        assert await persistence.next_due_ms(after_ms=first) == second
        assert await persistence.next_due_ms(after_ms=second) is None
        await world.in_state("paused")
        await world.send(one, "pause")
        assert await persistence.next_due_ms(after_ms=world.now) == second

    async def test_what_waits_in_the_queue_is_due_unless_it_is_claimed(self, world: World) -> None:
        await world.create()
        created = world.now
        assert await world.persistence.next_due_ms(after_ms=created - 1) == created
        assert await world.persistence.next_due_ms(after_ms=created) is None
        await world.claim()
        assert await world.persistence.next_due_ms(after_ms=created - 1) is None

    # -- stop -----------------------------------------------------------------------------------------------

    async def test_stopping_makes_what_runs_stale(self, world: World) -> None:
        ref = await world.running()
        stopped = await world.stop(ref)
        assert stopped == change(ref, Status.RUNNING, Status.CANCELLED, Reason.STOPPED)
        assert (await world.look(ref)).epoch == ref.epoch + 1
        assert await world.settle(ref, Requeue()) is None
        assert await world.persistence.live_launches("node-1") == []

    async def test_active_instances_are_counted_over_all_tenants(self, world: World) -> None:
        assert await world.persistence.count_active() == 0
        for state in ("completed", "failed", "stopped", "sleeping", "running", "claimed", "pending"):
            await world.in_state(state)
        await world.create(tenant="globex")
        assert await world.persistence.count_active() == 5

    async def test_a_heartbeat_is_remembered(self, world: World) -> None:
        ref = await world.running()
        await world.persistence.heartbeat(ref, now_ms=world.tick(5000))
        assert (await world.look(ref)).heartbeat_at_ms == world.now

    # -- events ---------------------------------------------------------------------------------------------

    async def test_a_life_leaves_its_events_in_order(self, world: World) -> None:
        ref = await world.running()
        await world.emit(ref, NewEvent(event_type="custom", subtype="workflow_log", payload=b"{}"))
        await world.suspend(ref, Reason.SLEEPING, 1000)
        await world.persistence.claim_due(limit=1, now_ms=world.tick(2000))
        ref = await world.relaunch(ref)
        await world.finish(ref)
        events = await world.events(ref)
        assert [event.event_type for event in events] == ["started", "custom", "suspended", "started", "completed"]
        assert [event.event_id for event in events] == sorted({event.event_id for event in events})
        assert [event.created_at_ms for event in events] == sorted(event.created_at_ms for event in events)
        assert events[1].subtype == "workflow_log"
        facts = [msgspec.json.decode(event.payload) for event in events]
        assert facts[2]["reason"] == "sleeping"

    async def test_events_keep_what_they_were_given(self, world: World) -> None:
        ref = await world.running()
        given = NewEvent(event_type="custom", subtype="s", checkpoint_id="c", payload=b"\x00\xff", key="k")
        await world.emit(ref, given, NewEvent(event_type="heartbeat"))
        _, custom, beat = await world.events(ref)
        assert (custom.event_type, custom.subtype, custom.checkpoint_id) == ("custom", "s", "c")
        assert (custom.payload, custom.created_at_ms, custom.instance_id) == (b"\x00\xff", world.now, ref.instance_id)
        assert (beat.event_type, beat.subtype, beat.payload) == ("heartbeat", None, b"")

    async def test_an_event_with_a_known_key_is_dropped_and_the_others_are_not(self, world: World) -> None:
        ref, other = await world.running(), await world.running()
        await world.emit(ref, NewEvent(event_type="custom", payload=b"1", key="k"))
        await world.emit(
            ref,
            NewEvent(event_type="custom", payload=b"2", key="k"),
            NewEvent(event_type="custom", payload=b"3"),
            NewEvent(event_type="custom", payload=b"4", key="l"),
            NewEvent(event_type="custom", payload=b"5"),
        )
        await world.emit(other, NewEvent(event_type="custom", payload=b"6", key="k"))
        assert [event.payload for event in (await world.events(ref))[1:]] == [b"1", b"3", b"4", b"5"]
        assert [event.payload for event in (await world.events(other))[1:]] == [b"6"]

    async def test_events_may_follow_the_end(self, world: World) -> None:
        ref = await world.in_state("completed")
        await world.emit(ref, NewEvent(event_type="custom", payload=b"last words"))
        assert (await world.history(ref))[-1] == "custom"

    async def test_a_refused_transition_leaves_no_event(self, world: World, snapshot: Snapshot) -> None:
        ref = await world.in_state("completed")
        async with refused(InvalidState, snapshot):
            await world.suspend(ref, Reason.SLEEPING, DAY_MS)
        assert await world.history(LaunchRef(tenant_id=TENANT, instance_id=ref.instance_id, epoch=1)) == [
            "started",
            "completed",
        ]
