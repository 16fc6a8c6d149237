"""Promises about how launches end: processes, settlement, restarts, running time, and what the program reports."""

from __future__ import annotations

import pytest

from runtara_framework.errors import InvalidState
from runtara_framework.model import Exit
from runtara_framework.spec.persistence import Cancel, Fail, Requeue, Restart, Verdict
from runtara_framework.states import Reason, Status
from runtara_framework.testing.persistence_world import (
    CRASH,
    DAY_MS,
    FAIL,
    NODE,
    RESTART,
    Snapshot,
    World,
    change,
    same,
)


class SettlementPromises:
    """Part of `PersistenceConformance`."""

    # -- the process ----------------------------------------------------------------------------------------

    async def test_a_launch_is_live_until_it_is_settled(self, world: World) -> None:
        ref = await world.claimed(env={"A": "b"}, timeout_ms=9000)
        await world.persistence.launch_started(ref, {"pid": 7, "nested": [None, "ü"]})
        await world.running(image=await world.image("second"))
        (live, second) = await world.persistence.live_launches(NODE)
        assert live.ref == ref
        assert (live.handle, live.env) == ({"pid": 7, "nested": [None, "ü"]}, {"A": "b"})
        assert (live.timeout_ms, live.remaining_ms) == (9000, 9000)
        assert live.image == await world.image()
        assert second.handle is None
        assert await world.persistence.live_launches("node-7") == []
        await world.settle(ref)
        assert [launch.ref for launch in await world.persistence.live_launches(NODE)] == [second.ref]

    @pytest.mark.parametrize("state", ["completed", "stopped", "sleeping"])
    async def test_a_launch_stays_live_after_its_instance_has_moved_on(self, world: World, state: str) -> None:
        ref = await world.in_state(state)
        assert [launch.ref for launch in await world.persistence.live_launches(NODE)] == [ref]

    async def test_a_handle_may_come_after_the_end(self, world: World) -> None:
        ref = await world.running()
        await world.finish(ref)
        await world.persistence.launch_started(ref, {"pid": 7})
        await world.settle(ref)
        await world.persistence.launch_started(ref, {"pid": 7})

    # -- settlement -----------------------------------------------------------------------------------------

    async def test_how_a_process_ended_is_kept_and_usage_adds_up(self, world: World) -> None:
        ref = await world.running()
        await world.settle(ref, RESTART, Exit(code=3, cpu_usec=100, memory_peak_bytes=5000, stderr="first words: ü"))
        first = await world.look(ref)
        assert (first.exit_code, first.stderr) == (3, "first words: ü")
        world.tick(1000)
        again = await world.relaunch(ref)
        await world.finish(again)
        await world.settle(again, exit=Exit(code=0, cpu_usec=50, memory_peak_bytes=4000))
        last = await world.look(ref)
        assert (last.exit_code, last.cpu_usage_usec, last.memory_peak_bytes) == (0, 150, 5000)

    async def test_a_signal_that_killed_a_process_shows_as_a_shell_shows_it(self, world: World) -> None:
        ref = await world.running()
        await world.settle(ref, FAIL, Exit(signal=9))
        assert (await world.look(ref)).exit_code == 137

    async def test_settling_again_changes_nothing(self, world: World, snapshot: Snapshot) -> None:
        ref = await world.running()
        await world.settle(ref, Requeue(), Exit(code=1, cpu_usec=5))
        before = await snapshot()
        for verdict in (Requeue(), RESTART, FAIL, Cancel(reason=Reason.STOPPED)):
            assert await world.settle(ref, verdict, Exit(code=1, cpu_usec=5)) is None
        assert await snapshot() == before

    async def test_a_late_settlement_leaves_the_next_launch_alone(self, world: World) -> None:
        ref = await world.running()
        await world.suspend(ref, Reason.PAUSED)
        await world.send(ref, "resume")
        current = await world.relaunch(ref)
        assert await world.settle(ref, FAIL, CRASH) is None
        assert await world.status(current) == (Status.RUNNING, None)
        assert [launch.ref for launch in await world.persistence.live_launches(NODE)] == [current]

    @pytest.mark.parametrize("exit", [None, Exit()], ids=["no exit", "unseen exit"])
    async def test_a_process_may_end_unseen(self, world: World, exit: Exit | None) -> None:
        ref = await world.running()
        change_ = await world.persistence.settle_launch(ref, exit, Requeue(), now_ms=world.tick())
        assert same(change_, change(ref, Status.RUNNING, Status.PENDING))
        assert (await world.look(ref)).exit_code is None

    async def test_a_failure_is_kept_with_its_reason(self, world: World) -> None:
        ref = await world.running()
        await world.settle(ref, Fail(reason=Reason.OUT_OF_MEMORY, error={"code": "OUT_OF_MEMORY", "n": 1}))
        stored = await world.look(ref)
        assert (stored.status, stored.reason) == (Status.FAILED, Reason.OUT_OF_MEMORY)
        assert stored.error == {"code": "OUT_OF_MEMORY", "n": 1}
        assert stored.finished_at_ms == world.now

    @pytest.mark.parametrize("verdict", [Requeue(), RESTART], ids=["requeue", "restart"])
    @pytest.mark.parametrize("state", ["claimed", "running"])
    async def test_a_waiting_cancel_beats_going_on(self, world: World, state: str, verdict: Verdict) -> None:
        ref = await world.in_state(state)
        await world.send(ref, "pause")
        await world.send(ref, "cancel")
        ended = await world.settle(ref, verdict, CRASH)
        assert ended is not None
        assert (ended.after, ended.reason) == (Status.CANCELLED, Reason.CANCELLED)

    @pytest.mark.parametrize("verdict", [Requeue(), RESTART], ids=["requeue", "restart"])
    async def test_a_waiting_cancel_that_is_to_be_delivered_is_obeyed_by_the_next_launch(
        self, world: World, verdict: Verdict
    ) -> None:
        ref = await world.running()
        await world.send(ref, "pause")
        await world.send(ref, "cancel")
        queued = await world.settle(ref, verdict, CRASH, deliver=True)
        assert same(queued, change(ref, Status.RUNNING, Status.PENDING))
        world.tick(DAY_MS)
        current = await world.relaunch(ref)
        assert await world.waiting(current) == ["cancel", "pause"]

    async def test_a_waiting_cancel_ends_what_never_ran(self, world: World) -> None:
        ref = await world.claimed()
        await world.send(ref, "cancel", deliver=True)
        ended = await world.settle(ref, RESTART, CRASH, deliver=True)
        assert same(ended, change(ref, Status.PENDING, Status.CANCELLED, Reason.CANCELLED))

    async def test_crashes_while_obeying_a_cancel_end_cancelled(self, world: World) -> None:
        ref = await world.running()
        await world.send(ref, "cancel", deliver=True)
        for _ in range(2):
            queued = await world.settle(ref, RESTART, CRASH, deliver=True)
            assert queued is not None
            assert queued.after is Status.PENDING
            world.tick(DAY_MS)
            ref = await world.relaunch(ref)
        ended = await world.settle(ref, RESTART, CRASH, deliver=True)
        assert same(ended, change(ref, Status.RUNNING, Status.CANCELLED, Reason.CANCELLED))
        assert (await world.look(ref)).error is None

    async def test_a_waiting_pause_is_obeyed_when_the_process_is_gone(self, world: World) -> None:
        ref = await world.running()
        await world.send(ref, "pause")
        await world.settle(ref, RESTART, CRASH)
        assert await world.status(ref) == (Status.SUSPENDED, Reason.PAUSED)
        assert await world.claim() == []
        await world.send(ref, "resume")
        current = await world.relaunch(ref)
        assert await world.waiting(current) == []

    async def test_a_pause_of_one_that_never_ran_waits_on(self, world: World) -> None:
        ref = await world.claimed()
        await world.send(ref, "pause")
        await world.settle(ref)
        current = await world.relaunch(ref)
        assert await world.waiting(current) == ["pause"]

    # -- restarts -------------------------------------------------------------------------------------------

    async def test_crashes_in_a_row_without_a_new_checkpoint_are_counted_out(self, world: World) -> None:
        ref = await world.running()
        await world.save(ref, "step")
        delays = []
        for crash in range(2):
            restarted = await world.settle(ref, RESTART, CRASH)
            assert restarted is not None
            assert restarted.after is Status.PENDING
            delays.append((restarted.wake_at_ms or 0) - world.now)
            assert (await world.look(ref)).restarts == crash + 1
            world.tick(DAY_MS)
            ref = await world.relaunch(ref)
            assert await world.save(ref, "step") == b"1"  # found, not new
        assert delays == [100, 500]
        ended = await world.settle(ref, RESTART, CRASH)
        assert same(ended, change(ref, Status.RUNNING, Status.FAILED, Reason.CRASHED))
        assert (await world.look(ref)).error == RESTART.error

    async def test_a_new_checkpoint_forgives_the_crashes_before_it(self, world: World) -> None:
        ref = await world.running()
        for number in range(5):
            await world.settle(ref, RESTART, CRASH)
            assert (await world.look(ref)).restarts == 1
            world.tick(DAY_MS)
            (launch,) = await world.claim()
            assert launch.restarts == 1
            ref = launch.ref
            await world.register(ref)
            await world.save(ref, f"step-{number}")
            assert (await world.look(ref)).restarts == 0
        assert await world.status(ref) == (Status.RUNNING, None)

    async def test_the_last_delay_repeats(self, world: World) -> None:
        ref = await world.running()
        patient = Restart(max_restarts=4, delays_ms=(1, 20), reason=Reason.CRASHED, error={})
        delays = []
        for _ in range(4):
            restarted = await world.settle(ref, patient, CRASH)
            assert restarted is not None
            delays.append((restarted.wake_at_ms or 0) - world.now)
            world.tick(100)
            ref = await world.relaunch(ref)
        assert delays == [1, 20, 20, 20]

    async def test_without_restarts_the_first_crash_is_the_end(self, world: World) -> None:
        ref = await world.claimed()
        never = Restart(max_restarts=0, delays_ms=(1,), reason=Reason.CRASHED, error={"code": "CRASHED"})
        assert same(await world.settle(ref, never), change(ref, Status.PENDING, Status.FAILED, Reason.CRASHED))

    async def test_being_queued_again_is_no_crash(self, world: World) -> None:
        ref = await world.running()
        for _ in range(5):
            await world.settle(ref, Requeue())
            assert (await world.look(ref)).restarts == 0
            ref = await world.relaunch(ref)

    # -- running time ---------------------------------------------------------------------------------------

    async def test_running_time_adds_up_over_launches_and_limits_the_next(self, world: World) -> None:
        ref = await world.running(timeout_ms=10_000)
        started = world.now
        world.tick(2000)
        await world.settle(ref)
        first = world.now - started
        assert (await world.look(ref)).running_ms == first
        world.tick(50_000)  # in the queue: not its fault
        (launch,) = await world.claim()
        assert (launch.timeout_ms, launch.remaining_ms) == (10_000, 10_000 - first)
        await world.register(launch.ref)
        started = world.now
        world.tick(3000)
        await world.suspend(launch.ref, Reason.SLEEPING, DAY_MS)
        second = world.now - started
        await world.settle(launch.ref)
        world.tick(DAY_MS)
        await world.persistence.claim_due(limit=1, now_ms=world.now)
        (launch,) = await world.claim()
        assert launch.remaining_ms is not None
        assert 10_000 - first - second - 10 <= launch.remaining_ms <= 10_000 - first - second
        await world.register(launch.ref)
        world.tick(60_000)
        await world.settle(launch.ref)
        (launch,) = await world.claim()
        assert launch.remaining_ms == 0

    async def test_time_that_nobody_saw_is_not_running_time(self, world: World) -> None:
        ref = await world.running(timeout_ms=10_000)
        started = world.now
        world.tick(1000)
        await world.save(ref, "step")
        alive = world.now
        world.tick(DAY_MS)  # the server was down meanwhile
        await world.persistence.settle_launch(ref, None, Requeue(), now_ms=world.now)
        assert (await world.look(ref)).running_ms == alive - started

    async def test_a_clock_that_went_back_makes_no_negative_time(self, world: World) -> None:
        ref = await world.running()
        await world.persistence.settle_launch(ref, Exit(code=1), Requeue(), now_ms=world.now - 5000)
        assert (await world.look(ref)).running_ms == 0

    # -- finish ---------------------------------------------------------------------------------------------

    async def test_an_output_is_kept(self, world: World) -> None:
        ref = await world.running()
        assert await world.finish(ref, output=b"\x00out") == change(ref, Status.RUNNING, Status.COMPLETED)
        stored = await world.look(ref)
        assert (stored.output, stored.error, stored.finished_at_ms) == (b"\x00out", None, world.now)

    async def test_an_error_is_kept(self, world: World) -> None:
        ref = await world.running()
        await world.finish(ref, Status.FAILED)
        stored = await world.look(ref)
        assert (stored.output, stored.error) == (None, {"code": "NO_STOCK", "message": "sold out"})
        assert stored.reason is Reason.APPLICATION_ERROR

    async def test_the_first_report_counts(self, world: World, snapshot: Snapshot) -> None:
        ref = await world.running()
        await world.finish(ref, output=b"first")
        before = await snapshot()
        assert await world.finish(ref, output=b"second") is None
        with pytest.raises(InvalidState):
            await world.finish(ref, Status.FAILED)
        assert await snapshot() == before

    async def test_a_verdict_does_not_touch_what_the_program_reported(self, world: World) -> None:
        ref = await world.running()
        await world.finish(ref, output=b"done")
        assert await world.settle(ref, FAIL, Exit(code=1, stderr="noise")) is None
        stored = await world.look(ref)
        assert (stored.status, stored.output, stored.error) == (Status.COMPLETED, b"done", None)
        assert (stored.exit_code, stored.stderr) == (1, "noise")
