"""Questions that change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from arbstr_core.vault import _rail_tables as r
from arbstr_core.vault import _tables as t
from arbstr_core.vault._corrections import CORRECTION
from arbstr_core.vault._records import ApprovalRecord, ApprovalState
from arbstr_core.vault._rows import latest_limits
from arbstr_core.vault._terms import PAYOUT, more_of
from arbstr_core.vault._values import AgentRecord, HoldState, Limits, ReceiptRecord

_AGENT = sa.select(
    t.AGENT.c.id,
    t.AGENT.c.name,
    t.AGENT.c.realm,
    t.AGENT.c.enabled,
    t.AGENT.c.created_ms,
    t.ACCOUNT.c.posted_msat,
    t.ACCOUNT.c.held_msat,
    t.LIMITS.c.version,
    t.LIMITS.c.max_charge_msat,
    t.LIMITS.c.daily_msat,
    t.LIMITS.c.more,
    t.AGENT.c.parent_id,
    t.AGENT.c.depth,
).select_from(t.AGENT.join(t.ACCOUNT, t.ACCOUNT.c.id == t.AGENT.c.account_id).outerjoin(t.LIMITS, latest_limits()))

_LASTING = t.ACCOUNT.c.kind != "temp"
"""What pays a single call is nobody's agent"""


def agent(connection: sa.Connection, id_or_name: str) -> AgentRecord | None:
    """The agent with this id, else with this name."""
    for column in (t.AGENT.c.id, t.AGENT.c.name):
        row = connection.execute(_AGENT.where(column == id_or_name)).first()
        if row is not None:
            return _record(row)
    return None


def agents(connection: sa.Connection) -> list[AgentRecord]:
    """All agents, by name."""
    query = _AGENT.where(_LASTING).order_by(t.AGENT.c.created_ms, t.AGENT.c.id)
    return [_record(row) for row in connection.execute(query)]


def agents_after(connection: sa.Connection, parent: str | None, after: str | None, most: int) -> list[AgentRecord]:
    """Agents from the id `after` on, or the child keys of one. Ids begin with the time, so the oldest come first."""
    query = _AGENT.where(_LASTING).order_by(t.AGENT.c.id).limit(most)
    if parent is not None:
        query = query.where(t.AGENT.c.parent_id == parent)
    if after is not None:
        query = query.where(t.AGENT.c.id >= after)
    return [_record(row) for row in connection.execute(query)]


def agent_by_token(connection: sa.Connection, token_hash: bytes) -> AgentRecord | None:
    """Whose live token this is."""
    live = sa.select(t.TOKEN.c.agent_id).where(t.TOKEN.c.hash == token_hash, t.TOKEN.c.revoked_ms.is_(None))
    row = connection.execute(_AGENT.where(t.AGENT.c.id == live.scalar_subquery())).first()
    return None if row is None else _record(row)


def token_of(connection: sa.Connection, agent_id: str) -> bytes | None:
    """The hash of the newest live token of an agent; None where it has none."""
    token = t.TOKEN.c
    query = sa.select(token.hash).where(token.agent_id == agent_id, token.revoked_ms.is_(None))
    row = connection.execute(query.order_by(token.created_ms.desc(), token.hash).limit(1)).first()
    return None if row is None else bytes(row[0])


def receipt(connection: sa.Connection, id: str) -> ReceiptRecord | None:
    """A call's hold, its outcome and its receipt."""
    hold = t.HOLD.c
    charged = sa.func.coalesce(t.TRANSFER.c.amount_msat, 0) + corrected().scalar_subquery()
    query = (
        sa.select(
            hold.id, hold.agent_id, t.AGENT.c.name, hold.model, hold.state, hold.amount_msat, charged, t.RECEIPT.c.body
        )
        .select_from(
            t.HOLD.join(t.AGENT, t.AGENT.c.id == hold.agent_id)
            .outerjoin(t.TRANSFER, t.TRANSFER.c.hold_seq == hold.seq)
            .outerjoin(t.RECEIPT, t.RECEIPT.c.hold_seq == hold.seq)
        )
        .where(hold.id == id)
    )
    row: Sequence[Any] | None = connection.execute(query).first()
    if row is None:
        return None
    return ReceiptRecord(
        id=row[0],
        agent=row[1],
        agent_name=row[2],
        model=row[3],
        state=HoldState(row[4]),
        held_msat=row[5],
        charged_msat=int(row[6]),
        body=None if row[7] is None else row[7].encode(),
    )


def corrected() -> sa.Select[Any]:
    """What corrections of a hold's charge make, positive where they charged more."""
    correction, entry = t.TRANSFER.alias("correction"), t.ENTRY.c
    signed = sa.case((entry.side == "debit", entry.amount_msat), else_=-entry.amount_msat)
    return (
        sa.select(sa.func.coalesce(sa.func.sum(signed), 0))
        .select_from(correction.join(t.ENTRY, entry.transfer_seq == correction.c.seq))
        .where(
            correction.c.refers_to == t.TRANSFER.c.seq,
            correction.c.kind == CORRECTION,
            entry.account_id == t.HOLD.c.account_id,
        )
        .correlate(t.TRANSFER, t.HOLD)
    )


def replay(connection: sa.Connection, hold_id: str) -> bytes | None:
    """The sealed answer of a call."""
    query = sa.select(t.REPLAY.c.sealed).join(t.HOLD, t.HOLD.c.seq == t.REPLAY.c.hold_seq)
    sealed = connection.execute(query.where(t.HOLD.c.id == hold_id)).scalar()
    return None if sealed is None else bytes(sealed)


def whole_limits(version: int, max_charge: int | None, daily: int | None, more: str | None) -> Limits:
    """One version of an agent's limits."""
    return msgspec.structs.replace(more_of(more), version=version, max_charge_msat=max_charge, daily_msat=daily)


def _record(row: Sequence[Any]) -> AgentRecord:
    limits = None if row[7] is None else whole_limits(row[7], row[8], row[9], row[10])
    return AgentRecord(
        id=row[0],
        name=row[1],
        realm=row[2],
        enabled=bool(row[3]),
        created_ms=row[4],
        posted_msat=row[5],
        held_msat=row[6],
        available_msat=row[5] - row[6],
        limits=limits,
        parent=row[11],
        depth=row[12],
    )


_APPROVAL = sa.select(
    t.APPROVAL.c.id,
    t.APPROVAL.c.agent_id,
    t.AGENT.c.name,
    t.APPROVAL.c.kind,
    t.APPROVAL.c.ceiling_msat,
    t.APPROVAL.c.models,
    t.APPROVAL.c.limits_version,
    t.APPROVAL.c.state,
    t.APPROVAL.c.created_ms,
    t.APPROVAL.c.expires_ms,
    t.APPROVAL.c.decided_ms,
    t.APPROVAL.c.decided_by,
    t.APPROVAL.c.hold_id,
    r.PAYMENT.c.destination,
).select_from(
    t.APPROVAL.join(t.AGENT, t.AGENT.c.id == t.APPROVAL.c.agent_id).outerjoin(
        # A payout has the id of its hold.
        r.PAYMENT,
        (t.APPROVAL.c.kind == PAYOUT) & (r.PAYMENT.c.id == t.APPROVAL.c.hold_id),
    )
)


def approval(connection: sa.Connection, id: str) -> ApprovalRecord | None:
    """The approval with this id."""
    row = connection.execute(_APPROVAL.where(t.APPROVAL.c.id == id)).first()
    return None if row is None else _approval(row)


def approvals(
    connection: sa.Connection, *, state: ApprovalState | None, agent: str | None, before: str | None, most: int
) -> list[ApprovalRecord]:
    """Approvals, the newest first."""
    made, id = t.APPROVAL.c.created_ms, t.APPROVAL.c.id
    query = _APPROVAL.order_by(made.desc(), id.desc()).limit(most)
    if state is not None:
        query = query.where(t.APPROVAL.c.state == state.value)
    if agent is not None:
        query = query.where(t.APPROVAL.c.agent_id == agent)
    if before is not None:
        then = sa.select(made).where(id == before).correlate(None).scalar_subquery()
        query = query.where((made < then) | ((made == then) & (id < before)))
    return [_approval(row) for row in connection.execute(query)]


def lapsed_approvals(connection: sa.Connection, now_ms: int, *, most: int) -> list[ApprovalRecord]:
    """Approvals that nobody has used, and whose time is over."""
    waits = t.APPROVAL.c.state == ApprovalState.PENDING.value
    granted = (t.APPROVAL.c.state == ApprovalState.GRANTED.value) & (t.APPROVAL.c.kind != PAYOUT)
    query = _APPROVAL.where(waits | granted, t.APPROVAL.c.expires_ms <= now_ms).limit(most)
    return [_approval(row) for row in connection.execute(query)]


def _approval(row: Sequence[Any]) -> ApprovalRecord:
    found = dict(zip(ApprovalRecord.__struct_fields__, row, strict=True))
    found["models"] = tuple(msgspec.json.decode(found["models"]))
    found["state"] = ApprovalState(found["state"])
    return ApprovalRecord(**found)


def descendants(connection: sa.Connection, agent_id: str) -> list[AgentRecord]:
    """The child keys of an agent, and theirs, oldest first."""
    below = sa.select(t.AGENT.c.id).where(t.AGENT.c.parent_id == agent_id).cte("below", recursive=True)
    below = below.union_all(sa.select(t.AGENT.c.id).where(t.AGENT.c.parent_id == below.c.id))
    query = _AGENT.where(t.AGENT.c.id.in_(sa.select(below.c.id))).order_by(t.AGENT.c.created_ms, t.AGENT.c.id)
    return [_record(row) for row in connection.execute(query)]
