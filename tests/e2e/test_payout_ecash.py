"""Payouts at a real mint: as a token, and of an invoice that the mint pays. They die at the k-th commit or request,
too: what has left the purse is what the ledger says, once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import arbstr_wallet_cashu
import httpx
import pytest
from arbstr_wallet_cashu._nutshell import Nutshell, Options
from arbstr_wallet_cashu._rail import CashuRail
from dying import AMOUNT, World, every
from mints import Mints
from mortal import Life, MortalTransport, MovedClock
from purses import SAT, Wallet, table

from arbstr_core.api import WalletRail
from arbstr_core.storage import Cipher, PluginStore
from arbstr_core.testing import configure, kit_tools

PURSE = 200


@pytest.fixture(scope="module")
def pair(mints: Mints) -> tuple[Nutshell, Nutshell]:
    """Ours, which takes a fee for each coin, and pays the invoices of another."""
    ours, other = mints.start(toll=Options(fee_ppk=100), free=Options())
    return ours, other


class Ecash(World):
    """A purse with 200 sat at a mint, whose requests are steps."""

    name = "wallet_cashu"

    def __init__(self, clock: MovedClock, pair: tuple[Nutshell, Nutshell], *, token: bool) -> None:
        self.clock = clock
        self.mint, self.other = pair
        self.token = token

    async def asks(self) -> dict[str, Any]:
        if self.token:
            return {"to": "ecash", "amount_msat": AMOUNT}
        async with httpx.AsyncClient(trust_env=False) as http:
            asked = {"unit": "sat", "amount": AMOUNT // SAT}
            said = await http.post(f"{self.other.url}/v1/mint/quote/bolt11", json=asked)
            return {"to": said.json()["request"]}

    async def begin(self, database: Any, cipher: Cipher) -> None:
        async with self.rail(database, cipher, Life()) as rail:
            wallet = Wallet(rail, rail._tools)
            await wallet.fund(PURSE)
            assert await wallet.held() == PURSE

    @asynccontextmanager
    async def rail(self, database: Any, cipher: Cipher, life: Life) -> AsyncIterator[WalletRail]:
        http = httpx.AsyncClient(transport=MortalTransport(life), timeout=20)
        tools = kit_tools(clock=self.clock, store=PluginStore(database, cipher, "wallet_cashu"), http=http)
        rail = CashuRail(configure(arbstr_wallet_cashu, table(self.mint)), tools)
        try:
            yield rail
        finally:
            await rail.aclose()
            await tools.aclose()

    async def left(self, database: Any, cipher: Cipher) -> int:
        async with self.rail(database, cipher, Life()) as rail:
            wallet = Wallet(rail, rail._tools)
            await wallet.round()
            return (PURSE - await wallet.held()) * SAT


WAYS = {"token": True, "invoice": False}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("what", "first"), [("token", 2), ("invoice", 4)])
def test_t3_a_payout_of_ecash_that_dies_at_some_points_is_one(
    tmp_path: Path, pair: tuple[Nutshell, Nutshell], what: str, first: int, when: str
) -> None:
    died = every(tmp_path, partial(Ecash, pair=pair, token=WAYS[what]), when, first=first, step=6)
    assert len(died) >= 2, f"unharmed beyond {died}"


@pytest.mark.campaign
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("what", WAYS)
def test_t3_a_payout_of_ecash_that_dies_at_any_point_is_one(
    tmp_path: Path, pair: tuple[Nutshell, Nutshell], what: str, when: str
) -> None:
    died = every(tmp_path, partial(Ecash, pair=pair, token=WAYS[what]), when)
    assert died == [*range(1, len(died) + 1)]
    assert len(died) >= 10, f"unharmed beyond {died}"
