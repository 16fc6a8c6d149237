"""The notifier: who is told what, in which order."""

from __future__ import annotations

import asyncio
from typing import Any

from runtara_framework.extension.hooks import Hooks
from runtara_framework.model import Change
from runtara_framework.services.notifier import Notifier, wait_set
from runtara_framework.spec.lifecycle import hookimpl
from runtara_framework.states import Status


def change(after: Status, instance_id: str = "i") -> Change:
    return Change(tenant_id="t", instance_id=instance_id, before=Status.PENDING, after=after)


async def test_a_watcher_sees_what_happens_after_it_subscribed() -> None:
    notifier = Notifier(Hooks())
    with notifier.watching("i") as event, notifier.watching("other") as other:
        notifier.changed(change(Status.RUNNING))
        assert await wait_set(event, 0)
        assert not event.is_set()
        assert not other.is_set()


async def test_a_touch_wakes_watchers_and_listeners_hear_only_changes() -> None:
    notifier = Notifier(Hooks())
    heard: list[Change] = []
    notifier.listen(heard.append)
    with notifier.watching("i") as event:
        notifier.touched("i")
        assert event.is_set()
    notifier.changed(None)
    notifier.changed(change(Status.RUNNING))
    assert [c.after for c in heard] == [Status.RUNNING]


async def test_nothing_is_kept_of_a_watcher_that_is_gone() -> None:
    notifier = Notifier(Hooks())
    for number in range(100):
        with notifier.watching(f"i{number}"):
            pass
    assert not notifier._waiting


async def test_hooks_see_the_changes_in_order_even_if_they_are_slow() -> None:
    seen: list[Status] = []

    class Observer:
        @hookimpl
        async def runtara_instance_changed(self, change: Any) -> None:
            await asyncio.sleep(0)
            seen.append(change.after)

    hooks = Hooks()
    hooks.register(Observer(), "observer")
    notifier = Notifier(hooks)
    for status in (Status.RUNNING, Status.SUSPENDED, Status.PENDING):
        notifier.changed(change(status))
    await notifier.close()
    assert seen == [Status.RUNNING, Status.SUSPENDED, Status.PENDING]
