"""Replays the whole ledger, on one snapshot, and compares it with what is stored. SQLite's own SQL, as text.

Each check is a query that gives the rows that are wrong, and a sentence for the first of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from arbstr_core.storage import Dialect
from arbstr_core.vault._chain import first_broken_link
from arbstr_core.vault._migrations import guards
from arbstr_core.vault._values import Verification

_SIGNED = "CASE side WHEN 'debit' THEN amount_msat ELSE -amount_msat END"
_DAY_MS = 86_400_000

_CHECKS: tuple[tuple[str, str], ...] = (
    (
        "transfer {0}: its entries do not balance",
        f"SELECT transfer_seq FROM entry GROUP BY transfer_seq HAVING sum({_SIGNED}) <> 0",
    ),
    (
        "transfer {0}: the sequence has a gap before it",
        "SELECT seq FROM (SELECT seq, row_number() OVER (ORDER BY seq) AS place FROM transfer) WHERE seq <> place",
    ),
    (
        "entry {1} of transfer {0}: its account is of another realm",
        """SELECT e.transfer_seq, e.n FROM entry e JOIN transfer x ON x.seq = e.transfer_seq
        JOIN account a ON a.id = e.account_id WHERE a.realm <> x.realm""",
    ),
    (
        "hold {0} is {1}, and that is not what its transfer says",
        """SELECT h.id, h.state FROM hold h LEFT JOIN transfer x ON x.hold_seq = h.seq
        WHERE coalesce(x.kind, 'held')
        <> CASE h.state WHEN 'settled' THEN 'settle' WHEN 'released' THEN 'release' ELSE 'held' END
        OR x.amount_msat > h.amount_msat""",
    ),
    (
        "hold {0}: the agent was not charged what its transfer says",
        """SELECT h.id FROM hold h JOIN transfer x ON x.hold_seq = h.seq
        LEFT JOIN entry e ON e.transfer_seq = x.seq AND e.account_id = h.account_id AND e.side = 'debit'
        WHERE coalesce(e.amount_msat, 0) <> x.amount_msat""",
    ),
    (
        "hold {0} has ended and there is no receipt for it",
        "SELECT id FROM hold h WHERE state <> 'held' AND NOT EXISTS (SELECT 1 FROM receipt r WHERE r.hold_seq = h.seq)",
    ),
    (
        "account {0}: posted is {1} msat, its entries make {2}",
        f"""WITH replay AS (SELECT account_id, sum({_SIGNED}) AS debits FROM entry GROUP BY account_id)
        SELECT a.name, a.posted_msat, CASE a.kind WHEN 'asset' THEN 1 ELSE -1 END * coalesce(r.debits, 0) AS made
        FROM account a LEFT JOIN replay r ON r.account_id = a.id WHERE a.constrained AND a.posted_msat <> made""",
    ),
    (
        "account {0}: held is {1} msat, its open holds make {2}",
        """WITH open AS (SELECT account_id, sum(amount_msat) AS msat FROM hold WHERE state = 'held' GROUP BY account_id)
        SELECT a.name, a.held_msat, coalesce(o.msat, 0) AS made
        FROM account a LEFT JOIN open o ON o.account_id = a.id WHERE a.held_msat <> made""",
    ),
    (
        "account {0}: {1} msat are available, less than nothing",
        "SELECT name, posted_msat - held_msat FROM account WHERE constrained AND posted_msat < held_msat",
    ),
    (
        "realm {0}: assets are {1} msat, less than what is owed to agents, {2} msat",
        """SELECT realm, sum(posted_msat) FILTER (WHERE kind = 'asset') AS assets,
        sum(posted_msat) FILTER (WHERE kind = 'agent') AS owed FROM account GROUP BY realm
        HAVING coalesce(owed, 0) > coalesce(assets, 0)""",
    ),
    (
        "agent {0}, day {1}: {2} msat of the daily limit are used, its calls make {3}",
        """WITH counted AS (SELECT h.seq, h.agent_id, h.window_start_ms FROM hold h
          UNION ALL SELECT w.hold_seq, w.agent_id, w.window_start_ms FROM hold_window w WHERE w.kind = 'day'),
        calls AS (SELECT k.agent_id, k.window_start_ms,
          sum(CASE h.state WHEN 'held' THEN h.amount_msat ELSE coalesce(x.amount_msat, 0) END) AS msat
          FROM counted k JOIN hold h ON h.seq = k.seq LEFT JOIN transfer x ON x.hold_seq = h.seq GROUP BY 1, 2),
        days AS (SELECT agent_id, window_start_ms, used FROM bucket WHERE kind = 'day')
        SELECT coalesce(d.agent_id, c.agent_id), coalesce(d.window_start_ms, c.window_start_ms),
          coalesce(d.used, 0), coalesce(c.msat, 0) FROM days d
        FULL JOIN calls c ON c.agent_id = d.agent_id AND c.window_start_ms = d.window_start_ms
        WHERE coalesce(d.used, 0) <> coalesce(c.msat, 0)""",
    ),
    (
        "agent {0}, day {1}: {2} msat are used, above every daily limit it had",
        f"""SELECT agent_id, window_start_ms, used FROM bucket b
        WHERE kind = 'day' AND used > (SELECT coalesce(max(daily_msat), 0)
        FROM limits l WHERE l.agent_id = b.agent_id AND l.created_ms < b.window_start_ms + {_DAY_MS})""",
    ),
    ("receipt {0} belongs to no ended hold", "SELECT hold_seq FROM receipt EXCEPT SELECT hold_seq FROM transfer"),
    (
        "agent {0} has no audit row",
        "SELECT id FROM agent EXCEPT SELECT subject FROM audit WHERE action = 'agent.create'",
    ),
    ("table {0}, row {1}: what it refers to is not there", 'SELECT "table", rowid FROM pragma_foreign_key_check'),
    ("the file is damaged: {0}", "SELECT * FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
)


def verify(connection: sa.Connection) -> Verification:
    """Everything, in order of how much it would matter; the first thing wrong is named."""
    sum_msat = _scalar(connection, f"SELECT coalesce(sum({_SIGNED}), 0) FROM entry")
    bad = _first_bad(connection)
    if bad is None and sum_msat:
        bad = f"the entries make {sum_msat} msat, not 0"
    return Verification(
        ok=bad is None,
        transfers=_scalar(connection, "SELECT count(*) FROM transfer"),
        sum_msat=sum_msat,
        open_holds=_scalar(connection, "SELECT count(*) FROM hold WHERE state = 'held'"),
        agents=_scalar(connection, "SELECT count(*) FROM agent"),
        entries=_scalar(connection, "SELECT count(*) FROM entry"),
        audit_rows=_scalar(connection, "SELECT count(*) FROM audit"),
        first_bad=bad,
    )


def _first_bad(connection: sa.Connection) -> str | None:
    for sentence, query in _CHECKS:
        row = connection.exec_driver_sql(f"{query} LIMIT 1").first()
        if row is not None:
            return sentence.format(*row)
    others: tuple[Callable[[sa.Connection], str | None], ...] = (_missing_trigger, first_broken_link)
    for check in others:
        found = check(connection)
        if found is not None:
            return found
    return None


def _missing_trigger(connection: sa.Connection) -> str | None:
    rows = connection.exec_driver_sql("SELECT sql FROM sqlite_schema WHERE type = 'trigger'")
    present = {row[0] for row in rows}
    missing = [guard.name for guard in guards() if not set(guard.made(Dialect.SQLITE)) <= present]
    return f"trigger {missing[0]} is not there, or was changed" if missing else None


def _scalar(connection: sa.Connection, query: str) -> int:
    value: Any = connection.exec_driver_sql(query).scalar()
    return int(value)
