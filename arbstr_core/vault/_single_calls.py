"""Callers without an account: what pays a single call is on one that is made for it, and ends with it.

It is an agent like any other, with no token, so that a call of it is held for, limited and charged as every call.
"""

from __future__ import annotations

import sqlalchemy as sa

from arbstr_core.storage import INTEGER, Statement, constant
from arbstr_core.vault import _events
from arbstr_core.vault import _rail_tables as r
from arbstr_core.vault import _tables as t
from arbstr_core.vault._agents import add_agent, switch, write_limits
from arbstr_core.vault._book import Book, Chart, VaultOperation
from arbstr_core.vault._posting import post_event
from arbstr_core.vault._rail_values import PaymentKind
from arbstr_core.vault._rows import Node
from arbstr_core.vault._values import Limits

KIND = "temp"
_PREFIX = "one_"
_AT_ONCE = 100
_ACTOR = "arbstr"

_UNDER_WAY = ("reserved", "dispatching", "in_flight", "unknown")
_OLD = Statement(
    sa.select(t.AGENT.c.id, t.ACCOUNT.c.name, t.ACCOUNT.c.realm, t.ACCOUNT.c.posted_msat)
    .select_from(t.AGENT.join(t.ACCOUNT, t.ACCOUNT.c.id == t.AGENT.c.account_id))
    .where(
        t.ACCOUNT.c.kind == constant(KIND),
        t.ACCOUNT.c.posted_msat > constant(0),
        t.ACCOUNT.c.held_msat == constant(0),
        t.AGENT.c.created_ms <= sa.bindparam("before", type_=INTEGER),
        # Change that is frozen, or whose end is not known yet, is paid out of it all the same.
        ~sa.exists().where(
            r.PAYMENT.c.owner == sa.func.substr(t.ACCOUNT.c.name, constant(len(KIND) + 2)),
            r.PAYMENT.c.kind == constant(PaymentKind.CHANGE.value),
            r.PAYMENT.c.state.in_([constant(state) for state in _UNDER_WAY]),
        ),
    )
    .limit(sa.bindparam("most", type_=INTEGER))
    .offset(constant(0))
)


def single_agent(key: str) -> str:
    """The id of the agent that stands for whoever pays single call `key`."""
    return f"{_PREFIX}{key}"


def open_single(book: Book, key: str, realm: str, msat: int) -> None:
    """An account for a single call, which may spend `msat` and no more."""
    name, kind = _events.temp(key)
    account = book.open_account(name, realm, kind)
    node = Node(single_agent(key), None, realm, account.id, 1, 1, None, None, None, None, None)
    add_agent(book, node, name, _ACTOR)
    write_limits(book, node, Limits(max_charge_msat=msat, daily_msat=msat), _ACTOR)


def close_single(book: Book, node: Node) -> None:
    """Nothing more is held on it."""
    switch(book, node, 0, _ACTOR)


class KeepDust(VaultOperation[int]):
    """What is left on the accounts of single calls that are `age_ms` old is the operator's, but where change is being
    made of it; how many it were."""

    must = True

    def __init__(self, chart: Chart, age_ms: int) -> None:
        super().__init__(chart)
        self._age_ms = age_ms

    def change(self, book: Book) -> int:
        """Keep some."""
        rows = book.tx.all(_OLD, {"before": book.now_ms - self._age_ms, "most": _AT_ONCE})
        for _, name, realm, msat in rows:
            key = name.partition(":")[2]
            post_event(book, _events.DustKept(key=key, msat=msat), realm=realm, key=f"dust:{key}")
        return len(rows)
