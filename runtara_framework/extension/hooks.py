"""Tell every interested plugin that something happened; ask until one answers.

pluggy finds and validates the implementations; the calls are ours, because pluggy knows no `await` and stops at the first
failing plugin. Three ways to call, and each hook spec says which one it gets:

* `notify`: an observer that fails or is slow is logged and affects nobody else;
* `first`: the first answer that is not None wins, an exception propagates;
* `collect`: all answers in order, an exception propagates.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import pluggy

from runtara_framework.errors import HookBroken
from runtara_framework.extension.drivers import owner
from runtara_framework.installed import offers
from runtara_framework.spec import lifecycle

GROUP = "runtara.plugins"
logger = logging.getLogger(__name__)


class Hooks:
    """The plugins that implement hooks. Without any, every call returns at once."""

    def __init__(self, *, timeout_seconds: float = 5.0) -> None:
        self._manager = pluggy.PluginManager(lifecycle.PROJECT)
        self._manager.add_hookspecs(lifecycle)
        self._timeout = timeout_seconds
        self.failed: dict[str, Exception] = {}

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin; the last one registered is called first. Raises `HookBroken` for a misspelt hook or an argument that
        the hook does not have."""
        try:
            self._manager.register(plugin, name=name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            raise HookBroken(f"plugin {name!r} is not loaded: {error}") from error

    def load_installed(self, *, disabled: frozenset[str] = frozenset()) -> None:
        """Register every installed plugin by name; one that is broken is reported in `failed` and skipped."""
        # pluggy calls the last registered first; the specs promise the order of names.
        for entry_point in sorted(offers(GROUP), key=lambda ep: ep.name, reverse=True):
            if entry_point.name in disabled:
                continue
            try:
                self.register(entry_point.load(), entry_point.name)
            except Exception as error:  # whatever a plugin's module raises must not stop the server
                self.failed[entry_point.name] = error
                logger.error("plugin %s (%s) not loaded: %s", entry_point.name, owner(entry_point), error)

    def has(self, hook: str, /) -> bool:
        """Whether anybody implements the hook."""
        return bool(self._caller(hook).get_hookimpls())

    def implemented_by(self, name: str) -> list[str]:
        """The hooks that the plugin of that name implements, sorted."""
        plugin = self._manager.get_plugin(name)
        callers = self._manager.get_hookcallers(plugin) if plugin is not None else None
        return sorted(caller.name for caller in callers or [])

    async def notify(self, hook: str, /, **arguments: Any) -> None:
        """Tell all; exceptions and time-outs are logged with the plugin's name."""
        for implementation in self._implementations(hook):
            try:
                await self._call(implementation, arguments)
            except Exception:
                logger.exception("%s failed in plugin %s", hook, implementation.plugin_name)

    async def first(self, hook: str, /, **arguments: Any) -> Any:
        """Ask in order; the first answer that is not None, or None."""
        for implementation in self._implementations(hook):
            answer = await self._call(implementation, arguments)
            if answer is not None:
                return answer
        return None

    async def collect(self, hook: str, /, **arguments: Any) -> list[Any]:
        """Ask all; the answers that are not None, in order."""
        answers = [await self._call(implementation, arguments) for implementation in self._implementations(hook)]
        return [answer for answer in answers if answer is not None]

    def collect_now(self, hook: str, /, **arguments: Any) -> list[Any]:
        """`collect` for the hooks that are answered outside an event loop (commands, routes, migrations)."""
        answers = []
        for _, answer in self.answers_now(hook, **arguments):
            if isinstance(answer, Exception):
                raise answer
            answers.append(answer)
        return answers

    def answers_now(self, hook: str, /, **arguments: Any) -> Iterator[tuple[str, Any]]:
        """What each plugin, by name, answers outside an event loop, in order: an answer that is not None, or the exception
        that it raised (`HookBroken` if it cannot be called like that)."""
        for implementation in self._implementations(hook):
            answer: Any
            try:
                answer = implementation.function(*(arguments[name] for name in implementation.argnames))
            except Exception as error:
                answer = error
            if inspect.iscoroutine(answer):
                answer.close()
                answer = HookBroken(f"{hook} of plugin {implementation.plugin_name!r} must not be async")
            if answer is not None:
                yield implementation.plugin_name, answer

    def _caller(self, hook: str) -> pluggy.HookCaller:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return caller

    def _implementations(self, hook: str) -> Iterator[pluggy.HookImpl]:
        # pluggy stores them in reverse order of calling.
        implementations: Iterable[pluggy.HookImpl] = reversed(self._caller(hook).get_hookimpls())
        return iter(implementations)

    async def _call(self, implementation: pluggy.HookImpl, arguments: dict[str, Any]) -> Any:
        # Like pluggy, pass only the arguments that the implementation asked for.
        result = implementation.function(*(arguments[name] for name in implementation.argnames))
        if inspect.isawaitable(result):
            async with asyncio.timeout(self._timeout):
                result = await result
        return result
