"""Drivers are picked by name, and every way to be a bad one has a message that names the distribution."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from runtara_framework.clock import SystemClock
from runtara_framework.errors import (
    ConfigError,
    DriverAmbiguous,
    DriverBroken,
    DriverIncompatible,
    DriverNotFound,
)
from runtara_framework.extension import drivers
from runtara_framework.spec.driver import DriverContext
from runtara_framework.spec.scheduler import SCHEDULER

FAKES = Path(__file__).parents[2] / "data" / "plugins"


@pytest.fixture(autouse=True)
def _fake_distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FAKES))


def test_a_driver_is_loaded_by_its_name() -> None:
    assert drivers.load(SCHEDULER, "good").__name__ == "Good"


def test_what_is_available_is_known_without_importing_it() -> None:
    assert {"good", "timer", "unimportable"} <= set(drivers.available(SCHEDULER))


def test_a_missing_driver_lists_those_that_are_installed_and_how_to_get_it() -> None:
    with pytest.raises(
        DriverNotFound, match=r"no scheduler driver 'cron' is installed; .*good.*timer.*runtara-scheduler-cron"
    ):
        drivers.load(SCHEDULER, "cron")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("unimportable", DriverBroken, r"fake-plugins 1\.2.*cannot be imported: ModuleNotFoundError"),
        ("no_driver", DriverBroken, r"fake-plugins 1\.2.*does not subclass Scheduler"),
        ("old_api", DriverIncompatible, r"fake-plugins 1\.2 speaks version 0 .* this kernel speaks 1"),
        ("no_api", DriverIncompatible, r"speaks version None"),
        ("twice", DriverAmbiguous, r"fake-plugins 1\.2 and by other-plugins 3\.4; uninstall one"),
    ],
)
def test_a_bad_driver_is_refused_with_its_distribution(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        drivers.load(SCHEDULER, name)


def test_loading_one_driver_imports_no_other() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(FAKES)!r})\n"
        "from runtara_framework.extension import drivers\n"
        "from runtara_framework.spec.scheduler import SCHEDULER\n"
        "drivers.load(SCHEDULER, 'timer')\n"
        "assert 'fake_plugins' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_drivers_table_is_validated_by_the_driver(tmp_path: Path) -> None:
    cls = drivers.load(SCHEDULER, "good")
    context = DriverContext(clock=SystemClock(), data_dir=tmp_path, node_id="n", logger=logging.getLogger("test"))
    assert drivers.configure(cls, {"tick_seconds": 2}, context, where="[scheduler.good]")
    with pytest.raises(
        ConfigError, match=r"\[scheduler\.good\]: unknown key 'tick_second'; did you mean 'tick_seconds'"
    ):
        drivers.configure(cls, {"tick_second": 2}, context, where="[scheduler.good]")
    with pytest.raises(ConfigError, match=r"tick_seconds: .*greater than 0"):
        drivers.configure(cls, {"tick_seconds": 0}, context, where="[scheduler.good]")
