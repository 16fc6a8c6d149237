"""`SyncManagementSdk`: the methods of `ManagementSdk` as plain calls, for programs without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import update_wrapper
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from runtara_framework.management.client import ManagementSdk
from runtara_framework.management.config import ManagementConfig

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[ManagementSdk, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[SyncManagementSdk, P], T]:
    def call(self: SyncManagementSdk, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(method(self._sdk, *args, **kwargs))

    return update_wrapper(call, method)  # type: ignore[return-value]  # mypy does not know that it answers `call`


class SyncManagementSdk:
    """See `ManagementSdk` for every method. Runs an event loop in a thread of its own; usable from many threads at once."""

    def __init__(
        self,
        server_addr: str | ManagementConfig | None = None,
        *,
        tenant_id: str | None = None,
        token: str | None = None,
        connect_timeout_ms: int | None = None,
        request_timeout_ms: int | None = None,
    ) -> None:
        self._sdk = ManagementSdk(
            server_addr,
            tenant_id=tenant_id,
            token=token,
            connect_timeout_ms=connect_timeout_ms,
            request_timeout_ms=request_timeout_ms,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    @staticmethod
    def from_env() -> SyncManagementSdk:
        """See `ManagementConfig.from_env`."""
        return SyncManagementSdk(ManagementConfig.from_env())

    @staticmethod
    def localhost() -> SyncManagementSdk:
        """See `ManagementConfig.localhost`."""
        return SyncManagementSdk(ManagementConfig.localhost())

    @property
    def config(self) -> ManagementConfig:
        return self._sdk.config

    @property
    def is_connected(self) -> bool:
        return self._sdk.is_connected

    def close(self) -> None:
        """Close the connection and end the thread. A later call starts them again."""
        with self._starting:
            loop, self._loop = self._loop, None
            thread, self._thread = self._thread, None
        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(self._sdk.close(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def __enter__(self) -> Self:
        try:
            self.connect()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(call, self._started())
        try:
            return future.result()
        except BaseException:  # Ctrl-C, for one: the call must not go on without its caller
            future.cancel()
            raise

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="runtara-management", daemon=True)
                self._thread.start()
            return self._loop

    connect = _blocking(ManagementSdk.connect)
    health_check = _blocking(ManagementSdk.health_check)
    list_agents = _blocking(ManagementSdk.list_agents)
    get_capability = _blocking(ManagementSdk.get_capability)
    register_image = _blocking(ManagementSdk.register_image)
    register_image_stream = _blocking(ManagementSdk.register_image_stream)
    list_images = _blocking(ManagementSdk.list_images)
    get_image = _blocking(ManagementSdk.get_image)
    delete_image = _blocking(ManagementSdk.delete_image)
    start_instance = _blocking(ManagementSdk.start_instance)
    run_instance = _blocking(ManagementSdk.run_instance)
    wait_for_completion = _blocking(ManagementSdk.wait_for_completion)
    get_instance_status = _blocking(ManagementSdk.get_instance_status)
    list_instances = _blocking(ManagementSdk.list_instances)
    stop_instance = _blocking(ManagementSdk.stop_instance)
    resume_instance = _blocking(ManagementSdk.resume_instance)
    cancel_instance = _blocking(ManagementSdk.cancel_instance)
    pause_instance = _blocking(ManagementSdk.pause_instance)
    send_signal = _blocking(ManagementSdk.send_signal)
    send_custom_signal = _blocking(ManagementSdk.send_custom_signal)
    list_checkpoints = _blocking(ManagementSdk.list_checkpoints)
    get_checkpoint = _blocking(ManagementSdk.get_checkpoint)
    list_events = _blocking(ManagementSdk.list_events)
