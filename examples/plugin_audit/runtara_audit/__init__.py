"""A hook plugin in one module: it writes an audit trail, refuses what a rule forbids, and adds a command and a page.

Marking a function with `hookimpl` is all it takes; it asks for the arguments that it wants, by name. The trail is a file of
JSON lines, named by AUDIT_FILE.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec

from runtara_framework.errors import ConfigError
from runtara_framework.spec.lifecycle import hookimpl


def trail() -> Path:
    """Where the audit trail is."""
    return Path(os.environ.get("AUDIT_FILE", "audit.jsonl"))


def write(what: str, **facts: Any) -> None:
    """One more line."""
    with trail().open("a") as lines:
        lines.write(json.dumps({"what": what, **facts}) + "\n")


@hookimpl
async def runtara_configure(settings: Any) -> None:
    if settings.server.max_concurrent_instances > 1000:
        raise ConfigError("the audit plugin allows at most 1000 instances at once")


@hookimpl
async def runtara_started(addresses: dict[str, list[str]]) -> None:
    write("started", addresses=addresses)


@hookimpl
async def runtara_stopping() -> None:
    write("stopping")


@hookimpl
async def runtara_authorize(operation: str, tenant_id: str | None) -> bool:
    return not (operation == "stop_instance" and tenant_id == "protected")


@hookimpl
async def runtara_prepare_launch(spec: Any) -> Any:
    return msgspec.structs.replace(spec, env={**spec.env, "AUDITED": "yes"})


@hookimpl
async def runtara_instance_changed(change: Any) -> None:
    write("changed", instance=change.instance_id, before=change.before, after=change.after)


@hookimpl
async def runtara_checkpoint_saved(ref: Any, checkpoint_id: str, size_bytes: int) -> None:
    write("checkpoint", instance=ref.instance_id, checkpoint=checkpoint_id, bytes=size_bytes)


@hookimpl
def runtara_commands(commands: Any) -> None:
    audit = commands.add_parser("audit", help="print the audit trail")
    audit.set_defaults(run=_print_trail)


def _print_trail(args: Any) -> int:
    print(trail().read_text(), end="")
    return 0


@hookimpl
def runtara_routes() -> list[Any]:
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def page(request: Any) -> PlainTextResponse:
        return PlainTextResponse(trail().read_text())

    return [Route("/audit", page)]


@hookimpl
def runtara_validate_scenario(document: dict[str, Any]) -> list[Any]:
    from runtara_framework.dsl.validation import Finding

    if document.get("description") or document.get("executionGraph", {}).get("description"):
        return []
    return [
        Finding(
            code="AUDIT1",
            severity="warning",
            pointer="",
            message="the scenario has no description",
            suggestion="say in a sentence what it is for",
        )
    ]
