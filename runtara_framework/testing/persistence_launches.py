"""Promises about launches up to their work: creation, the queue, registration, checkpoints."""

from __future__ import annotations

import pytest

from runtara_framework.errors import (
    CheckpointNotFound,
    ImageNotFound,
    InstanceConflict,
    InvalidState,
    QueueFull,
)
from runtara_framework.model import Exit, LaunchRef, NewInstance
from runtara_framework.spec.persistence import Restart
from runtara_framework.states import Reason, Status
from runtara_framework.testing.persistence_world import (
    CRASH,
    DAY_MS,
    FAIL,
    MUCH,
    NODE,
    RESTART,
    TENANT,
    Snapshot,
    World,
    change,
    refused,
    same,
)

MIB = 2**20


class LaunchPromises:
    """Part of `PersistenceConformance`."""

    # -- create ---------------------------------------------------------------------------------------------

    async def test_a_new_instance_is_stored_as_it_was_asked_for(self, world: World) -> None:
        image = await world.image("order")
        created = await world.create(
            "i-1", image=image, input=b"\x00\xff{}", env={"A": "1", "Ü": "ß=\n"}, timeout_ms=5000
        )
        ref = LaunchRef(tenant_id=TENANT, instance_id="i-1", epoch=0)
        assert created.change == change(ref, None, Status.PENDING)
        stored = await world.look(ref)
        assert stored == created.instance
        assert (stored.image_id, stored.image_name) == (image.image_id, "order")
        assert (stored.input, stored.env, stored.timeout_ms) == (b"\x00\xff{}", {"A": "1", "Ü": "ß=\n"}, 5000)
        assert (stored.status, stored.created_at_ms, stored.epoch) == (Status.PENDING, world.now, 0)
        assert (stored.output, stored.error, stored.checkpoint_id, stored.checkpoint_count) == (None, None, None, 0)
        assert await world.history(ref) == []

    async def test_creating_again_is_the_same_instance_whatever_the_input(
        self, world: World, snapshot: Snapshot
    ) -> None:
        ref = await world.running("i-1")
        await world.save(ref, "step")
        before = await snapshot()
        again = await world.create("i-1", input=b"other", max_pending=0)
        assert again.change is None
        assert again.instance == await world.look(ref)
        assert (again.instance.input, again.instance.status) == (b'{"orderId":7}', Status.RUNNING)
        assert await snapshot() == before

    async def test_an_id_belongs_to_one_image_of_one_tenant(self, world: World, snapshot: Snapshot) -> None:
        await world.create("i-1")
        another, foreign = await world.image("refund"), await world.image("theirs", "globex")
        for image in (another, foreign):
            async with refused(InstanceConflict, snapshot):
                await world.create("i-1", tenant=image.tenant_id, image=image)
        with pytest.raises(InstanceConflict) as caught:
            await world.create("i-1", tenant="globex", image=foreign)
        assert TENANT not in caught.value.message

    async def test_an_unknown_image_starts_nothing(self, world: World, snapshot: Snapshot) -> None:
        await world.image()
        new = NewInstance(tenant_id=TENANT, instance_id="i-1", image_id="no-such", input=b"{}")
        async with refused(ImageNotFound, snapshot):
            await world.persistence.create_instance(new, max_pending=MUCH, now_ms=world.tick())

    async def test_the_queue_is_bounded_by_what_waits_unclaimed(self, world: World, snapshot: Snapshot) -> None:
        await world.create("i-1", max_pending=2)
        await world.create("i-2", max_pending=2)
        async with refused(QueueFull, snapshot):
            await world.create("i-3", max_pending=2)
        await world.claim()
        await world.create("i-3", max_pending=2)

    async def test_one_that_registers_itself_takes_no_place_in_the_queue(self, world: World) -> None:
        new = NewInstance(tenant_id=TENANT, instance_id="own", image_id=None, input=b"[1]")
        created = await world.persistence.create_instance(new, max_pending=0, now_ms=world.tick())
        assert created.instance.image_id is None
        assert await world.claim(limit=9) == []
        assert await world.persistence.next_due_ms(after_ms=0) is None
        ref = await world.persistence.claim_self(TENANT, "own", node_id=NODE, now_ms=world.tick())
        await world.register(ref)
        assert (await world.look(ref)).input == b"[1]"

    # -- the queue ------------------------------------------------------------------------------------------

    async def test_launches_are_claimed_in_the_order_of_creation(self, world: World) -> None:
        world.tick()
        image, now = await world.image(), world.now
        for number in range(5):  # all in the same millisecond
            new = NewInstance(tenant_id=TENANT, instance_id=f"i-{number}", image_id=image.image_id, input=b"{}")
            await world.persistence.create_instance(new, max_pending=MUCH, now_ms=now)
        claimed = [launch.instance_id for _ in range(3) for launch in await world.claim(limit=2)]
        assert claimed == [f"i-{number}" for number in range(5)]

    async def test_what_was_queued_again_takes_its_place_by_when_it_became_due(self, world: World) -> None:
        slept = await world.running("slept")
        await world.suspend(slept, Reason.SLEEPING, 20)
        crashed = await world.running("crashed")
        await world.create("old")
        await world.settle(crashed, Restart(max_restarts=1, delays_ms=(500,), reason=Reason.CRASHED, error={}), CRASH)
        world.tick(1000)
        await world.create("young")
        world.tick(1000)
        await world.persistence.claim_due(limit=9, now_ms=world.now)
        # slept was due after 20 ms, old was created after 40, crashed may start after 500, young came after 1000.
        assert [launch.instance_id for launch in await world.claim(limit=9)] == ["slept", "old", "crashed", "young"]

    async def test_a_claim_tells_all_that_a_launch_needs(self, world: World) -> None:
        image = await world.image("order", manifest={"kind": "scenario"}, metadata={"team": "a"}, description="d")
        await world.create("i-1", image=image, env={"KEY": "v"}, timeout_ms=10_000)
        (launch,) = await world.claim(node="node-7")
        assert launch.image == image
        assert (launch.tenant_id, launch.instance_id, launch.epoch) == (TENANT, "i-1", 1)
        assert (launch.node_id, launch.claimed_at_ms, launch.env) == ("node-7", world.now, {"KEY": "v"})
        assert (launch.timeout_ms, launch.remaining_ms, launch.restarts) == (10_000, 10_000, 0)
        assert (launch.handle, launch.ended_at_ms) == (None, None)
        stored = await world.look(launch.ref)
        assert (stored.status, stored.epoch) == (Status.PENDING, 1)

    async def test_nothing_is_claimed_twice_or_beyond_the_limit(self, world: World) -> None:
        for _ in range(3):
            await world.create()
        assert len(await world.claim(limit=2)) == 2
        assert len(await world.claim(limit=2)) == 1
        assert await world.claim(limit=2) == []

    async def test_a_restart_is_not_claimed_before_its_delay_is_over(self, world: World) -> None:
        ref = await world.running()
        await world.settle(ref, RESTART, CRASH)
        settled = world.now
        assert await world.persistence.claim_launches(NODE, limit=1, now_ms=settled + 99) == []
        assert await world.persistence.next_due_ms(after_ms=settled) == settled + 100
        (launch,) = await world.persistence.claim_launches(NODE, limit=1, now_ms=settled + 100)
        assert (launch.epoch, launch.restarts) == (2, 1)

    # -- register -------------------------------------------------------------------------------------------

    async def test_registering_begins_a_launch(self, world: World) -> None:
        ref = await world.claimed(input=b"in")
        answer = await world.persistence.register(ref, checkpoint_id=None, now_ms=world.tick())
        assert answer.change == change(ref, Status.PENDING, Status.RUNNING)
        assert (answer.checkpoints, answer.next_seq, answer.signals) == ([], None, [])
        assert answer.instance == await world.look(ref)
        assert (answer.instance.input, answer.instance.started_at_ms) == (b"in", world.now)

    async def test_registering_again_answers_the_same(self, world: World, snapshot: Snapshot) -> None:
        ref = await world.claimed()
        first = await world.persistence.register(ref, checkpoint_id=None, now_ms=world.tick())
        before = await snapshot()
        again = await world.persistence.register(ref, checkpoint_id=None, now_ms=world.tick())
        assert again.change is None
        assert again.instance == first.instance
        assert await snapshot() == before

    async def test_a_later_launch_gets_every_checkpoint_in_order_and_the_first_start(self, world: World) -> None:
        ref = await world.running()
        started = (await world.look(ref)).started_at_ms
        names = ["b", "a", "ü", "c"]
        for name in names:
            await world.save(ref, name, name.encode())
        await world.settle(ref)
        (launch,) = await world.claim()
        answer = await world.persistence.register(launch.ref, checkpoint_id="a", now_ms=world.tick())
        assert [(c.checkpoint_id, c.state) for c in answer.checkpoints] == [(n, n.encode()) for n in names]
        assert [c.seq for c in answer.checkpoints] == sorted(c.seq for c in answer.checkpoints)
        assert answer.instance.started_at_ms == started
        assert (answer.instance.checkpoint_id, answer.instance.checkpoint_count) == ("c", 4)

    async def test_registering_with_an_unknown_checkpoint_begins_nothing(
        self, world: World, snapshot: Snapshot
    ) -> None:
        ref = await world.claimed()
        async with refused(CheckpointNotFound, snapshot):
            await world.persistence.register(ref, checkpoint_id="no-such", now_ms=world.tick())

    async def test_many_large_checkpoints_come_in_pages(self, world: World) -> None:
        ref = await world.running()
        sizes = [3 * MIB, 4 * MIB, 2 * MIB, 1, 10 * MIB, 1, 2]
        for number, size in enumerate(sizes):
            await world.save(ref, f"c{number}", bytes([number]) * size)
        await world.settle(ref)
        (launch,) = await world.claim()
        answer = await world.persistence.register(launch.ref, checkpoint_id=None, now_ms=world.tick())
        pages, after = [answer.checkpoints], answer.next_seq
        while after is not None:
            page = await world.persistence.load_checkpoints(launch.ref, after_seq=after)
            pages.append(page.checkpoints)
            after = page.next_seq
        assert len(pages) > 1
        assert all(sum(len(c.state) for c in page[:-1]) <= 9 * MIB for page in pages)
        loaded = [c for page in pages for c in page]
        assert [(c.checkpoint_id, len(c.state)) for c in loaded] == [(f"c{n}", size) for n, size in enumerate(sizes)]

    # -- self-registration ----------------------------------------------------------------------------------

    async def test_a_program_that_nobody_launched_creates_its_instance(self, world: World) -> None:
        ref = await world.persistence.claim_self(TENANT, "own", node_id=NODE, now_ms=world.tick())
        assert ref == LaunchRef(tenant_id=TENANT, instance_id="own", epoch=1)
        assert await world.register(ref) == change(ref, Status.PENDING, Status.RUNNING)
        stored = await world.look(ref)
        assert (stored.image_id, stored.image_name, stored.input) == (None, None, b"{}")
        assert await world.persistence.live_launches(NODE) == []
        await world.finish(ref)

    @pytest.mark.parametrize("state", ["pending", "running", "sleeping"])
    async def test_claiming_itself_again_takes_over(self, world: World, state: str) -> None:
        first = await world.persistence.claim_self(TENANT, "own", node_id=NODE, now_ms=world.tick())
        if state != "pending":
            await world.register(first)
            await world.save(first, "step")
        if state == "sleeping":
            await world.suspend(first, Reason.SLEEPING, DAY_MS)
        second = await world.persistence.claim_self(TENANT, "own", node_id=NODE, now_ms=world.tick())
        assert second.epoch == 2
        answer = await world.persistence.register(second, checkpoint_id=None, now_ms=world.tick())
        assert answer.change == change(second, Status.PENDING, Status.RUNNING)
        assert len(answer.checkpoints) == (0 if state == "pending" else 1)

    async def test_a_program_cannot_take_over_what_it_does_not_own(self, world: World, snapshot: Snapshot) -> None:
        managed = await world.running()
        own = await world.persistence.claim_self(TENANT, "own", node_id=NODE, now_ms=world.tick())
        await world.register(own)
        await world.finish(own)
        for error, tenant, instance_id in (
            (InvalidState, TENANT, managed.instance_id),
            (InvalidState, TENANT, "own"),
            (InstanceConflict, "globex", "own"),
        ):
            async with refused(error, snapshot):
                await world.persistence.claim_self(tenant, instance_id, node_id=NODE, now_ms=world.tick())

    async def test_a_self_registered_instance_that_died_is_settled_once(self, world: World) -> None:
        ref = await world.persistence.claim_self(TENANT, "own", node_id=NODE, now_ms=world.tick())
        await world.register(ref)
        used = Exit(code=1, cpu_usec=7)
        assert same(await world.settle(ref, FAIL, used), change(ref, Status.RUNNING, Status.FAILED, Reason.TIMEOUT))
        assert await world.settle(ref, FAIL, used) is None
        assert (await world.look(ref)).cpu_usage_usec == 7

    # -- checkpoints ----------------------------------------------------------------------------------------

    @pytest.mark.parametrize("state", [b"", b"\x00\xff", b"{}"], ids=["empty", "binary", "json"])
    async def test_a_checkpoint_is_written_once(self, world: World, state: bytes) -> None:
        ref = await world.running()
        assert await world.save(ref, "step", state) is None
        assert await world.save(ref, "step", b"other") == state
        found = await world.persistence.get_checkpoint(TENANT, ref.instance_id, "step")
        assert found is not None
        assert found.state == state
        stored = await world.look(ref)
        assert (stored.checkpoint_id, stored.checkpoint_count) == ("step", 1)

    async def test_checkpoints_of_two_instances_do_not_meet(self, world: World) -> None:
        one, two = await world.running(), await world.running()
        assert await world.save(one, "step", b"1") is None
        assert await world.save(two, "step", b"2") is None
        assert await world.save(one, "step", b"3") == b"1"

    async def test_an_unknown_checkpoint_is_none(self, world: World) -> None:
        ref = await world.running()
        assert await world.persistence.get_checkpoint(TENANT, ref.instance_id, "no-such") is None
