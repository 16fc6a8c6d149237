"""`runtara run`: a scenario, from its file to its result, on a server that lives as long as the command.

The result alone goes to stdout. The exit code says how it went: 0 completed, 1 failed, 2 the scenario or the input is
wrong, 3 cancelled, 4 it waits for a person (with `--data-dir`: a server on that directory takes it from there), 5 the
server had trouble, 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shlex
import signal
import sys
import tempfile
import uuid
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtara_framework.cli import output
from runtara_framework.cli.scenarios import add_scenario_arguments, compile_given, read_compilation
from runtara_framework.errors import RuntaraError

if TYPE_CHECKING:
    from runtara_framework.management import ManagementSdk
    from runtara_framework.protocol.messages import InstanceInfo

EXIT_INTERRUPTED = 130
CANCEL_PATIENCE_SECONDS = 15.0


def add_commands(commands: Any) -> None:
    """Add this module's commands."""
    run = commands.add_parser(
        "run",
        help="run a scenario to its result",
        description="Compile a scenario, run it in a process of its own on an embedded server, print the result as JSON.",
        epilog="exit codes: 0 completed, 1 failed, 2 invalid scenario or input, 3 cancelled, 4 waiting, 5 server, 130 ^C",
    )
    add_scenario_arguments(run)
    run.add_argument("--input", metavar="JSON|@FILE", help="the input (default: {})")
    run.add_argument("--tenant", default="default", help="whose instance it is (default: default)")
    run.add_argument("--data-dir", type=Path, metavar="DIR", help="keep the state here instead of throwing it away")
    run.add_argument("--instance-id", metavar="ID", help="start, or go on with, the instance of this id")
    run.add_argument("--timeout", type=float, metavar="SECONDS", help="running time before it fails")
    run.add_argument("--config", type=Path, metavar="FILE", help="a runtara.toml for the embedded server")
    run.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    progress = sys.stderr.isatty()
    given, text = read_compilation(args, tenant_id=args.tenant, debug_mode=progress)
    image = compile_given(given, args.scenario, text, warnings=False)
    value = output.read_json(args.input, "--input")
    with contextlib.ExitStack() as stack:
        data_dir = args.data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="runtara-")))
        return asyncio.run(_embedded(args, image.binary, value, data_dir, progress))


async def _embedded(args: argparse.Namespace, binary: bytes, value: Any, data_dir: Path, progress: bool) -> int:
    from runtara_framework import config, kernel
    from runtara_framework.management import ManagementSdk

    flags = {
        "server.data_dir": str(data_dir),
        "transports.core": [kernel.socket_address(data_dir, "core")],
        "transports.environment": [kernel.socket_address(data_dir, "environment")],
    }
    if not args.data_dir:
        # Nobody will read this database after the command has ended, so nothing needs to survive a power cut.
        flags["persistence.synchronous"] = "normal"
    settings = config.load(args.config, flags=flags).settings
    async with AsyncExitStack() as stack:
        server = await kernel.start(settings, stack)
        sdk = await stack.enter_async_context(ManagementSdk(server.addresses["environment"][0], tenant_id=args.tenant))
        name = Path(args.scenario).stem if args.scenario != "-" else "scenario"
        registered = await sdk.register_image(name=name, binary=binary)
        instance_id = args.instance_id or str(uuid.uuid4())
        with _interrupts() as interrupted:
            await sdk.start_instance(
                image_id=registered.image_id, instance_id=instance_id, input=value, timeout_seconds=args.timeout
            )
            ended = asyncio.Event()
            watcher = asyncio.create_task(_show_progress(sdk, instance_id, ended)) if progress else None
            info = await _follow(sdk, instance_id, interrupted, server.addresses["environment"][0], args.data_dir)
            ended.set()
            if watcher is not None:
                await asyncio.gather(watcher, return_exceptions=True)  # a display that fails changes no result
        if info.status == "suspended" and args.data_dir:
            answer = _answer(info, f"--server {server.addresses['environment'][0]}", await _asked_for(sdk, info))
            output.say(f"{_waits(info)}; go on with: runtara-server --data-dir {args.data_dir} and {answer}")
        return conclude(info, interrupted.is_set())


async def _follow(
    sdk: ManagementSdk, instance_id: str, interrupted: asyncio.Event, address: str, data_dir: Path | None
) -> InstanceInfo:
    """Wait until it ends; on the first interrupt cancel it and wait a little longer. If it waits for a person, say how to
    answer; with a data directory that outlives this command, leave then."""
    seen = "pending"
    while True:
        waiting = asyncio.ensure_future(sdk.get_instance_status(instance_id, wait_ms=30_000, unless_status=seen))
        stop = asyncio.ensure_future(interrupted.wait())
        await asyncio.wait({waiting, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not waiting.done():
            waiting.cancel()
            output.say("cancelling …")
            with contextlib.suppress(RuntaraError):  # it may have ended in this very moment
                await sdk.cancel_instance(instance_id)
            return await sdk.get_instance_status(instance_id, wait_ms=int(CANCEL_PATIENCE_SECONDS * 1000))
        info = await waiting
        if info.status in ("completed", "failed", "cancelled"):
            return info
        if info.status == "suspended" and info.reason in ("paused", "breakpoint", "waiting_signal"):
            if data_dir is not None:
                return info
            if seen != info.status:
                answer = _answer(info, f"--server {address}", await _asked_for(sdk, info))
                output.say(f"{_waits(info)}; in another terminal: {answer}")
        seen = info.status


def _waits(info: InstanceInfo) -> str:
    what = {"waiting_signal": "waits for a signal", "breakpoint": "is at a breakpoint"}.get(
        info.reason or "", "is paused"
    )
    return f"instance {info.instance_id} {what}"


async def _asked_for(sdk: ManagementSdk, info: InstanceInfo) -> str:
    """The key of the signal that it waits for; KEY where it has asked for several."""
    page = await sdk.list_events(info.instance_id, subtype="external_input_requested", limit=100)
    keys = {event.payload.get("signal_id") for event in page.events if isinstance(event.payload, dict)}
    key = keys.pop() if len(keys) == 1 else None
    return shlex.quote(key) if isinstance(key, str) else "KEY"


def _answer(info: InstanceInfo, where: str, key: str) -> str:
    """The command that lets it go on."""
    tenant = "" if info.tenant_id == "default" else f" --tenant {info.tenant_id}"
    if info.reason == "waiting_signal":
        return f"runtara signal {where}{tenant} {info.instance_id} {key} JSON"
    return f"runtara instances resume {where}{tenant} {info.instance_id}"


@contextlib.contextmanager
def _interrupts() -> Any:
    """An event that SIGINT and SIGTERM set."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, event.set)
    try:
        yield event
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _show_progress(sdk: ManagementSdk, instance_id: str, ended: asyncio.Event) -> None:
    """A line on stderr for each step that begins or ends, and for each log message, until all are shown."""
    last, more = 0, True
    while more:
        more = not ended.is_set()  # what happened before the end is in storage by now: one more look shows it
        page = await sdk.list_events(instance_id, after_event_id=last, sort_order="asc", limit=200)
        for event in page.events:
            last = event.event_id
            line = _progress_line(event.subtype or event.event_type, event.payload)
            if line:
                output.say(line)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):  # this is a display: ten looks a second are smooth
                await ended.wait()


def _progress_line(kind: str, payload: Any) -> str | None:
    facts = payload if isinstance(payload, dict) else {}
    name = facts.get("step_name") or facts.get("step_id") or "?"
    match kind:
        case "step_debug_start":
            return f"  … {name} ({facts.get('step_type')})"
        case "step_debug_end":
            mark = "✗" if facts.get("error") else "✓"
            return f"  {mark} {name} ({facts.get('duration_ms', 0)} ms)"
        case "workflow_log":
            return f"  · {facts.get('level', 'info')}: {facts.get('message', '')}"
        case "started" | "suspended":
            return f"  — {kind}"
    return None


def conclude(info: InstanceInfo, interrupted: bool = False) -> int:
    """Print how an instance ended; the exit code that says so."""
    if info.status == "completed":
        output.result(info.output)
        return 0
    error = info.error or {
        "code": str(info.reason or info.status).upper(),
        "message": f"the instance is {info.status}" + (f" ({info.reason})" if info.reason else ""),
    }
    output.say(f"{info.status}: {error.get('message')}")
    output.error_line(error)
    if interrupted:
        return EXIT_INTERRUPTED
    return {"failed": output.EXIT_FAILED, "cancelled": output.EXIT_CANCELLED}.get(info.status, output.EXIT_UNFINISHED)
