"""A 402 that can be paid: the invoice in it is, by somebody else's wallet, and the same request goes through."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from arbstr_wallet_cashu._nutshell import Options
from arbstr_wallet_simulated._texts import preimage_of, read_invoice
from house import PLUGINS, Served, Setup, chat, instance, run, serving, until, write
from lightning.apart import a_node_apart
from mints import Mints, asked
from purses import SAT, wallet
from upstream import Upstream

from arbstr_core.api import Msat
from arbstr_core.testing import LoopClock

SIMULATED = "[plugins.wallet_simulated]\npoll_ms = 5\n"


class Caller:
    """An agent that asks for a completion."""

    def __init__(self, served: Served, agent: dict[str, Any]) -> None:
        self.served = served
        self.agent = agent

    async def asks(self, authorization: str = "", path: str = "/v1/chat/completions", **fields: Any) -> httpx.Response:
        known = {"authorization": authorization or f"Bearer {self.agent['token']}"}
        return await self.served.http.post(path, json=chat(**{"max_tokens": 100, **fields}), headers=known)

    async def refused(self, **fields: Any) -> tuple[dict[str, Any], httpx.Response]:
        """How the refused call can be paid for: at the first time that its rail answers soon enough."""

        async def payable() -> tuple[dict[str, Any], httpx.Response] | None:
            answer = await self.asks(**fields)
            assert answer.status_code == 402, answer.text
            payment = answer.json()["error"].get("payment")
            return None if payment is None else (payment, answer)

        return await until(payable, 60)

    async def has(self, msat: int) -> None:
        """Wait until the account has so much."""

        async def rich() -> bool:
            return bool((await self.served.show(self.agent))["posted_msat"] == msat)

        await until(rich, 60)


def macaroon_in(answer: httpx.Response) -> tuple[str, str]:
    """(macaroon, invoice) of the challenge."""
    found = re.fullmatch(r'L402 macaroon="([^"]+)", invoice="([^"]+)"', answer.headers["www-authenticate"])
    assert found is not None
    return found[1], found[2]


@asynccontextmanager
async def simulated(folder: Path) -> AsyncIterator[tuple[Served, Caller, Callable[[str], Awaitable[Any]]]]:
    """arbstr with an agent that has nothing, and somebody who pays invoices."""
    with Upstream() as upstream:
        async with serving(write(folder, SIMULATED + instance("x", upstream.url))) as served:

            async def pays(invoice: str) -> Any:
                given = {"invoice": invoice}
                return (await served.admin.post("/admin/plugins/wallet_simulated/settle-invoice", json=given)).json()

            yield served, Caller(served, await served.agent(fund=0)), pays


def test_an_empty_account_gets_an_invoice_and_paid_it_is_served(tmp_path: Path) -> None:
    """The invoice paid twice credits once."""

    async def story() -> None:
        async with simulated(tmp_path) as (served, caller, pays):
            payment, answer = await caller.refused()
            error = answer.json()["error"]
            assert error["code"] == "insufficient_quota"
            assert payment["amount_msat"] >= error["needed_msat"] - error["available_msat"]
            assert payment["amount_msat"] % SAT == 0
            assert payment["ecash"]
            assert (answer.headers["x-should-retry"], answer.headers["cache-control"]) == ("false", "no-store")
            again, _ = await caller.refused(stream=True)
            assert again["invoice"] == payment["invoice"], "one invoice is shown until it is paid"
            for _ in range(2):
                await pays(payment["invoice"])
            await caller.has(payment["amount_msat"])
            served_now = await caller.asks()
            assert served_now.status_code == 200, served_now.text
            cost = int(served_now.headers["x-arbstr-cost-msat"])
            await pays(payment["invoice"])
            await caller.has(payment["amount_msat"] - cost)
            deposits = (await served.admin.get("/admin/deposits")).json()["data"]
            assert [row["request"] for row in deposits] == [payment["deposit"]]
            await served.verified()

    run(story())


def test_the_l402_credential_names_the_account_and_opens_calls_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with simulated(tmp_path) as (served, caller, pays):
            payment, answer = await caller.refused(text="hello " * 50)
            macaroon, invoice = macaroon_in(answer)
            assert invoice == payment["invoice"]
            preimage = preimage_of(read_invoice(invoice).nonce)
            credential = f"L402 {macaroon}:{preimage}"
            await pays(invoice)

            async def served_once() -> httpx.Response | None:
                answer = await caller.asks(credential)
                assert answer.status_code in (200, 402), answer.text
                return answer if answer.status_code == 200 else None

            first = await until(served_once, 60)
            assert (await caller.asks(credential.replace("L402", "LSAT"))).status_code in (200, 402)
            # It is the account that pays: the invoice is worth what it was paid for, and once.
            assert (await served.receipt(first.headers["x-request-id"]))["agent"] == caller.agent["id"]
            for _ in range(100):
                last = await caller.asks(credential)
                if last.status_code == 402:
                    break
            assert last.status_code == 402
            assert (await caller.refused(text="hello " * 50))[0]["invoice"] != invoice
            assert (await served.http.get("/v1/models", headers={"authorization": credential})).status_code == 200
            for path in ("/wallet/balance", "/wallet/keys"):
                refused = await served.http.get(path, headers={"authorization": credential})
                assert refused.status_code == 401, "whoever pays an invoice does not get the wallet"

            def changed(at: int) -> str:
                return macaroon[:at] + ("A" if macaroon[at] != "A" else "B") + macaroon[at + 1 :]

            wrong = [
                f"L402 {macaroon}:{hashlib.sha256(b'guess').hexdigest()}",
                f"L402 {macaroon}:",
                f"L402 {macaroon}",
                "L402 nonsense:00",
                *(f"L402 {changed(at)}:{preimage}" for at in (3, 30, 80, len(macaroon) - 4)),
            ]
            for each in wrong:
                assert (await caller.asks(each)).status_code == 401, each
            await served.admin.post(f"/admin/agents/{caller.agent['id']}/rotate")
            assert (await caller.asks(credential)).status_code == 401, "it ends with the agent's token"

    run(story())


MOCKED = """
[[plugins.providers_mock.models]]
name = "m"
input = "1000 sat"
output = "4000 sat"
"""


def test_every_endpoint_says_how_to_pay(tmp_path: Path) -> None:
    async def story() -> None:
        setup = write(tmp_path, MOCKED, plugins=("providers_mock", "policy_price", "wallet_simulated"))
        async with serving(setup) as served:
            known = {"authorization": f"Bearer {(await served.agent(fund=0))['token']}"}
            for path, fields in {
                "messages": {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 50},
                "responses": {"input": "hello", "max_output_tokens": 50},
                "completions": {"prompt": "hello", "max_tokens": 50},
            }.items():

                async def payable(path: str = path, fields: dict[str, Any] = fields) -> str | None:
                    answer = await served.http.post(f"/v1/{path}", json={"model": "m", **fields}, headers=known)
                    assert answer.status_code == 402, answer.text
                    return str(answer.json()["error"].get("payment", {}).get("invoice", ""))

                assert await until(payable, 60)

    run(story())


def test_t30_a_crowd_of_refused_calls_makes_one_invoice(tmp_path: Path) -> None:
    """And an agent that wants ever more gets no more than three; the others are served on."""

    async def story() -> None:
        async with simulated(tmp_path) as (served, caller, _pays):
            answers = await asyncio.gather(*(caller.asks() for _ in range(50)))
            assert {answer.status_code for answer in answers} == {402}
            shown = {answer.json()["error"].get("payment", {}).get("invoice") for answer in answers}
            assert len(shown - {None}) <= 1
            for words in (1_000, 10_000):
                await caller.refused(text="word " * words)
            answer = await caller.asks(text="word " * 100_000)
            assert answer.status_code == 402
            requests = (await served.admin.get("/admin/deposits/requests")).json()["data"]
            assert len(requests) == 3
            assert "payment" not in answer.json()["error"]
            assert "www-authenticate" not in answer.headers

    run(story())


def test_a_rail_that_cannot_be_asked_leaves_a_402_without_an_invoice(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream, a_node_apart(LoopClock()) as apart:
            setup = lightning(tmp_path, apart.node, upstream)
            async with serving(setup) as served:
                caller = Caller(served, await served.agent(fund=0))
                await caller.refused()
                await asyncio.to_thread(apart.do, apart.node.die())
                other = Caller(served, await served.agent("b", fund=0))
                answer = await other.asks()
                assert (answer.status_code, answer.json()["error"].get("payment")) == (402, None)

    run(story())


def lightning(folder: Path, node: Any, upstream: Upstream) -> Setup:
    (folder / "tls.cert").write_bytes(node.certificate)
    (folder / "arbstr.macaroon").write_bytes(node.macaroon())
    rows = (
        f'[plugins.wallet_lnd]\naddress = "{node.address}"\nnetwork = "regtest"\n'
        'cert = "file:tls.cert"\nmacaroon = "file:arbstr.macaroon"\n'
    )
    return write(folder, rows + instance("x", upstream.url), plugins=(*PLUGINS[:-1], "wallet_lnd"))


def test_lightning_pays_for_a_call(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream, a_node_apart(LoopClock()) as apart:
            async with serving(lightning(tmp_path, apart.node, upstream)) as served:
                caller = Caller(served, await served.agent(fund=0))
                payment, _ = await caller.refused()
                reference = next(iter(apart.node.book.invoices))
                await asyncio.to_thread(apart.do, apart.node.pays(reference))
                await caller.has(payment["amount_msat"])
                answer = await caller.asks(stream=True)
                assert answer.status_code == 200
                assert answer.text.rstrip().endswith("[DONE]")
                await served.verified()

    run(story())


def test_a_second_wallet_pays_for_a_call_at_a_real_mint(tmp_path: Path, mints: Mints) -> None:
    """By its invoice; and by a token, as the 402 asks for one."""
    (mint,) = mints.start(told=Options(pays_itself=False))

    async def story() -> None:
        rows = '[plugins.wallet_cashu]\nnetwork = "regtest"\ninvoices = "mainnet"\npoll_ms = 50\n'
        rows += f'[plugins.wallet_cashu.mints.home]\nurl = "{mint.url}"\n'
        with Upstream() as upstream:
            setup = write(tmp_path, rows + instance("x", upstream.url), plugins=(*PLUGINS[:-1], "wallet_cashu"))
            async with serving(setup) as served, wallet(mint) as payer:
                filled = await payer.rail.invoice(Msat(1_000 * SAT), "", key="fill")
                [(quote,)] = asked(mint, "SELECT quote FROM mint_quotes WHERE request = ?", filled.text)
                mint.manage("update", "mint-quote", str(quote), "PAID")
                await payer.collect()
                caller = Caller(served, await served.agent(fund=0))
                payment, _ = await caller.refused()
                assert payment["ecash"].startswith("creqA")
                target = await payer.rail.decode(payment["invoice"])
                await payer.ended(target, "p", await payer.pay(target, "p"))
                await caller.has(payment["amount_msat"])
                answer = await caller.asks()
                assert answer.status_code == 200
                has = (await served.show(caller.agent))["posted_msat"]
                payment, _ = await caller.refused(text="word " * 200)
                token = await payer.token(payment["amount_msat"] // SAT)
                known = {"authorization": f"Bearer {caller.agent['token']}"}
                put = await served.http.post("/wallet/deposits", json={"token": token}, headers=known)
                assert put.status_code == 201, put.text
                await caller.has(has + payment["amount_msat"])
                assert (await caller.asks(text="word " * 200)).status_code == 200
                await served.verified()

    run(story())
