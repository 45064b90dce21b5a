"""An agent's statement: every entry of its account in a time, from an opening to a closing balance."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import sqlalchemy as sa

from arbstr_core.types import NotFound
from arbstr_core.vault import _tables as t


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the account. `amount_msat` is what the balance changed by."""

    transfer: int
    at_ms: int
    kind: str
    amount_msat: int
    balance_msat: int
    """after it"""
    call: str | None
    """the request id, where it was a call"""
    agent: str | None
    """which key made the call"""
    model: str | None
    reference: str | None
    """the key of what was no call"""


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """All lines with since <= at < until, oldest first."""

    agent: str
    name: str
    realm: str
    since_ms: int | None
    until_ms: int | None
    made_ms: int
    opening_msat: int
    closing_msat: int
    audit_seq: int
    """the audit's last row when the statement was made"""
    audit_hash: str
    """hex"""
    lines: tuple[Line, ...]


def statement(
    connection: sa.Connection, agent_id: str, since_ms: int | None, until_ms: int | None, now_ms: int
) -> Statement:
    """The statement of a root agent's account. Raises NotFound."""
    agent = t.AGENT.c
    found = connection.execute(
        sa.select(agent.name, agent.realm, agent.account_id).where(agent.id == agent_id, agent.depth == 1)
    ).first()
    if found is None:
        raise NotFound(
            f"there is no agent {agent_id} with an account of its own: a child key is in its root's statement"
        )
    lines, opening, balance = [], 0, 0
    for line in _lines(connection, found[2]):
        balance = line.balance_msat
        if since_ms is not None and line.at_ms < since_ms:
            opening = balance
        elif until_ms is None or line.at_ms < until_ms:
            lines.append(line)
    end = connection.execute(sa.select(t.AUDIT.c.seq, t.AUDIT.c.hash).order_by(t.AUDIT.c.seq.desc()).limit(1)).one()
    return Statement(
        agent=agent_id,
        name=found[0],
        realm=found[1],
        since_ms=since_ms,
        until_ms=until_ms,
        made_ms=now_ms,
        opening_msat=opening,
        closing_msat=lines[-1].balance_msat if lines else opening,
        audit_seq=end[0],
        audit_hash=bytes(end[1]).hex(),
        lines=tuple(lines),
    )


def _lines(connection: sa.Connection, account: int) -> Iterator[Line]:
    entry, transfer, hold = t.ENTRY.c, t.TRANSFER.c, t.HOLD.c
    query = (
        sa.select(
            transfer.seq,
            transfer.at_ms,
            transfer.kind,
            entry.side,
            entry.amount_msat,
            hold.id,
            hold.agent_id,
            hold.model,
            transfer.key,
        )
        .select_from(
            t.ENTRY.join(t.TRANSFER, transfer.seq == entry.transfer_seq).outerjoin(
                t.HOLD, hold.seq == transfer.hold_seq
            )
        )
        .where(entry.account_id == account)
        .order_by(transfer.seq, entry.n)
    )
    balance = 0
    for row in connection.execute(query):
        change = row[4] if row[3] == "credit" else -row[4]
        balance += change
        yield Line(
            transfer=row[0],
            at_ms=row[1],
            kind=row[2],
            amount_msat=change,
            balance_msat=balance,
            call=row[5],
            agent=row[6],
            model=row[7],
            reference=row[8],
        )
