"""What a capability is told, and what of it may be printed."""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import quote

import pytest

from runtara_framework.agents import AgentError, CapabilityContext, Connection
from runtara_framework.agents.redaction import Redactor
from runtara_framework.errors import RuntaraError

SECRET = 'pa"ss/w?rd é'


def test_no_repr_shows_a_parameter_of_a_connection() -> None:
    connection = Connection("http_bearer", {"token": SECRET, "base_url": "https://example.test"})
    context = CapabilityContext(tenant_id="t", instance_id="i", step_key="s", connection=connection)
    assert repr(connection) == "Connection('http_bearer', {'token': '***', 'base_url': '***'})"
    assert "ss/w" not in repr(context) and "example" not in repr(context)


def test_a_connection_comes_from_the_wire() -> None:
    wire = {"integration_id": "sftp", "parameters": {"host": "h"}, "connection_subtype": "key"}
    assert Connection.from_wire(wire) == Connection("sftp", {"host": "h"}, "key")
    with pytest.raises(ValueError, match="`integration_id`"):
        Connection.from_wire({"parameters": {"host": SECRET}})


def test_the_remaining_time_is_never_negative() -> None:
    def remaining(deadline_ms: int | None) -> int | None:
        return CapabilityContext(tenant_id="t", instance_id="i", step_key="s", deadline_ms=deadline_ms).remaining_ms()

    assert remaining(None) is None
    assert remaining(1) == 0
    left = remaining(time.time_ns() // 1_000_000 + 60_000)
    assert left is not None and 0 < left <= 60_000


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        json.dumps(SECRET)[1:-1],
        base64.b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_secret_is_masked_in_every_form(form: str) -> None:
    hide = Redactor([SECRET])
    assert hide.text(f"a {form} b").startswith("a ***") and form not in hide.text(f"a {form} b")
    assert form not in json.dumps(hide.value({form: [form, {"x": (form, 1, None)}]}))


def test_a_text_too_short_to_be_a_secret_leaves_messages_readable() -> None:
    assert Redactor(["", "a", "abc"]).text("an abc of a") == "an abc of a"


@pytest.mark.parametrize(
    ("category", "severity", "retryable"),
    [("permanent", "error", False), ("transient", "warning", True), ("timeout", "warning", True)],
)
def test_the_category_of_an_error_decides_severity_and_retry(category: str, severity: str, retryable: bool) -> None:
    error = AgentError("X", "text", category=category)  # type: ignore[arg-type]
    assert (error.severity, error.retryable) == (severity, retryable)


def test_an_agent_error_crosses_a_transport() -> None:
    error = AgentError("ERP_DOWN", "text", category="transient", attributes={"a": 1})
    assert error.to_wire() == {
        "code": "ERP_DOWN",
        "message": "text",
        "retryable": True,
        "details": {"a": 1},
    }
    back = RuntaraError.from_wire(error.to_wire())
    assert (back.code, back.message, back.retryable, back.details) == ("ERP_DOWN", "text", True, {"a": 1})
