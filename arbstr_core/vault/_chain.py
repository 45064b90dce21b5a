"""Walks the audit chain, and compares each audit row with the row it vouches for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa

from arbstr_core.vault import _audit
from arbstr_core.vault import _tables as t
from arbstr_core.vault._rows import AUDIT_COLUMNS, TRANSFER_COLUMNS

_PAGE = 1_000
_Row = tuple[Any, ...]


def first_broken_link(connection: sa.Connection) -> str | None:
    """The first audit row that does not follow from the one before, or does not match what it covers."""
    head = _audit.Head()
    state = _Mutable()
    for page in _pages(connection):
        covered = _covered(connection, page)
        for row in page:
            if row[0] != head.seq + 1:
                return f"audit row {row[0]}: the sequence has a gap before it"
            if _audit.link(head.hash, row[:-1]) != row[-1]:
                return f"audit row {row[0]}: its hash does not follow from the row before"
            action, subject, data = row[4:7]
            if action in covered and covered[action].get(subject) != data:
                return f"audit row {row[0]}: {action} {subject} is not what it was when it was written"
            state.note(action, data)
            head = _audit.Head(seq=row[0], hash=row[-1])
    return state.first_difference(connection)


def _pages(connection: sa.Connection) -> Iterator[list[_Row]]:
    last = 0
    columns = [t.AUDIT.c[name] for name in AUDIT_COLUMNS]
    while True:
        query = sa.select(*columns).where(t.AUDIT.c.seq > last).order_by(t.AUDIT.c.seq).limit(_PAGE)
        page: list[_Row] = [tuple(row) for row in connection.execute(query)]
        if not page:
            return
        yield page
        last = page[-1][0]


def _covered(connection: sa.Connection, page: list[_Row]) -> dict[str, dict[str, str]]:
    """The canonical text of what the rows of a page vouch for, as it stands now: by action, by subject."""
    subjects: dict[str, list[str]] = {}
    for row in page:
        subjects.setdefault(row[4], []).append(row[5])
    transfers: dict[str, dict[str, str]] = {}
    for kind in ("settle", "release", "capital", "fund"):
        if kind in subjects:
            transfers[kind] = _transfers(connection, kind, subjects[kind])
    rows = {
        "hold": (_holds, subjects.get("hold", [])),
        "agent.create": (_agents, subjects.get("agent.create", [])),
        "account.open": (_accounts, subjects.get("account.open", [])),
    }
    return transfers | {action: make(connection, names) for action, (make, names) in rows.items()}


def _holds(connection: sa.Connection, ids: list[str]) -> dict[str, str]:
    hold = t.HOLD.c
    head = (hold.seq, hold.id, hold.agent_id, hold.account_id, hold.kind, hold.amount_msat)
    tail = (hold.boot_id, hold.window_start_ms, hold.model)
    query = sa.select(*head, *tail, hold.candidates, hold.granted, hold.digest, hold.created_ms).where(hold.id.in_(ids))
    return {
        row[1]: _audit.canonical(*row[:9], _audit.digest(row[9]), *row[10:])
        for row in map(tuple, connection.execute(query))
    }


def _transfers(connection: sa.Connection, kind: str, subjects: list[str]) -> dict[str, str]:
    column = t.TRANSFER.c.hold_id if kind in ("settle", "release") else t.TRANSFER.c.key
    columns = [t.TRANSFER.c[name] for name in TRANSFER_COLUMNS]
    rows = connection.execute(sa.select(column, *columns).where(column.in_(subjects), t.TRANSFER.c.kind == kind)).all()
    entries = _entries(connection, [row[1] for row in rows])
    receipts = connection.execute(sa.select(t.RECEIPT.c.id, t.RECEIPT.c.body).where(t.RECEIPT.c.id.in_(subjects)))
    bodies: dict[str, str] = {row[0]: row[1] for row in receipts}
    return {row[0]: _audit.covers_transfer(tuple(row[1:]), entries.get(row[1], []), bodies.get(row[0])) for row in rows}


def _entries(connection: sa.Connection, seqs: list[int]) -> dict[int, list[_Row]]:
    entry = t.ENTRY.c
    query = sa.select(entry.transfer_seq, entry.account_id, entry.side, entry.amount_msat).where(
        entry.transfer_seq.in_(seqs)
    )
    found: dict[int, list[_Row]] = {}
    for row in connection.execute(query.order_by(entry.transfer_seq, entry.n)):
        found.setdefault(row[0], []).append(tuple(row[1:]))
    return found


def _agents(connection: sa.Connection, ids: list[str]) -> dict[str, str]:
    agent = t.AGENT.c
    query = sa.select(agent.id, agent.name, agent.realm, agent.account_id, agent.created_ms).where(agent.id.in_(ids))
    return {row[0]: _audit.canonical(*row) for row in connection.execute(query)}


def _accounts(connection: sa.Connection, names: list[str]) -> dict[str, str]:
    account = t.ACCOUNT.c
    columns = (account.id, account.name, account.realm, account.kind, account.constrained)
    # A name may stand in two realms: an account's audit subject is its name and realm.
    query = sa.select(*columns).where((account.name + "@" + account.realm).in_(names))
    return {f"{row[1]}@{row[2]}": _audit.canonical(*row) for row in connection.execute(query)}


class _Mutable:
    """What the audit says of rows that change in place: switches, tokens, limits."""

    def __init__(self) -> None:
        self._enabled: dict[str, int] = {}
        self._live: dict[str, str] = {}
        self._limits: set[tuple[Any, ...]] = set()

    def note(self, action: str, data: str) -> None:
        """Follow one audit row."""
        if action in ("agent.create", "agent.enabled", "token.add", "token.revoke", "limits.set"):
            members = msgspec.json.decode(data)
            if action == "agent.create":
                self._enabled[members[0]] = 1
            elif action == "agent.enabled":
                self._enabled[members[0]] = members[1]
            elif action == "token.add":
                self._live[members[0]] = members[1]
            elif action == "token.revoke":
                self._live.pop(members[0], None)
            else:
                self._limits.add(tuple(members))

    def first_difference(self, connection: sa.Connection) -> str | None:
        """Where the tables say otherwise."""
        for agent, enabled in connection.execute(sa.select(t.AGENT.c.id, t.AGENT.c.enabled)):
            if self._enabled.get(agent) != enabled:
                return f"agent {agent}: enabled is {enabled}, the audit says otherwise"
        live = sa.select(t.TOKEN.c.hash, t.TOKEN.c.agent_id).where(t.TOKEN.c.revoked_ms.is_(None))
        tokens = {_audit.digest(row[0]): row[1] for row in connection.execute(live)}
        if tokens != self._live:
            agents = sorted({agent for _, agent in tokens.items() ^ self._live.items()})
            return f"agent {agents[0]}: its live tokens are not those that the audit says"
        limits = {tuple(row) for row in connection.execute(sa.select(*t.LIMITS.c))}
        if limits != self._limits:
            agents = sorted({row[0] for row in limits ^ self._limits})
            return f"agent {agents[0]}: its limits are not those that the audit says"
        return None
