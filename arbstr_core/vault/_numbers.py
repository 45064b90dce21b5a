"""Numbers for new rows: the next ones on SQLite, where one process writes; out of sequences on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable

from arbstr_core.storage import Dialect, Statement, Transaction
from arbstr_core.vault import _rows

Next = Callable[[], int]


def counting_from(last: int) -> Next:
    """The numbers after `last`."""
    number = last

    def following() -> int:
        nonlocal number
        number += 1
        return number

    return following


def drawn_from(tx: Transaction, sequence: Statement, most: int) -> Next:
    """Numbers of a sequence, `most` at a time. They are drawn under the locks of the transaction, so that those of one
    account only grow."""
    answer = tx.ask(sequence, {"most": most}) if most else list
    drawn: list[int] = []

    def following() -> int:
        nonlocal answer
        if not drawn:
            drawn.extend(row[0] for row in reversed(answer() or tx.all(sequence, {"most": max(most, 8)})))
            answer = list
        return drawn.pop()

    return following


def of_accounts(tx: Transaction) -> Next:
    """Numbers for new accounts, which are seldom."""
    if tx.dialect is Dialect.POSTGRESQL:
        return drawn_from(tx, _rows.ACCOUNT_NUMBERS, 0)
    row = tx.one(_rows.LAST_ACCOUNT, {})
    return counting_from(row[0] if row else 0)
