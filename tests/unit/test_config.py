"""Settings: who beats whom, where a value came from, and what a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtara_framework import config
from runtara_framework.errors import ConfigError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "runtara.toml"
    path.write_text(text)
    return path


def test_flags_beat_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path, "[server]\nmax_concurrent_instances = 1\nmax_pending_instances = 7\n[runner]\ntimeout_seconds = 5\n"
    )
    loaded = config.load(
        path,
        environ={"RUNTARA_MAX_CONCURRENT_INSTANCES": "2", "EXECUTION_TIMEOUT_SECS": "6"},
        flags={"runner.timeout_seconds": 7},
    )
    server, runner = loaded.settings.server, loaded.settings.runner
    assert (server.max_pending_instances, server.max_concurrent_instances, runner.timeout_seconds) == (7, 2, 7)
    assert loaded.origins["server.max_pending_instances"] == str(path)
    assert loaded.origins["server.max_concurrent_instances"] == "RUNTARA_MAX_CONCURRENT_INSTANCES"
    assert loaded.origins["runner.timeout_seconds"] == "flag"


def test_every_documented_name_sets_its_key() -> None:
    for name, key in config.ENVIRONMENT_NAMES.items():
        assert config.load(environ={name: "3"}).origins == {".".join(key): name}


def test_the_generic_name_beats_the_documented_one() -> None:
    environ = {"RUNTARA__SERVER__DATA_DIR": "/new", "DATA_DIR": "/old"}
    assert config.load(environ=environ).settings.server.data_dir == Path("/new")


def test_an_empty_variable_counts_as_unset() -> None:
    assert config.load(environ={"DATA_DIR": ""}).settings.server.data_dir == Path(".data")


def test_the_environments_database_beats_the_common_one() -> None:
    environ = {"RUNTARA_ENVIRONMENT_DATABASE_URL": "sqlite:///b", "RUNTARA_DATABASE_URL": "sqlite:///a"}
    assert config.load(environ=environ).settings.database_url == "sqlite:///b"


def test_without_a_url_the_database_is_in_the_data_directory() -> None:
    assert config.load(environ={"DATA_DIR": "/x"}).settings.database_url == "sqlite:////x/runtara.db"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\ndatadir = 1", "unknown key 'server.datadir' .* did you mean 'data_dir'"),
        ("[servers]\nx = 1", "unknown key 'servers'.* did you mean 'server'"),
        ("[runner]\ndefalt = 'x'", r"\[runner\] has no key 'defalt'; did you mean 'default'"),
        (
            "[server]\nmax_concurrent_instances = 0",
            "server.max_concurrent_instances .*greater than or equal to 1, got 0",
        ),
        ("[server]\nroles = ['cook']", "'core' or 'environment'"),
        ("[auth]\nmode = 'token'\ntokens = [{name = 'a'}]", "auth.tokens.0.sha256 is required"),
        ("[runner]\nrestart_delays_ms = []", "restart_delays_ms"),
        ("[server", "no valid TOML"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_what_to_do(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.load(write(tmp_path, text), environ={})


def test_a_named_file_must_exist_but_the_default_one_need_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.load(environ={}).origins == {}
    with pytest.raises(ConfigError, match=r"missing\.toml does not exist"):
        config.load(Path("missing.toml"), environ={})


def test_a_drivers_table_is_handed_to_the_driver_unread(tmp_path: Path) -> None:
    path = write(tmp_path, "[runner.native]\npython = '/usr/bin/python3'\n[transports.http]\nworkers = 2")
    settings = config.load(path, environ={"RUNTARA__RUNNER__NATIVE__EXTRA": "[1, 2]"}).settings
    assert settings.driver_table("runner", "native") == {"python": "/usr/bin/python3", "extra": [1, 2]}
    assert settings.driver_table("transports", "http") == {"workers": 2}
    assert settings.driver_table("runner", "oci") == {}
