"""What a realm has against what it owes, by the ledger: within a transaction, with what that has done so far."""

from __future__ import annotations

from collections import Counter

import msgspec
import sqlalchemy as sa

from arbstr_core.storage import INTEGER, Load, Rows, Statement, constant
from arbstr_core.vault import _tables as t
from arbstr_core.vault._book import Book
from arbstr_core.vault._node_events import OUT_OF_REACH
from arbstr_core.vault._rail_values import spendable

OWED = ("agent", "seller", "temp", "suspense")
"""The kinds of accounts whose money is somebody else's"""

_ACCOUNT = t.ACCOUNT.c
_WHAT = sa.case((_ACCOUNT.kind == constant("asset"), _ACCOUNT.name), else_=_ACCOUNT.kind)
_SUMS = Statement(
    sa.select(_WHAT, sa.func.sum(_ACCOUNT.posted_msat))
    .where(_ACCOUNT.realm == sa.bindparam("realm"), _ACCOUNT.constrained == constant(1))
    .group_by(_WHAT)
)


class _Stored(msgspec.Struct, array_like=True):
    """An account before this transaction."""

    id: int
    realm: str
    what: str
    posted: int


def _load_stored(ids: Rows) -> sa.Select[tuple[int, str, str, int]]:
    columns = (_ACCOUNT.id, _ACCOUNT.realm, _WHAT.label("what"), _ACCOUNT.posted_msat)
    return sa.select(*columns).select_from(ids.table.join(t.ACCOUNT, _ACCOUNT.id == ids[0]))


_STORED = Load(_Stored, (INTEGER,), _load_stored)


class Cover(msgspec.Struct, frozen=True):
    """A realm's sums, msat. `assets` are by the names of their accounts."""

    assets: dict[str, int]
    owed_msat: int
    equity_msat: int

    @property
    def assets_msat(self) -> int:
        """Everything that it has."""
        return sum(self.assets.values())

    @property
    def own_msat(self) -> int:
        """What is the operator's to spend."""
        return spendable(self.equity_msat, self.assets_msat, self.owed_msat)

    @property
    def away_msat(self) -> int:
        """What of it others have: at nodes, on the way there, or disputed."""
        return sum(msat for name, msat in self.assets.items() if name.startswith(OUT_OF_REACH))


def cover(book: Book, realm: str) -> Cover:
    """How a realm stands at this point of the transaction."""
    sums: Counter[str] = Counter({what: int(msat) for what, msat in book.tx.all(_SUMS, {"realm": realm})})
    for stored in book.tx.load(_STORED, sorted(book.purses)):
        if stored.realm == realm:
            sums[stored.what] += book.purses[stored.id].posted - stored.posted
    return Cover(
        assets={name: msat for name, msat in sums.items() if name.startswith("asset:")},
        owed_msat=sum(sums[kind] for kind in OWED),
        equity_msat=sums["equity"],
    )
