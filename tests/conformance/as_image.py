"""Runs a case as a compiled image in processes of its own, on a real server, seen through the management SDK.

The image brings the test agent along. What differs from run to run is in its environment: the folder that outlives its
processes (how often the agent was called), the server's address (for the agent that cancels), and whether each of its
processes kills itself with SIGKILL as soon as it knows that a new checkpoint is stored.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import py_compile
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from runtara_framework.errors import InputInvalid
from runtara_framework.management import ManagementSdk
from runtara_framework.packaging import write_zipapp
from runtara_framework.protocol.messages import InstanceInfo
from runtara_framework.states import TERMINAL, Status

from .cases import HERE, Case, Mode
from .compiling import STDLIBS, compile_case
from .observed import Observed

PATIENCE_SECONDS = 60
LOOK_AGAIN_MS = 500
"""How long a question for a new status is held. An instance may be suspended anew before the answer is made."""
PAGE = 1000

_MAIN = """
from fcntl import LOCK_SH, flock
from os import environ
from pathlib import Path

from doubles import Double
from program import main
from runtara_framework import faults
from runtara_framework.runtime.agent import agents
from runtara_framework.sdk.bootstrap import run
from scripts import SCRIPTS

folder = Path(environ["CASE_FOLDER"])
with open(folder / "gate") as gate:
    flock(gate, LOCK_SH)
if environ["CASE_KILLED"] == "yes":
    faults.arm("instance.after_checkpoint,instance.after_signal,instance.after_suspend")


async def cancel(instance_id, compensate):
    from runtara_framework.management import ManagementSdk

    async with ManagementSdk(environ["CASE_SERVER"], tenant_id=environ["RUNTARA_TENANT_ID"]) as sdk:
        await sdk.cancel_instance(instance_id, compensate=compensate)


agents().add(Double(SCRIPTS, folder / "calls.json", cancel))
run(main)
"""


def image_of(case: Case, *, debug: bool) -> bytes:
    """An image of the case that brings its test agent along."""
    compiled = compile_case(case, debug=debug)
    files = {
        "__main__.py": _MAIN.encode(),
        "scripts.py": f"SCRIPTS = {case.doubles!r}".encode(),
        "doubles.pyc": _test_agent(),
        "program.py": compiled.source.encode(),
    }
    if case.stdlib:  # it is not installed where the server runs, so the image is where it is found
        stdlib = [path for path in STDLIBS.rglob("*") if path.is_file() and path.suffix != ".pyc"]
        files |= {str(path.relative_to(STDLIBS)): path.read_bytes() for path in stdlib}
    return write_zipapp(files, compiled.manifest)


@cache
def _test_agent() -> bytes:
    """Its module, compiled: every process of every case imports it."""
    with tempfile.TemporaryDirectory() as folder:
        compiled = py_compile.compile(
            str(HERE / "doubles.py"),
            cfile=f"{folder}/doubles.pyc",
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        return Path(compiled or "").read_bytes()


async def run(case: Case, mode: Mode, sdk: ManagementSdk, folder: Path) -> Observed:
    """What the case does. `folder`: an empty one."""
    image = await sdk.register_image(name="case", binary=image_of(case, debug=mode.debug))
    instance_id = str(uuid.uuid4())
    env = {
        "CASE_FOLDER": str(folder),
        "CASE_KILLED": "yes" if mode.killed else "no",
        "CASE_SERVER": sdk.config.server_addr,
    }
    with _gate(folder):
        try:
            await sdk.start_instance(image_id=image.image_id, instance_id=instance_id, input=case.input, env=env)
        except InputInvalid as refused:  # before there is a process; in this process the program itself refuses
            return _refused(refused)
        for signal in case.signals:
            if signal.get("early"):
                await _send(sdk, instance_id, signal)
    signals = [signal for signal in case.signals if not signal.get("early")]
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            info = await _ended(sdk, instance_id, signals)
    except TimeoutError:
        raise AssertionError(f"after {PATIENCE_SECONDS} s: {await sdk.get_instance_status(instance_id)}") from None
    return await _observed(case, sdk, info, folder)


@contextmanager
def _gate(folder: Path) -> Iterator[None]:
    """Meanwhile no process of the case gets beyond its start."""
    with open(folder / "gate", "w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield


async def _ended(sdk: ManagementSdk, instance_id: str, signals: list[dict[str, Any]]) -> InstanceInfo:
    """The instance when it has ended, or waits for a signal when all are sent."""
    info = await sdk.get_instance_status(instance_id)
    while info.status not in TERMINAL:
        if info.status is Status.SUSPENDED and info.wake_at_ms is None:
            if not signals:
                break
            await _send(sdk, instance_id, signals.pop(0))
            info = await sdk.get_instance_status(instance_id)
        else:
            info = await sdk.get_instance_status(instance_id, wait_ms=LOOK_AGAIN_MS, unless_status=info.status)
    return info


async def _send(sdk: ManagementSdk, instance_id: str, signal: dict[str, Any]) -> None:
    if signal.get("pause"):
        await sdk.pause_instance(instance_id)
    elif signal.get("resume"):
        await sdk.resume_instance(instance_id)
    elif signal.get("cancel"):
        await sdk.cancel_instance(instance_id, compensate=signal.get("compensate", False))
    else:
        await sdk.send_custom_signal(instance_id, signal["key"], signal.get("payload"))


async def _observed(case: Case, sdk: ManagementSdk, info: InstanceInfo, folder: Path) -> Observed:
    calls = folder / "calls.json"
    return Observed(
        status=str(info.status),
        reason=info.reason,
        result=info.output,
        error=info.error,
        launches=info.launches,
        checkpoints=await _checkpoints(sdk, info.instance_id),
        events={subtype: await _events(sdk, info.instance_id, subtype) for subtype in case.expect.get("events", {})},
        calls=Counter(json.loads(calls.read_text()) if calls.exists() else {}),
    )


async def _checkpoints(sdk: ManagementSdk, instance_id: str) -> list[str]:
    found = await sdk.list_checkpoints(instance_id, limit=PAGE)
    assert found.total_count == len(found.checkpoints), "a case with more checkpoints than one page has"
    return [checkpoint.checkpoint_id for checkpoint in reversed(found.checkpoints)]


async def _events(sdk: ManagementSdk, instance_id: str, subtype: str) -> list[Any]:
    found = await sdk.list_events(instance_id, event_type="custom", subtype=subtype, sort_order="asc", limit=PAGE)
    assert found.total_count == len(found.events), "a case with more events of a kind than one page has"
    return [event.payload for event in found.events]


def _refused(error: InputInvalid) -> Observed:
    return Observed(
        status="failed",
        reason=None,
        result=None,
        error={"code": error.code, "message": error.message, "attributes": error.details},
        launches=0,
        checkpoints=[],
        events={},
        calls=Counter(),
    )
