"""Admits, launches and supervises the processes of instances.

How it works. PENDING rows in storage are the queue; nothing about it is kept in memory, so a crash of the server forgets
nothing. `poke` says that the queue may have something; the pump then claims as many launches as there are free slots
(claiming is what moves the epoch on, and what makes two servers on one database take turns). Each claimed launch is one
task here, from claim to settlement:

    claim -> prepare the image -> launch -> remember the handle -> wait for the exit -> settle -> poke

A kill of the server between any two of these is found by `recovery` at the next start: a launch row that was not settled
says that there may be a process; the handle, if it was remembered, finds it; if it was not, the next claim's epoch makes
whatever runs stale. One watchdog looks after all deadlines (running time, registration, heartbeat, cancel, lingering
exit) with one timer; a deadline that passes only decides the verdict and stops the process: settlement stays in one place.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from runtara_framework import memory
from runtara_framework.clock import Clock
from runtara_framework.config import Settings
from runtara_framework.errors import ImageInvalid, RuntaraError, StorageError
from runtara_framework.extension.hooks import Hooks
from runtara_framework.faults import fault_point
from runtara_framework.model import Change, Exit, Launch, LaunchRef
from runtara_framework.services import verdicts
from runtara_framework.services.identity import LaunchTokens
from runtara_framework.services.images import obeys
from runtara_framework.services.notifier import Notifier
from runtara_framework.spec.persistence import Cancel, Persistence, Requeue, Verdict
from runtara_framework.spec.runner import Handle, LaunchSpec, Runner
from runtara_framework.states import Reason, Status

logger = logging.getLogger(__name__)

OWN_VARIABLES = frozenset(
    {"RUNTARA_INSTANCE_ID", "RUNTARA_TENANT_ID", "RUNTARA_SERVER_ADDR", "RUNTARA_TOKEN", memory.VARIABLE}
)
"""What the platform tells a process; a start may not set them."""
EXIT_GRACE_MS = 10_000
"""How long a process may linger after it has reported that it ends."""
OBEY_MS = 10_000
"""What a program gets beyond its running time to end by itself and to say so; it knows the limit."""
HANDLER_MS = 30_000
"""And what it gets for what it does when it is cancelled or out of time, if its image says that there is something."""
CLAIM_BATCH = 32


@dataclass(eq=False)
class _Live:
    """One launch that this server supervises."""

    launch: Launch
    runner: Runner
    started_ms: int
    last_seen_ms: int
    memory_limit_bytes: int | None = None
    registered: bool = False
    handle: Handle | None = None
    deadline_ms: int | None = None  # of its running time, and of what it may do after that
    cancel_by_ms: int | None = None  # it was asked to cancel and must have obeyed by then
    exit_by_ms: int | None = None  # it said that it ends and must be gone by then
    verdict: Verdict | None = None  # decided before the exit
    stopping: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def handler_ms(self) -> int:
        return HANDLER_MS if obeys(self.launch.image.manifest, True) else 0

    def run_from(self, moment_ms: int) -> None:
        """Its running time begins."""
        if self.launch.remaining_ms is not None:
            self.deadline_ms = moment_ms + self.launch.remaining_ms + OBEY_MS + self.handler_ms

    def cancel_from(self, moment_ms: int, grace_ms: int) -> None:
        """It is asked to cancel."""
        self.cancel_by_ms = moment_ms + max(grace_ms, self.handler_ms and self.handler_ms + OBEY_MS)


class Launcher:
    """One per server that has the role `environment`."""

    def __init__(
        self,
        *,
        persistence: Persistence,
        runners: Mapping[str, Runner],
        settings: Settings,
        clock: Clock,
        hooks: Hooks,
        notifier: Notifier,
        tokens: LaunchTokens,
        node_id: str,
        data_dir: Path,
        core_address: str,
    ) -> None:
        self._persistence = persistence
        self.runners = runners
        self._settings = settings
        self._clock = clock
        self._hooks = hooks
        self._notifier = notifier
        self._tokens = tokens
        self._node_id = node_id
        self._runs = data_dir / "runs"
        self._live: dict[tuple[str, str], _Live] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wanted = asyncio.Event()
        self._recheck = asyncio.Event()
        self._prepared: set[tuple[str, str]] = set()
        self._stopping = False
        self._core_address = core_address
        notifier.listen(self._on_change)

    # -- what others say --------------------------------------------------------------------------------

    @property
    def live_count(self) -> int:
        """Processes that this server supervises now."""
        return len(self._live)

    def poke(self) -> None:
        """Something may be PENDING and due."""
        self._wanted.set()

    def seen(self, ref: LaunchRef) -> None:
        """A call came from this launch: it is alive."""
        live = self._find(ref)
        if live is not None:
            live.last_seen_ms = self._clock.now_ms()

    def cancel_sent(self, tenant_id: str, instance_id: str) -> None:
        """A cancel waits for this instance: it must obey within the grace period."""
        live = self._live.get((tenant_id, instance_id))
        if live is not None and live.cancel_by_ms is None:
            live.cancel_from(self._clock.now_ms(), self._cancel_grace_ms)
            self._recheck.set()

    @property
    def _cancel_grace_ms(self) -> int:
        return int(self._settings.runner.cancel_grace_seconds * 1000)

    async def kill(self, tenant_id: str, instance_id: str, grace_seconds: float) -> None:
        """Stop the process of an instance, if there is one, and return when it is gone."""
        live = self._live.get((tenant_id, instance_id))
        if live is not None:
            await self._stop(live, grace_seconds)
            await live.gone.wait()

    def _on_change(self, change: Change) -> None:
        live = self._live.get((change.tenant_id, change.instance_id))
        if live is not None:
            if change.after is Status.RUNNING:
                live.registered = True
                live.last_seen_ms = self._clock.now_ms()
                live.run_from(self._clock.now_ms())
                if live.launch.cancelled:
                    live.cancel_from(self._clock.now_ms(), self._cancel_grace_ms)
            elif change.after is not Status.PENDING:
                live.exit_by_ms = self._clock.now_ms() + EXIT_GRACE_MS
            self._recheck.set()
        if change.after is Status.PENDING:
            self.poke()

    def _find(self, ref: LaunchRef) -> _Live | None:
        live = self._live.get((ref.tenant_id, ref.instance_id))
        return live if live is not None and live.launch.epoch == ref.epoch else None

    # -- life -------------------------------------------------------------------------------------------

    async def start(self, stack: AsyncExitStack) -> None:
        """Begin to admit; stop everything when `stack` unwinds."""
        self._runs.mkdir(parents=True, exist_ok=True)
        loops = [asyncio.create_task(self._pump()), asyncio.create_task(self._watchdog())]

        async def stop() -> None:
            self._stopping = True
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            grace = self._settings.server.stop_grace_seconds
            await asyncio.gather(*(self._stop(live, grace) for live in list(self._live.values())))
            while self._tasks:
                await asyncio.gather(*self._tasks, return_exceptions=True)

        stack.push_async_callback(stop)
        self.poke()

    def adopt(self, launch: Launch, runner: Runner) -> None:
        """Supervise a process that an earlier life of this server launched."""
        live = self._enlist(launch, runner)
        live.handle = launch.handle
        live.registered = True  # if it is not, the heartbeat deadline finds out
        live.started_ms = launch.claimed_at_ms
        live.run_from(launch.claimed_at_ms)
        with contextlib.suppress(ImageInvalid):  # it runs, so an earlier version did not mind
            live.memory_limit_bytes = memory.limit_of(launch.image.manifest)
        if launch.cancelled:
            live.cancel_from(self._clock.now_ms(), self._cancel_grace_ms)
        self._spawn(self._supervise(live))

    async def _pump(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                while (free := self._settings.server.max_concurrent_instances - len(self._live)) > 0:
                    launches = await self._persistence.claim_launches(
                        self._node_id, limit=min(free, CLAIM_BATCH), now_ms=self._clock.now_ms()
                    )
                    if launches:
                        fault_point("claim.after_commit")
                    for launch in launches:
                        self._admit(launch)
                    if len(launches) < min(free, CLAIM_BATCH):
                        break
            except StorageError as error:
                logger.error("claiming launches failed, trying again in a second: %s", error)
                await self._clock.sleep_until(self._clock.now_ms() + 1000)
                self._wanted.set()

    def _admit(self, launch: Launch) -> None:
        runner = self.runners.get(launch.image.runner_type)
        if runner is None:
            verdict = verdicts.not_launched(
                "RUNNER_NOT_ENABLED",
                f"image {launch.image.name!r} wants the runner {launch.image.runner_type!r}, and this server has "
                f"{', '.join(sorted(self.runners)) or 'none'}; add it to [runner] enabled",
            )
            self._spawn(self._settle(launch, verdict))
            return
        live = self._enlist(launch, runner)
        self._spawn(self._run(live))

    def _enlist(self, launch: Launch, runner: Runner) -> _Live:
        now = self._clock.now_ms()
        live = _Live(launch=launch, runner=runner, started_ms=now, last_seen_ms=now)
        self._live[launch.tenant_id, launch.instance_id] = live
        self._recheck.set()
        return live

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- one launch -------------------------------------------------------------------------------------

    async def _run(self, live: _Live) -> None:
        try:
            live.handle = await self._launch(live)
        except RuntaraError as error:
            live.verdict = live.verdict or verdicts.not_launched(error.code, error.message)
        except Exception as error:  # a defect in a runner or a hook must not leave the instance hanging
            logger.exception("launching %s failed", live.launch.instance_id)
            live.verdict = live.verdict or verdicts.not_launched("LAUNCH_FAILED", f"{type(error).__name__}: {error}")
        if live.handle is None:
            await self._finish(live, verdict=live.verdict or Requeue())
            return
        fault_point("launch.after_spawn")
        if self._stopping or live.verdict is not None:  # decided while it was being launched
            self._spawn(self._stop(live, 0))
        await self._persistence.launch_started(live.launch.ref, live.handle)
        fault_point("launch.after_handle")
        await self._supervise(live)

    async def _launch(self, live: _Live) -> Handle | None:
        launch, runner = live.launch, live.runner
        image = launch.image
        if (image.runner_type, image.sha256) not in self._prepared:
            await runner.prepare(image, lambda: self._persistence.read_blob(image.sha256))
            self._prepared.add((image.runner_type, image.sha256))
        workdir = self._workdir(launch)
        workdir.mkdir(parents=True, exist_ok=True)
        limit = memory.limit_of(image.manifest)
        # The caller's variables come first: they can add, but not take over what the platform says.
        env = {**launch.env, **self._own_variables(live, limit)}
        spec = LaunchSpec(ref=launch.ref, image=image, env=env, workdir=workdir, memory_limit_bytes=limit)
        if self._hooks.has("runtara_prepare_launch"):
            changed = await self._hooks.first("runtara_prepare_launch", spec=spec)
            if changed is not None:
                limit = changed.memory_limit_bytes
                env = {name: value for name, value in changed.env.items() if name not in OWN_VARIABLES}
                env |= self._own_variables(live, limit)
                spec = msgspec.structs.replace(changed, ref=launch.ref, image=image, env=env)
        live.memory_limit_bytes = limit
        if live.verdict is not None or self._stopping:
            return None
        return await runner.launch(spec)

    def _own_variables(self, live: _Live, memory_limit_bytes: int | None) -> dict[str, str]:
        launch = live.launch
        own = {
            "RUNTARA_INSTANCE_ID": launch.instance_id,
            "RUNTARA_TENANT_ID": launch.tenant_id,
            "RUNTARA_SERVER_ADDR": self._core_address,
            "RUNTARA_TOKEN": self._tokens.make(launch.ref),
        }
        if memory_limit_bytes is not None and "memory" in live.runner.capabilities:
            own[memory.VARIABLE] = str(memory_limit_bytes)
        return own

    async def _supervise(self, live: _Live) -> None:
        assert live.handle is not None
        self._recheck.set()
        exit = await live.runner.wait(live.handle)
        if live.verdict is not None:
            verdict = live.verdict
        elif self._stopping:
            verdict = Requeue()
        else:
            verdict = verdicts.of_exit(
                exit,
                registered=live.registered,
                settings=self._settings.runner,
                memory_limit_bytes=live.memory_limit_bytes,
            )
        await self._finish(live, exit=exit, verdict=verdict)

    async def _finish(self, live: _Live, *, verdict: Verdict, exit: Exit | None = None) -> None:
        await self._settle(live.launch, verdict, exit)
        key = (live.launch.tenant_id, live.launch.instance_id)
        if self._live.get(key) is live:
            del self._live[key]
            self._tidy(live.launch)
        live.gone.set()
        self.poke()

    def _tidy(self, launch: Launch) -> None:
        """Remove the working directory if the program left nothing in it."""
        with contextlib.suppress(OSError):  # not empty, or gone
            self._workdir(launch).rmdir()

    def _workdir(self, launch: Launch) -> Path:
        return self._runs / _safe(launch.tenant_id) / _safe(launch.instance_id)

    async def _settle(self, launch: Launch, verdict: Verdict, exit: Exit | None = None) -> None:
        while True:
            try:
                change = await self._persistence.settle_launch(
                    launch.ref,
                    exit,
                    verdict,
                    deliver=obeys(launch.image.manifest, True),
                    now_ms=self._clock.now_ms(),
                )
                break
            except StorageError as error:
                logger.error("settling %s failed, trying again in a second: %s", launch.instance_id, error)
                await self._clock.sleep_until(self._clock.now_ms() + 1000)
        self._notifier.changed(change)

    async def _stop(self, live: _Live, grace_seconds: float) -> None:
        """Stop the process; a second stop with a shorter grace overtakes the first. Whoever waits here may go away: the work
        belongs to the launcher."""
        if live.handle is None:
            # Not spawned yet: `_run` looks at the verdict before and after it launches.
            live.verdict = live.verdict or Requeue()
            return
        live.stopping = True
        await asyncio.shield(self._spawn(self._stop_process(live, live.handle, grace_seconds)))

    async def _stop_process(self, live: _Live, handle: Handle, grace_seconds: float) -> None:
        try:
            await live.runner.stop(handle, grace_seconds)
        except Exception:  # a runner that cannot stop a process must not take the others down with it
            logger.exception("stopping %s failed", live.launch.instance_id)

    # -- deadlines --------------------------------------------------------------------------------------

    async def _watchdog(self) -> None:
        while True:
            self._recheck.clear()
            now = self._clock.now_ms()
            earliest: int | None = None
            for live in list(self._live.values()):
                due = self._check(live, now)
                if due is not None and (earliest is None or due < earliest):
                    earliest = due
            if earliest is None:
                await self._recheck.wait()
                continue
            sleep = asyncio.ensure_future(self._clock.sleep_until(earliest))
            changed = asyncio.ensure_future(self._recheck.wait())
            try:
                await asyncio.wait({sleep, changed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleep.cancel()
                changed.cancel()

    def _check(self, live: _Live, now: int) -> int | None:
        """Act on the deadlines of a launch that have passed; return the next one."""
        if live.stopping or live.handle is None:
            return None
        settings = self._settings.runner
        deadlines: list[tuple[int, Verdict]] = []
        if live.exit_by_ms is not None:
            deadlines.append((live.exit_by_ms, Requeue()))  # it has reported: the verdict will not matter
        else:
            if live.cancel_by_ms is not None:
                deadlines.append((live.cancel_by_ms, Cancel(reason=Reason.CANCELLED)))
            elif live.deadline_ms is not None:
                deadlines.append((live.deadline_ms, verdicts.timed_out(live.launch.timeout_ms or 0)))
            if live.registered:
                silence = int(settings.heartbeat_timeout_seconds * 1000)
                deadlines.append((live.last_seen_ms + silence, verdicts.silent(settings.heartbeat_timeout_seconds)))
            else:
                patience = int(settings.register_timeout_seconds * 1000)
                deadlines.append(
                    (live.started_ms + patience, verdicts.never_registered(settings.register_timeout_seconds))
                )
        moment, verdict = min(deadlines, key=lambda item: item[0])
        if moment > now:
            return moment
        live.verdict = live.verdict or verdict
        self._spawn(self._stop(live, self._settings.server.stop_grace_seconds))
        return None


def _safe(name: str) -> str:
    """A directory name for an id: the id where it is harmless, else percent-encoded, and short in any case."""
    text = "".join(c if c.isalnum() or c in "-_" else "".join(f"%{b:02x}" for b in c.encode()) for c in name)
    return text if len(text) <= 200 else f"{text[:120]}-{hashlib.sha256(name.encode()).hexdigest()[:32]}"
