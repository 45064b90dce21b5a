"""Money comes in over sockets: from the simulated world, from a real mint, over a Lightning node."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from arbstr_wallet_cashu._nutshell import Options
from arbstr_wallet_simulated._texts import preimage_of, read_invoice
from house import Served, chat, instance, run, serving, until, write
from lightning.apart import a_node_apart
from mints import Lossy, Mints, outstanding
from purses import SAT, wallet
from upstream import Upstream

from arbstr_core.api import read_bolt11
from arbstr_core.testing import LoopClock

SIMULATED = '[plugins.wallet_simulated]\npoll_ms = 5\nredeem_fee = "1 sat"\n'


class Teller:
    """An agent that puts money into its account."""

    def __init__(self, served: Served, agent: dict[str, Any]) -> None:
        self._http = served.http
        self.headers = {"authorization": f"Bearer {agent['token']}"}

    async def puts(self, *, status: int = 201, **fields: Any) -> Any:
        answer = await self._http.post("/wallet/deposits", json=fields, headers=self.headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def once_paid(self, id: str) -> dict[str, Any]:
        """The deposit, once it is paid."""

        async def paid() -> dict[str, Any] | None:
            found = (await self._http.get(f"/wallet/deposits/{id}", headers=self.headers)).json()
            return found if found["state"] == "paid" else None

        return await until(paid, 60)

    async def has(self) -> int:
        found = (await self._http.get("/wallet/balance", headers=self.headers)).json()
        return int(found["posted_msat"])


def test_the_simulated_world_pays_in(tmp_path: Path) -> None:
    """By invoice and by token; by the operator's commands, too."""

    async def story() -> None:
        async with serving(write(tmp_path, SIMULATED)) as served:
            agent = await served.agent(fund=0)
            teller = Teller(served, agent)

            async def world(name: str, **given: str) -> Any:
                return (await served.admin.post(f"/admin/plugins/wallet_simulated/{name}", json=given)).json()

            async def arbstr(*words: str) -> str:
                return await asyncio.to_thread(served.setup.arbstr, *words)

            asked = await teller.puts(amount_msat=21_000)
            for _ in range(2):
                await world("settle-invoice", invoice=asked["invoice"])
            await teller.once_paid(asked["id"])
            token = (await world("make-token", amount="5sat"))["token"]
            put = await teller.puts(token=token)
            assert (put["state"], put["amount_msat"], put["fee_msat"]) == ("paid", 4_000, 1_000)
            said = await teller.puts(token=token[:-1], status=400)
            assert said["error"]["param"] == "token"
            said = await teller.puts(status=400)
            assert said["error"]["param"] == "amount_msat"
            assert await teller.has() == 25_000

            text = (await arbstr("deposit", "invoice", "7", "--agent", "a")).strip()
            await world("settle-invoice", invoice=text)
            await until(lambda: _equal(teller, 32_000))
            more = (await world("make-token", amount="100sat"))["token"]
            assert "paid" in await arbstr("deposit", "token", more)
            rows = json.loads(await arbstr("deposit", "list", "--json"))
            assert [(row["amount_msat"], row["purpose"]) for row in rows] == [
                (99_000, "capital"),
                (7_000, "deposit"),
                (4_000, "deposit"),
                (21_000, "deposit"),
            ]
            assert "nothing" in (await arbstr("deposit", "list", "--nobodys")).lower()
            assert len(json.loads(await arbstr("deposit", "requests", "--agent", "a", "--json"))) == 3
            await served.verified()
        # Nobody answers where nobody serves.
        done = await asyncio.to_thread(served.setup.command, "deposit", "invoice", "7")
        assert (done.returncode, "`arbstr serve` first" in done.stderr) == (1, True)

    run(story())


async def _equal(teller: Teller, msat: int) -> bool:
    return await teller.has() == msat


def test_a_memo_that_cannot_be_printed_is_refused_and_named(tmp_path: Path) -> None:
    """No database takes some of it."""

    async def story() -> None:
        async with serving(write(tmp_path, SIMULATED)) as served:
            teller = Teller(served, await served.agent(fund=0))
            for memo in ("\0", "two\nlines", "\u202e", "a" * 201):
                said = await teller.puts(amount_msat=1_000, memo=memo, status=400)
                assert "memo" in said["error"]["message"]
            for memo in ("", "\U0001f600" * 100, "a" * 200):
                assert (await teller.puts(amount_msat=1_000, memo=memo))["state"] == "open"
            await served.verified()

    run(story())


def test_t6_what_is_no_amount_is_refused_and_nothing_written_down(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(write(tmp_path, SIMULATED)) as served:
            teller = Teller(served, await served.agent(fund=0))
            for amount in (0, -1, True, 1.5, "1e3", "21", 2**63, 2_100_000_000_000_000_001, None):
                said = await teller.puts(amount_msat=amount, status=400)
                assert said["error"]["param"] == "amount_msat", amount
            assert served.setup.rows("SELECT count(*) FROM request") == [(0,)]

    run(story())


def test_t27_no_token_is_kept_readable_or_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither what was handed in nor what was made, nor what a challenge is answered with."""
    caplog.set_level(logging.DEBUG, logger="arbstr")
    secrets: list[str] = []

    async def story() -> None:
        with Upstream() as upstream:
            async with serving(write(tmp_path, SIMULATED + instance("x", upstream.url))) as served:
                teller = Teller(served, await served.agent(fund=0))

                async def world(name: str, **given: str) -> Any:
                    return (await served.admin.post(f"/admin/plugins/wallet_simulated/{name}", json=given)).json()

                async def asks(**headers: str) -> Any:
                    body = chat(max_tokens=100)
                    return await served.http.post("/v1/chat/completions", json=body, headers=headers)

                async def challenged() -> Any:
                    answer = await asks(**teller.headers)
                    return answer if "www-authenticate" in answer.headers else None

                refused = await until(challenged, 60)
                macaroon, invoice = refused.headers["www-authenticate"].split('"')[1:4:2]
                preimage = preimage_of(read_invoice(invoice).nonce)
                await world("settle-invoice", invoice=invoice)
                assert (await asks(authorization=f"L402 {macaroon}:{preimage}")).status_code == 200
                handed, spent = [(await world("make-token", amount="50sat"))["token"] for _ in range(2)]
                await teller.puts(token=handed)
                paid = await asks(**{"x-cashu": spent})
                assert (await asks(**{"x-cashu": spent})).status_code == 409
                assert (await asks(authorization=f"L402 {macaroon}:{'0' * 64}")).status_code == 401
                secrets.extend((handed, spent, paid.headers["x-cashu"], macaroon, preimage))
                metrics = (await served.admin.get("/metrics")).text
                said = [(await served.admin.get(f"/admin/{path}")).text for path in ("deposits", "audit", "ledger")]
                for secret in secrets:
                    assert not any(secret in text for text in (metrics, *said))

    run(story())
    kept = b"".join(file.read_bytes() for file in (tmp_path / "data").glob("arbstr.db*"))
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("arbstr")]
    for secret in secrets:
        assert not any(secret in line for line in logged)
        assert secret.encode() not in kept


def test_t29_a_tokens_mint_is_not_asked_unless_the_operator_named_it(tmp_path: Path, mints: Mints) -> None:
    (mint, foreign) = mints.start(fee=Options(fee_ppk=100), free=Options())

    async def story() -> None:
        rows = '[plugins.wallet_cashu]\nnetwork = "regtest"\ninvoices = "mainnet"\npoll_ms = 50\n'
        rows += f'[plugins.wallet_cashu.mints.home]\nurl = "{mint.url}"\n'
        with Lossy(foreign) as elsewhere:
            async with (
                serving(write(tmp_path, rows, plugins=("policy_price", "wallet_cashu"))) as served,
                wallet(elsewhere) as stranger,
            ):
                await stranger.fund(20)
                token = await stranger.token(8)
                seen = len(elsewhere.calls)
                said = await Teller(served, await served.agent(fund=0)).puts(token=token, status=400)
                assert elsewhere.url in said["error"]["message"]
                assert len(elsewhere.calls) == seen

    run(story())


def test_ecash_pays_in_at_a_real_mint(tmp_path: Path, mints: Mints) -> None:
    """By its invoice and by token; the ledger has what the mint owes. A spent, foreign or broken token is refused."""
    mint, foreign = mints.start(fee=Options(fee_ppk=100), free=Options())

    async def story() -> None:
        rows = '[plugins.wallet_cashu]\nnetwork = "regtest"\ninvoices = "mainnet"\npoll_ms = 50\n'
        rows += f'[plugins.wallet_cashu.mints.home]\nurl = "{mint.url}"\n'
        before = outstanding(mint)
        async with (
            serving(write(tmp_path, rows, plugins=("policy_price", "wallet_cashu"))) as served,
            wallet(mint) as payer,
            wallet(foreign) as stranger,
        ):
            teller = Teller(served, await served.agent(fund=0))
            asked = await teller.puts(amount_msat=64 * SAT)
            assert asked["invoice"].startswith("lnbc")
            await teller.once_paid(asked["id"])
            assert await teller.has() == 64 * SAT

            await payer.fund(40)
            await stranger.fund(20)
            token = await payer.token(30)
            put = await teller.puts(token=token)
            assert (put["state"], put["amount_msat"] + put["fee_msat"]) == ("paid", 30 * SAT)
            assert put["fee_msat"] > 0
            has = await teller.has()
            assert has == 64 * SAT + put["amount_msat"]

            other = await payer.token(2)
            await payer.rail.receive(other, key="back")
            for bad, why in [
                (other, "spent"),
                (await stranger.token(8), foreign.url),
                (token[:-4], "token"),
            ]:
                said = await teller.puts(token=bad, status=400)
                assert why in said["error"]["message"], said
            said = await teller.puts(amount_msat=1_500, status=400)
            assert "ask for 2000 msat" in said["error"]["message"]
            assert await teller.has() == has
            held = await payer.held()
            await served.verified()
        assert outstanding(mint) - before == has // SAT + held, "the mint owes what the ledger says"

    run(story())


def test_lightning_pays_in(tmp_path: Path) -> None:
    """While nobody looks, too: the node was paid while arbstr was down."""

    async def story() -> None:
        with a_node_apart(LoopClock()) as apart:
            (tmp_path / "tls.cert").write_bytes(apart.node.certificate)
            (tmp_path / "arbstr.macaroon").write_bytes(apart.node.macaroon())
            rows = (
                f'[plugins.wallet_lnd]\naddress = "{apart.node.address}"\nnetwork = "regtest"\n'
                'cert = "file:tls.cert"\nmacaroon = "file:arbstr.macaroon"\n'
            )
            setup = write(tmp_path, rows, plugins=("policy_price", "wallet_lnd"))
            async with serving(setup) as served:
                agent = await served.agent(fund=0)
                teller = Teller(served, agent)
                first, second = [await teller.puts(amount_msat=msat) for msat in (1_234, 5_000)]
                said = read_bolt11(first["invoice"])
                assert (said.amount_msat, said.payment_hash) == (1_234, first["reference"])
                await asyncio.to_thread(apart.do, apart.node.pays(first["reference"]))
                await teller.once_paid(first["id"])
                assert await teller.has() == 1_234
            await asyncio.to_thread(apart.do, apart.node.pays(second["reference"], 6_000))
            async with serving(setup) as served:
                teller = Teller(served, agent)
                await teller.once_paid(second["id"])
                assert await teller.has() == 7_234, "who pays more is credited all of it"
                await served.verified()

    run(story())
