"""Rails against the ledger in a served arbstr: over the API and the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import arbstr_wallet_cashu as cashu
import pytest
from arbstr_wallet_cashu._nutshell import Nutshell, Options
from house import Served, run, serving, until, write
from lightning.apart import a_node_apart
from lightning.node import Way
from lightning.stage import AMOUNT, a_stage
from mints import Mints
from purses import SAT, table, wallet
from reconciling import World, story

from arbstr_core.api import Paid, read_bolt11
from arbstr_core.flow._solvency import Cover
from arbstr_core.testing import LoopClock, MemoryStore, configure
from arbstr_core.vault import PaidEnd, PaymentState

WORDS = "half depart obvious quality work element tank gorilla view sugar picture humble"
PLUGINS = ("providers_mock", "policy_price", "wallet_simulated")
QUICK = "[vault]\ncheck_seconds = 1\n"


async def realm(served: Served, name: str = "sim", **asked: str) -> Any:
    said = (await served.admin.get("/admin/solvency", params=asked)).json()
    return next((row for row in said["realms"] if row["realm"] == name), None)


def test_the_operator_sees_freezes_and_thaws(tmp_path: Path) -> None:
    setup = write(tmp_path, QUICK, plugins=PLUGINS)

    async def story() -> None:
        async with serving(setup) as served:
            await served.agent(fund=50_000)

            async def covered() -> Any:
                found = await realm(served)
                return found if found and found["owed_msat"] == 50_000 else None

            found = await until(covered)
            assert (found["state"], found["made_msat"], found["below"]) == ("covered", 50_000, 0)
            rail = found["rails"][0]
            assert (rail["name"], rail["state"], rail["ledger_msat"]) == ("wallet_simulated", "ready", 50_000)
            assert (await realm(served, now="true"))["least_msat"] == 100_000_000_000 + 50_000

            wrong = await served.admin.post("/admin/freeze", json={"realm": "mars"})
            assert wrong.status_code == 400
            assert "no realm 'mars'; realms: sim; rails: wallet_simulated" in wrong.json()["error"]["message"]
            done = await served.admin.post("/admin/freeze", json={"realm": "sim", "reason": "looking"})
            assert done.json() == {"scope": "realm:sim", "frozen": True, "changed": True}
            assert (await realm(served))["state"] == "frozen"
            shown = await served.admin.get("/admin/audit", params={"action": "frozen.on"})
            assert shown.json()["data"][0]["actor"] == "operator"
            done = await served.admin.post("/admin/thaw", json={"realm": "sim", "reason": "it is well"})
            assert done.json()["changed"] is True

            booked = await served.admin.post("/admin/capital", json={"rail": "wallet_simulated", "amount_msat": 7_000})
            assert booked.status_code in (200, 409), booked.text

    run(story())
    ended = setup.command("solvency")
    assert ended.returncode == 0, ended
    assert "wallet_simulated" in ended.stdout
    assert "looking" not in ended.stdout
    assert "frozen" in setup.arbstr("freeze", "--rail", "wallet_simulated", "--reason", "a look at it")
    ended = setup.command("solvency")
    assert ended.returncode == 1
    assert "rail:wallet_simulated is frozen since" in ended.stdout
    assert "not frozen" in setup.arbstr("thaw", "--rail", "wallet_simulated")
    assert setup.json("solvency")["frozen"] == []
    for asked in (["solvency", "--now"], ["capital", "wallet_simulated"]):
        ended = setup.command(*asked)
        assert ended.returncode == 1
        assert "arbstr serve" in ended.stderr


def test_the_operator_writes_off_what_is_lost(tmp_path: Path) -> None:
    """His own, and no more than that; once, with who did it and why."""
    setup = write(tmp_path, QUICK, plugins=PLUGINS)
    asked = {"realm": "sim", "asset": "asset:wallet_simulated", "amount_msat": 4_000, "reason": "the disk burnt"}

    async def story() -> Any:
        async with serving(setup) as served:
            await served.agent(fund=50_000)

            async def lost(key: str = "k", **other: Any) -> Any:
                headers = {"idempotency-key": key}
                return await served.admin.post("/admin/money/loss", json={**asked, **other}, headers=headers)

            async def there() -> Any:
                (one,) = (await served.admin.get("/admin/money")).json()["realms"]
                (asset,) = one["assets"]
                return asset["account"], asset["amount_msat"], one["lost_msat"]

            async def booked() -> bool:
                mine = {"rail": "wallet_simulated", "amount_msat": 7_000}
                return (await served.admin.post("/admin/capital", json=mine)).status_code == 200

            refused = await lost()
            assert refused.status_code == 409
            assert "it would lack 4000 msat, and a loss is never an agent's" in refused.json()["error"]["message"]
            await until(booked)
            assert await there() == ("asset:wallet_simulated", 57_000, 0)
            for other, status, param, why in (
                ({"amount_msat": 57_001}, 400, "amount_msat", "57000 msat are in asset:wallet_simulated"),
                ({"amount_msat": 0}, 400, "amount_msat", "greater than 0"),
                ({"asset": "asset:transit:n"}, 400, "asset", "ends as a claim"),
                ({"asset": "asset:claim:n"}, 404, None, "it has: asset:wallet_simulated"),
                ({"realm": "mainnet"}, 404, None, "it has: none"),
                ({"reason": ""}, 400, "reason", "at least 1 character"),
            ):
                refused = await lost("other", **other)
                said = refused.json()["error"]
                assert (refused.status_code, said["param"]) == (status, param), said
                assert why in said["message"]
            first, again = await lost(), await lost()
            assert (first.status_code, first.json()) == (200, again.json()), first.text
            assert first.json() == {**asked, "transfer": first.json()["transfer"]}
            assert (await lost(amount_msat=1)).status_code == 409
            assert await there() == ("asset:wallet_simulated", 53_000, 4_000)
            (said,) = (await served.admin.get("/admin/audit", params={"action": "asset.write_off"})).json()["data"]
            assert (said["actor"], said["subject"]) == ("operator", "asset:wallet_simulated@sim")
            assert "the disk burnt" in said["data"]
            (row,) = (await served.admin.get("/admin/ledger", params={"kind": "loss"})).json()["data"]
            assert [(entry["side"], entry["account"]) for entry in row["entries"]] == [
                *(("debit", "cost:loss"), ("credit", "asset:wallet_simulated")),
            ]

    run(story())
    words = ("loss", "asset:wallet_simulated", "2", "--realm", "sim", "--reason", "a coin", "--key", "c")
    for _ in range(2):
        assert setup.arbstr(*words) == "2 sat of asset:wallet_simulated in realm sim are written off\n"
    assert setup.json(*words)["amount_msat"] == 2_000
    ended = setup.command("loss", "asset:wallet_simulated", "2sat", "--realm", "sim", "--reason", "another")
    assert (ended.returncode, "bring so much capital first" in ended.stderr) == (1, True), ended
    assert setup.command("loss", "asset:wallet_simulated", "1", "--realm", "sim").returncode == 2
    assert setup.json("audit", "verify")["ok"] is True


# --- rails that really lack what is owed ---


def copied(store: MemoryStore) -> MemoryStore:
    """What a thief has, or a backup."""
    other = MemoryStore()
    other._values = dict(store._values)
    return other


@pytest.fixture(scope="module")
def mint(mints: Mints) -> Nutshell:
    """A mint that takes a tenth of a sat for each coin, and whose invoices are paid by themselves."""
    return mints.start(solvent=Options(fee_ppk=100))[0]


def test_a_purse_whose_coins_somebody_else_has_spent(tmp_path: Path, mint: Nutshell) -> None:
    """A thief with the purse's own keys spends at the mint: what is owed is not covered any more, and is frozen. What
    the purse pays to tidy up is booked; one that is older than the mint's records is not trusted."""

    async def what(world: World) -> None:
        purse = {"seed": "env:SEED", "most_coins": 16, "coins": 1}
        seeded = {**purse, "secrets": {"env:SEED": WORDS}}
        store = MemoryStore()
        async with wallet(mint, store=store, **seeded) as mine, wallet(mint) as hers:
            for _ in range(10):
                await mine.fund(63)
            backup = copied(store)
            world.plug(mine.rail)
            await world.check("regtest")
            booked = await world.flow.capital("wallet_cashu", None)
            assert booked["amount_msat"] == 630 * SAT
            await world.agent(fund=500 * SAT, realm="regtest", rail="wallet_cashu")
            await mine.round()
            tidied = await world.check("regtest")
            held = await mine.held() * SAT
            assert tidied.rails[0].ledger_msat == tidied.rails[0].spendable_msat == held
            assert (tidied.cover, held < 630 * SAT) == (Cover.COVERED, True)
            async with wallet(mint, store=copied(store), **seeded) as thief:
                await hers.rail.receive(await thief.token(300), key="stolen")
            made = cashu.arbstr_commands(configure(cashu, table(mint, **purse)), mine.tools)
            checked = await {each.name: each for each in made}["check"].run({})
            assert checked["mints"][0]["lost_msat"] >= 300 * SAT
            for _ in range(3):
                found = await world.check("regtest")
                assert found.cover is Cover.BELOW
            assert [each.scope for each in await world.treasury.frozen()] == ["realm:regtest"]
            async with wallet(mint, store=backup, **seeded) as old:
                await old.round()
                world.plug(old.rail)
                await world.check("regtest")
            frozen = {each.scope: each.reason for each in await world.treasury.frozen()}
            assert "rolled_back" in frozen["rail:wallet_cashu"]

    story(tmp_path, what)


def test_a_node_whose_channels_are_emptied(tmp_path: Path) -> None:
    """Somebody pays with the node beside arbstr: told, in suspense, and frozen once it is more than the operator's own.
    Calls are served meanwhile; what comes back is thawed."""

    async def story() -> None:
        with a_node_apart(LoopClock()) as apart:
            book = apart.node.book
            book.balance_msat = 1_000 * SAT
            (tmp_path / "tls.cert").write_bytes(apart.node.certificate)
            (tmp_path / "arbstr.macaroon").write_bytes(apart.node.macaroon())
            table = (
                f'[plugins.wallet_lnd]\naddress = "{apart.node.address}"\nnetwork = "regtest"\n'
                'cert = "file:tls.cert"\nmacaroon = "file:arbstr.macaroon"\n'
            )
            setup = write(tmp_path, QUICK + table, plugins=("providers_mock", "policy_price", "wallet_lnd"))
            async with serving(setup) as served:

                async def state(wanted: str) -> Any:
                    async def reached() -> Any:
                        found = await realm(served, "regtest")
                        return found if found and found["state"] == wanted else None

                    return await until(reached, 60)

                assert (await state("covered"))["rails"][0]["surplus_msat"] == 1_000 * SAT
                booked = await served.admin.post("/admin/capital", json={"rail": "wallet_lnd"})
                assert booked.json()["amount_msat"] == 1_000 * SAT
                agent = await served.agent(fund=900 * SAT)

                async def emptied() -> None:
                    paid = read_bolt11(apart.node.asks(300 * SAT)).payment_hash
                    book.begin(paid, 300 * SAT, 0, apart.node.clock)
                    book.end(paid, apart.node.preimages[paid])

                await asyncio.to_thread(apart.do, emptied())
                found = await state("frozen")
                assert (found["most_msat"], found["lost_msat"]) == (700 * SAT, 300 * SAT)
                events = (await served.admin.get("/admin/events")).json()["data"]
                assert {"left_unasked", "frozen"} <= {event["event"] for event in events}
                assert (await served.call(agent, model="mock")).status_code == 200
                book.balance_msat += 300 * SAT
                await served.admin.post("/admin/thaw", json={"realm": "regtest", "reason": "it was put back"})
                assert (await state("covered"))["below"] == 0

    run(story())


def test_a_restored_ledger_is_compared_with_the_node_first(tmp_path: Path) -> None:
    """Ledger and rail come out of a backup, and the node goes on: a payment that the backup holds for not sent is found
    by its hash, and ends as it ended; one that the backup does not know goes into suspense."""

    async def what(world: World) -> None:
        async with a_stage() as stage:
            stage.node.book.balance_msat = 100 * SAT
            stage.node.default = Way(fee_msat=0)
            world.plug(stage.rail)
            await world.check("regtest")
            await world.flow.capital("wallet_lnd", None)
            agent = await world.agent(fund=90 * SAT, realm="regtest", rail="wallet_lnd")
            known, unknown = await stage.target(), await stage.target()
            told = {"realm": "regtest", "reference": known.reference, "rails": ("wallet_lnd",)}
            await world.payout("pay_1", agent, AMOUNT, **told)
            backup = copied(stage.store)
            for number, target in enumerate((known, unknown), 1):
                await stage.pay(target, f"pay_{number}:1")
                assert isinstance(await stage.found(target, f"pay_{number}:1"), Paid)
            stage.store = backup
            await stage.restart()
            world.plug(stage.rail)
            await world.vault.mark_restored("backup.db")
            assert "has not been compared" in (await world.dispatched("pay_1")).reason
            found = await world.check("regtest")
            assert (found.lost_msat, found.rails[0].walked, found.rails[0].problem) == (AMOUNT, True, "")
            payment = await world.requests.payment("pay_1")
            assert payment is not None
            assert payment.state is PaymentState.UNKNOWN
            paid = await stage.found(known, payment.rail_key)
            assert isinstance(paid, Paid)
            end = PaidEnd(fee_msat=paid.fee_msat, evidence=paid.evidence)
            await world.treasury.end(await world.office.sure(), payment, end)
            found = await world.check("regtest")
            assert (found.rails[0].surplus_msat, found.owed_msat) == (0, 90 * SAT - AMOUNT)

    story(tmp_path, what)
