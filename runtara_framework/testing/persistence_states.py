"""Promises about statuses: each method in each state, the fence, the walls between tenants."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from runtara_framework.errors import (
    ImageNotFound,
    InstanceNotFound,
    InvalidRequest,
    InvalidState,
    RuntaraError,
    StaleLaunch,
)
from runtara_framework.model import Change, LaunchRef, NewEvent, NewInstance
from runtara_framework.spec.persistence import Cancel, CheckpointFilter, EventFilter, InstanceFilter
from runtara_framework.states import Reason, Status
from runtara_framework.testing.persistence_world import (
    DAY_MS,
    FAIL,
    RESTART,
    STATES,
    TENANT,
    Snapshot,
    World,
    change,
    refused,
    same,
)

Act = Callable[[World, LaunchRef], Awaitable[Any]]

C, R, S = Status.COMPLETED, Status.RUNNING, Status.SUSPENDED
P, F, X = Status.PENDING, Status.FAILED, Status.CANCELLED

_TO_PAUSED = (S, Reason.PAUSED)
_TO_STOPPED = (X, Reason.STOPPED)
_TO_CANCELLED = (X, Reason.CANCELLED)
_BEFORE = {
    "pending": P,
    "claimed": P,
    "running": R,
    "sleeping": S,
    "waiting": S,
    "paused": S,
    "completed": C,
    "failed": F,
    "cancelled": X,
    "stopped": X,
}
_ENDED = {"completed": InvalidState, "failed": InvalidState, "cancelled": InvalidState, "stopped": InvalidState}
_SUSPENDED = ("sleeping", "waiting", "paused")
_FENCED_END = {**_ENDED, "stopped": StaleLaunch}
_ONLY_RUNNING = {**dict.fromkeys(("pending", "claimed", *_SUSPENDED), InvalidState), **_FENCED_END}

# What a call comes to, by the state of the instance: the status (and reason) after it, an error, or None for "no change".
# A state that is not named is left as it is, and the call answers None.
Outcomes = dict[str, Any]
METHODS: dict[str, tuple[Act, Outcomes]] = {
    "register": (
        lambda w, ref: w.register(ref),
        {
            # Nobody has claimed it: there is no launch that could register.
            "pending": (StaleLaunch, InvalidState),
            "claimed": R,
            **dict.fromkeys(_SUSPENDED, InvalidState),
            **_FENCED_END,
        },
    ),
    "checkpoint": (lambda w, ref: w.save(ref, "step"), _ONLY_RUNNING),
    "take_signal": (lambda w, ref: w.take(ref, "approval"), _ONLY_RUNNING),
    "suspend": (
        lambda w, ref: w.suspend(ref, Reason.SLEEPING, DAY_MS),
        {
            "pending": InvalidState,
            "claimed": InvalidState,
            "running": (S, Reason.SLEEPING),
            # A repeated call answers what is.
            "sleeping": (S, Reason.SLEEPING),
            "waiting": (S, Reason.WAITING_SIGNAL),
            "paused": _TO_PAUSED,
            **_FENCED_END,
        },
    ),
    "finish completed": (lambda w, ref: w.finish(ref), {**_ONLY_RUNNING, "running": C, "completed": None}),
    "finish failed": (
        lambda w, ref: w.finish(ref, F),
        {**_ONLY_RUNNING, "running": (F, Reason.APPLICATION_ERROR), "failed": None},
    ),
    "acknowledge cancel": (lambda w, ref: w.acknowledge(ref, "cancel"), {"stopped": StaleLaunch}),
    "acknowledge pause": (lambda w, ref: w.acknowledge(ref, "pause"), {"stopped": StaleLaunch}),
    "acknowledge resume": (lambda w, ref: w.acknowledge(ref, "resume"), {"stopped": StaleLaunch}),
    "append_events": (
        lambda w, ref: w.emit(ref, NewEvent(event_type="custom", payload=b"{}")),
        {"stopped": StaleLaunch},
    ),
    "heartbeat": (lambda w, ref: w.persistence.heartbeat(ref, now_ms=w.tick()), {"stopped": StaleLaunch}),
    "stop_instance": (
        lambda w, ref: w.stop(ref),
        {**dict.fromkeys(("pending", "claimed", "running", *_SUSPENDED), _TO_STOPPED), **_ENDED},
    ),
    "send cancel": (
        lambda w, ref: _changed(w.send(ref, "cancel")),
        {**dict.fromkeys(("pending", *_SUSPENDED), _TO_CANCELLED), **_ENDED},
    ),
    "send pause": (
        lambda w, ref: _changed(w.send(ref, "pause")),
        {"sleeping": _TO_PAUSED, "waiting": _TO_PAUSED, **_ENDED},
    ),
    "send resume": (
        lambda w, ref: _changed(w.send(ref, "resume")),
        {
            **dict.fromkeys(_SUSPENDED, P),
            **dict.fromkeys(("pending", "claimed", "running"), InvalidState),
            **_ENDED,
        },
    ),
    "send nonsense": (lambda w, ref: w.send(ref, "explode"), dict.fromkeys(STATES, InvalidRequest)),
    "send custom": (lambda w, ref: w.send_custom(ref, "approval"), {"waiting": P, **_ENDED}),
    "send custom to another key": (lambda w, ref: w.send_custom(ref, "other"), _ENDED),
    "settle requeue": (lambda w, ref: w.settle(ref), {"claimed": P, "running": P}),
    "settle restart": (lambda w, ref: w.settle(ref, RESTART), {"claimed": P, "running": P}),
    "settle fail": (
        lambda w, ref: w.settle(ref, FAIL),
        dict.fromkeys(("claimed", "running"), (F, Reason.TIMEOUT)),
    ),
    "settle cancel": (
        lambda w, ref: w.settle(ref, Cancel(reason=Reason.STOPPED)),
        dict.fromkeys(("claimed", "running"), _TO_STOPPED),
    ),
    "claim_due": (
        lambda w, ref: _first(w.persistence.claim_due(limit=9, now_ms=w.tick(DAY_MS))),
        {
            "sleeping": P,
            "waiting": P,
        },
    ),
}

_EVENTS = {R: "started", S: "suspended", C: "completed", F: "failed", X: "cancelled"}


async def _changed(sent: Awaitable[Any]) -> Change | None:
    change: Change | None = (await sent).change
    return change


async def _first(found: Awaitable[list[Change]]) -> Change | None:
    changes = await found
    assert len(changes) < 2
    return changes[0] if changes else None


class StatePromises:
    """Part of `PersistenceConformance`."""

    @pytest.mark.parametrize("state", STATES)
    @pytest.mark.parametrize("method", METHODS)
    async def test_a_method_does_in_each_state_what_the_contract_says(
        self, world: World, snapshot: Snapshot, method: str, state: str
    ) -> None:
        act, outcomes = METHODS[method]
        outcome = outcomes.get(state)
        ref = await world.in_state(state)
        before, history = await world.status(ref), await world.history(ref)

        if outcome is not None and _is_error(outcome):
            kept = await snapshot()
            with pytest.raises(outcome) as caught:
                await act(world, ref)
            assert await snapshot() == kept
            assert caught.value.message != type(caught.value).__doc__
            return

        answer = await act(world, ref)
        after, reason = outcome if isinstance(outcome, tuple) else (outcome, None)
        if after is None:
            assert not isinstance(answer, Change)
            assert await world.status(ref) == before
        else:
            assert same(answer, change(ref, _BEFORE[state], after, reason))
            assert await world.status(ref) == (after, reason)
        told = [_EVENTS[after]] if after in _EVENTS and (after, reason) != before else []
        told += ["custom"] if method == "append_events" else []
        assert await world.history(ref) == history + told

    # -- the fence ------------------------------------------------------------------------------------------

    FENCED: dict[str, Act] = {
        "register": lambda w, ref: w.register(ref),
        "load_checkpoints": lambda w, ref: w.persistence.load_checkpoints(ref, after_seq=0),
        "checkpoint": lambda w, ref: w.save(ref, "step", b"stale"),
        "checkpoint that exists": lambda w, ref: w.save(ref, "first", b"stale"),
        "take_signal": lambda w, ref: w.take(ref, "approval"),
        "suspend": lambda w, ref: w.suspend(ref, Reason.SLEEPING, DAY_MS),
        "finish": lambda w, ref: w.finish(ref),
        "acknowledge_signal": lambda w, ref: w.acknowledge(ref, "cancel"),
        "pending_signals": lambda w, ref: w.persistence.pending_signals(ref),
        "heartbeat": lambda w, ref: w.persistence.heartbeat(ref, now_ms=w.tick()),
        "append_events": lambda w, ref: w.emit(ref, NewEvent(event_type="custom")),
    }

    @pytest.mark.parametrize("method", FENCED)
    async def test_an_older_launch_writes_nothing(self, world: World, snapshot: Snapshot, method: str) -> None:
        stale = await world.running()
        await world.save(stale, "first")
        await world.settle(stale)
        current = await world.relaunch(stale)
        await world.send(current, "cancel")
        await world.send_custom(current, "approval")

        async with refused(StaleLaunch, snapshot):
            await self.FENCED[method](world, stale)

        await world.save(current, "second")

    @pytest.mark.parametrize("method", FENCED)
    @pytest.mark.parametrize("who", ["another tenant", "nobody"])
    async def test_a_launch_of_another_tenant_or_of_nothing_is_not_found(
        self, world: World, snapshot: Snapshot, method: str, who: str
    ) -> None:
        ref = await world.running()
        await world.save(ref, "first")
        other = {"tenant_id": "globex"} if who == "another tenant" else {"instance_id": "no-such"}

        async with refused(InstanceNotFound, snapshot):
            await self.FENCED[method](world, LaunchRef(**{**_parts(ref), **other}))

    async def test_an_epoch_that_was_never_given_out_is_refused(self, world: World, snapshot: Snapshot) -> None:
        ref = await world.running()
        async with refused(StaleLaunch, snapshot):
            await world.save(LaunchRef(**{**_parts(ref), "epoch": ref.epoch + 1}), "step")

    async def test_a_settled_launch_cannot_come_back(self, world: World, snapshot: Snapshot) -> None:
        ref = await world.running()
        await world.settle(ref)
        for act in (
            lambda: world.register(ref),
            lambda: world.save(ref, "late"),
            lambda: world.finish(ref),
            lambda: world.suspend(ref, Reason.SLEEPING, DAY_MS),
        ):
            kept = await snapshot()
            with pytest.raises((StaleLaunch, InvalidState)):
                await act()
            assert await snapshot() == kept

    # -- tenants --------------------------------------------------------------------------------------------

    UNSEEN: dict[str, tuple[type[RuntaraError], Act]] = {
        "get_instance": (InstanceNotFound, lambda w, ref: w.persistence.get_instance("globex", ref.instance_id)),
        "send_signal": (
            InstanceNotFound,
            lambda w, ref: w.persistence.send_signal("globex", ref.instance_id, "cancel", b"", now_ms=w.tick()),
        ),
        "send_custom_signal": (
            InstanceNotFound,
            lambda w, ref: w.persistence.send_custom_signal("globex", ref.instance_id, "k", b"", now_ms=w.tick()),
        ),
        "stop_instance": (
            InstanceNotFound,
            lambda w, ref: w.persistence.stop_instance("globex", ref.instance_id, now_ms=w.tick()),
        ),
        "launch_started": (
            InstanceNotFound,
            lambda w, ref: w.persistence.launch_started(LaunchRef(**{**_parts(ref), "tenant_id": "globex"}), {}),
        ),
        "settle_launch": (
            InstanceNotFound,
            lambda w, ref: w.settle(LaunchRef(**{**_parts(ref), "tenant_id": "globex"})),
        ),
        "get_checkpoint": (
            InstanceNotFound,
            lambda w, ref: w.persistence.get_checkpoint("globex", ref.instance_id, "first"),
        ),
        "list_checkpoints": (
            InstanceNotFound,
            lambda w, ref: w.persistence.list_checkpoints(
                CheckpointFilter(tenant_id="globex", instance_id=ref.instance_id)
            ),
        ),
        "list_events": (
            InstanceNotFound,
            lambda w, ref: w.persistence.list_events(EventFilter(tenant_id="globex", instance_id=ref.instance_id)),
        ),
        "get_image": (ImageNotFound, lambda w, ref: w.persistence.get_image("globex", "order")),
        "delete_image": (ImageNotFound, lambda w, ref: w.persistence.delete_image("globex", "image-1")),
        "create_instance": (
            ImageNotFound,
            lambda w, ref: w.persistence.create_instance(
                NewInstance(tenant_id="globex", instance_id="mine", image_id="image-1", input=b"{}"),
                max_pending=9,
                now_ms=w.tick(),
            ),
        ),
    }

    @pytest.mark.parametrize("method", UNSEEN)
    async def test_what_another_tenant_has_does_not_exist(self, world: World, snapshot: Snapshot, method: str) -> None:
        error, act = self.UNSEEN[method]
        ref = await world.running()
        await world.save(ref, "first")
        async with refused(error, snapshot):
            await act(world, ref)

    async def test_listings_of_another_tenant_are_empty(self, world: World) -> None:
        await world.running()
        page = await world.persistence.list_instances(InstanceFilter(tenant_id="globex"))
        assert (page.instances, page.total, page.next_cursor) == ([], 0, None)
        assert await world.persistence.list_images("globex", name=None, limit=9, offset=0) == ([], 0)

    async def test_an_error_says_which_instance_and_no_other_tenants_data(self, world: World) -> None:
        ref = await world.running("secret-plan", tenant=TENANT)
        with pytest.raises(InstanceNotFound) as caught:
            await world.persistence.get_instance("globex", ref.instance_id)
        assert "secret-plan" in caught.value.message
        assert not re.search(rf"{TENANT}|running", caught.value.message)


def _is_error(outcome: Any) -> bool:
    first = outcome[0] if isinstance(outcome, tuple) else outcome
    return isinstance(first, type) and issubclass(first, RuntaraError)


def _parts(ref: LaunchRef) -> dict[str, Any]:
    return {"tenant_id": ref.tenant_id, "instance_id": ref.instance_id, "epoch": ref.epoch}
