"""What the audit says of money that moves over rails: payments and how they end, deposits, what is frozen, sellers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from arbstr_core.vault import _credits, _payments, _sellers
from arbstr_core.vault import _rail_tables as r

_Row = tuple[Any, ...]
_FROZEN = ("scope", "frozen", "reason", "actor", "at_ms")
_AT = len(_payments.FIXED)
KINDS = frozenset({"payment", "deposit", "frozen", "seller"})


class RailStanding:
    """Follows the audit row by row; then says what the tables should be."""

    def __init__(self) -> None:
        self._payments: dict[str, list[Any]] = {}
        self._deposits: list[_Row] = []
        self._frozen: dict[str, _Row] = {}
        self._sellers: dict[tuple[str, str], _Row] = {}

    def note(self, action: str, members: list[Any]) -> None:
        """Follow one audit row."""
        kind, _, what = action.partition(".")
        if action == "payment.open":
            self._payments[members[0]] = members
        elif kind == "payment":
            self._payments[members[0]][_AT:] = members[1:]
        elif action == "deposit.credit":
            self._deposits.append(tuple(members))
        elif kind == "frozen" and what in ("on", "off"):
            self._frozen[members[0]] = tuple(members)
        elif action == "seller.set":
            self._sellers[members[0], members[1]] = tuple(members)

    def tables(self) -> Iterator[tuple[str, list[sa.Column[Any]], Any]]:
        """(what a row is called, its columns, the rows there should be) of each table."""
        payment = [r.PAYMENT.c[name] for name in (*_payments.FIXED, *_payments.SAID)]
        yield "payment {0}", payment, self._payments.values()
        yield "deposit {1} over {0}", [r.DEPOSIT.c[name] for name in _credits.DEPOSIT_COLUMNS], self._deposits
        yield "what is frozen, {0},", [r.FROZEN.c[name] for name in _FROZEN], self._frozen.values()
        yield "seller {0}", [r.SELLER.c[name] for name in _sellers.COLUMNS], self._sellers.values()
