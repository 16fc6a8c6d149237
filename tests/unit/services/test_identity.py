"""Tokens: what they prove, and that nothing else proves it."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara_framework.config import ApiToken, AuthSettings
from runtara_framework.errors import Forbidden, Unauthenticated
from runtara_framework.model import LaunchRef
from runtara_framework.protocol.operations import Access
from runtara_framework.services.identity import ApiTokens, LaunchTokens

REF = LaunchRef(tenant_id="acme", instance_id="order-1", epoch=3)
names = st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable())


@given(names, names, st.integers(1, 10**9))
def test_a_token_proves_exactly_the_launch_it_was_made_for(tenant: str, instance: str, epoch: int) -> None:
    tokens = LaunchTokens(b"secret")
    ref = LaunchRef(tenant_id=tenant, instance_id=instance, epoch=epoch)
    assert tokens.verify(tokens.make(ref)) == ref


@given(st.text(max_size=200))
def test_a_made_up_token_is_refused_whatever_it_looks_like(token: str) -> None:
    with pytest.raises(Unauthenticated):
        LaunchTokens(b"secret").verify(token)


@given(st.integers(0, 200), st.characters())
def test_a_token_that_was_changed_anywhere_is_refused(position: int, character: str) -> None:
    tokens = LaunchTokens(b"secret")
    token = tokens.make(REF)
    position %= len(token)
    forged = token[:position] + character + token[position + 1 :]
    if forged != token:
        with pytest.raises(Unauthenticated):
            tokens.verify(forged)


def test_a_token_of_another_server_is_refused() -> None:
    with pytest.raises(Unauthenticated, match="RUNTARA_TOKEN is not a token of this server"):
        LaunchTokens(b"ours").verify(LaunchTokens(b"theirs").make(REF))


def api_tokens(**fields: object) -> ApiTokens:
    token = ApiToken(name="ci", sha256=hashlib.sha256(b"s3cret").hexdigest(), **fields)  # type: ignore[arg-type]
    return ApiTokens(AuthSettings(mode="token", tokens=[token]))


def test_without_authentication_anybody_may_do_everything() -> None:
    principal = ApiTokens(AuthSettings()).identify(None, Access.WRITE)
    for access in Access:
        principal.check(access, "any-tenant")


@pytest.mark.parametrize("token", [None, "", "wrong", "S3CRET"])
def test_a_missing_or_wrong_token_is_refused(token: str | None) -> None:
    with pytest.raises(Unauthenticated):
        api_tokens().identify(token, Access.READ)


def test_a_public_operation_needs_no_token() -> None:
    api_tokens().identify(None, Access.PUBLIC).check(Access.PUBLIC, None)


def test_a_token_is_bound_to_its_tenants_and_actions() -> None:
    principal = api_tokens(tenants=["acme"], actions=["read"]).identify("s3cret", Access.READ)
    principal.check(Access.READ, "acme")
    with pytest.raises(Forbidden, match="'ci' does not act for tenant 'other'"):
        principal.check(Access.READ, "other")
    with pytest.raises(Forbidden, match="'ci' does not allow 'write'"):
        principal.check(Access.WRITE, "acme")
