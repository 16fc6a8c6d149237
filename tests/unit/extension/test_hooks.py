"""Hooks: loading isolates plugins from each other, and each way of calling does what the specs promise."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from runtara_framework.errors import HookBroken
from runtara_framework.extension.hooks import Hooks
from runtara_framework.spec.lifecycle import hookimpl

FAKES = Path(__file__).parents[2] / "data" / "plugins"


class Plugin:
    """A plugin made of one implementation."""

    def __init__(self, **implementations: Any) -> None:
        for name, function in implementations.items():
            setattr(self, name, hookimpl(function))


async def test_one_broken_plugin_does_not_keep_the_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FAKES))
    hooks = Hooks()
    hooks.load_installed()
    assert hooks.implemented_by("observer") == ["runtara_started"]
    assert {"typo", "wrong_argument", "exploding"} <= set(hooks.failed)
    assert "runtara_startd" in str(hooks.failed["typo"])
    assert "no such device" in str(hooks.failed["exploding"])


async def test_a_disabled_plugin_is_not_even_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FAKES))
    hooks = Hooks()
    hooks.load_installed(disabled=frozenset({"exploding", "observer"}))
    assert "exploding" not in hooks.failed
    assert hooks.implemented_by("observer") == []


def test_a_misspelt_hook_is_an_error_that_names_the_plugin() -> None:
    async def wrong(addresses: Any) -> None: ...

    with pytest.raises(HookBroken, match=r"'mine' is not loaded: .*runtara_begun"):
        Hooks().register(Plugin(runtara_begun=wrong), "mine")


async def test_an_implementation_may_take_a_subset_of_the_arguments() -> None:
    seen = []

    async def saved(checkpoint_id: str) -> None:
        seen.append(checkpoint_id)

    hooks = Hooks()
    hooks.register(Plugin(runtara_checkpoint_saved=saved), "subset")
    await hooks.notify("runtara_checkpoint_saved", ref=None, checkpoint_id="a", size_bytes=1)
    assert seen == ["a"]


async def test_a_failing_and_a_slow_observer_affect_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    seen = []

    async def fails() -> None:
        raise RuntimeError("boom")

    async def hangs() -> None:
        await asyncio.Event().wait()

    def works() -> None:
        seen.append("works")

    hooks = Hooks(timeout_seconds=0.01)
    for name, function in (("a", fails), ("b", hangs), ("c", works)):
        hooks.register(Plugin(runtara_stopping=function), name)
    with caplog.at_level(logging.ERROR):
        await hooks.notify("runtara_stopping")
    assert seen == ["works"]
    assert "runtara_stopping failed in plugin a" in caplog.text
    assert "runtara_stopping failed in plugin b" in caplog.text


async def test_first_takes_the_first_awaited_answer() -> None:
    async def none(tenant_id: str) -> None:
        return None

    async def one(connection_id: str) -> dict[str, str]:
        return {"from": "one", "id": connection_id}

    async def two() -> dict[str, str]:
        return {"from": "two"}

    hooks = Hooks()
    for name, function in (("c", two), ("b", one), ("a", none)):
        hooks.register(Plugin(runtara_resolve_connection=function), name)
    answer = await hooks.first("runtara_resolve_connection", tenant_id="t", connection_id="c1")
    assert answer == {"from": "one", "id": "c1"}


async def test_collect_asks_everybody_and_lets_an_exception_through() -> None:
    async def yes() -> bool:
        return True

    def no() -> bool:
        return False

    async def fails() -> bool:
        raise RuntimeError("undecided")

    hooks = Hooks()
    hooks.register(Plugin(runtara_authorize=no), "b")
    hooks.register(Plugin(runtara_authorize=yes), "a")
    arguments = {"operation": "x", "access": "read", "tenant_id": "t", "principal": "p"}
    assert await hooks.collect("runtara_authorize", **arguments) == [True, False]
    hooks.register(Plugin(runtara_authorize=fails), "c")
    with pytest.raises(RuntimeError, match="undecided"):
        await hooks.collect("runtara_authorize", **arguments)


def test_a_hook_that_is_not_async_refuses_a_coroutine() -> None:
    async def routes() -> list[Any]:
        return []

    hooks = Hooks()
    hooks.register(Plugin(runtara_routes=routes), "a")
    with pytest.raises(HookBroken, match="must not be async"):
        hooks.collect_now("runtara_routes")


async def test_without_plugins_nothing_is_called() -> None:
    hooks = Hooks()
    assert not hooks.has("runtara_instance_changed")
    assert await hooks.first("runtara_resolve_connection", tenant_id="t", connection_id="c") is None


async def test_installed_plugins_are_called_in_the_order_of_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FAKES))
    hooks = Hooks()
    hooks.load_installed()
    first, second = await hooks.collect("runtara_authorize", operation="x", access="read", tenant_id="t", principal="p")
    assert (first, second) == ("a", "b")
