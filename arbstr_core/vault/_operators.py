"""Operators: added, revoked, and logged in. What makes or ends one is said in the audit."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from arbstr_core.storage import Database, Operation, Statement, Transaction
from arbstr_core.types import Conflict, NotFound, OperatorSession
from arbstr_core.vault import _audit
from arbstr_core.vault._book import Book, Chart, VaultOperation, plain_text
from arbstr_core.vault._operator_tables import OPERATOR, SESSION

_O = OPERATOR.c
_S = SESSION.c
_LIVE = Statement(sa.select(_O.hash).where(_O.name == sa.bindparam("named"), _O.revoked_ms.is_(None)))
_INSERT = Statement(
    sa.insert(OPERATOR).values(
        hash=sa.bindparam("key"),
        name=sa.bindparam("named"),
        created_by=sa.bindparam("by"),
        created_ms=sa.bindparam("at"),
    )
)
_REVOKE = Statement(sa.update(OPERATOR).where(_O.hash == sa.bindparam("key")).values(revoked_ms=sa.bindparam("at")))
_OPEN = Statement(
    sa.insert(SESSION).values(
        hash=sa.bindparam("key"),
        page_hash=sa.bindparam("page"),
        token_hash=sa.bindparam("token"),
        created_ms=sa.bindparam("at"),
        seen_ms=sa.bindparam("seen"),
    )
)
_CLOSE = Statement(sa.delete(SESSION).where(_S.hash == sa.bindparam("key")))
_CLOSE_OF = Statement(sa.delete(SESSION).where(_S.token_hash == sa.bindparam("token")))
_CLOSE_OLD = Statement(
    sa.delete(SESSION).where((_S.seen_ms < sa.bindparam("idle")) | (_S.created_ms < sa.bindparam("old")))
)
_SEEN = Statement(sa.update(SESSION).where(_S.hash == sa.bindparam("key")).values(seen_ms=sa.bindparam("at")))


class OperatorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One who may operate, or might once."""

    name: str
    created_by: str
    created_ms: int
    revoked_ms: int | None
    sessions: int
    """how many are open"""


class AddOperator(VaultOperation[None]):
    """A new operator, by the hash of its token."""

    def __init__(self, chart: Chart, name: str, token_hash: bytes, actor: str) -> None:
        super().__init__(chart)
        plain_text("an operator", name, actor)
        self._name = name
        self._hash = token_hash
        self._actor = actor

    def change(self, book: Book) -> None:
        """Write it. Raises Conflict where there is one of that name."""
        if book.tx.one(_LIVE, {"named": self._name}) is not None:
            raise Conflict(f"there is an operator {self._name!r} already: revoke it first, or choose another name")
        book.tx.run(_INSERT, {"key": self._hash, "named": self._name, "by": self._actor, "at": book.now_ms})
        said = (_audit.digest(self._hash), self._name, self._actor, book.now_ms)
        book.note("operator.add", self._name, _audit.canonical(*said), actor=self._actor)


class RevokeOperator(VaultOperation[None]):
    """An operator's token ends, and all sessions that it opened."""

    def __init__(self, chart: Chart, name: str, actor: str) -> None:
        super().__init__(chart)
        self._name = name
        self._actor = actor

    def change(self, book: Book) -> None:
        """End it. Raises NotFound."""
        found = book.tx.one(_LIVE, {"named": self._name})
        if found is None:
            raise NotFound(f"there is no operator {self._name!r}; `arbstr operator list` shows them")
        token = bytes(found[0])
        book.tx.run(_REVOKE, {"key": token, "at": book.now_ms})
        book.tx.run(_CLOSE_OF, {"token": token})
        said = (_audit.digest(token), book.now_ms)
        book.note("operator.revoke", self._name, _audit.canonical(*said), actor=self._actor)


class OpenSession(VaultOperation[None]):
    """Somebody has logged in; sessions that have ended make room."""

    def __init__(
        self, chart: Chart, key: bytes, *, page: bytes, token: bytes, actor: str, idle_ms: int, most_ms: int
    ) -> None:
        super().__init__(chart)
        self._key = key
        self._page = page
        self._token = token
        self._actor = actor
        self._idle_ms = idle_ms
        self._most_ms = most_ms

    def change(self, book: Book) -> None:
        """Write it down."""
        now = book.now_ms
        book.tx.run(_CLOSE_OLD, {"idle": now - self._idle_ms, "old": now - self._most_ms})
        book.tx.run(_OPEN, {"key": self._key, "page": self._page, "token": self._token, "at": now, "seen": now})
        book.note("operator.login", self._actor, _audit.canonical(now), actor=self._actor)


class CloseSession(Operation[None]):
    """Somebody has logged out."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def run(self, tx: Transaction) -> None:
        """Forget it."""
        tx.run(_CLOSE, {"key": self._key})


class SeeSession(Operation[None]):
    """A session is used."""

    def __init__(self, key: bytes, at_ms: int) -> None:
        self._key = key
        self._at_ms = at_ms

    def run(self, tx: Transaction) -> None:
        """Write down when."""
        tx.run(_SEEN, {"key": self._key, "at": self._at_ms})


class Operators:
    """The way to them. They are there without accounts, too. A session ends after `idle_ms` without use, and after
    `most_ms` in any case."""

    def __init__(self, db: Database, *, idle_ms: int, most_ms: int) -> None:
        self._db = db
        self._chart: Chart = {}
        self._idle_ms = idle_ms
        self._most_ms = most_ms

    async def add(self, name: str, token_hash: bytes, *, actor: str) -> OperatorRecord:
        """A new operator. Raises Conflict."""
        await self._db.submit(AddOperator(self._chart, name, token_hash, actor))
        return await self._named(name)

    async def revoke(self, name: str, *, actor: str) -> OperatorRecord:
        """End an operator's token and sessions. Raises NotFound."""
        await self._db.submit(RevokeOperator(self._chart, name, actor))
        return await self._named(name)

    async def all(self) -> Sequence[OperatorRecord]:
        """All of them, those that were revoked too, the oldest first."""
        return await self._db.read(_all)

    async def by_token(self, token_hash: bytes) -> str | None:
        """The name of the operator whose live token this is."""
        query = sa.select(_O.name).where(_O.hash == token_hash, _O.revoked_ms.is_(None))
        return await self._db.read(lambda connection: connection.execute(query).scalar())

    async def log_in(self, key: bytes, *, page: bytes, token: bytes, actor: str) -> None:
        """Open a session for whoever has shown this token; all three are hashes."""
        ages = {"idle_ms": self._idle_ms, "most_ms": self._most_ms}
        await self._db.submit(OpenSession(self._chart, key, page=page, token=token, actor=actor, **ages))

    async def log_out(self, key: bytes) -> None:
        """End a session."""
        await self._db.submit(CloseSession(key))

    async def see(self, key: bytes, at_ms: int) -> None:
        """A session was used just now."""
        await self._db.submit(SeeSession(key, at_ms))

    async def session(self, key: bytes, now_ms: int) -> OperatorSession | None:
        """The session that has not ended."""
        live = (_O.hash == _S.token_hash) & _O.revoked_ms.is_(None)
        query = (
            sa.select(_S.page_hash, _S.token_hash, _O.name, _S.created_ms, _S.seen_ms)
            .select_from(SESSION.outerjoin(OPERATOR, live))
            .where(_S.hash == key, *self._open(now_ms))
        )
        row = await self._db.read(lambda connection: connection.execute(query).first())
        if row is None:
            return None
        page, token, name, created, seen = row
        return OperatorSession(
            page_hash=bytes(page), token_hash=bytes(token), operator=name, created_ms=created, seen_ms=seen
        )

    def _open(self, now_ms: int) -> tuple[sa.ColumnElement[bool], ...]:
        return _S.seen_ms >= now_ms - self._idle_ms, _S.created_ms >= now_ms - self._most_ms

    async def _named(self, name: str) -> OperatorRecord:
        return next(found for found in reversed(await self.all()) if found.name == name)


def _all(connection: sa.Connection) -> list[OperatorRecord]:
    count = sa.select(sa.func.count()).where(_S.token_hash == _O.hash).scalar_subquery()
    query = sa.select(_O.name, _O.created_by, _O.created_ms, _O.revoked_ms, count)
    return [
        OperatorRecord(name=row[0], created_by=row[1], created_ms=row[2], revoked_ms=row[3], sessions=row[4])
        for row in connection.execute(query.order_by(_O.created_ms, _O.hash))
    ]
