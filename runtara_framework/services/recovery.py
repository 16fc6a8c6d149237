"""Goes on after a crash of the server: adopts the processes that live, queues again the instances whose process is gone.

Runs once at start, before anything is admitted. Every launch of this node that was not settled is one of three:

* it lives, and its instance still is in its epoch: the launcher supervises it again;
* it lives, but its instance has moved on (it was stopped while we were away): it is killed;
* it is gone, or was never remembered: its instance is PENDING again. If a forgotten process does run, its epoch is stale
  from the next claim on: its first call is refused and it exits.
"""

from __future__ import annotations

import logging

from runtara_framework.clock import Clock
from runtara_framework.model import Launch
from runtara_framework.services.images import obeys
from runtara_framework.services.launcher import Launcher
from runtara_framework.services.notifier import Notifier
from runtara_framework.spec.persistence import Persistence, Requeue
from runtara_framework.states import Status

logger = logging.getLogger(__name__)


async def recover(persistence: Persistence, launcher: Launcher, notifier: Notifier, clock: Clock, node_id: str) -> None:
    """Bring the launches of this node's earlier life to an end or back under supervision."""
    launches = await persistence.live_launches(node_id)
    adopted = 0
    for launch in launches:
        runner = launcher.runners.get(launch.image.runner_type)
        alive = runner is not None and launch.handle is not None and await runner.adopt(launch.handle)
        if alive and runner is not None and launch.handle is not None:
            if await _current(persistence, launch):
                launcher.adopt(launch, runner)
                adopted += 1
                continue
            await runner.stop(launch.handle, 0)
        deliver = obeys(launch.image.manifest, True)
        change = await persistence.settle_launch(launch.ref, None, Requeue(), deliver=deliver, now_ms=clock.now_ms())
        notifier.changed(change)
    if launches:
        logger.info(
            "recovered %d launches: %d still run, %d go on anew", len(launches), adopted, len(launches) - adopted
        )


async def _current(persistence: Persistence, launch: Launch) -> bool:
    instance = await persistence.get_instance(launch.tenant_id, launch.instance_id)
    return instance.epoch == launch.epoch and instance.status in (Status.PENDING, Status.RUNNING)
