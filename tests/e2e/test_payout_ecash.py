"""Payouts at a real mint: as a token, and of an invoice that the mint pays. They die at the k-th commit or request,
too: what has left the purse is what the ledger says, once."""

from __future__ import annotations

import asyncio
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
from house import run, serving, until, write
from lightning.apart import a_node_apart
from mints import Mints
from mortal import Life, MortalTransport, MovedClock
from payout_house import Shop, open_database
from purses import SAT, Wallet, table, wallet, worth

from arbstr_core.api import WalletRail
from arbstr_core.storage import Cipher, PluginStore
from arbstr_core.testing import LoopClock, configure, kit_tools

PURSE = 200


@pytest.fixture(scope="module")
def pair(mints: Mints) -> tuple[Nutshell, Nutshell]:
    """Ours, which takes a fee for each coin, and pays the invoices of another."""
    ours, other = mints.start(toll=Options(fee_ppk=100), free=Options())
    return ours, other


class Ecash(World):
    """A purse with 200 sat at a mint, whose requests are steps."""

    name = "wallet_cashu"
    may_fail = True
    trouble = 2 * SAT

    def __init__(self, clock: MovedClock, pair: tuple[Nutshell, Nutshell], *, token: bool) -> None:
        self.clock = clock
        self.mint, self.other = pair
        self.token = token

    async def asks(self) -> dict[str, Any]:
        if self.token:
            return {"to": "ecash", "amount_msat": AMOUNT}
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
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


def test_a_seller_is_paid_once_at_the_threshold_at_a_mint(tmp_path: Path, pair: tuple[Nutshell, Nutshell]) -> None:
    """With a token, for which the mint takes its fee: that is his to bear."""

    async def story() -> None:
        clock, cipher = MovedClock(), Cipher(bytes(32))
        world = Ecash(clock, pair, token=True)
        async with open_database(tmp_path, clock) as database:
            await world.begin(database, cipher)
            async with world.rail(database, cipher, Life()) as rail, wallet(pair[0]) as bob:
                shop = Shop(database, clock, [rail], cipher, realm=world.realm)
                await shop.agent()
                await shop.put(threshold_msat=50 * SAT)
                opened = []
                for _ in range(4):
                    await shop.sold(15_250)
                    opened.append(await shop.go())
                for _ in range(20):
                    clock.moved += 30
                    opened.append(await shop.go())
                assert opened == [0, 0, 0, 1, *[0] * 20]
                (paid,) = await shop.requests.payments()
                assert (paid.state, paid.fee_msat is not None and paid.fee_msat <= paid.fee_held_msat) == (
                    "succeeded",
                    True,
                )
                assert await shop.balance() == 61_000 - paid.amount_msat - (paid.fee_msat or 0)
                got = await bob.rail.receive((await shop.sellers.token(paid.id))["token"], key="bob")
                assert got.amount_msat + got.fee_msat == paid.amount_msat
                assert (await shop.vault.verify()).first_bad is None
            assert await world.left(database, cipher) == paid.amount_msat + (paid.fee_msat or 0)

    run(story())


def test_a_served_arbstr_pays_out_at_a_mint(tmp_path: Path, pair: tuple[Nutshell, Nutshell]) -> None:
    """As a token that is claimed, one that is taken back, one that is locked, and an invoice: in the end the mint owes
    the purse what the ledger has."""
    ours, other = pair
    rows = '[plugins.wallet_cashu]\nnetwork = "regtest"\ninvoices = "mainnet"\npoll_ms = 50\n'
    rows += f'[plugins.wallet_cashu.mints.home]\nurl = "{ours.url}"\n'

    async def story() -> None:
        async with (
            serving(write(tmp_path, rows, plugins=("policy_price", "wallet_cashu"))) as served,
            wallet(ours) as claimer,
            wallet(other) as payee,
        ):
            agent = await served.agent(fund=0, payouts_unapproved_msat=10**9)
            own = {"authorization": f"Bearer {agent['token']}"}

            async def ask(path: str, **said: Any) -> Any:
                headers = {**own, "prefer": "wait=60"}
                answer = await served.http.post(f"/wallet/{path}", json=said or None, headers=headers, timeout=90)
                assert answer.is_success, answer.text
                return answer.json()

            async def has() -> int:
                found = (await served.http.get("/wallet/balance", headers=own)).json()
                assert found["held_msat"] == 0, found
                return int(found["posted_msat"])

            await ask("deposits", amount_msat=200 * SAT)
            await until(partial(_at_least, has, 200 * SAT), 60)

            claimed = await ask("payouts", to="ecash", amount_msat=40 * SAT)
            assert claimed["state"] == "succeeded", claimed
            assert worth(claimed["token"]) == 40
            got = await claimer.rail.receive(claimed["token"], key="claim")
            assert got.amount_msat + got.fee_msat == 40 * SAT, "what the mint takes is the claimer's to bear"
            gone = await served.http.post(f"/wallet/payouts/{claimed['id']}/reclaim", headers=own)
            assert gone.is_success, gone.text

            paid = await ask("payouts", to=(await payee.invoice_of(other, 30)).text, amount_msat=30 * SAT)
            assert (paid["state"], paid["rail"]) == ("succeeded", "wallet_cashu"), paid

            before = await has()
            back = await ask("payouts", to="ecash", amount_msat=16 * SAT)
            assert await has() == before - 16 * SAT - back["fee_msat"]
            await ask(f"payouts/{back['id']}/reclaim")
            await until(partial(_at_least, has, before - 10 * SAT), 60)
            locked = await ask("payouts", to="ecash", amount_msat=8 * SAT, lock="02" + "ab" * 32, mint=ours.url)
            assert locked["state"] == "succeeded"
            said = (await served.http.post(f"/wallet/payouts/{claimed['id']}/reclaim", headers=own)).json()
            assert said["state"] == "refused", said

            left = await has()
            rail = await served.admin.post("/admin/plugins/wallet_cashu/balance", json={})
            assert rail.json()["spendable_msat"] == left, "the mint owes the purse what the ledger has"
            await served.verified()

    run(story())


async def _at_least(has: Any, msat: int) -> bool:
    return bool(await has() >= msat)


def test_auto_takes_lightning_from_the_threshold_on(tmp_path: Path, pair: tuple[Nutshell, Nutshell]) -> None:
    """A mint and a node side by side, served."""
    ours, _ = pair

    async def story() -> None:
        with a_node_apart(LoopClock()) as apart:
            (tmp_path / "tls.cert").write_bytes(apart.node.certificate)
            (tmp_path / "arbstr.macaroon").write_bytes(apart.node.macaroon())
            rows = (
                f'[plugins.wallet_lnd]\naddress = "{apart.node.address}"\nnetwork = "regtest"\n'
                'cert = "file:tls.cert"\nmacaroon = "file:arbstr.macaroon"\n'
                '[plugins.wallet_cashu]\nnetwork = "regtest"\ninvoices = "regtest"\npoll_ms = 50\n'
                f'[plugins.wallet_cashu.mints.home]\nurl = "{ours.url}"\n[payouts]\necash_below = "50 sat"\n'
            )
            plugins = ("policy_price", "wallet_lnd", "wallet_cashu")
            async with serving(write(tmp_path, rows, plugins=plugins)) as served:
                agent = await served.agent(fund=0, payouts_unapproved_msat=10**9)
                own = {"authorization": f"Bearer {agent['token']}"}

                async def quote(sat: int, **more: Any) -> list[str]:
                    said = {"to": apart.node.asks(sat * SAT), **more}
                    answer = await served.http.post("/wallet/payouts/quote", json=said, headers=own)
                    assert answer.is_success, answer.text
                    return [each["rail"] for each in answer.json()["rails"]]

                lightning = await served.http.post(
                    "/wallet/deposits", json={"amount_msat": 500 * SAT, "rail": "wallet_lnd"}, headers=own
                )
                await asyncio.to_thread(apart.do, apart.node.pays(lightning.json()["reference"]))

                async def funded() -> bool:
                    return bool((await served.show(agent))["posted_msat"] == 500 * SAT)

                await until(funded, 60)
                assert (await quote(50))[0] == "wallet_lnd"
                assert await quote(50, rail="wallet_lnd") == ["wallet_lnd"]
                invoice = apart.node.asks(60 * SAT)
                answer = await served.http.post(
                    "/wallet/payouts", json={"to": invoice}, headers={**own, "prefer": "wait=60"}, timeout=90
                )
                paid = answer.json()
                assert (paid["state"], paid["rail"], len(paid["preimage"])) == ("succeeded", "wallet_lnd", 64)
                assert (await served.show(agent))["posted_msat"] == 500 * SAT - 60 * SAT - paid["fee_msat"]
                await served.verified()

    run(story())
