"""What a tier is, which errors say that memory has run out, and what is kept of them."""

from __future__ import annotations

import errno
import weakref
from typing import get_args

import pytest

from runtara_framework import memory
from runtara_framework.agents.errors import AgentError
from runtara_framework.errors import ImageInvalid
from runtara_framework.memory import MIB, TIERS, MemoryTier, advice, lighten, limit_of, ran_out, shown
from runtara_framework.sdk.failure import Failure


def test_the_tiers_are_those_of_the_dsl_in_order() -> None:
    assert tuple(TIERS) == get_args(MemoryTier)
    assert [size // MIB for size in TIERS.values()] == [64, 128, 256, 512]


def test_a_manifest_names_its_limit() -> None:
    assert limit_of({}) is None
    assert limit_of({"memoryTier": "L"}) == 256 * MIB
    for tier in ("XXL", 5, ["S"]):
        with pytest.raises(ImageInvalid, match="there are S, M, L, XL"):
            limit_of({"memoryTier": tier})


def test_a_limit_is_shown_with_its_tier_and_the_next_one() -> None:
    assert shown(TIERS["S"]) == "the 64 MiB of memoryTier S"
    assert shown(100 * MIB) == "100 MiB"
    assert advice(TIERS["S"]) == "choose a larger memoryTier (M: 128 MiB) or hold less at a time"
    assert advice(TIERS["XL"]) == "leave the memoryTier out or hold less at a time"


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (caused(ValueError("a library's own"), MemoryError()), True),
        (ExceptionGroup("both", [ValueError(), MemoryError()]), True),
        (ExceptionGroup("told", [Failure("OUT_OF_MEMORY", "x")]), True),
        (ValueError(), False),
        (OSError(errno.ENOENT, "No such file"), False),
        (RuntimeError("can't start new thread"), False),  # without a limit there are other reasons
        (ExceptionGroup("none", [ValueError()]), False),
    ],
)
def test_what_says_that_memory_has_run_out(error: Exception, says: bool) -> None:
    assert ran_out(error) is says
    assert (Failure.of(error).code == "OUT_OF_MEMORY") is says


def test_a_ring_of_causes_ends() -> None:
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert not ran_out(first)


def test_what_a_program_says_itself_is_kept() -> None:
    for error in (Failure("MINE", "x"), AgentError("MINE", "x")):
        assert Failure.of(caused(error, MemoryError())).code == "MINE"


class Held:
    """What a variable of a frame holds."""


def test_a_light_error_holds_nothing_and_says_where_it_was() -> None:
    held: list[weakref.ref[Held]] = []

    def deep() -> None:
        block = Held()
        held.append(weakref.ref(block))
        raise MemoryError("no block")

    try:
        deep()
    except MemoryError as error:
        assert held[0]() is not None
        lighten(error)
        kept = error
    assert held[0]() is None
    failure = Failure.of(kept)
    assert failure.attributes["where"].endswith("deep")
    assert failure.message == "there was not enough memory on this machine (no block)"
    assert (failure.category, failure.retryable) == ("permanent", False)


def test_without_a_limit_nothing_is_done() -> None:
    limit = memory.Limit()
    limit.begin({})
    assert limit.bytes is None
    with limit.lifted:
        limit.add_thread()
        limit.remove_thread()
        limit.check(10**9)
    limit.begin({memory.VARIABLE: "a word"})
    assert limit.bytes is None
