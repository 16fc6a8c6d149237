"""`runtara agents | plugins | config | migrate | token`: what is installed, configured and stored here."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import secrets
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from runtara_framework.cli import output

if TYPE_CHECKING:
    from runtara_framework.agents.registry import AgentRegistry
    from runtara_framework.config import Loaded

SECRET_KEYS = ("password", "secret", "token", "passphrase")


def add_commands(commands: Any) -> None:
    """Add this module's commands."""
    agents = commands.add_parser("agents", help="what scenarios can call")
    actions = agents.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="every agent and its capabilities")
    listing.add_argument("--json", action="store_true", help="print everything, as JSON")
    listing.set_defaults(run=_list_agents)
    show = actions.add_parser("show", help="one agent: capabilities, inputs, outputs, errors")
    show.add_argument("agent", help="for example http, or http/http-request")
    show.add_argument("--json", action="store_true", help="print everything, as JSON")
    show.set_defaults(run=_show_agent)

    plugins = commands.add_parser("plugins", help="every installed plugin: kind, version, state, reason")
    plugins.add_argument("--config", type=Path, metavar="FILE", help="a runtara.toml")
    plugins.add_argument("--json", action="store_true", help="print JSON instead of a table")
    plugins.set_defaults(run=_plugins)

    config = commands.add_parser("config", help="the configuration in force")
    config_actions = config.add_subparsers(title="actions", metavar="ACTION", required=True)
    show_config = config_actions.add_parser("show", help="every key, its value and where it comes from; secrets masked")
    show_config.add_argument("--config", type=Path, metavar="FILE", help="a runtara.toml")
    show_config.set_defaults(run=_show_config)

    migrate = commands.add_parser("migrate", help="bring the database to this version's schema")
    migrate.add_argument("--config", type=Path, metavar="FILE", help="a runtara.toml")
    migrate.set_defaults(run=_migrate)

    token = commands.add_parser("token", help="make an API token and the hash for [auth] tokens")
    token.set_defaults(run=_token)


# -- agents -----------------------------------------------------------------------------------------------


def _agents() -> AgentRegistry:
    """Those that are installed, and those of the stdlib that RUNTARA_STDLIB_NAME chooses."""
    from runtara_framework.agents.registry import AgentRegistry
    from runtara_framework.stdlib import choose

    stdlib, registry = choose(), AgentRegistry()
    return registry if stdlib is None else stdlib.extend(registry)


def _list_agents(args: argparse.Namespace) -> int:
    import msgspec

    listing = _agents().listing()
    if args.json:
        output.result(msgspec.to_builtins(listing.agents))
        return 0
    output.table(
        ("agent", "distribution", "capabilities"),
        [(a.id, a.distribution, ", ".join(c.id for c in a.capabilities)) for a in listing.agents],
    )
    for problem in listing.problems:
        output.say(f"agent {problem.id} cannot be used: {problem.reason} ({problem.code})")
    return 0


def _show_agent(args: argparse.Namespace) -> int:
    import msgspec

    agent_id, _, capability_id = args.agent.partition("/")
    agent = _agents().info(agent_id)
    capabilities = (agent.require(capability_id),) if capability_id else agent.capabilities
    if args.json:
        output.result(msgspec.to_builtins(capabilities if capability_id else agent))
        return 0
    print(f"{agent.id}: {agent.title}. {agent.description}".rstrip())
    if agent.connection_types:
        print(f"connections: {', '.join(agent.connection_types)}")
    for capability in capabilities:
        traits = [
            name
            for name, on in (
                ("side effects" + _unless(capability.harmless), capability.side_effects),
                ("recomputed on replay", capability.pure),
                ("idempotent", capability.idempotent),
                ("rate limited", capability.rate_limited),
            )
            if on
        ]
        print(f"\n{agent.id}/{capability.id}  ({', '.join(traits)})\n  {capability.description}")
        for field in capability.inputs:
            default = "required" if field.required else f"default {field.default!r}"
            choices = f", one of {', '.join(map(str, field.enum))}" if field.enum else ""
            print(f"    {field.name}: {field.type}, {default}{choices}. {field.description}".rstrip())
        for line in _outputs(capability.output_schema):
            print(line)
        for error in capability.errors:
            print(f"  ! {error.code} ({error.category}) {error.description}".rstrip())
    return 0


def _outputs(schema: dict[str, Any]) -> Iterator[str]:
    """What a capability returns: its fields, or what it is if it is no object with fields."""
    known: dict[str, Any] = schema.get("$defs", {})
    if "$ref" in schema:
        schema = known.get(schema["$ref"].rpartition("/")[2], schema)
    fields: dict[str, Any] = schema.get("properties", {})
    if not fields:
        yield f"  -> {_kind(schema)}"
    for name, field in fields.items():
        yield f"  -> {name}: {_kind(field)}. {field.get('description', '')}".rstrip()


def _kind(schema: dict[str, Any]) -> str:
    """The type that a JSON Schema asks for, as the inputs call theirs."""
    if choices := schema.get("anyOf"):
        return " or ".join(dict.fromkeys(_kind(one) for one in choices))
    if "$ref" in schema:
        return "object"
    return str(schema.get("type", "any"))


# -- plugins and configuration ----------------------------------------------------------------------------


def _unless(harmless: dict[str, tuple[Any, ...]]) -> str:
    return "".join(f" unless {name} is {' or '.join(map(str, values))}" for name, values in harmless.items())


def _plugins(args: argparse.Namespace) -> int:
    import msgspec

    from runtara_framework import config, kernel
    from runtara_framework.extension.hooks import Hooks
    from runtara_framework.extension.report import report

    settings = config.load(args.config).settings
    disabled = frozenset(settings.plugins.disabled)
    hooks = Hooks()
    hooks.load_installed(disabled=disabled)
    lines = report(enabled=kernel.enabled_drivers(settings), disabled=disabled, hooks=hooks)
    if args.json:
        output.result(msgspec.to_builtins(lines))
        return 0
    output.table(
        ("kind", "name", "distribution", "version", "state", "provides", "reason"),
        [(p.kind, p.name, p.distribution, p.version, p.state, ", ".join(p.provides), p.reason) for p in lines],
    )
    return 0


def _show_config(args: argparse.Namespace) -> int:
    from runtara_framework import config

    loaded = config.load(args.config)
    for key, value, origin in _effective(loaded):
        print(f"{key} = {value!r}  # {origin}")
    return 0


def _effective(loaded: Loaded) -> list[tuple[str, Any, str]]:
    """Every key with its value and origin, sorted; secrets masked."""
    document = loaded.settings.model_dump(mode="json")
    document["persistence"] = {"url": loaded.settings.database_url, **document["persistence"]}
    lines: list[tuple[str, Any, str]] = []

    def walk(prefix: str, table: dict[str, Any]) -> None:
        for name, value in table.items():
            key = f"{prefix}{name}"
            if isinstance(value, dict):
                walk(f"{key}.", value)
            else:
                lines.append((key, _masked(name, value), loaded.origins.get(key, "default")))

    walk("", document)
    return sorted(lines)


def _masked(name: str, value: Any) -> Any:
    if any(word in name.lower() for word in SECRET_KEYS) and isinstance(value, str) and value:
        return "***"
    if isinstance(value, str) and "@" in value and "://" in value:
        parts = urlsplit(value)
        if parts.password:
            netloc = parts.netloc.replace(f":{parts.password}@", ":***@")
            return urlunsplit(parts._replace(netloc=netloc))
    return value


def _migrate(args: argparse.Namespace) -> int:
    from runtara_framework import config, kernel

    settings = config.load(args.config).settings

    async def migrate() -> None:
        async with AsyncExitStack() as stack:
            await kernel.open_persistence(settings, stack)

    asyncio.run(migrate())
    output.say(f"{_masked('url', settings.database_url)} is at this version's schema")
    return 0


def _token(args: argparse.Namespace) -> int:
    token = secrets.token_urlsafe(32)
    output.result({"token": token, "sha256": hashlib.sha256(token.encode()).hexdigest()})
    return 0
