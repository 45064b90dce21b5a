"""What left, by the node's own records: to compare the ledger with, and to rebuild it by."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from arbstr_core.api import Msat, Outgoing, Paid, Unknown
from arbstr_wallet_lnd import _lnd_pb2 as pb
from arbstr_wallet_lnd._journal import Journal
from arbstr_wallet_lnd._node import Node

_PAGE = 100


async def outgoing(node: Node, journal: Journal, since: str) -> AsyncGenerator[Outgoing]:
    """Payments that left or may leave, after the cursor `since`. Raises RailUnavailable."""
    pin = await node.ours()
    index = pin.index(since)
    while True:
        page = await node.payments_after(index, at_most=_PAGE)
        for shown in page.payments:
            if shown.status != pb.Payment.FAILED:
                key = await journal.holder(shown.payment_hash) or ""
                yield _outgoing(shown, key, pin.cursor(shown.payment_index))
        if len(page.payments) < _PAGE:
            return
        index = page.last_index_offset


def _outgoing(shown: pb.Payment, key: str, cursor: str) -> Outgoing:
    payment: Paid | Unknown = Unknown(reason="it is on its way")
    if shown.status == pb.Payment.SUCCEEDED:
        evidence = f"LND: SUCCEEDED, its payment {shown.payment_index}"
        payment = Paid(fee_msat=Msat(shown.fee_msat), evidence=evidence, proof=shown.payment_preimage)
    return Outgoing(
        reference=shown.payment_hash,
        amount_msat=Msat(shown.value_msat),
        payment=payment,
        cursor=cursor,
        key=key,
    )
