from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara_framework.agents.errors import AgentError
from runtara_framework.errors import CallTimeout, ImageNotFound, StorageError
from runtara_framework.sdk.failure import CATEGORIES, SEVERITIES, Failure, WaitTimeout

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
texts = st.text(max_size=10)
failures = st.recursive(
    st.just(None),
    lambda cause: st.builds(
        Failure,
        texts,
        texts,
        category=st.sampled_from(CATEGORIES),
        severity=st.sampled_from(SEVERITIES),
        step_id=st.none() | texts,
        step_name=st.none() | texts,
        step_type=st.none() | texts,
        retry_after_ms=st.none() | st.integers(0),
        attributes=st.dictionaries(texts, json, max_size=3),
        cause=cause,
    ),
    max_leaves=3,
)


@given(failures)
def test_a_failure_comes_back_from_its_json(failure: Failure | None) -> None:
    if failure is not None:
        assert Failure.from_dict(failure.to_dict()).to_dict() == failure.to_dict()


@given(st.dictionaries(st.sampled_from([*Failure("", "").to_dict(), "cause", "retryAfterMs", "stepId", "x"]), json))
def test_any_object_can_be_read_as_a_failure(wire: dict[str, Any]) -> None:
    failure = Failure.from_dict(wire)
    assert failure.category in CATEGORIES
    assert failure.severity in SEVERITIES


def test_the_json_has_the_documented_names() -> None:
    failure = Failure(
        "C", "m", step_id="s", step_name="S", step_type="Agent", retry_after_ms=5, cause=Failure("D", "n")
    )
    assert failure.to_dict() == {
        "code": "C",
        "message": "m",
        "category": "permanent",
        "severity": "error",
        "stepId": "s",
        "stepName": "S",
        "stepType": "Agent",
        "retryAfterMs": 5,
        "attributes": {},
        "cause": {"code": "D", "message": "n", "category": "permanent", "severity": "error", "attributes": {}},
    }


@pytest.mark.parametrize(
    ("error", "code", "category"),
    [
        (ValueError("x"), "UNHANDLED_ERROR", "permanent"),
        (ImageNotFound("x"), "IMAGE_NOT_FOUND", "permanent"),
        (StorageError("x"), "STORAGE_ERROR", "transient"),
        (CallTimeout("x"), "CALL_TIMEOUT", "timeout"),
        (AgentError("BUSY", "x", category="transient", retry_after_ms=7), "BUSY", "transient"),
        (WaitTimeout("x"), "WAIT_TIMEOUT", "timeout"),
    ],
)
def test_any_exception_is_a_failure(error: Exception, code: str, category: str) -> None:
    failure = Failure.of(error)
    assert (failure.code, failure.category) == (code, category)
    assert failure.retryable is (category != "permanent")
    assert failure is error or failure.__cause__ is error


def test_an_agents_advice_is_kept() -> None:
    failure = Failure.of(AgentError("BUSY", "x", category="transient", retry_after_ms=7, attributes={"a": 1}))
    assert (failure.retry_after_ms, failure.attributes, failure.severity) == (7, {"a": 1}, "warning")


def test_an_exception_without_a_text_still_says_what_it_is() -> None:
    assert Failure.of(KeyboardInterrupt()).message == "KeyboardInterrupt"
    assert repr(Failure("A", "b")) == "Failure('A', 'b', category='permanent')"
