"""What an ended process means, and what the user is told about it."""

from __future__ import annotations

import pytest

from runtara_framework.config import RunnerSettings
from runtara_framework.model import Exit
from runtara_framework.services import verdicts
from runtara_framework.spec.persistence import Fail, Restart
from runtara_framework.states import Reason

SETTINGS = RunnerSettings()


def test_a_killed_process_is_started_again() -> None:
    verdict = verdicts.of_exit(Exit(signal=9), registered=True, settings=SETTINGS)
    assert isinstance(verdict, Restart)
    assert verdict.max_restarts == 5
    assert verdict.reason is Reason.CRASHED
    assert "was killed by SIGKILL before it reported a result" in verdict.error["message"]


def test_a_failed_exit_before_registering_says_so_with_the_end_of_stderr() -> None:
    exit_ = Exit(code=1, stderr="Traceback\n\nModuleNotFoundError: No module named 'shop'\n")
    verdict = verdicts.of_exit(exit_, registered=False, settings=SETTINGS)
    assert isinstance(verdict, Restart)
    assert "exited with code 1 before it registered" in verdict.error["message"]
    assert verdict.error["message"].endswith("Traceback | ModuleNotFoundError: No module named 'shop'")
    assert verdict.error["attributes"] == {"exit_code": 1}


@pytest.mark.parametrize(("registered", "reason"), [(True, Reason.CRASHED), (False, Reason.LAUNCH_FAILED)])
def test_a_program_that_ends_well_without_a_result_is_not_tried_again(registered: bool, reason: Reason) -> None:
    verdict = verdicts.of_exit(Exit(code=0), registered=registered, settings=SETTINGS)
    assert isinstance(verdict, Fail)
    assert verdict.reason is reason
    assert verdict.error["code"] == "NO_RESULT"


def test_out_of_memory_is_its_own_reason_and_final() -> None:
    verdict = verdicts.of_exit(Exit(signal=9, out_of_memory=True), registered=True, settings=SETTINGS)
    assert isinstance(verdict, Fail)
    assert verdict.reason is Reason.OUT_OF_MEMORY


def test_out_of_memory_under_a_limit_says_which_and_what_to_do() -> None:
    exit_ = Exit(signal=9, out_of_memory=True)
    verdict = verdicts.of_exit(exit_, registered=True, settings=SETTINGS, memory_limit_bytes=256 * 2**20)
    assert isinstance(verdict, Fail)
    assert "the 256 MiB of memoryTier L; choose a larger memoryTier (XL: 512 MiB)" in verdict.error["message"]
    assert verdict.error["attributes"] == {"limitBytes": 256 * 2**20}


@pytest.mark.parametrize(
    ("words", "final"),
    [
        ("memory allocation of 62914562 bytes failed\n", True),
        ("terminate called after throwing an instance of 'std::bad_alloc'\n", True),
        ("assertion failed\n", False),
    ],
)
def test_an_abort_for_want_of_memory_is_told_by_its_last_words(words: str, final: bool) -> None:
    verdict = verdicts.of_exit(Exit(signal=6, stderr=words), registered=True, settings=SETTINGS)
    assert verdict.reason is (Reason.OUT_OF_MEMORY if final else Reason.CRASHED)
    assert isinstance(verdict, Fail if final else Restart)


@pytest.mark.parametrize(("signal", "mentioned"), [(11, True), (6, True), (9, False), (15, False)])
def test_a_crash_under_a_limit_mentions_it_where_it_may_be_why(signal: int, mentioned: bool) -> None:
    verdict = verdicts.of_exit(Exit(signal=signal), registered=True, settings=SETTINGS, memory_limit_bytes=512 * 2**20)
    assert isinstance(verdict, Restart)
    assert ("limited to the 512 MiB of memoryTier XL" in verdict.error["message"]) is mentioned


def test_an_unobserved_exit_and_an_unknown_signal_have_words_too() -> None:
    for exit_, words in ((Exit(), "disappeared"), (Exit(signal=63), "was killed by signal 63")):
        verdict = verdicts.of_exit(exit_, registered=True, settings=SETTINGS)
        assert isinstance(verdict, Restart)
        assert words in verdict.error["message"]


def test_the_message_keeps_only_the_end_of_a_long_stderr() -> None:
    verdict = verdicts.of_exit(Exit(code=1, stderr="x" * 100_000), registered=True, settings=SETTINGS)
    assert isinstance(verdict, Restart)
    assert len(verdict.error["message"]) < 700
