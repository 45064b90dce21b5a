"""What must never be found in the database: a sentence, and the query that finds it, for both databases."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import sqlalchemy as sa

from arbstr_core.storage import Dialect
from arbstr_core.vault._rail_tables import METADATA

Check = Callable[[sa.Connection], str | None]
"""The first thing that is wrong, or None. Can be pickled: it may run in another process"""

SIGNED = "CASE {0}side WHEN 'debit' THEN {0}amount_msat ELSE -{0}amount_msat END"

# Of a hold and its transfer, in the order in which they are told.
_ITSELF = (
    (
        """coalesce(x.kind, 'held')
        <> CASE h.state WHEN 'settled' THEN 'settle' WHEN 'released' THEN 'release' ELSE 'held' END""",
        "'is ' || h.state || ', and its transfer says ' || coalesce(x.kind, 'nothing')",
    ),
    ("x.at_ms IS DISTINCT FROM h.ended_ms", "'ended at another moment than its transfer says'"),
    ("x.amount_msat > h.amount_msat", "'of ' || h.amount_msat || ' msat was charged with ' || x.amount_msat"),
    (
        """x.amount_msat <> coalesce((SELECT sum(e.amount_msat) FROM entry e WHERE e.transfer_seq = x.seq
        AND e.account_id = h.account_id AND e.side = 'debit'), 0)""",
        "'was not charged to its agent as transfer ' || x.seq || ' says'",
    ),
)
_AROUND = (
    ("x.seq IS NOT NULL AND r.hold_seq IS NULL", "'has ended and there is no receipt for it'"),
    ("r.at_ms IS DISTINCT FROM x.at_ms", "'has a receipt of another moment'"),
    ("a.account_id IS DISTINCT FROM h.account_id", "'has another account than its agent ' || h.agent_id"),
    ("x.realm IS DISTINCT FROM c.realm AND x.seq IS NOT NULL", "'has a transfer in realm ' || x.realm"),
)
_APPROVED = (
    (
        "h.approval_id IS NOT NULL AND p.account_id IS DISTINCT FROM h.account_id",
        "'has an approval that is not there, or of another account: ' || h.approval_id",
    ),
)
_OF_HOLDS = (*_ITSELF, *_AROUND, *_APPROVED)
WRONG_END = " OR ".join(f"({wrong})" for wrong, _ in (*_ITSELF, *_APPROVED))
"""Of hold h, transfer x and approval p: what `Ends` looks for on its way, beside what is around them"""
WRONG_RECEIPT = "x.hold_seq IS NOT NULL AND r.at_ms IS DISTINCT FROM x.at_ms"
"""Of transfer x and receipt r: what is looked for where receipts are read"""
_WRONG = " OR ".join(f"({wrong})" for wrong, _ in _OF_HOLDS)
_STORY = (
    f"SELECT h.id, CASE {' '.join(f'WHEN {wrong} THEN {text}' for wrong, text in _OF_HOLDS)} END FROM {{0}}"
    " LEFT JOIN receipt r ON r.hold_seq = h.seq LEFT JOIN agent a ON a.id = h.agent_id"
    " LEFT JOIN account c ON c.id = h.account_id LEFT JOIN approval p ON p.id = h.approval_id"
    f" WHERE {{1}} AND ({_WRONG})"
)
# By number, so that both tables are read from end to end.
_ENDED = _STORY.format("transfer x CROSS JOIN hold h", "h.seq = x.hold_seq")
_OPEN = _STORY.format("hold h LEFT JOIN transfer x ON x.hold_seq = h.seq", "h.state = 'held'")

# Ends and receipts that are there are looked at by `Ends`: only where the numbers differ is one missing, or too many.
_ENDS = "(SELECT count(*) FROM transfer WHERE hold_seq IS NOT NULL)"
_ENDED_HOLDS = "(SELECT count(*) FROM hold) - (SELECT count(*) FROM hold WHERE state = 'held')"

_HOLD = "hold {0} {1}"
_SENTENCES = (
    (
        "a row of {0} has the number {1}, and numbers begin with 1",
        " UNION ALL ".join(f"SELECT '{name}', seq FROM {name} WHERE seq < 1" for name in ("hold", "transfer", "audit")),
    ),
    (_HOLD, _OPEN),
    (
        "hold {0} is {1}, and its transfer says nothing",
        f"""SELECT h.id, h.state FROM hold h LEFT JOIN transfer x ON x.hold_seq = h.seq
        WHERE {_ENDED_HOLDS} <> {_ENDS} AND h.state <> 'held' AND x.seq IS NULL""",
    ),
    (
        "receipt of hold number {0} belongs to no ended hold",
        f"""SELECT r.hold_seq FROM receipt r LEFT JOIN transfer x ON x.hold_seq = r.hold_seq
        WHERE (SELECT count(*) FROM receipt) <> {_ENDS} AND x.seq IS NULL""",
    ),
    (
        "transfer {0} refers to transfer {1}, which is not there",
        """SELECT x.seq, x.refers_to FROM transfer x LEFT JOIN transfer o ON o.seq = x.refers_to
        WHERE x.refers_to IS NOT NULL AND o.seq IS NULL""",
    ),
    (
        "hold number {0} counts in {1} windows, and says that it is {2}",
        """SELECT w.hold_seq, count(*), h.windows FROM hold_window w LEFT JOIN hold h ON h.seq = w.hold_seq
        GROUP BY w.hold_seq, h.windows HAVING count(*) <> coalesce(h.windows, 0)""",
    ),
    (
        "agent {0}, of which {1} is counted, is not there",
        "SELECT b.agent_id, b.kind FROM bucket b LEFT JOIN agent a ON a.id = b.agent_id WHERE a.id IS NULL",
    ),
    (
        "agent {0}: its account is of another realm, or not there",
        "SELECT g.id FROM agent g LEFT JOIN account a ON a.id = g.account_id WHERE a.realm IS DISTINCT FROM g.realm",
    ),
    (
        "agent {0}: its parent {1} has another account, or another place above it",
        """SELECT g.id, g.parent_id FROM agent g JOIN agent p ON p.id = g.parent_id
        WHERE p.account_id <> g.account_id OR p.depth <> g.depth - 1""",
    ),
    (
        "account {0}: {1} msat are available, less than nothing",
        "SELECT name, posted_msat - held_msat FROM account WHERE constrained = 1 AND posted_msat < held_msat",
    ),
    (
        "account {0}: held is {1} msat, its open holds make {2}",
        """SELECT a.name, a.held_msat, coalesce(sum(h.amount_msat), 0) FROM account a
        LEFT JOIN hold h ON h.account_id = a.id AND h.state = 'held' GROUP BY a.id, a.name, a.held_msat
        HAVING a.held_msat <> coalesce(sum(h.amount_msat), 0)""",
    ),
    (
        "payment {0} is {1}, and the hold for it is {2}",
        """SELECT p.id, p.state, coalesce(h.state, 'not there') FROM payment p LEFT JOIN hold h ON h.id = p.id
        WHERE p.kind = 'payout' AND coalesce(h.state, 'none') <> CASE WHEN p.state = 'succeeded' THEN 'settled'
        WHEN p.state IN ('failed', 'rejected', 'cancelled') THEN 'released' ELSE 'held' END""",
    ),
    (
        "payment {0} of {1} msat is held for with {2} msat",
        """SELECT p.id, p.amount_msat + p.fee_held_msat, h.amount_msat FROM payment p JOIN hold h ON h.id = p.id
        WHERE p.kind = 'payout' AND h.amount_msat <> p.amount_msat + p.fee_held_msat""",
    ),
    (
        "payment {0} has left, and no transfer says so",
        """SELECT p.id, p.state FROM payment p LEFT JOIN transfer x ON x.key = 'payment:' || p.id || ':0'
        WHERE p.kind <> 'payout' AND p.state = 'succeeded' AND x.seq IS NULL""",
    ),
    (
        "deposit {0} of {1} msat is not what its transfer says",
        """SELECT d.rail || ' ' || d.reference, d.amount_msat FROM deposit d LEFT JOIN transfer x
        ON x.seq = d.transfer_seq WHERE x.realm IS DISTINCT FROM d.realm OR NOT EXISTS (SELECT 1 FROM entry e
        WHERE e.transfer_seq = d.transfer_seq AND e.side = 'credit' AND e.amount_msat >= d.amount_msat)""",
    ),
)

_SQLITE_ONLY = (
    (
        "the numbers of transfers end at {1}, and there are {0}: one is gone",
        "SELECT count(*), max(seq) FROM transfer HAVING count(*) <> max(seq)",
    ),
    (
        "the numbers of holds end at {1}, and there are {0}: one is gone",
        "SELECT count(*), max(seq) FROM hold HAVING count(*) <> max(seq)",
    ),
    *(
        (
            "table {0}: what a row refers to is not there, in {1}",
            f"""SELECT "table", "parent" FROM pragma_foreign_key_check('{table.name}')""",
        )
        # What the others refer to is looked at above.
        for table in METADATA.sorted_tables
        if table.foreign_keys and not table.info["guarded"]
    ),
)

_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table'"
_DAMAGED = "SELECT * FROM pragma_integrity_check('{0}') WHERE integrity_check <> 'ok'"


def ledger(dialect: Dialect) -> list[Check]:
    """The checks that are a query, in order of how much what they find would matter."""
    more = _SQLITE_ONLY if dialect is Dialect.SQLITE else ()
    return [_asked(sentence, query) for sentence, query in (*_SENTENCES, *more)]


def damaged(connection: sa.Connection) -> list[Check]:
    """SQLite's own look at each table and its indexes."""
    if Dialect(connection.dialect.name) is not Dialect.SQLITE:
        return []
    names = [row[0] for row in connection.exec_driver_sql(_TABLES)]
    return [_asked("the file is damaged: {0}", _DAMAGED.format(name)) for name in names]


def _asked(sentence: str, query: str) -> Check:
    return partial(first, sentence, query)


def first(sentence: str, query: str, connection: sa.Connection) -> str | None:
    """The first row that a query finds, in the words of a sentence; None where it finds none."""
    row = connection.exec_driver_sql(f"{query} LIMIT 1").first()
    return None if row is None else sentence.format(*row)


ENDED = _asked(_HOLD, _ENDED)
"""The first hold that ended otherwise than its transfer says: told in words once something is known to be wrong"""
WITHOUT_HOLD = _asked(
    "transfer {0} is of a hold that is not there, number {1}",
    """SELECT x.seq, x.hold_seq FROM transfer x LEFT JOIN hold h ON h.seq = x.hold_seq
    WHERE x.hold_seq IS NOT NULL AND h.seq IS NULL""",
)
