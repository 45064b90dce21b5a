"""How sellers are paid: an operator says where to, from how much on, and how often."""

from __future__ import annotations

import sqlalchemy as sa

from arbstr_core.storage import Statement, bulk_insert
from arbstr_core.types import MAX_MSAT, BadRequest
from arbstr_core.vault import _events
from arbstr_core.vault import _rail_tables as r
from arbstr_core.vault._audit import canonical
from arbstr_core.vault._book import Book, Chart, VaultOperation, plain_text
from arbstr_core.vault._rail_values import SellerRecord

COLUMNS = ("name", "realm", "destination", "threshold_msat", "every_seconds", "enabled", "set_ms")
_FIND = Statement(
    sa.select(r.SELLER.c.name).where(
        r.SELLER.c.name == sa.bindparam("seller"), r.SELLER.c.realm == sa.bindparam("where")
    )
)
_INSERT = bulk_insert(r.SELLER, COLUMNS)
_WRITE = Statement(
    sa.update(r.SELLER)
    .where(r.SELLER.c.name == sa.bindparam("seller"), r.SELLER.c.realm == sa.bindparam("where"))
    .values({r.SELLER.c[name]: sa.bindparam(f"new_{name}") for name in COLUMNS[2:]})
)
_MOST_SECONDS = 366 * 86_400


def _account(seller: SellerRecord) -> tuple[str, str, str]:
    name, kind = _events.seller(seller.name)
    return name, seller.realm, kind


class SetSeller(VaultOperation[None]):
    """Say how a seller is paid from now on."""

    def __init__(self, chart: Chart, seller: SellerRecord, actor: str) -> None:
        super().__init__(chart)
        plain_text("a seller", seller.name, seller.realm, seller.destination, actor)
        if not 0 < seller.threshold_msat <= MAX_MSAT:
            raise BadRequest(f"{seller.threshold_msat} msat is no threshold: give one above 0", param="threshold_msat")
        if not 0 < seller.every_seconds <= _MOST_SECONDS:
            raise BadRequest(f"every_seconds is from 1 to {_MOST_SECONDS}", param="every_seconds")
        self._seller = seller
        self._actor = actor

    def change(self, book: Book) -> None:
        """Write it."""
        seller = self._seller
        terms = (seller.destination, seller.threshold_msat, seller.every_seconds, int(seller.enabled), book.now_ms)
        row = (seller.name, seller.realm, *terms)
        if book.tx.one(_FIND, {"seller": seller.name, "where": seller.realm}) is None:
            book.tx.bulk(_INSERT, [row])
            # A process that is not the treasury credits those that there are, and opens none.
            book.account(*_account(seller))
        else:
            values = {f"new_{name}": value for name, value in zip(COLUMNS[2:], terms, strict=True)}
            book.tx.run(_WRITE, {"seller": seller.name, "where": seller.realm, **values})
        book.note("seller.set", f"{seller.name}@{seller.realm}", canonical(*row), actor=self._actor)
