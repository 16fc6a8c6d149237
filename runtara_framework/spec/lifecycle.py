"""The hooks: what any number of plugins may answer. Group `runtara.plugins`; one entry point names a module or an object.

A plugin marks its functions with `hookimpl` and takes the arguments that it wants, by name. Hooks are async functions unless
their description says "not async"; plain functions work too if they return at once. How each is called is part of its
description: *told* (an exception or a time-out is logged and affects nobody), *asked* (the first answer that is not None
wins; an exception propagates) or *collected* (all answers; an exception propagates). Plugins are called in the order of
their names.

    from runtara_framework.spec.lifecycle import hookimpl

    @hookimpl
    async def runtara_instance_changed(change):
        print(change.instance_id, change.before, "->", change.after)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from pathlib import Path

    from runtara_framework.model import Change, LaunchRef
    from runtara_framework.spec.runner import LaunchSpec

PROJECT = "runtara"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


# -- the server -------------------------------------------------------------------------------------------


@hookspec
async def runtara_configure(settings: Any) -> None:
    """Told once, before any driver starts, with the validated `config.Settings`. Collected: raise to refuse the start."""


@hookspec
async def runtara_started(addresses: dict[str, list[str]]) -> None:
    """Told when the server serves: the bound addresses by protocol (`core`, `environment`)."""


@hookspec
async def runtara_stopping() -> None:
    """Told when the server begins to stop, before the first instance is stopped."""


@hookspec
async def runtara_authorize(operation: str, access: str, tenant_id: str | None, principal: str) -> bool | None:
    """Collected for every environment operation after the token was accepted: False from any plugin forbids it, and so does
    an exception or a time-out (it fails closed). `access` is read, write or signal."""


# -- instances --------------------------------------------------------------------------------------------


@hookspec
async def runtara_prepare_launch(spec: LaunchSpec) -> LaunchSpec | None:
    """Asked before each launch: an answer replaces the launch (another environment, directory, limit of memory). `spec.ref`,
    `spec.image` and the variables that tell the instance who it is are restored afterwards. An exception fails the launch
    with LAUNCH_FAILED."""


@hookspec
async def runtara_instance_changed(change: Change) -> None:
    """Told of every committed transition, in the order of commits for one instance."""


@hookspec
async def runtara_checkpoint_saved(ref: LaunchRef, checkpoint_id: str, size_bytes: int) -> None:
    """Told of every checkpoint that was written (not of those that were found)."""


# -- scenarios --------------------------------------------------------------------------------------------


@hookspec
def runtara_validate_scenario(document: dict[str, Any]) -> list[Any] | None:
    """Collected, not async: extra findings (`dsl.validation.Finding`) for a scenario and for each child that it starts,
    whenever one is validated or compiled (`runtara validate`, `compile`, `run`; `check_scenario`, `compile_scenario`). A
    finding of severity `error` refuses it. So does an exception, as the finding E064; nothing about the document need be
    right."""


@hookspec
async def runtara_resolve_connection(tenant_id: str, connection_id: str) -> dict[str, Any] | None:
    """Asked when an instance needs a connection: `{integration_id, parameters, connection_subtype?}`, or None to pass."""


# -- extension of the rooms -------------------------------------------------------------------------------


@hookspec
def runtara_migrations() -> list[Path] | None:
    """Collected, not async: directories of alembic revisions (branches of the plugin's own) for the same database."""


@hookspec
def runtara_commands(commands: Any) -> None:
    """Collected, not async: add subcommands to `runtara`. `commands` is argparse's subparsers action; set the default `run`
    of a parser to a function that takes the parsed arguments and returns an exit code."""


@hookspec
def runtara_routes() -> list[Any] | None:
    """Collected, not async: Starlette routes to serve beside the environment protocol over HTTP."""
