"""What an agent's limits leave at this moment, as the next hold would find it; read, not decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sqlalchemy as sa

from arbstr_core.vault import _reads
from arbstr_core.vault import _tables as t
from arbstr_core.vault._pages import Left
from arbstr_core.vault._terms import HOUR_MS, MINUTE_MS, TENTH_OF_MINUTE_MS, day_of
from arbstr_core.vault._values import AgentRecord, HoldState, Limits


def left(connection: sa.Connection, agent: str, now_ms: int) -> list[Left]:
    """Of the agent's own limits first, then of those above it."""
    return [each for node in lineage(connection, agent) for each in _of(connection, node, now_ms)]


def lineage(connection: sa.Connection, agent: str) -> Iterator[AgentRecord]:
    """The agent and those above it."""
    found = _reads.agent(connection, agent)
    while found is not None:
        yield found
        found = None if found.parent is None else _reads.agent(connection, found.parent)


def _of(connection: sa.Connection, node: AgentRecord, now_ms: int) -> Iterator[Left]:
    limits = node.limits or Limits()
    most = limits.max_charge_msat or 0
    yield Left(agent=node.id, limit="max_charge", most=most, used=0, left=most, resets_ms=None)
    start, following = day_of(limits.zone, now_ms)
    used = _used(connection, node, "day", start).get(start, 0)
    yield _left(node, "daily", limits.daily_msat or 0, used, following)
    if limits.hourly_msat is not None:
        # The last sixty minutes and the one that has begun, as it is decided.
        minutes = _used(connection, node, "minute", now_ms - now_ms % MINUTE_MS - HOUR_MS)
        busy = [window for window, amount in minutes.items() if amount]
        resets = min(busy) + HOUR_MS + MINUTE_MS if busy else None
        yield _left(node, "hourly", limits.hourly_msat, sum(minutes.values()), resets)
    if limits.per_minute is not None:
        tenths = _used(connection, node, "requests", now_ms - now_ms % TENTH_OF_MINUTE_MS - MINUTE_MS)
        resets = min(tenths) + MINUTE_MS + TENTH_OF_MINUTE_MS if tenths else None
        yield _left(node, "per_minute", limits.per_minute, sum(tenths.values()), resets)
    if limits.concurrent is not None:
        yield _left(node, "concurrent", limits.concurrent, _open(connection, node), None)


def _left(node: AgentRecord, limit: str, most: int, used: int, resets_ms: int | None) -> Left:
    return Left(agent=node.id, limit=limit, most=most, used=used, left=max(0, most - used), resets_ms=resets_ms)


def _used(connection: sa.Connection, node: AgentRecord, kind: str, since: int) -> Mapping[int, int]:
    bucket = t.BUCKET.c
    query = sa.select(bucket.window_start_ms, bucket.used)
    query = query.where(bucket.agent_id == node.id, bucket.kind == kind, bucket.window_start_ms >= since)
    return {row[0]: row[1] for row in connection.execute(query)}


def _open(connection: sa.Connection, node: AgentRecord) -> int:
    """How many holds of the agent and of its child keys are open."""
    keys = [node.id, *(each.id for each in _reads.descendants(connection, node.id))]
    hold = t.HOLD.c
    account = sa.select(t.AGENT.c.account_id).where(t.AGENT.c.id == node.id).scalar_subquery()
    query = sa.select(sa.func.count()).where(
        hold.account_id == account, sa.text(f"hold.state = '{HoldState.HELD}'"), hold.agent_id.in_(keys)
    )
    return int(connection.execute(query.select_from(t.HOLD)).scalar_one())
