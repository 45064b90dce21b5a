"""Which network's invoices a rail pays: its own, or the one it says that its invoices are written for."""

from __future__ import annotations

import asyncio

import pytest
from bolt11 import MADE_S, invoice

from arbstr_core.api import BadRequest, InvoiceTarget, Network, WalletRail, read_bolt11
from arbstr_core.rails import read_invoice

NOW_MS = MADE_S * 1000


class Reader(WalletRail):
    """Reads invoices, and does nothing else."""

    name = "reader"
    network = Network.REGTEST

    def __init__(self, written_for: Network | None) -> None:
        self.invoice_network = written_for

    async def decode(self, target: str) -> InvoiceTarget:
        said = read_bolt11(target)
        assert said.amount_msat is not None, "the test's invoices name their amount"
        return InvoiceTarget(
            text=target,
            reference=said.payment_hash,
            amount_msat=said.amount_msat,
            network=self.network,
            expires_ms=said.expires_ms,
        )


# Everything else is not asked for here.
Reader.__abstractmethods__ = frozenset()


def read(rail: WalletRail, prefix: str) -> InvoiceTarget:
    return asyncio.run(read_invoice([rail], invoice(prefix), NOW_MS))


@pytest.mark.parametrize(
    ("written_for", "paid", "refused"), [(None, "lnbcrt10u", "lnbc10u"), (Network.MAINNET, "lnbc10u", "lnbcrt10u")]
)
def test_a_rail_pays_invoices_of_one_network(written_for: Network | None, paid: str, refused: str) -> None:
    rail = Reader(written_for)
    assert read(rail, paid).network is Network.REGTEST
    with pytest.raises(BadRequest, match="ask for one there"):
        read(rail, refused)
