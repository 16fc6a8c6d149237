"""`runtara images | instances | signal`: drives a running server with the management SDK."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from runtara_framework.cli import output
from runtara_framework.errors import InvalidRequest, RuntaraError

if TYPE_CHECKING:
    from runtara_framework.management import ManagementSdk

Action = Callable[["ManagementSdk", argparse.Namespace], Awaitable[int]]


def add_commands(commands: Any) -> None:
    """Add this module's commands."""
    images = _group(commands, "images", "register and list images")
    command = _action(images, "list", _list_images, "the tenant's images, newest first")
    command.add_argument("--limit", type=int, default=100)
    command = _action(images, "show", _show_image, "one image with its manifest")
    command.add_argument("image", help="an id or a name")
    command = _action(
        images, "register", _register_image, "register an executable: a compiled scenario, or any program"
    )
    command.add_argument("file", type=Path, help="the executable")
    command.add_argument("--name", help="what to call it (default: the file's name)")
    command.add_argument("--description")
    command.add_argument("--runner", help="which runner launches it (default: the server's)")
    command = _action(images, "delete", _delete_image, "remove an image that nothing uses")
    command.add_argument("image", help="an id")

    instances = _group(commands, "instances", "start, watch and end instances")
    command = _action(instances, "start", _start, "start an image; print the instance's id, or with --wait its result")
    command.add_argument("image", help="an id or a name")
    command.add_argument("--input", metavar="JSON|@FILE", help="the input (default: {})")
    command.add_argument("--instance-id", metavar="ID", help="start it once only under this id")
    command.add_argument("--timeout", type=float, metavar="SECONDS", help="running time before it fails")
    command.add_argument("--wait", action="store_true", help="wait for the result")
    command = _action(instances, "list", _list, "the tenant's instances, newest first")
    command.add_argument("--status", help="only those")
    command.add_argument("--image", help="only those of this image id")
    command.add_argument("--limit", type=int, default=50)
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    _one(_action(instances, "show", _show, "everything about one instance, as JSON"))
    _one(_action(instances, "wait", _wait, "wait until it ends; print its output"))
    _one(_action(instances, "pause", _pause, "let it finish its step, then suspend it"))
    _one(_action(instances, "resume", _resume, "let a suspended instance go on"))
    command = _one(_action(instances, "cancel", _cancel, "ask it to end"))
    command.add_argument("--compensate", action="store_true", help="undo also what is undone only by hand")
    command = _one(_action(instances, "stop", _stop, "end it without asking"))
    command.add_argument(
        "--grace", type=float, default=5.0, metavar="SECONDS", help="between TERM and KILL (default: 5)"
    )
    _one(_action(instances, "checkpoints", _checkpoints, "its checkpoints, newest first"))
    command = _one(_action(instances, "events", _events, "what happened to it, oldest first"))
    command.add_argument("--limit", type=int, default=100)

    signal = commands.add_parser("signal", help="send a payload to an instance that waits for it")
    _connection(signal)
    _one(signal)
    signal.add_argument("key", help="the wait key")
    signal.add_argument("payload", nargs="?", metavar="JSON|@FILE", help="what to send (default: null)")
    signal.set_defaults(run=lambda args: _call(_signal, args))


def _group(commands: Any, name: str, text: str) -> Any:
    group = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    return group.add_subparsers(title="actions", metavar="ACTION", required=True)


def _action(group: Any, name: str, action: Action, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = group.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    _connection(parser)
    parser.set_defaults(run=lambda args: _call(action, args))
    return parser


def _one(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("instance", help="its id")
    return parser


def _connection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", metavar="ADDRESS", help="unix:///path or http://host:port")
    parser.add_argument("--tenant", default=os.environ.get("RUNTARA_TENANT_ID", "default"), help="default: default")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the runtara.toml that names the server's data_dir")


def _call(action: Action, args: argparse.Namespace) -> int:
    return asyncio.run(_with_sdk(action, args))


async def _with_sdk(action: Action, args: argparse.Namespace) -> int:
    from runtara_framework.management import ManagementSdk

    async with ManagementSdk(_address(args), tenant_id=args.tenant) as sdk:
        return await action(sdk, args)


def _address(args: argparse.Namespace) -> str:
    """--server, else RUNTARA_ENVIRONMENT_ADDR, else what the configuration says that a server here listens on."""
    given = args.server or os.environ.get("RUNTARA_ENVIRONMENT_ADDR")
    if given:
        return str(given)
    from runtara_framework import config, kernel

    return kernel.environment_addresses(config.load(args.config).settings)[0]


# -- images -----------------------------------------------------------------------------------------------


async def _list_images(sdk: ManagementSdk, args: argparse.Namespace) -> int:
    page = await sdk.list_images(limit=args.limit)
    output.table(
        ("image_id", "name", "runner", "bytes", "created"),
        [(i.image_id, i.name, i.runner_type, i.size_bytes, output.moment(i.created_at_ms)) for i in page.images],
    )
    _say_more(len(page.images), page.total_count)
    return 0


async def _show_image(sdk: ManagementSdk, args: argparse.Namespace) -> int:
    output.result(msgspec.to_builtins(await sdk.get_image(args.image)))
    return 0


async def _register_image(sdk: ManagementSdk, args: argparse.Namespace) -> int:
    try:
        size = args.file.stat().st_size
    except OSError as error:
        raise InvalidRequest(f"{args.file} cannot be read: {error.strerror}") from None
    if not args.file.is_file():
        raise InvalidRequest(f"{args.file} is no file; an image is one executable file")
    if size == 0:
        raise InvalidRequest(f"{args.file} is empty")
    registered = await sdk.register_image_stream(
        name=args.name or args.file.stem, source=args.file, description=args.description, runner_type=args.runner
    )
    output.result({"image_id": registered.image_id, "deduplicated": registered.deduplicated})
    return 0


async def _delete_image(sdk: ManagementSdk, args: argparse.Namespace) -> int:
    await sdk.delete_image(args.image)
    return 0


# -- instances --------------------------------------------------------------------------------------------


async def _start(sdk: ManagementSdk, args: argparse.Namespace) -> int:
    started = await sdk.start_instance(
        image_id=args.image,
        instance_id=args.instance_id,
        input=output.read_json(args.input, "--input"),
        timeout_seconds=args.timeout,
    )
    if not args.wait:
        output.result({"instance_id": started.instance_id, "deduplicated": started.deduplicated})
        return 0
    try:
        return await _until_end(sdk, started.instance_id)
    except (asyncio.CancelledError, RuntaraError):  # ^C, or no server any more
        output.say(f"instance {started.instance_id} goes on; runtara instances wait {started.instance_id} waits again")
        raise


async def _wait(sdk: ManagementSdk, args: argparse.Namespace) -> int:
    return await _until_end(sdk, args.instance)


async def _until_end(sdk: ManagementSdk, instance_id: str) -> int:
    from runtara_framework.cli.run import conclude

    return conclude(await sdk.wait_for_completion(instance_id))


async def _list(sdk: ManagementSdk, args: argparse.Namespace) -> int:
    page = await sdk.list_instances(status=args.status, image_id=args.image, limit=args.limit)
    _say_more(len(page.instances), page.total_count)
    if args.json:
        output.result([msgspec.to_builtins(instance) for instance in page.instances])
        return 0
    output.table(
        ("instance_id", "image", "status", "reason", "created", "finished", "wakes"),
        [
            (
                i.instance_id,
                i.image_name,
                i.status,
                i.reason,
                output.moment(i.created_at_ms),
                output.moment(i.finished_at_ms),
                output.moment(i.wake_at_ms),
            )
            for i in page.instances
        ],
    )
    return 0


async def _show(sdk: ManagementSdk, args: argparse.Namespace) -> int:
    output.result(msgspec.to_builtins(await sdk.get_instance_status(args.instance)))
    return 0


async def _pause(sdk: ManagementSdk, args: argparse.Namespace) -> int:
    await sdk.pause_instance(args.instance)
    return 0


async def _resume(sdk: ManagementSdk, args: argparse.Namespace) -> int:
    await sdk.resume_instance(args.instance)
    return 0


async def _cancel(sdk: ManagementSdk, args: argparse.Namespace) -> int:
    await sdk.cancel_instance(args.instance, compensate=args.compensate)
    return 0


async def _stop(sdk: ManagementSdk, args: argparse.Namespace) -> int:
    await sdk.stop_instance(args.instance, grace_period_seconds=args.grace)
    return 0


async def _checkpoints(sdk: ManagementSdk, args: argparse.Namespace) -> int:
    page = await sdk.list_checkpoints(args.instance)
    output.table(
        ("seq", "checkpoint_id", "bytes", "created"),
        [(c.seq, c.checkpoint_id, c.size_bytes, output.moment(c.created_at_ms)) for c in page.checkpoints],
    )
    return 0


async def _events(sdk: ManagementSdk, args: argparse.Namespace) -> int:
    page = await sdk.list_events(args.instance, limit=args.limit, sort_order="asc")
    for event in page.events:
        output.result(msgspec.to_builtins(event))
    _say_more(len(page.events), page.total_count)
    return 0


def _say_more(shown: int, total: int | None) -> None:
    if total is not None and total > shown:
        output.say(f"{shown} of {total}; --limit N shows more")


async def _signal(sdk: ManagementSdk, args: argparse.Namespace) -> int:
    await sdk.send_custom_signal(args.instance, args.key, output.read_json(args.payload, "the payload"))
    return 0
