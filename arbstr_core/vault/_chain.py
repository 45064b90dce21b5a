"""Walks the audit chain, and compares each audit row with the row it vouches for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa

from arbstr_core.vault import _audit
from arbstr_core.vault import _tables as t
from arbstr_core.vault._rows import AUDIT_COLUMNS, HOLD_SMALL, TRANSFER_COLUMNS

_PAGE = 1_000
_Row = tuple[Any, ...]


def first_broken_link(connection: sa.Connection) -> str | None:
    """The first audit row that does not follow from the one before, or does not match what it covers."""
    head = _audit.Head()
    state = _Mutable()
    vouched = {"hold": 0, "transfer": 0}
    for page in _pages(connection):
        for row in page:
            if row[0] != head.seq + 1:
                return f"audit row {row[0]}: the sequence has a gap before it"
            if _audit.link(head.hash, row[:-1]) != row[-1]:
                return f"audit row {row[0]}: its hash does not follow from the row before"
            head = _audit.Head(seq=row[0], hash=row[-1])
            state.note(row[5], row[7])
        wrong = _first_changed(connection, page, vouched) or _first_other(connection, page)
        if wrong is not None:
            return wrong
    return _unvouched(connection, vouched) or state.first_difference(connection)


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


def _first_changed(connection: sa.Connection, page: list[_Row], vouched: dict[str, int]) -> str | None:
    """The first hold or transfer that is not what it was when it was written."""
    for row in page:
        if row[5] != _audit.LEDGER:
            continue
        said: list[tuple[str, int, str]] = msgspec.json.decode(row[7])
        for kind, digests in (("hold", _holds), ("transfer", _transfers)):
            numbers = [seq for which, seq, _ in said if which == kind]
            vouched[kind] += len(numbers)
            now = digests(connection, numbers)
            for which, seq, digest in said:
                if which == kind and now.get(seq) != digest:
                    return f"{kind} {seq} is not what audit row {row[0]} says that it was"
    return None


def _holds(connection: sa.Connection, numbers: list[int]) -> dict[int, str]:
    columns = [t.HOLD.c[name] for name in HOLD_SMALL]
    rows = connection.execute(sa.select(*columns).where(t.HOLD.c.seq.in_(numbers)))
    return {row[0]: _audit.of_hold(tuple(row)) for row in rows}


def _transfers(connection: sa.Connection, numbers: list[int]) -> dict[int, str]:
    columns = [t.TRANSFER.c[name] for name in TRANSFER_COLUMNS]
    query = sa.select(*columns, t.RECEIPT.c.body).select_from(
        t.TRANSFER.outerjoin(t.RECEIPT, t.RECEIPT.c.hold_seq == t.TRANSFER.c.hold_seq)
    )
    rows = connection.execute(query.where(t.TRANSFER.c.seq.in_(numbers))).all()
    entries = _entries(connection, numbers)
    return {row[0]: _audit.of_transfer(tuple(row[:-1]), entries.get(row[0], []), row[-1]) for row in rows}


def _entries(connection: sa.Connection, numbers: list[int]) -> dict[int, list[_Row]]:
    entry = t.ENTRY.c
    columns = (entry.transfer_seq, entry.account_id, entry.side, entry.amount_msat, entry.previous_seq)
    query = sa.select(*columns).where(entry.transfer_seq.in_(numbers)).order_by(entry.transfer_seq, entry.n)
    found: dict[int, list[_Row]] = {}
    for row in connection.execute(query):
        found.setdefault(row[0], []).append(tuple(row[1:]))
    return found


def _unvouched(connection: sa.Connection, vouched: dict[str, int]) -> str | None:
    for table in (t.HOLD, t.TRANSFER):
        there = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() or 0
        if there != vouched[table.name]:
            return f"there are {there} rows of {table.name}, and the audit speaks of {vouched[table.name]}"
    return None


def _first_other(connection: sa.Connection, page: list[_Row]) -> str | None:
    """The first agent or account that is not what it was when it was made."""
    for action, now in (("agent.create", _agents), ("account.open", _accounts)):
        said = {row[6]: (row[0], row[7]) for row in page if row[5] == action}
        there = now(connection, list(said))
        for subject, (seq, data) in said.items():
            if there.get(subject) != data:
                return f"audit row {seq}: {action} {subject} is not what it was when it was written"
    return None


def _agents(connection: sa.Connection, ids: list[str]) -> dict[str, str]:
    agent = t.AGENT.c
    columns = (agent.id, agent.name, agent.realm, agent.account_id, agent.parent_id, agent.depth, agent.created_ms)
    return {row[0]: _audit.canonical(*row) for row in connection.execute(sa.select(*columns).where(agent.id.in_(ids)))}


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
