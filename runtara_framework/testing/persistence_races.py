"""Promises about what happens at the same time: on one handle, and on two servers of one database."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from typing import Any

import pytest

from runtara_framework.errors import InvalidState, QueueFull, RuntaraError, StaleLaunch
from runtara_framework.model import Change, Image, NewEvent, NewInstance
from runtara_framework.spec.persistence import Cancel, EventFilter, Persistence, Requeue
from runtara_framework.states import TERMINAL, Reason, Status
from runtara_framework.testing.persistence_world import (
    CRASH,
    DAY_MS,
    FAIL,
    MUCH,
    NODE,
    RESTART,
    TENANT,
    World,
    once,
)


async def at_once(*calls: Awaitable[Any]) -> list[Any]:
    """Run the calls side by side; errors of ours are answers too."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, RuntaraError):
            raise answer
    return answers


class RacePromises:
    """Part of `PersistenceConformance`."""

    @pytest.fixture
    def worlds(self, world: World, other: Persistence) -> tuple[World, World]:
        """The same database through two servers."""
        return world, World(other, world.clock, world.images)

    async def test_no_two_servers_claim_the_same_launch(self, worlds: tuple[World, World]) -> None:
        one, two = worlds
        for _ in range(40):
            await one.create()
        claims = await at_once(*(w.claim(limit=7, node=f"n{n}") for n in range(6) for w in (one, two)))
        claimed = Counter(launch.instance_id for launches in claims for launch in launches)
        # A server may leave what another holds at that moment; it comes again.
        while rest := [*(await one.claim(limit=7)), *(await two.claim(limit=7))]:
            claimed.update(launch.instance_id for launch in rest)
        assert len(claimed) == 40
        assert set(claimed.values()) == {1}

    async def test_no_two_servers_wake_the_same_sleeper(self, worlds: tuple[World, World]) -> None:
        one, two = worlds
        for _ in range(20):
            await one.in_state("sleeping")
        now = one.tick(2 * DAY_MS)
        claims = await at_once(*(w.persistence.claim_due(limit=4, now_ms=now) for _ in range(4) for w in (one, two)))
        woken = Counter(change.instance_id for changes in claims for change in changes)
        while rest := await two.persistence.claim_due(limit=9, now_ms=now):
            woken.update(change.instance_id for change in rest)
        assert len(woken) == 20
        assert set(woken.values()) == {1}

    async def test_an_instance_is_created_once(self, worlds: tuple[World, World]) -> None:
        one, two = worlds
        image = await one.image()
        created = await at_once(*(w.create("i-1", image=image) for _ in range(5) for w in (one, two)))
        assert sum(answer.change is not None for answer in created) == 1
        assert len(await one.claim(limit=9)) == 1

    async def test_a_rush_fills_the_queue_and_then_it_is_full(self, world: World) -> None:
        image = await world.image()
        answers = await at_once(*(world.create(f"i-{n}", image=image, max_pending=5) for n in range(9)))
        # Who asks at the same moment may still get in; who comes then may not.
        assert sum(not isinstance(answer, QueueFull) for answer in answers) >= 5
        with pytest.raises(QueueFull):
            await world.create("late", image=image, max_pending=5)

    async def test_the_first_of_many_writers_of_a_checkpoint_wins(self, world: World) -> None:
        ref = await world.running()
        before = await asyncio.gather(*(world.save(ref, "step", b"%d" % n) for n in range(10)))
        assert before.count(None) == 1
        winner = b"%d" % before.index(None)
        assert set(before) - {None} == {winner}
        found = await world.persistence.get_checkpoint(TENANT, ref.instance_id, "step")
        assert found is not None
        assert found.state == winner

    async def test_a_custom_signal_is_consumed_by_one_wait(self, worlds: tuple[World, World]) -> None:
        one, two = worlds
        ref = await one.running()
        await one.send_custom(ref, "k", b"once")
        taken = await at_once(*(w.take(ref, "k", f"wait-{n}-{w is one}") for n in range(3) for w in (one, two)))
        assert sorted(payload for payload in taken if payload is not None) == [b"once"]

    @pytest.mark.parametrize("first", ["stop", "finish"])
    async def test_of_stop_and_finish_one_wins(self, worlds: tuple[World, World], first: str) -> None:
        one, two = worlds
        for _ in range(5):
            ref = await one.running()
            calls = [one.stop(ref), two.finish(ref, output=b"done")]
            answers = await at_once(*(calls if first == "stop" else reversed(calls)))
            won = [answer for answer in answers if isinstance(answer, Change)]
            lost = [answer for answer in answers if not isinstance(answer, Change)]
            assert len(won) == 1
            assert isinstance(lost[0], InvalidState | StaleLaunch)
            stored = await one.look(ref)
            assert stored.status is won[0].after
            assert stored.output == (b"done" if won[0].after is Status.COMPLETED else None)
            assert (await one.history(ref)).count(str(stored.status)) == 1

    @pytest.mark.parametrize("first", ["suspend", "signal"])
    async def test_a_signal_is_never_lost_between_suspending_and_sleeping(
        self, worlds: tuple[World, World], first: str
    ) -> None:
        one, two = worlds
        for _ in range(5):
            ref = await one.running()
            calls = [one.suspend(ref, Reason.WAITING_SIGNAL, None, ("k",)), two.send_custom(ref, "k", b"x")]
            await at_once(*(calls if first == "suspend" else reversed(calls)))
            status, _ = await one.status(ref)
            # Either it never left, or it is in the queue; it does not wait for what has come.
            assert status in (Status.RUNNING, Status.PENDING)
            current = ref if status is Status.RUNNING else await one.relaunch(ref)
            assert await one.take(current, "k", "wait") == b"x"
            await one.finish(current)

    @pytest.mark.parametrize("first", ["suspend", "cancel"])
    async def test_a_cancel_is_never_lost_between_suspending_and_sleeping(
        self, worlds: tuple[World, World], first: str
    ) -> None:
        one, two = worlds
        for reason in (Reason.SLEEPING, Reason.PAUSED):
            ref = await one.running()
            calls: list[Awaitable[Any]] = [one.suspend(ref, reason), two.send(ref, "cancel")]
            await at_once(*(calls if first == "suspend" else reversed(calls)))
            status, _ = await one.status(ref)
            assert status in (Status.RUNNING, Status.CANCELLED)
            if status is Status.RUNNING:
                assert await one.waiting(ref) == ["cancel"]

    @pytest.mark.parametrize("first", ["suspend", "cancel"])
    async def test_a_cancel_to_be_delivered_is_never_lost_between_suspending_and_sleeping(
        self, worlds: tuple[World, World], first: str
    ) -> None:
        one, two = worlds
        for reason in (Reason.SLEEPING, Reason.PAUSED, Reason.BREAKPOINT):
            ref = await one.running()
            calls: list[Awaitable[Any]] = [one.suspend(ref, reason), two.send(ref, "cancel", deliver=True)]
            await at_once(*(calls if first == "suspend" else reversed(calls)))
            status, _ = await one.status(ref)
            assert status in (Status.RUNNING, Status.PENDING)
            current = ref if status is Status.RUNNING else await one.relaunch(ref)
            assert await one.waiting(current) == ["cancel"]
            await two.acknowledge(current, "cancel")

    async def test_a_cancel_to_be_delivered_and_a_wake_launch_once(self, worlds: tuple[World, World]) -> None:
        one, two = worlds
        for _ in range(5):
            ref = await one.in_state("waiting")
            now = one.tick(2 * DAY_MS)
            await at_once(
                one.send(ref, "cancel", deliver=True),
                two.persistence.claim_due(limit=1, now_ms=now),
                one.send(ref, "cancel", deliver=True),
                two.send_custom(ref, "approval"),
            )
            current = await one.relaunch(ref)
            assert await one.waiting(current) == ["cancel"]
            await one.acknowledge(current, "cancel")
            assert await two.claim() == []

    async def test_a_crash_and_a_cancel_to_be_delivered_lead_to_one_launch_that_obeys(
        self, worlds: tuple[World, World]
    ) -> None:
        one, two = worlds
        for _ in range(5):
            ref = await one.running()
            await at_once(one.settle(ref, RESTART, CRASH, deliver=True), two.send(ref, "cancel", deliver=True))
            one.tick(DAY_MS)
            current = await one.relaunch(ref)
            assert await one.waiting(current) == ["cancel"]
            await one.acknowledge(current, "cancel")

    @pytest.mark.parametrize("first", ["suspend", "take"])
    async def test_no_process_leaves_a_wait_that_a_lost_call_has_answered(
        self, worlds: tuple[World, World], first: str
    ) -> None:
        one, two = worlds
        for _ in range(5):
            ref = await one.running()
            await one.send_custom(ref, "k", b"x")
            # The call whose connection died is still on its way when the program, which looked in vain, wants to leave.
            calls: list[Awaitable[Any]] = [
                one.suspend(ref, Reason.WAITING_SIGNAL, None, ("k",), waits=("wait",)),
                two.take(ref, "k", "wait"),
            ]
            await at_once(*(calls if first == "suspend" else reversed(calls)))
            assert await one.status(ref) == (Status.RUNNING, None)
            assert await one.take(ref, "k", "wait") == b"x"
            await one.finish(ref)

    async def test_a_pause_and_a_cancel_at_once_end_cancelled(self, worlds: tuple[World, World]) -> None:
        one, two = worlds
        ref = await one.running()
        await at_once(one.send(ref, "pause"), two.send(ref, "cancel"))
        await at_once(one.acknowledge(ref, "pause"), two.acknowledge(ref, "cancel"))
        # If the pause was first, the instance was in the queue for a moment; the cancel is obeyed all the same.
        assert await one.status(ref) == (Status.CANCELLED, Reason.CANCELLED)

    async def test_everything_at_once_leaves_one_end_and_one_event_of_it(self, worlds: tuple[World, World]) -> None:
        one, two = worlds
        for _ in range(5):
            ref = await one.running()
            await at_once(
                one.finish(ref),
                two.finish(ref, Status.FAILED),
                one.stop(ref),
                two.send(ref, "cancel"),
                one.settle(ref, FAIL, CRASH),
                two.settle(ref, Cancel(reason=Reason.STOPPED)),
                one.settle(ref, Requeue()),
                two.settle(ref, RESTART, CRASH),
                one.suspend(ref, Reason.SLEEPING, DAY_MS),
            )
            stored = await one.look(ref)
            ends = [event for event in await one.history(ref) if event in ("completed", "failed", "cancelled")]
            assert ends == ([str(stored.status)] if stored.status in TERMINAL else [])

    async def test_a_launch_is_registered_by_one_call(self, worlds: tuple[World, World]) -> None:
        one, two = worlds
        ref = await one.claimed()
        changes = await at_once(*(w.register(ref) for _ in range(3) for w in (one, two)))
        assert sum(change is not None for change in changes) == 1
        assert await one.history(ref) == ["started"]

    async def test_an_event_with_a_key_is_appended_once(self, worlds: tuple[World, World]) -> None:
        one, two = worlds
        ref = await one.running()
        await at_once(*(w.emit(ref, NewEvent(event_type="custom", key="k")) for _ in range(4) for w in (one, two)))
        _, total = await one.persistence.list_events(
            EventFilter(tenant_id=TENANT, instance_id=ref.instance_id, event_type="custom")
        )
        assert total == 1

    async def test_the_same_image_at_once_is_one_image(self, worlds: tuple[World, World]) -> None:
        one, two = worlds

        async def upload(w: World, number: int) -> tuple[Image, bool]:
            data = b"same" * 1000
            digest, size = await w.persistence.write_blob(once(data), max_bytes=MUCH, now_ms=w.now)
            image = Image(
                image_id=f"image-{number}",
                tenant_id=TENANT,
                name="order",
                runner_type="mock",
                sha256=digest,
                size_bytes=size,
                created_at_ms=w.now,
            )
            return await w.persistence.put_image(image)

        answers = await at_once(*(upload(w, 2 * n + (w is one)) for n in range(3) for w in (one, two)))
        assert sum(not deduplicated for _, deduplicated in answers) == 1
        assert len({image.image_id for image, _ in answers}) == 1

    async def test_a_secret_is_agreed_on(self, worlds: tuple[World, World]) -> None:
        one, two = worlds
        answers = await at_once(*(w.persistence.secret("s", b"%d" % n) for n, w in enumerate((one, two, one, two))))
        assert len(set(answers)) == 1

    async def test_what_was_answered_is_seen_by_the_other_server(self, worlds: tuple[World, World]) -> None:
        one, two = worlds
        ref = await one.running()
        await one.save(ref, "step", b"1")
        assert await two.save(ref, "step", b"2") == b"1"
        await two.finish(ref)
        assert (await one.look(ref)).status is Status.COMPLETED

    async def test_a_caller_that_went_away_harms_nobody(self, world: World) -> None:
        ref = await world.running()
        calls = [asyncio.create_task(world.save(ref, f"step-{n}")) for n in range(20)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert answers[1::2] == [None] * 10
        await world.save(ref, "after")
        assert (await world.look(ref)).checkpoint_id == "after"

    async def test_one_refused_call_among_many_harms_nobody(self, world: World) -> None:
        refs = [await world.running() for _ in range(10)]
        await world.stop(refs[4])
        answers = await at_once(*(world.save(ref, "step") for ref in refs))
        assert isinstance(answers[4], StaleLaunch)
        assert [answer for n, answer in enumerate(answers) if n != 4] == [None] * 9
        for number, ref in enumerate(refs):
            assert (await world.look(ref)).checkpoint_count == (0 if number == 4 else 1)

    async def test_a_fresh_instance_is_claimed_by_whoever_asks_first(self, worlds: tuple[World, World]) -> None:
        one, two = worlds
        new = NewInstance(tenant_id=TENANT, instance_id="own", image_id=None, input=b"{}")
        await one.persistence.create_instance(new, max_pending=1, now_ms=one.tick())
        refs = await at_once(
            *(w.persistence.claim_self(TENANT, "own", node_id=NODE, now_ms=one.now) for w in (one, two))
        )
        assert sorted(ref.epoch for ref in refs) == [1, 2]
        registered = await at_once(*(one.register(ref) for ref in refs))
        assert sum(isinstance(answer, StaleLaunch) for answer in registered) == 1
