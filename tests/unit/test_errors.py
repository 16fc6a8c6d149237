"""The error tree: stable codes, a wire form that comes back as the same error."""

from __future__ import annotations

import pytest

from runtara_framework import errors
from runtara_framework.errors import InstanceNotFound, RemoteError, RuntaraError


def tree() -> list[type[RuntaraError]]:
    found = [RuntaraError]
    for cls in found:
        found += cls.__subclasses__()
    return [cls for cls in found if cls.__module__ == errors.__name__]


def test_every_error_has_a_code_of_its_own_and_a_default_message() -> None:
    codes = [cls.code for cls in tree()]
    assert len(codes) == len(set(codes))
    assert all(cls.code.isupper() and cls.__doc__ for cls in tree())


@pytest.mark.parametrize("cls", [cls for cls in tree() if cls is not RemoteError])
def test_an_error_survives_the_wire(cls: type[RuntaraError]) -> None:
    sent = cls("what was wrong", instance_id="i", limit=3)
    received = RuntaraError.from_wire(sent.to_wire())
    assert type(received) is cls
    assert received.to_wire() == sent.to_wire()


def test_a_code_of_a_newer_version_keeps_its_code_and_advice() -> None:
    received = RuntaraError.from_wire({"code": "QUOTA_EXCEEDED", "message": "no more", "retryable": True})
    assert isinstance(received, RemoteError)
    assert (received.code, received.message, received.retryable) == ("QUOTA_EXCEEDED", "no more", True)


def test_without_a_message_the_first_line_of_the_docstring_speaks() -> None:
    assert InstanceNotFound().message == "The tenant has no instance with that id."


@pytest.mark.parametrize("wire", [{}, {"code": 5, "details": "none"}, {"message": None}])
def test_a_malformed_error_is_still_an_error(wire: dict[str, object]) -> None:
    assert isinstance(RuntaraError.from_wire(wire), RuntaraError)
