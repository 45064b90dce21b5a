"""What a process may write that works on the money without being the treasury: PostgreSQL's own word for it.

Such a process logs in as a role that does not own the tables. It has the privileges of `_roles`, and these bounds look
at each statement of it: calls are held for, charged to whoever they are held for, and released; nothing else moves.
They are triggers, of which the owner's statements, and so a deployment with one role, notice only that they are there.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

_PATH = "search_path=public, pg_temp"


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """Refuses a statement of a bounded session on `table` for which `wrong`, a query, finds anything; the rows that it
    wrote are the table `fresh`, and with `was` those before are the table of that name."""

    name: str
    table: str
    event: str
    message: str
    wrong: str
    was: bool = False

    def made(self) -> tuple[str, ...]:
        """The statements that put it up."""
        function = (
            f"CREATE FUNCTION {self.name}() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp"
            f" AS $bound${self.body()}$bound$"
        )
        return (function, self.trigger())

    def trigger(self) -> str:
        """The trigger; what it says is in its function."""
        tables = "OLD TABLE AS was NEW TABLE AS fresh" if self.was else "NEW TABLE AS fresh"
        return (
            f"CREATE TRIGGER {self.name} AFTER {self.event} ON {self.table} REFERENCING {tables}"
            f" FOR EACH STATEMENT WHEN (arbstr_bounded()) EXECUTE FUNCTION {self.name}()"
        )

    def body(self) -> str:
        """The function's text, as PostgreSQL keeps it."""
        refuse = f"RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = '{self.message}';"
        return f" BEGIN IF EXISTS ({self.wrong}) THEN {refuse} END IF; RETURN NULL; END "

    def stands(self, row: Sequence[object]) -> bool:
        """True where what PostgreSQL says of it is what was put up: enabled, body, definer, language, settings."""
        enabled, body, definer, language, settings = row
        return (enabled, body, definer, language, settings) == ("O", self.body(), False, "plpgsql", [_PATH])


_HERE = "pg_current_xact_id()::xid"
_OPENED = """SELECT 1 FROM fresh f JOIN agent a ON a.id = f.agent_id
LEFT JOIN approval p ON p.id = f.approval_id
LEFT JOIN limits l ON l.agent_id = a.id AND l.version = (SELECT max(version) FROM limits WHERE agent_id = a.id)
WHERE f.kind NOT IN ('call', 'billing') OR f.state <> 'held' OR a.enabled = 0
OR (f.approval_id IS NULL AND f.amount_msat > coalesce(l.max_charge_msat, -1))
OR (f.approval_id IS NOT NULL AND (p.state = 'held' AND p.hold_id = f.id AND p.kind = 'call'
AND p.account_id = f.account_id AND p.ceiling_msat >= f.amount_msat) IS NOT TRUE)"""
_ENDED = """SELECT 1 FROM fresh f JOIN was ON was.seq = f.seq LEFT JOIN transfer x ON x.hold_seq = f.seq
WHERE f.kind = 'payout' OR (f.state <> was.state
AND x.kind IS DISTINCT FROM CASE f.state WHEN 'settled' THEN 'settle' ELSE 'release' END)"""
_MOVED = """SELECT 1 FROM fresh f LEFT JOIN hold h ON h.seq = f.hold_seq LEFT JOIN approval p ON p.id = h.approval_id
WHERE (f.kind IN ('settle', 'release') AND f.refers_to IS NULL AND h.kind IN ('call', 'billing')
AND (h.approval_id IS NULL OR f.kind = 'release' OR p.state = 'used')) IS NOT TRUE"""
_POSTED = f"""SELECT 1 FROM fresh e LEFT JOIN account a ON a.id = e.account_id
LEFT JOIN transfer x ON x.seq = e.transfer_seq LEFT JOIN hold h ON h.seq = x.hold_seq
WHERE (x.kind = 'settle' AND x.xmin = {_HERE} AND CASE
WHEN a.kind IN ('agent', 'temp') THEN e.side = 'debit' AND a.id = h.account_id
WHEN a.kind IN ('income', 'seller', 'payable') THEN e.side = 'credit'
WHEN a.kind = 'asset' THEN e.side = 'credit' AND a.name LIKE 'asset:prepaid:%'
WHEN a.kind = 'cost' THEN e.side = 'debit'
ELSE a.kind = 'clearing' END) IS NOT TRUE
UNION ALL SELECT 1 FROM fresh e JOIN transfer x ON x.seq = e.transfer_seq JOIN account a ON a.id = e.account_id
GROUP BY x.seq, x.amount_msat
HAVING sum(CASE e.side WHEN 'debit' THEN e.amount_msat ELSE -e.amount_msat END) <> 0
OR sum(CASE WHEN a.kind IN ('agent', 'temp') THEN e.amount_msat ELSE 0 END) <> x.amount_msat
OR sum(CASE WHEN a.kind <> 'clearing' THEN 0 WHEN e.side = 'debit' THEN e.amount_msat ELSE -e.amount_msat END) <> 0"""
# What is posted follows from the entries between the account's last transfer before and the one now; what is held is
# the sum of its open holds.
_COUNTED = """SELECT 1 FROM fresh f JOIN was ON was.id = f.id
WHERE f.held_msat <> (SELECT coalesce(sum(h.amount_msat), 0) FROM hold h WHERE h.account_id = f.id AND h.state = 'held')
OR NOT EXISTS (WITH RECURSIVE walk(seq, msat) AS (SELECT f.last_transfer, 0::numeric
UNION ALL SELECT back.before, walk.msat + back.msat FROM walk, LATERAL (SELECT min(e.previous_seq) AS before,
sum(CASE WHEN (e.side = 'debit') = (f.kind = 'asset') THEN e.amount_msat ELSE -e.amount_msat END) AS msat
FROM entry e WHERE e.transfer_seq = walk.seq AND e.account_id = f.id) back
WHERE walk.seq > was.last_transfer AND back.before < walk.seq)
SELECT 1 FROM walk WHERE seq = was.last_transfer AND msat = f.posted_msat - was.posted_msat)"""
# Windows are written by whoever decides; but not below what open holds count in them, which nobody could take off then.
_FORGOTTEN = """SELECT 1 FROM fresh f JOIN agent a ON a.id = f.agent_id WHERE f.kind IN ('day', 'minute') AND f.used <
(SELECT coalesce(sum(h.amount_msat), 0) FROM hold h WHERE h.account_id = a.account_id AND h.state = 'held'
AND ((f.kind = 'day' AND h.agent_id = f.agent_id AND h.window_start_ms = f.window_start_ms)
OR EXISTS (SELECT 1 FROM hold_window w WHERE w.hold_seq = h.seq AND w.agent_id = f.agent_id AND w.kind = f.kind
AND w.window_start_ms = f.window_start_ms)))"""
_OPENABLE = """SELECT 1 FROM fresh f WHERE f.posted_msat <> 0 OR f.held_msat <> 0 OR f.last_hold <> 0
OR f.last_transfer <> 0 OR (CASE f.kind WHEN 'asset' THEN f.constrained = 1 AND f.name LIKE 'asset:prepaid:%'
ELSE f.kind IN ('income', 'cost', 'payable', 'clearing') AND f.constrained = 0 END) IS NOT TRUE"""
_ASKED = "SELECT 1 FROM fresh f WHERE f.kind <> 'call' OR f.state <> 'pending' OR f.hold_id IS NOT NULL"
_USED = """SELECT 1 FROM fresh f JOIN was ON was.id = f.id WHERE f.kind <> 'call'
OR (f.state = 'granted' AND was.state <> 'held')"""
_WANTED = """SELECT 1 FROM fresh f WHERE f.state <> 'asked' OR f.purpose NOT IN ('deposit', 'call')
OR f.kind NOT IN ('invoice', 'token') OR f.text IS NOT NULL OR (f.reference IS NOT NULL AND f.kind <> 'token')"""
_SAID = """SELECT 1 FROM fresh f WHERE f.action NOT IN ('ledger', 'account.open', 'approval.ask', 'approval.held',
'approval.used', 'approval.granted', 'approval.expired')"""
_TOLD = "SELECT 1 FROM fresh f WHERE f.event NOT IN ('approval_required', 'approval_expired', 'balance_alert')"

_INSERT, _UPDATE = "INSERT", "UPDATE"


def bounds() -> tuple[Bound, ...]:
    """All of them; `verify` looks for each, word for word."""
    calls = "only calls are held for and ended by this role"
    rows = (
        ("hold", _INSERT, f"hold: {calls}, within what the agent may spend at a time", _OPENED),
        ("hold", _UPDATE, f"hold: {calls}, each with its outcome", _ENDED),
        ("transfer", _INSERT, f"transfer: {calls}, and nothing is posted", _MOVED),
        ("entry", _INSERT, "entry: this role charges whoever a call is held for, and credits no agent", _POSTED),
        ("account", _INSERT, "account: this role opens no such account", _OPENABLE),
        ("account", _UPDATE, "account: its counters do not follow from holds and entries", _COUNTED),
        ("bucket", _UPDATE, "bucket: open holds count for more in it", _FORGOTTEN),
        ("approval", _INSERT, "approval: this role asks, for calls alone", _ASKED),
        ("approval", _UPDATE, "approval: this role decides nothing", _USED),
        ("request", _INSERT, "request: this role asks for deposits, and for what pays a call", _WANTED),
        ("request", _UPDATE, "request: this role changes none", "SELECT 1 FROM fresh"),
        ("audit_pending", _INSERT, "audit: this role says nothing of that", _SAID),
        ("outbox", _INSERT, "outbox: this role tells nothing of that", _TOLD),
    )
    return tuple(
        Bound(
            name=f"{table}_bound_{event.lower()}",
            table=table,
            event=event,
            message=message,
            wrong=wrong,
            was=event == _UPDATE,
        )
        for table, event, message, wrong in rows
    )
