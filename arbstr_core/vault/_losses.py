"""What an operator writes off: money of ours that a rail, a node or a mint has, and that will not come back.

It is the operator's loss. Where what is left would be less than what is owed, he brings capital first.
"""

from __future__ import annotations

import sqlalchemy as sa

from arbstr_core.storage import Statement, constant
from arbstr_core.types import BadRequest, Conflict, NotFound
from arbstr_core.vault import _events
from arbstr_core.vault import _rail_tables as r
from arbstr_core.vault._audit import canonical
from arbstr_core.vault._book import Book, Chart, VaultOperation, plain_text
from arbstr_core.vault._cover import Cover, cover
from arbstr_core.vault._posting import checked, post_event
from arbstr_core.vault._rail_values import PaymentKind, PaymentState
from arbstr_core.vault._sending import SENT_ON

_ASSET, _PREPAID, _TRANSIT = "asset:", "asset:prepaid:", "asset:transit:"
_PAYMENT = r.PAYMENT.c
# An invoice of a node that was paid: by the ledger its money is there, and the node may yet deny it.
_UNSAID = Statement(
    sa.select(sa.func.coalesce(sa.func.sum(_PAYMENT.amount_msat), constant(0))).where(
        _PAYMENT.kind == constant(PaymentKind.TOPUP.value),
        _PAYMENT.owner == sa.bindparam("node"),
        _PAYMENT.realm == sa.bindparam("realm"),
        _PAYMENT.state == constant(PaymentState.SUCCEEDED.value),
        _PAYMENT.handed.is_(None),
        _PAYMENT.token.is_(None),
    )
)


class WriteOff(VaultOperation[int]):
    """An operator gives up `msat` of what the account `asset` has, by its name in the ledger; the transfer. Once for
    each `key`. Raises NotFound, BadRequest, or Conflict where the loss would be somebody else's."""

    def __init__(self, chart: Chart, asset: str, msat: int, *, realm: str, key: str, reason: str, actor: str) -> None:
        super().__init__(chart)
        self._event = _events.Loss(asset=asset.removeprefix(_ASSET), msat=msat, reason=reason)
        checked(self._event)
        plain_text("a loss", asset, realm, key, reason, actor)
        self._asset = asset
        self._realm = realm
        self._key = f"loss:{realm}:{key}"
        self._actor = actor
        # With the equity's row, so that of two processes one writes off, or funds an agent, after the other.
        self.accounts = (asset, _events.EQUITY[0])

    def change(self, book: Book) -> int:
        """Write it off."""
        first = book.posted(self._key) is None
        if first:
            self._require_lost(book)
        seq = post_event(book, self._event, realm=self._realm, key=self._key)
        if first:
            event = self._event
            said = canonical(self._asset, self._realm, event.msat, event.reason, seq)
            book.note("asset.write_off", f"{self._asset}@{self._realm}", said, actor=self._actor)
        return seq

    def _require_lost(self, book: Book) -> None:
        asset, realm, msat = self._asset, self._realm, self._event.msat
        if asset.startswith(_TRANSIT):
            what = "what is on its way comes back, or ends as a claim: write that off"
            raise BadRequest(f"{asset} cannot be lost: {what}", param="asset")
        found = cover(book, realm)
        if asset not in found.assets:
            raise NotFound(f"realm {realm} has no asset {asset!r}; it has: {_named(found)}")
        # Its row is what one of two processes waits for: where nobody has brought capital yet it is made for that.
        name, kind = _events.EQUITY
        book.account(name, realm, kind)
        left, open_msat = found.assets[asset], _under_way(book, asset, realm)
        if msat > left - open_msat:
            but = f", {open_msat} msat of it under way: let those payments end" if open_msat else ""
            more = f"{left} msat are in {asset}{but}; write off {max(0, left - open_msat)} msat at most"
            raise BadRequest(f"{msat} msat are more than there is to lose: {more}", param="amount_msat")
        missing = found.owed_msat - (found.assets_msat - msat)
        if missing > 0:
            raise Conflict(
                f"realm {realm} has {found.assets_msat} msat and owes {found.owed_msat} msat: without {msat} msat it "
                f"would lack {missing} msat, and a loss is never an agent's; bring so much capital first (`arbstr "
                "deposit invoice`, `arbstr capital`)"
            )


def _named(found: Cover) -> str:
    return ", ".join(sorted(name for name, msat in found.assets.items() if msat)) or "none"


def _under_way(book: Book, asset: str, realm: str) -> int:
    """What of an asset payments that have not ended may yet take."""
    if asset.startswith(_PREPAID):
        row = book.tx.one(_UNSAID, {"node": asset.removeprefix(_PREPAID), "realm": realm})
    else:
        row = book.tx.one(SENT_ON, {"rail": asset.removeprefix(_ASSET), "realm": realm})
    return int(row[0]) if row else 0
