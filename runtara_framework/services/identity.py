"""Who is calling: the token of a launch, or the API token of a product.

A launch's token is ``v1.<tenant>.<instance>.<epoch>.<mac>``, each part base64url. The MAC is keyed with a secret of
the database, so any server on it verifies a token without a look-up, and a running instance survives a restart. The token
says nothing about whether the epoch is still the current one: storage checks that in the transaction of every write.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from functools import lru_cache

from runtara_framework.config import AuthSettings
from runtara_framework.errors import Forbidden, Unauthenticated
from runtara_framework.model import LaunchRef, Record
from runtara_framework.protocol.operations import Access


class LaunchTokens:
    """Makes and verifies the tokens of launches."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._verified = lru_cache(maxsize=4096)(self._verify)

    def make(self, ref: LaunchRef) -> str:
        """The token that proves to be this launch."""
        body = ".".join(("v1", _b64(ref.tenant_id), _b64(ref.instance_id), str(ref.epoch)))
        return f"{body}.{self._mac(body)}"

    def verify(self, token: str) -> LaunchRef:
        """The launch that the token proves. Raises `Unauthenticated`."""
        return self._verified(token)

    def _verify(self, token: str) -> LaunchRef:
        body, _, mac = token.rpartition(".")
        if not hmac.compare_digest(self._mac(body).encode(), mac.encode("utf-8", "replace")):
            raise Unauthenticated(
                "RUNTARA_TOKEN is not a token of this server; an instance must use the one it was launched with"
            )
        _, tenant, instance, epoch = body.split(".")
        return LaunchRef(tenant_id=_unb64(tenant), instance_id=_unb64(instance), epoch=int(epoch))

    def _mac(self, body: str) -> str:
        digest = hmac.new(self._secret, body.encode("utf-8", "replace"), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _unb64(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Unauthenticated("RUNTARA_TOKEN is malformed") from error


class Principal(Record):
    """Who calls the environment protocol, and what it may do."""

    name: str
    tenants: frozenset[str]  # "*" is all
    actions: frozenset[str]

    def check(self, access: Access, tenant_id: str | None) -> None:
        """Raise `Forbidden` unless the token allows the action for the tenant."""
        if access is Access.PUBLIC:
            return
        if access.value not in self.actions:
            raise Forbidden(f"token {self.name!r} does not allow {access.value!r}; it allows {sorted(self.actions)}")
        if tenant_id is not None and "*" not in self.tenants and tenant_id not in self.tenants:
            raise Forbidden(f"token {self.name!r} does not act for tenant {tenant_id!r}")


ANYBODY = Principal(
    name="anybody", tenants=frozenset({"*"}), actions=frozenset({Access.READ, Access.WRITE, Access.SIGNAL})
)


class ApiTokens:
    """Knows the products by the hashes of their tokens."""

    def __init__(self, settings: AuthSettings) -> None:
        self._open = settings.mode == "none"
        self._principals = {
            token.sha256: Principal(name=token.name, tenants=frozenset(token.tenants), actions=frozenset(token.actions))
            for token in settings.tokens
        }

    def identify(self, token: str | None, access: Access) -> Principal:
        """Raises `Unauthenticated` for a missing or unknown token in mode `token`."""
        if self._open or access is Access.PUBLIC:
            return ANYBODY
        if not token:
            raise Unauthenticated("this server wants a token: send `Authorization: Bearer …` or set RUNTARA_TOKEN")
        # Looking a hash up in a dictionary leaks nothing about the token that was hashed.
        principal = self._principals.get(hashlib.sha256(token.encode()).hexdigest())
        if principal is None:
            raise Unauthenticated("the token is not known to this server; [auth] tokens lists those that are")
        return principal
