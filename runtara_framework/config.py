"""Settings: `runtara.toml`, then the environment, then flags; each beats the one before it.

Every key is declared once, here, with its type, default and description; a driver's own keys are declared by the driver.
An unknown key is an error that names the nearest known one. The origin of each value is kept, so that
`runtara config show` can say where it came from.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtara_framework.errors import ConfigError

ENVIRONMENT_NAMES: dict[str, tuple[str, ...]] = {
    # The documented names, in rising order of precedence; `RUNTARA__SECTION__KEY` works for every key and beats them.
    "RUNTARA_DATABASE_URL": ("persistence", "url"),
    "RUNTARA_ENVIRONMENT_DATABASE_URL": ("persistence", "url"),
    "DATA_DIR": ("server", "data_dir"),
    "RUNTARA_MAX_CONCURRENT_INSTANCES": ("server", "max_concurrent_instances"),
    "RUNTARA_CONNECTION_SERVICE_URL": ("connections", "url"),
    "EXECUTION_TIMEOUT_SECS": ("runner", "timeout_seconds"),
}
PREFIX = "RUNTARA__"
MAX_SECONDS = 10 * 366 * 86_400


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _OpenTable(BaseModel):
    """A table that also holds the tables of drivers, by name."""

    model_config = ConfigDict(extra="allow", frozen=True)


class ServerSettings(_Table):
    data_dir: Path = Field(Path(".data"), description="Where the database, sockets, images and runs live.")
    roles: list[Literal["core", "environment"]] = Field(
        ["core", "environment"], min_length=1, description="`core` alone gives durability without managed instances."
    )
    max_concurrent_instances: int = Field(32, ge=1, description="Processes at once; the rest wait as PENDING.")
    max_pending_instances: int = Field(10_000, ge=1, description="Beyond this a start is refused with QUEUE_FULL.")
    stop_grace_seconds: float = Field(
        5.0, ge=0, le=MAX_SECONDS, description="What running instances get when the server stops."
    )


class TransportSettings(_OpenTable):
    core: list[str] | None = Field(
        None, description="Addresses for instances; the first is given to them. Default: a unix socket in data_dir."
    )
    environment: list[str] | None = Field(
        None,
        description="Addresses for products. Default: a unix socket in data_dir, and http://127.0.0.1:8002 if installed.",
    )


class RunnerSettings(_OpenTable):
    default: str = Field("native", description="The runner of images that name none.")
    enabled: list[str] | None = Field(None, description="Runners to load. Default: only `default`.")
    timeout_seconds: float = Field(
        300.0, gt=0, le=MAX_SECONDS, description="Running time of an instance that sets none, all launches."
    )
    register_timeout_seconds: float = Field(
        30.0, gt=0, le=MAX_SECONDS, description="A process that has not registered by then is killed."
    )
    heartbeat_timeout_seconds: float = Field(
        120.0, gt=0, le=MAX_SECONDS, description="Silence after which an instance counts as dead."
    )
    cancel_grace_seconds: float = Field(
        30.0,
        ge=0,
        le=MAX_SECONDS,
        description="How long an instance may take to obey a cancel; one with onCancel gets at least 40.",
    )
    max_restarts: int = Field(5, ge=0, description="Crashes in a row without a new checkpoint before FAILED.")
    restart_delays_ms: list[int] = Field(
        [100, 500, 2_000, 10_000, 30_000], min_length=1, description="Pause before the n-th restart in a row."
    )


class SchedulerSettings(_OpenTable):
    driver: str = Field("timer", description="Which scheduler wakes what is due.")


class SleepSettings(_Table):
    hold_below_seconds: float = Field(
        10.0,
        ge=0,
        le=MAX_SECONDS,
        description="Shorter sleeps and waits stay in the process; longer ones leave it and cost a row.",
    )


class LimitSettings(_Table):
    message_bytes: int = Field(24 * 2**20, ge=1024, description="One message on any transport.")
    input_bytes: int = Field(16 * 2**20, ge=1, description="The input of an instance.")
    output_bytes: int = Field(16 * 2**20, ge=1, description="The output of an instance.")
    checkpoint_bytes: int = Field(16 * 2**20, ge=1, description="The state of one checkpoint.")
    event_bytes: int = Field(16 * 2**20, ge=1, description="The payload of one event or signal.")
    image_bytes: int = Field(512 * 2**20, ge=1, description="The bytes of one image.")


class ApiToken(_Table):
    name: str = Field(description="For logs and hooks.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Hash of the token; `runtara token` makes a pair.")
    tenants: list[str] = Field(["*"], description="Tenants that it may act for; * is all.")
    actions: list[Literal["read", "write", "signal"]] = Field(
        ["read", "write", "signal"], description="What it may do."
    )


class AuthSettings(_Table):
    mode: Literal["none", "token"] = Field(
        "none", description="`none` is refused on anything but loopback and unix sockets."
    )
    tokens: list[ApiToken] = Field([], description="Who may call the environment protocol in mode `token`.")


class ConnectionSettings(_Table):
    url: str | None = Field(
        None, description="The product's connection service: GET {url}/{tenant}/{connection}. Default: only plugins."
    )
    token: str | None = Field(None, description="Sent to it as `Authorization: Bearer`. Instances never see it.")
    timeout_seconds: float = Field(30.0, gt=0, le=MAX_SECONDS, description="How long it may take to answer.")


class PluginSettings(_Table):
    disabled: list[str] = Field([], description="Names of agents and hook plugins not to load.")


class Settings(_Table):
    """All of `runtara.toml`."""

    server: ServerSettings = ServerSettings()
    persistence: dict[str, Any] = Field(
        default_factory=dict, description="`url` picks the driver by its scheme; the rest are the driver's own keys."
    )
    transports: TransportSettings = TransportSettings()
    runner: RunnerSettings = RunnerSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    sleep: SleepSettings = SleepSettings()
    limits: LimitSettings = LimitSettings()
    auth: AuthSettings = AuthSettings()
    connections: ConnectionSettings = ConnectionSettings()
    plugins: PluginSettings = PluginSettings()

    def driver_table(self, kind: str, name: str) -> dict[str, Any]:
        """The table of a runner, transport or scheduler of that name: `[runner.native]`, `[transports.http]`."""
        table = (getattr(self, kind).model_extra or {}).get(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"[{kind}] {name} is not a table; did you mean [{kind}.{name}]?")
        return table

    @property
    def database_url(self) -> str:
        """`[persistence] url`, or a SQLite file in the data directory."""
        return str(self.persistence.get("url") or f"sqlite:///{self.server.data_dir / 'runtara.db'}")


@dataclass(frozen=True)
class Loaded:
    """Settings with the origin of each value that is not a default, by dotted key."""

    settings: Settings
    origins: Mapping[str, str] = field(default_factory=dict)


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Loaded:
    """Read the settings. `path` None means `runtara.toml` in the current directory if there is one. `flags` maps dotted
    keys to values. Raises `ConfigError` for an unreadable file, an unknown key or a wrong value."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for key, value, origin in (*_file(path), *_environment(os.environ if environ is None else environ)):
        _put(values, origins, key, value, origin)
    for dotted, value in (flags or {}).items():
        _put(values, origins, tuple(dotted.split(".")), value, "flag")
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain(error, Settings, "the configuration", origins)) from error
    for kind in ("runner", "transports", "scheduler"):
        for name, table in (getattr(settings, kind).model_extra or {}).items():
            if not isinstance(table, dict):
                known = list(type(getattr(settings, kind)).model_fields)
                raise ConfigError(f"[{kind}] has no key {name!r}{_nearest(name, known)}")
    return Loaded(settings, origins)


def explain(
    error: ValidationError, model: type[BaseModel], where: str, origins: Mapping[str, str] | None = None
) -> str:
    """pydantic's findings as sentences: key, what is wrong, where it came from, the nearest known key."""
    lines = []
    for problem in error.errors(include_url=False):
        path = [str(part) for part in problem["loc"]]
        dotted = ".".join(path)
        origin = f" (from {origins[dotted]})" if origins and dotted in origins else ""
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown key {dotted!r}{origin}{_nearest(path[-1], _fields_at(model, path[:-1]))}")
        elif problem["type"] == "missing":
            lines.append(f"{dotted} is required")
        else:
            lines.append(f"{dotted}{origin}: {problem['msg']}, got {problem['input']!r}")
    return f"{where}: " + "; ".join(lines)


def _fields_at(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        info = model.model_fields.get(part)
        inner = next((t for t in (info.annotation, *get_args(info.annotation)) if _is_model(t)), None) if info else None
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(known))}" if known else ""


def _file(path: Path | None) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    chosen = path or Path("runtara.toml")
    try:
        text = chosen.read_bytes()
    except FileNotFoundError:
        if path is None:
            return
        raise ConfigError(f"the configuration file {path} does not exist") from None
    except OSError as error:
        raise ConfigError(f"the configuration file {chosen} cannot be read: {error.strerror}") from error
    try:
        document = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{chosen} is no valid TOML: {error}") from error
    yield from ((key, value, str(chosen)) for key, value in _leaves(document, ()))


def _leaves(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _environment(environ: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    for name, key in ENVIRONMENT_NAMES.items():
        if environ.get(name):
            yield key, literal(environ[name]), name
    for name in sorted(environ):
        if name.startswith(PREFIX):
            yield tuple(name[len(PREFIX) :].lower().split("__")), literal(environ[name]), name


def literal(text: str) -> Any:
    """The boolean, quoted text, array or table that the text writes in TOML, else the text itself.

    Numbers stay text: the field that they are meant for knows what it wants ("8" may be a directory), and reads them."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return value if isinstance(value, bool | str | list | dict) else text


def _put(values: dict[str, Any], origins: dict[str, str], key: tuple[str, ...], value: Any, origin: str) -> None:
    table = values
    for part in key[:-1]:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{'.'.join(key)} (from {origin}): {part!r} is a value elsewhere, not a table")
        table = inner
    table[key[-1]] = value
    origins[".".join(key)] = origin
