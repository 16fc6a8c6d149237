"""The suite of runners asks for what a driver declares, and only for that."""

from __future__ import annotations

from typing import Any, ClassVar

from runtara_framework.spec.runner import RUNNER_CAPABILITIES, Runner
from runtara_framework.testing.runner import RunnerConformance


def suite_for(*declared: str) -> type[RunnerConformance]:
    class Driver(Runner):
        capabilities = frozenset(declared)

    class TestIt(RunnerConformance):
        driver: ClassVar[Any] = Driver

    return TestIt


def names_of(suite: type[RunnerConformance]) -> set[str]:
    return {name for name in dir(suite) if name.startswith("test_") and callable(getattr(suite, name))}


def test_every_capability_brings_tests() -> None:
    everything = names_of(suite_for(*RUNNER_CAPABILITIES))

    for capability in RUNNER_CAPABILITIES:
        assert names_of(suite_for(*(RUNNER_CAPABILITIES - {capability}))) < everything


def test_a_driver_that_declares_nothing_is_still_tested() -> None:
    names = names_of(suite_for())

    assert "test_stop_ends_it_and_wait_still_tells_the_exit" in names
    assert "test_stderr_is_told" not in names
    assert "test_an_adopted_process_ends_by_itself_and_wait_tells" not in names


def test_a_suite_does_not_change_the_suite_of_another_driver() -> None:
    suite_for()

    assert "test_stderr_is_told" in names_of(RunnerConformance)
