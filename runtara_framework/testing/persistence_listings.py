"""Promises about listings: filters, orders, totals, and pages that are the same by offset and by cursor."""

from __future__ import annotations

from typing import Any

import pytest

from runtara_framework.errors import InvalidRequest
from runtara_framework.model import InstanceSummary, NewEvent
from runtara_framework.spec.persistence import CheckpointFilter, EventFilter, InstanceFilter, Persistence
from runtara_framework.states import Reason, Status
from runtara_framework.testing.persistence_world import DAY_MS, STATES, TENANT, World

ORDERS = ("created_at_desc", "created_at_asc", "finished_at_desc", "finished_at_asc")


class ListingPromises:
    """Part of `PersistenceConformance`."""

    # -- instances ------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("order_by", ORDERS)
    @pytest.mark.parametrize("status", [None, Status.SUSPENDED, Status.CANCELLED])
    async def test_pages_by_cursor_and_by_offset_are_the_same(
        self, world: World, order_by: str, status: Status | None
    ) -> None:
        await _populate(world)
        query = {"order_by": order_by, "status": status}
        everything = await _by_offset(world.persistence, 1000, **query)
        assert [s.instance_id for s in everything] == _ordered(everything, order_by)
        for limit in (1, 3, 7):
            assert await _by_offset(world.persistence, limit, **query) == everything
            assert await _by_cursor(world.persistence, limit, **query) == everything

    async def test_a_page_by_cursor_is_not_moved_by_newcomers(self, world: World) -> None:
        await _populate(world)
        everything = await _by_cursor(world.persistence, 1000)
        first = await world.persistence.list_instances(InstanceFilter(tenant_id=TENANT, limit=5))
        await world.create()
        rest = await world.persistence.list_instances(
            InstanceFilter(tenant_id=TENANT, limit=1000, cursor=first.next_cursor, offset=99)
        )
        assert first.instances + rest.instances == everything
        assert rest.total == len(everything) + 1

    async def test_instances_of_the_same_millisecond_keep_one_order(self, world: World) -> None:
        image = await world.image()
        for _ in range(7):
            world.tick(-10)  # undo that of create
            await world.create(image=image)
        for order_by in ORDERS:
            everything = await _by_offset(world.persistence, 100, order_by=order_by)
            assert await _by_cursor(world.persistence, 2, order_by=order_by) == everything
            assert len({s.instance_id for s in everything}) == 7

    async def test_a_full_last_page_has_no_next(self, world: World) -> None:
        for _ in range(4):
            await world.create()
        page = await world.persistence.list_instances(InstanceFilter(tenant_id=TENANT, limit=2))
        assert page.next_cursor is not None
        last = await world.persistence.list_instances(
            InstanceFilter(tenant_id=TENANT, limit=2, cursor=page.next_cursor)
        )
        assert (len(last.instances), last.next_cursor, last.total) == (2, None, 4)

    async def test_totals_are_real_and_only_counted_if_asked_for(self, world: World) -> None:
        await _populate(world)
        page = await world.persistence.list_instances(InstanceFilter(tenant_id=TENANT, limit=1, offset=2))
        assert page.total == len(await _by_offset(world.persistence, 1000))
        silent = await world.persistence.list_instances(InstanceFilter(tenant_id=TENANT, limit=1, count=False))
        assert silent.total is None
        failed = InstanceFilter(tenant_id=TENANT, status=Status.FAILED, limit=1)
        assert (await world.persistence.list_instances(failed)).total == 2

    async def test_a_page_beyond_the_end_is_empty(self, world: World) -> None:
        await world.create()
        for order_by in ORDERS:
            page = await world.persistence.list_instances(
                InstanceFilter(tenant_id=TENANT, order_by=order_by, offset=50)
            )
            assert (page.instances, page.total, page.next_cursor) == ([], 1, None)

    @pytest.mark.parametrize("state", STATES)
    async def test_a_summary_says_what_the_instance_says(self, world: World, state: str) -> None:
        ref = await world.in_state(state)
        stored = await world.look(ref)
        (summary,) = await _by_offset(world.persistence, 9)
        assert summary == InstanceSummary(
            tenant_id=TENANT,
            instance_id=ref.instance_id,
            image_id=stored.image_id,
            image_name=stored.image_name,
            status=stored.status,
            reason=stored.reason,
            created_at_ms=stored.created_at_ms,
            started_at_ms=stored.started_at_ms,
            finished_at_ms=stored.finished_at_ms,
            wake_at_ms=stored.wake_at_ms,
            has_error=state == "failed",
        )

    async def test_lower_bounds_are_inclusive_and_upper_ones_exclusive(self, world: World) -> None:
        ids = {}
        for _ in range(3):
            ref = await world.in_state("completed")
            stored = await world.look(ref)
            ids[ref.instance_id] = (stored.created_at_ms, stored.finished_at_ms or 0)
        await world.in_state("running")
        created = sorted(c for c, _ in ids.values())
        finished = sorted(f for _, f in ids.values())

        async def found(**query: Any) -> set[str]:
            return {s.instance_id for s in await _by_offset(world.persistence, 9, **query)}

        def of(index: int, *moments: int) -> set[str]:
            return {name for name, times in ids.items() if times[index] in moments}

        assert await found(created_after_ms=created[0], created_before_ms=created[2]) == of(0, *created[:2])
        assert await found(finished_after_ms=finished[1]) == of(1, *finished[1:])
        assert await found(finished_before_ms=finished[1]) == of(1, finished[0])
        both = {"finished_after_ms": finished[0], "finished_before_ms": finished[2]}
        for order_by in ORDERS:
            assert await found(**both, order_by=order_by) == of(1, *finished[:2])

    async def test_image_and_prefix_of_its_name_are_literal(self, world: World) -> None:
        names = ["100%", "100x", "a_b", "axb", "Order", "order", "orders", "ö-mlaut", "*"]
        ids = {}
        for name in names:
            image = await world.image(name)
            ids[name] = image.image_id
            await world.create(name, image=image)

        async def prefixed(prefix: str) -> set[str]:
            return {s.instance_id for s in await _by_offset(world.persistence, 99, image_name_prefix=prefix)}

        assert await prefixed("100%") == {"100%"}
        assert await prefixed("a_") == {"a_b"}
        assert await prefixed("order") == {"order", "orders"}
        assert await prefixed("ö") == {"ö-mlaut"}
        assert await prefixed("*") == {"*"}
        assert await prefixed("") == set(names)
        found = await _by_cursor(world.persistence, 2, image_id=ids["order"])
        assert [s.instance_id for s in found] == ["order"]

    @pytest.mark.parametrize(
        "cursor", ["", "nonsense", "created_at_desc.x.1", "finished_at_asc.1.1", "created_at_desc..1"]
    )
    async def test_a_cursor_that_nobody_gave_out_is_refused(self, world: World, cursor: str) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await world.persistence.list_instances(InstanceFilter(tenant_id=TENANT, cursor=cursor))
        assert "next_cursor" in caught.value.message

    async def test_an_unknown_order_is_refused(self, world: World) -> None:
        with pytest.raises(InvalidRequest):
            await world.persistence.list_instances(InstanceFilter(tenant_id=TENANT, order_by="name; DROP TABLE x"))

    # -- events ---------------------------------------------------------------------------------------------

    async def test_events_are_filtered_and_counted(self, world: World) -> None:
        ref = await world.running()
        moments = []
        for number in range(6):
            kind = "custom" if number % 2 else "heartbeat"
            await world.emit(ref, NewEvent(event_type=kind, subtype=f"s{number % 3}", payload=f"n{number}".encode()))
            moments.append(world.now)
        everything = await world.events(ref)

        async def numbers(**query: Any) -> list[str]:
            found, total = await world.persistence.list_events(
                EventFilter(tenant_id=TENANT, instance_id=ref.instance_id, **{"ascending": True, **query})
            )
            assert total == len(found)
            return [event.payload.decode() for event in found]

        assert await numbers(event_type="custom") == ["n1", "n3", "n5"]
        assert await numbers(event_type="custom", subtype="s0") == ["n3"]
        assert await numbers(created_after_ms=moments[2], created_before_ms=moments[4]) == ["n2", "n3"]
        assert await numbers(after_event_id=everything[4].event_id) == ["n4", "n5"]
        assert await numbers(event_type="custom", ascending=False) == ["n5", "n3", "n1"]
        assert await numbers(payload_contains="N4") == ["n4"]

    async def test_events_come_in_pages_newest_first(self, world: World) -> None:
        ref = await world.running()
        await world.emit(ref, *(NewEvent(event_type="custom", payload=b"%d" % n) for n in range(9)))
        everything = [event.event_id for event in await world.events(ref)]
        paged: list[int] = []
        for offset in range(0, 12, 3):
            found, total = await world.persistence.list_events(
                EventFilter(tenant_id=TENANT, instance_id=ref.instance_id, limit=3, offset=offset)
            )
            assert total == 10
            paged += [event.event_id for event in found]
        assert paged == everything[::-1]

    @pytest.mark.parametrize(
        ("needle", "found"),
        [
            ("100%", {"per cent"}),
            ("_id", {"underscore"}),
            ("STRASSE", {"sharp"}),
            ("ÜBER", {"umlaut"}),
            ("über", {"umlaut"}),
            ("\\", {"backslash"}),
            ("'", {"quote"}),
            ("rest", {"broken"}),
            ("nowhere", set()),
        ],
    )
    async def test_a_search_in_payloads_is_literal_and_knows_no_case(
        self, world: World, needle: str, found: set[str]
    ) -> None:
        ref = await world.running()
        payloads = {
            "per cent": b"at 100% now",
            "other": b"at 1000 now",
            "underscore": b"the _id",
            "no underscore": b"the xid",
            "sharp": b"strasse",
            "umlaut": "über uns".encode(),
            "backslash": b"a\\b",
            "quote": b"it's",
            "broken": b"\xff\xfe\x00 the REST",
        }
        await world.emit(
            ref, *(NewEvent(event_type="custom", subtype=name, payload=data) for name, data in payloads.items())
        )
        events = await world.events(ref, payload_contains=needle, event_type="custom")
        assert {event.subtype for event in events} == found

    # -- checkpoints ----------------------------------------------------------------------------------------

    async def test_checkpoints_are_listed_newest_first_without_their_state(self, world: World) -> None:
        ref = await world.running()
        moments = []
        for number in range(5):
            await world.save(ref, f"c{number}", b"x" * number)
            moments.append(world.now)

        async def names(**query: Any) -> tuple[list[str], int]:
            found, total = await world.persistence.list_checkpoints(
                CheckpointFilter(tenant_id=TENANT, instance_id=ref.instance_id, **query)
            )
            assert all(c.size_bytes == int(c.checkpoint_id[1:]) for c in found)
            return [c.checkpoint_id for c in found], total

        assert await names() == (["c4", "c3", "c2", "c1", "c0"], 5)
        assert await names(limit=2, offset=1) == (["c3", "c2"], 5)
        assert await names(checkpoint_id="c3") == (["c3"], 1)
        assert await names(created_after_ms=moments[1], created_before_ms=moments[3]) == (["c2", "c1"], 2)


async def _populate(world: World) -> None:
    for state in (*STATES, *reversed(STATES)):
        if state == "pending":  # it would be claimed in place of the next one
            await world.persistence.claim_self(TENANT, world.fresh("own"), node_id="n", now_ms=world.tick())
        else:
            await world.in_state(state)
    late = await world.running()
    await world.suspend(late, Reason.SLEEPING, DAY_MS)
    await world.create(tenant="globex")


async def _by_offset(persistence: Persistence, limit: int, **query: Any) -> list[InstanceSummary]:
    found: list[InstanceSummary] = []
    while True:
        page = await persistence.list_instances(
            InstanceFilter(tenant_id=TENANT, limit=limit, offset=len(found), **query)
        )
        found += page.instances
        if len(page.instances) < limit:
            return found


async def _by_cursor(persistence: Persistence, limit: int, **query: Any) -> list[InstanceSummary]:
    found: list[InstanceSummary] = []
    cursor = None
    while True:
        page = await persistence.list_instances(InstanceFilter(tenant_id=TENANT, limit=limit, cursor=cursor, **query))
        assert len(page.instances) <= limit
        found += page.instances
        cursor = page.next_cursor
        if cursor is None:
            return found


def _ordered(summaries: list[InstanceSummary], order_by: str) -> list[str]:
    """The ids in the order that they should have; creation times are unique here."""

    def key(summary: InstanceSummary) -> tuple[bool, int, int]:
        sign = -1 if order_by.endswith("desc") else 1
        if order_by.startswith("created"):
            return (False, sign * summary.created_at_ms, 0)
        return (summary.finished_at_ms is None, sign * (summary.finished_at_ms or 0), sign * summary.created_at_ms)

    return [summary.instance_id for summary in sorted(summaries, key=key)]
