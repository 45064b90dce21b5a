"""What a 402 asks for: what is missing, in amounts that a rail makes invoices for."""

from __future__ import annotations

from pathlib import Path

import pytest
from till import Counter, Till, told

from arbstr_core.types import InsufficientFunds


def short(msat: int) -> InsufficientFunds:
    return InsufficientFunds("too little", needed_msat=msat, available_msat=0)


@pytest.mark.parametrize(
    ("smallest", "missing", "asked"), [(10, 3_000, 3_000), (10, 1, 1_000), (100_000, 3_000, 100_000), (2_500, 1, 3_000)]
)
def test_a_402_asks_for_no_less_than_its_rail_makes_invoices_for(
    tmp_path: Path, smallest: int, missing: int, asked: int
) -> None:
    """A mint has a smallest amount (NUT-04), and most calls cost less."""

    async def story(counter: Counter, till: Till) -> None:
        alice = await counter.agent()
        shown = [(await counter.bills.payable(short(missing), alice)).payment for _ in range(2)]
        assert shown[0] is not None, "an invoice"
        assert shown[0].amount_msat == asked
        assert shown[1] == shown[0], "one is shown until it is paid"
        till.pays(shown[0].invoice)
        await counter.has("alice", asked)

    told(tmp_path, story, smallest=smallest)
