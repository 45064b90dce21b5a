"""Agents' bearer tokens: 256 random bits, shown once, known only by their SHA-256."""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections.abc import Awaitable, Callable

from arbstr_core.accounts._l402 import L402, SCHEMES
from arbstr_core.types import AgentDisabled, Caller, Unauthorized

_PREFIX = "arb_"
_BEARER = f"Bearer {_PREFIX}"
_SCHEME = len("Bearer ")
_KEPT = 10_000
"""How many callers are remembered; the map starts anew beyond that."""


def new_token() -> str:
    """A new agent token: `arb_` and 256 random bits."""
    return _PREFIX + secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """What is stored of a token. It has 256 random bits, so a fast hash is enough."""
    return hashlib.sha256(token.encode()).digest()


class Accounts:
    """Turns an Authorization header into a Caller. `find` looks a token's hash up in the vault.

    `l402` reads the other credential that an agent may have: that of an invoice which it paid.

    What it found is remembered until `forget`, and for no longer than `fresh_seconds`: where other processes may change
    agents, a token that was revoked there must end here, too.
    """

    def __init__(
        self,
        find: Callable[[bytes], Awaitable[Caller | None]],
        *,
        l402: L402 | None = None,
        fresh_seconds: float = math.inf,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find = find
        self._l402 = l402
        self._fresh_seconds = fresh_seconds
        self._monotonic = monotonic
        self._known: dict[bytes, tuple[Caller, float]] = {}

    def known(self, authorization: str) -> Caller | None:
        """The caller of a request, where there is nothing to ask or to refuse; else `identify` says more."""
        if not authorization.startswith(_BEARER):
            return None
        found = self._known.get(token_hash(authorization[_SCHEME:]))
        return found[0] if found and found[0].enabled and self._monotonic() < found[1] else None

    async def identify(self, authorization: str) -> Caller:
        """The caller of a request. Raises Unauthorized or AgentDisabled."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token.startswith(_PREFIX):
            raise Unauthorized(
                "No agent token: send `Authorization: Bearer arb_...`"
                if not token
                else "That is not an agent token: it starts with arb_"
            )
        return await self._caller(token_hash(token))

    async def paying(self, authorization: str) -> tuple[Caller, str] | None:
        """The caller by an L402 credential, and the invoice that was paid for it, by its payment hash; None where the
        header is of another scheme. Raises Unauthorized or AgentDisabled."""
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() not in SCHEMES:
            return None
        found = None if self._l402 is None else self._l402.read(given)
        if found is None:
            raise Unauthorized(
                "That L402 credential is not one of ours, or its preimage is not that of a paid invoice: send "
                "`Authorization: L402 MACAROON:PREIMAGE` with the macaroon of the challenge"
            )
        return await self._caller(found.token_hash), found.payment_hash

    async def _caller(self, digest: bytes) -> Caller:
        # The map is asked for a digest of 256 random bits: how long that takes says nothing about a valid token.
        known = self._known.get(digest)
        caller = known[0] if known and self._monotonic() < known[1] else await self._ask(digest)
        if not caller.enabled:
            raise AgentDisabled(f"The agent {caller.name!r} is disabled; its operator can enable it")
        return caller

    def forget(self) -> None:
        """Ask the vault anew for everyone: an agent was changed."""
        # A new map: an answer that is on its way was true before the change, and goes into the old one.
        self._known = {}

    async def _ask(self, digest: bytes) -> Caller:
        known = self._known
        until = self._monotonic() + self._fresh_seconds
        caller = await self._find(digest)
        if caller is None:
            known.pop(digest, None)
            raise Unauthorized("That agent token is not known, or was revoked")
        if len(known) >= _KEPT:
            known.clear()
        known[digest] = caller, until
        return caller
