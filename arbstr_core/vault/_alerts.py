"""Balance alerts: the operator is told when an account falls below an agent's floor, once in a while."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from arbstr_core.storage import Statement, Transaction, bulk_insert
from arbstr_core.vault import _outbox
from arbstr_core.vault import _tables as t
from arbstr_core.vault._records import EventName
from arbstr_core.vault._rows import Node, Purse
from arbstr_core.vault._terms import more_of

_LAST = Statement(
    sa.select(t.ALERT.c.last_ms).where(
        t.ALERT.c.agent_id == sa.bindparam("agent"), t.ALERT.c.kind == sa.bindparam("kind")
    )
)
_NOTE = bulk_insert(t.ALERT, ("agent_id", "kind", "last_ms"), replace=True)
_BALANCE = "balance"


def watch(tx: Transaction, agents: Sequence[tuple[Node, Purse]]) -> None:
    """Tell of those whose account is below their floor at a transaction's end, unless that was done within the
    cooldown."""
    for node, purse in agents:
        more = more_of(node.more)
        available = purse.posted - purse.held
        if more.alert_floor_msat is None or available >= more.alert_floor_msat:
            continue
        row = tx.one(_LAST, {"agent": node.id, "kind": _BALANCE})
        # A clock that was set back must not keep quiet for as long as it was ahead.
        if row is not None and 0 <= tx.now_ms - row[0] < more.alert_cooldown_seconds * 1000:
            continue
        tx.bulk(_NOTE, [(node.id, _BALANCE, tx.now_ms)])
        floor = more.alert_floor_msat
        _outbox.tell(tx, EventName.BALANCE_ALERT, agent=node.id, available_msat=available, floor_msat=floor)
