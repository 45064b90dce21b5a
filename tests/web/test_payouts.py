"""`/wallet/payouts` and `/admin/payments` over a real server and the simulated rail: asked for, let, sent, and taken
back; and what is wrong with a destination is said before anything is held."""

from __future__ import annotations

import asyncio
import json
from functools import partial

import pytest
from house import Setup, run, serving, until, write

WAIT = {"prefer": "wait=20"}
FUND = 10_000_000
FREE = {"fund": FUND, "payouts_unapproved_msat": 10**12}


class Payer:
    """An agent that pays, and what operators and the rest of the world do."""

    def __init__(self, served, agent):
        self.served = served
        self.agent = agent
        self.own = {"authorization": f"Bearer {agent['token']}"}

    async def ask(self, to, *, key=None, wait=True, path="", **fields):
        headers = {**self.own, **(WAIT if wait else {}), **({"idempotency-key": key} if key else {})}
        return await self.served.http.post(f"/wallet/payouts{path}", json={"to": to, **fields}, headers=headers)

    async def paid(self, to, **fields):
        answer = await self.ask(to, **fields)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def refused(self, to, **fields):
        answer = await self.ask(to, **fields)
        assert answer.is_client_error, answer.text
        return answer.status_code, answer.json()["error"]

    async def show(self, id, step=""):
        go = self.served.http.post if step else self.served.http.get
        return await go(f"/wallet/payouts/{id}{step and '/' + step}", headers=self.own)

    async def operator(self, id, step="", **said):
        go = partial(self.served.admin.post, json=said or None) if step else self.served.admin.get
        return await go(f"/admin/payments/{id}{step and '/' + step}")

    async def spent(self):
        """(what has left the account, what is held)."""
        found = await self.served.show(self.agent)
        return FUND - found["posted_msat"], found["held_msat"]

    async def outside(self, name, **arguments):
        """What the rest of the simulated world does."""
        answer = await self.served.admin.post(f"/admin/plugins/wallet_simulated/{name}", json=arguments)
        assert answer.is_success, answer.text
        return answer.json()

    async def invoice(self, amount="1000msat", **more):
        return (await self.outside("make-invoice", amount=amount, **more))["invoice"]


def told(folder, story, *, table="", limits=None):
    async def whole():
        async with serving(write(folder, f"[plugins.wallet_simulated]\n{table}\n")) as served:
            await story(Payer(served, await served.agent(**(FREE if limits is None else limits))))

    run(whole())


def test_an_invoice_is_paid_for_its_amount_and_the_real_fee(tmp_path):
    async def story(payer):
        invoice = await payer.invoice("100sat")
        quote = (await payer.ask(invoice, path="/quote")).json()
        assert (quote["amount_msat"], quote["fee_limit_msat"], quote["hold_msat"]) == (100_000, 1_000, 101_000)
        assert (quote["kind"], quote["needs_approval"], quote["own"]) == ("invoice", False, False)
        assert quote["rails"] == [
            {"rail": "wallet_simulated", "fee_limit_msat": 1_000, "expected_fee_msat": 1_000},
        ]
        paid = await payer.paid(invoice)
        assert (paid["state"], paid["fee_msat"], len(paid["preimage"])) == ("succeeded", 1_000, 64)
        assert (await payer.show(paid["id"])).json() == paid
        assert await payer.spent() == (101_000, 0)
        seen = (await payer.operator(paid["id"])).json()
        assert (seen["kind"], seen["owner"], "preimage" in seen) == ("payout", payer.agent["id"], False)
        assert [each["outcome"] for each in seen["attempts"]] == ["paid"]
        status, error = await payer.refused(invoice)
        assert (status, "is paid already" in error["message"]) == (409, True)
        await payer.served.verified()

    told(tmp_path, story, table='fee = "1 %"')


def test_the_same_key_is_the_same_payout(tmp_path):
    async def story(payer):
        invoice = await payer.invoice()
        first = await payer.paid(invoice, key="k")
        assert (await payer.paid(f"lightning:{invoice}", key="k", amount_msat=1_000))["id"] == first["id"]
        status, error = await payer.refused(await payer.invoice(), key="k")
        assert (status, error["code"]) == (422, "idempotency_conflict"), error
        assert await payer.spent() == (1_000, 0)
        listed = (await payer.served.http.get("/wallet/payouts", headers=payer.own)).json()
        assert [each["id"] for each in listed["data"]] == [first["id"]]
        await payer.served.verified()

    told(tmp_path, story)


def test_t11_a_key_is_its_agents_and_shows_nobody_else_the_token_of_a_payout(tmp_path):
    """T11: another key of the account asks for the same under the same `Idempotency-Key`."""

    async def story(payer):
        below = await payer.served.http.post("/wallet/keys", json={"name": "below"}, headers=payer.own)
        child = Payer(payer.served, below.json())
        paid = await payer.paid("ecash", key="k", amount_msat=5_000)
        status, error = await child.refused("ecash", key="k", amount_msat=5_000)
        assert (status, error["code"], paid["id"] in error["message"]) == (422, "idempotency_conflict", False), error
        assert (await payer.paid("ecash", key="k", amount_msat=5_000)) == paid
        assert (await child.refused("ecash", key="own", amount_msat=5_000))[1]["code"] == "approval_required"
        assert (await payer.refused("ecash", key="own", amount_msat=5_000))[0] == 422
        assert await payer.spent() == (5_000, 5_000)

    told(tmp_path, story)


def test_t20_a_payout_waits_for_an_operator_unless_the_limits_say_otherwise(tmp_path):
    """T20: held for while it waits; let once; sent over the rail it was for, and not again."""

    async def story(payer):
        invoice = await payer.invoice()
        status, error = await payer.refused(invoice, key="k")
        assert (status, error["code"]) == (403, "approval_required")
        id = error["payout"]
        assert await payer.spent() == (0, 1_000)
        assert (await payer.show(id)).json()["state"] == "created"
        assert (await payer.refused(invoice, key="k"))[1]["payout"] == id
        answer = await payer.served.http.post(f"/admin/payments/{id}/approve", headers=payer.own)
        assert answer.status_code == 401, "who asks never decides"
        for _ in range(2):
            assert (await payer.operator(id, "approve")).status_code == 200
        ended = await until(lambda: _ended(payer, id))
        assert (ended["state"], await payer.spent()) == ("succeeded", (1_000, 0))
        assert (await payer.operator(id, "deny")).status_code == 409
        assert (await payer.paid(invoice, key="k"))["id"] == id
        await payer.served.verified()

    told(tmp_path, story, limits={"fund": FUND})


async def _ended(payer, id):
    found = (await payer.show(id)).json()
    return found if found["ended_ms"] else None


@pytest.mark.parametrize(("step", "state"), [("deny", "rejected"), ("cancel", "cancelled")])
def test_what_an_operator_denies_or_cancels_is_the_agents_again(tmp_path, step, state):
    async def story(payer):
        invoice = await payer.invoice()
        id = (await payer.refused(invoice))[1]["payout"]
        assert (await payer.operator(id, step)).json()["state"] == state
        assert await payer.spent() == (0, 0)
        assert (await payer.operator(id, "approve")).status_code == 409
        again = (await payer.refused(invoice))[1]["payout"]
        assert again != id, "it may be asked for anew"
        assert (await payer.show(again, "cancel")).json()["state"] == "cancelled"
        await payer.served.verified()

    told(tmp_path, story, limits={"fund": FUND})


def test_what_is_sent_cannot_be_cancelled(tmp_path):
    async def story(payer):
        paid = await payer.paid(await payer.invoice())
        assert (await payer.show(paid["id"], "cancel")).status_code == 409
        assert (await payer.operator(paid["id"], "cancel")).status_code == 409
        assert (await payer.operator(paid["id"], "approve")).status_code == 409

    told(tmp_path, story)


def test_somebody_elses_payout_does_not_exist(tmp_path):
    async def story(payer):
        paid = await payer.paid("ecash", amount_msat=5_000)
        other = Payer(payer.served, await payer.served.agent("other"))
        for step in ("", "cancel", "reclaim"):
            assert (await other.show(paid["id"], step)).status_code == 404
        assert (await payer.show("pay_none")).status_code == 404

    told(tmp_path, story)


def test_t27_a_token_is_kept_before_it_is_shown_and_shown_to_its_agent_alone(tmp_path, caplog):
    """T27: neither the log, nor the database, nor an operator sees it, and the preimage of an invoice neither."""
    caplog.set_level("DEBUG")

    async def story(payer):
        proof = (await payer.paid(await payer.invoice()))["preimage"]
        paid = await payer.paid("ecash", amount_msat=50_000)
        assert (paid["state"], paid["token"][:4]) == ("succeeded", "simA")
        assert (await payer.show(paid["id"])).json()["token"] == paid["token"]
        assert paid["token"] not in (await payer.operator(paid["id"])).text
        kept = b"".join(file.read_bytes() for file in (tmp_path / "data").glob("arbstr.db*"))
        seen = (await payer.served.admin.get("/admin/payments")).text + caplog.text
        seen += (await payer.served.admin.get("/admin/audit?limit=100")).text
        for secret in (paid["token"], proof):
            assert secret not in seen
        assert bytes.fromhex(proof) not in kept
        assert not any(secret.encode() in kept for secret in (paid["token"], proof))
        assert (await payer.outside("claim-token", token=paid["token"]))["amount_msat"] == 50_000
        assert await payer.spent() == (51_000, 0)
        locked = await payer.paid("Ecash", amount_msat=1_000, mint="sim", lock="02" + "ab" * 32)
        assert locked["to"] == f"ecash of sim for 02{'ab' * 32}"
        await payer.served.verified()

    told(tmp_path, story)


SIM = "sim1"
BAD = {
    "no destination": ("", {}, "", 400),
    "nonsense": ("hello", {}, "", 400),
    "amountless": ("lnbcrt1p", {}, "", 400),
    "another amount": (SIM, {"amount_msat": 999}, "leave the amount out, or ask for another invoice", 400),
    "no amount": ("ecash", {}, "Say how much: amount_msat", 400),
    "an amount of nothing": ("ecash", {"amount_msat": 0}, "greater than 0", 400),
    "an amount below nothing": ("ecash", {"amount_msat": -5}, "greater than 0", 400),
    "an amount as text": ("ecash", {"amount_msat": "5"}, "valid integer", 400),
    "an amount as a float": ("ecash", {"amount_msat": 5.0}, "valid integer", 400),
    "an amount that is true": ("ecash", {"amount_msat": True}, "valid integer", 400),
    "more than there is": ("ecash", {"amount_msat": 2**63}, "less than or equal", 400),
    "with its fee more than there is": ("ecash", {"amount_msat": 2_100_000_000_000_000_000}, "ask for less", 400),
    "a lock that is none": ("ecash", {"amount_msat": 5, "lock": "ab"}, "compressed public key", 400),
    "a mint of others": ("ecash", {"amount_msat": 5, "mint": "https://mint.example"}, "mints: sim", 400),
    "a lock on an invoice": (SIM, {"lock": "02" + "ab" * 32}, "leave them out", 400),
    "a rail that there is not": (SIM, {"rail": "lnd"}, "rails here: wallet_simulated, or auto", 400),
    "an address without an amount": ("bob@example.org", {}, "Say how much: amount_msat", 400),
    "an address at home": ("bob@localhost.localdomain", {"amount_msat": 5}, "cannot be", 400),
    "an LNURL to plain http": ("lnurlp://user:pw@example.org", {"amount_msat": 5}, "https", 400),
    "a broken LNURL": ("lnurl1dp68gurn8ghj7", {"amount_msat": 5}, "no whole LNURL", 400),
    "a field that there is not": ("ecash", {"amount": 5}, "", 400),
    "more than the agent has": ("ecash", {"amount_msat": FUND + 1}, "pay out less, or deposit first", 402),
}


@pytest.mark.parametrize("at", range(3))
def test_bad_input_is_refused_before_any_hold_with_what_to_do(tmp_path, at):
    async def story(payer):
        for name, (to, fields, words, expected) in list(BAD.items())[at::3]:
            where = await payer.invoice() if to == SIM else to
            status, error = await payer.refused(where, **fields)
            assert (status, words in error["message"]) == (expected, True), (name, status, error)
        damaged = (await payer.invoice())[:-1] + "x"
        assert (await payer.refused(damaged))[0] == 400
        assert await payer.spent() == (0, 0)
        assert payer.served.setup.rows("SELECT count(*) FROM hold UNION ALL SELECT count(*) FROM payment") == [
            (0,),
            (0,),
        ]

    told(tmp_path, story, table='fee = "1 ppm"')


def test_msat_are_not_payable_on_a_rail_of_whole_sats(tmp_path):
    async def story(payer):
        status, error = await payer.refused(await payer.invoice("1500msat"))
        assert (status, "whole sat" in error["message"]) == (400, True)
        assert (await payer.paid(await payer.invoice("2sat")))["state"] == "succeeded"

    told(tmp_path, story, table='unit = "sat"')


def test_a_fee_above_the_agents_limit_is_refused_before_any_hold(tmp_path):
    async def story(payer):
        status, error = await payer.refused(await payer.invoice("1000sat"))
        assert (status, error["limit"]) == (403, "max_fee"), error
        assert await payer.spent() == (0, 0)

    told(tmp_path, story, table='fee = "1 %"', limits={**FREE, "max_fee_msat": 9_999})


@pytest.mark.parametrize(("outcome", "left", "state"), [("paid", 1_005, "succeeded"), ("failed", 0, "failed")])
def test_an_operator_ends_what_its_rail_says_nothing_of(tmp_path, outcome, left, state):
    async def story(payer):
        answer = await payer.ask(await payer.invoice(), wait=False)
        id = answer.json()["id"]

        async def unknown():
            found = (await payer.operator(id)).json()
            return found if found["state"] == "unknown" else None

        await until(unknown)
        assert await payer.spent() == (0, 1_010)
        said = {"outcome": outcome, "fee_msat": 5}
        assert (await payer.operator(id, "resolve", **said)).status_code == 400
        done = await payer.operator(id, "resolve", **said, evidence="the node's own records, read by me")
        assert done.json()["state"] == state
        assert "read by me" in done.json()["attempts"][0]["evidence"]
        assert (await payer.operator(id, "resolve", **said, evidence="again")).status_code == 409
        assert await payer.spent() == (left, 0)
        await payer.served.verified()

    told(tmp_path, story, table='script = ["unknown_then_paid"]\nunknown_seconds = 3600\nfee = "1 %"')


def test_the_command_line_lists_shows_and_lets(tmp_path):
    async def story(payer):
        invoice = await payer.invoice()
        id = (await payer.refused(invoice))[1]["payout"]
        with_it = payer.served.setup.run

        async def command(*words):
            done = await asyncio.to_thread(with_it, *words)
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert id in await command("payment", "list", "--state", "created")
        assert f"to {invoice[:20]}\u2026{invoice[-8:]}" in await command("approval", "list")
        (approval,) = json.loads(await command("approval", "list", "--json"))
        assert (approval["kind"], approval["hold_id"], approval["to"]) == ("payout", id, invoice)
        assert "approval" in await command("payment", "show", id)
        assert id in await command("payment", "approve", id)
        ended = await until(lambda: _ended(payer, id))
        assert ended["state"] == "succeeded"

    told(tmp_path, story, limits={"fund": FUND})


def test_payments_of_a_rail_that_left_the_configuration_are_told_of(tmp_path):
    """They stay unknown, and are gone on with once it is back."""
    table = 'script = ["unknown_then_paid"]\nunknown_seconds = 600\n'

    async def sent(payer):
        await payer.ask(await payer.invoice(), wait=False)

        async def unknown():
            listed = await payer.served.admin.get("/admin/payments?state=unknown")
            return listed.json()["data"]

        await until(unknown)

    told(tmp_path, sent, table=table)
    rows = (tmp_path / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(
        rows.replace(', "wallet_simulated"', "").split("[plugins.wallet_simulated]")[0]
    )

    async def without():
        async with serving(setup) as served:
            done = await asyncio.to_thread(setup.command, "doctor")
            assert "payments over wallet_simulated" in done.stdout, done
            assert "not in the configuration any more" in done.stdout

            async def explained():
                (found,) = (await served.admin.get("/admin/payments")).json()["data"]
                assert found["state"] == "unknown"
                return "put it back" in found["reason"] or None

            await until(explained, 60)

    async def back():
        async with serving(setup) as served:

            async def paid():
                (found,) = (await served.admin.get("/admin/payments")).json()["data"]
                return found["state"] == "succeeded" or None

            await until(paid, 60)
            await served.verified()

    setup = Setup(tmp_path, int(rows.split("127.0.0.1:")[1].split('"')[0]))
    run(without())
    (tmp_path / "config.toml").write_text(rows.replace("unknown_seconds = 600", "unknown_seconds = 0"))
    run(back())
