"""Operators: the one whose token is in `admin.token`, those with names of their own, and their browsers' sessions."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Protocol

import msgspec

from arbstr_core.api import Clock
from arbstr_core.types import OperatorSession, Secret, Unauthorized

FIRST = "operator"
"""who acts with the token in the file; others are `operator:NAME`"""
_PREFIX = "opr_"
_SEEN_MS = 60_000
"""how exactly it is known when a session was used last"""
_NO_SESSION = (
    "No session goes with this cookie and its `X-Arbstr-Page` header: it has ended, or the header is missing; log in "
    "again"
)
_WANTED = (
    "An operator's token is needed: `Authorization: Bearer` and what admin.token holds, or what "
    "`arbstr operator add` says"
)


class KnownOperators(Protocol):
    """Where operators and sessions are kept, by hashes."""

    async def by_token(self, token_hash: bytes) -> str | None: ...

    async def session(self, key: bytes, now_ms: int) -> OperatorSession | None: ...

    async def see(self, key: bytes, at_ms: int) -> None: ...

    async def log_in(self, key: bytes, *, page: bytes, token: bytes, actor: str) -> None: ...

    async def log_out(self, key: bytes) -> None: ...


class NewSession(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser is given once: `id` goes into its cookie, `page_key` to the page, which sends it with each
    request."""

    id: str
    page_key: str
    actor: str


class SessionKeys(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser shows of its session."""

    id: str
    page_key: str


def new_operator_token() -> str:
    """A new operator's token: `opr_` and 256 random bits."""
    return _PREFIX + secrets.token_urlsafe(32)


class Operators:
    """Knows who may operate. `token` is the file's: it is good without a database, and makes the first of the others.

    Who has the token `metrics` reads those alone.

    An actor, as the audit names it, is `operator` or `operator:NAME`; no agent is ever called that.
    """

    def __init__(self, token: Secret, known: KnownOperators, clock: Clock, *, metrics: Secret | None = None) -> None:
        self._token = token
        self._metrics = metrics
        self._known = known
        self._clock = clock

    async def bearer(self, authorization: str) -> str | None:
        """Who has the token of this header; None where nobody has."""
        scheme, _, token = authorization.partition(" ")
        return await self._by_token(token.strip()) if scheme.lower() == "bearer" else None

    def reads_metrics(self, authorization: str) -> bool:
        """Whether this header has the token that opens the metrics, and nothing else."""
        scheme, _, token = authorization.partition(" ")
        known = self._metrics
        return (
            known is not None
            and scheme.lower() == "bearer"
            and hmac.compare_digest(token.strip().encode(), known.reveal().encode())
        )

    async def require(self, authorization: str, session: SessionKeys | None) -> str:
        """Who asks. Raises Unauthorized."""
        found = await self.bearer(authorization) if session is None else await self._by_session(session)
        if found is None:
            raise Unauthorized(_WANTED if session is None else _NO_SESSION)
        return found

    async def log_in(self, token: str) -> NewSession:
        """Open a session for whoever shows an operator's token. Raises Unauthorized."""
        token = token.strip()
        actor = await self._by_token(token)
        if actor is None:
            raise Unauthorized("That is no operator's token: take what admin.token holds, or one of `arbstr operator`")
        made = NewSession(id=secrets.token_urlsafe(32), page_key=secrets.token_urlsafe(32), actor=actor)
        await self._known.log_in(_hash(made.id), page=_hash(made.page_key), token=_hash(token), actor=actor)
        return made

    async def log_out(self, session: SessionKeys) -> None:
        """End a session."""
        await self._known.log_out(_hash(session.id))

    async def _by_token(self, token: str) -> str | None:
        if hmac.compare_digest(token.encode(), self._token.reveal().encode()):
            return FIRST
        if not token.startswith(_PREFIX):
            return None
        # Asked for a digest of 256 random bits: how long that takes says nothing about a valid token.
        name = await self._known.by_token(_hash(token))
        return None if name is None else f"{FIRST}:{name}"

    async def _by_session(self, session: SessionKeys) -> str | None:
        now, key = self._clock.now_ms(), _hash(session.id)
        found = await self._known.session(key, now)
        if found is None or not hmac.compare_digest(found.page_hash, _hash(session.page_key)):
            return None
        if found.operator is not None:
            actor = f"{FIRST}:{found.operator}"
        elif hmac.compare_digest(found.token_hash, _hash(self._token.reveal())):
            actor = FIRST
        else:
            return None
        if now - found.seen_ms > _SEEN_MS:
            await self._known.see(key, now)
        return actor


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
