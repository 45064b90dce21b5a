"""What is wrong with a destination is said before any money is held, with what to do; and which rail pays the rest.

The threats named here are ways in which others have paid what nobody asked for."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import deque

import bolt11
import httpx
import msgspec
import pytest
from payout_house import FREE, FUND, PayoutHouse, nothing_there, open_database
from sending import FAILED, UNKNOWN, Double, StillClock

from arbstr_core.api import (
    BadRequest,
    Bounds,
    InvoiceTarget,
    Msat,
    Network,
    RailCapability,
    RailLimits,
    RailUnavailable,
    read_bolt11,
)
from arbstr_core.flow import Ask
from arbstr_core.net import Guard, control_client
from arbstr_core.storage import Cipher
from arbstr_core.types import Conflict, LimitExceeded
from arbstr_core.vault import NewRequest, Purpose, RequestKind

SAT = 1_000
NOW_S = 1_750_000_000
METADATA = json.dumps([["text/plain", "Pay bob"]])
BOUND = hashlib.sha256(METADATA.encode()).hexdigest()


class Reads(Double):
    """A rail that reads invoices, and does what it is told beyond that."""

    network = Network.REGTEST

    def __init__(self, name, *capabilities, steps=1):
        super().__init__(name)
        self.capabilities = frozenset(capabilities) or frozenset(RailCapability)
        self.steps = steps
        self.quotes = deque()

    async def decode(self, target):
        try:
            said = read_bolt11(target)
        except ValueError as bad:
            raise BadRequest(f"that is no invoice: {bad}") from None
        if said.amount_msat % self.steps:
            raise BadRequest(f"{self.name} moves whole sats, and {said.amount_msat} msat are none")
        return InvoiceTarget(
            text=target,
            reference=said.payment_hash,
            amount_msat=Msat(said.amount_msat),
            network=self.network,
            expires_ms=said.expires_ms,
            description_hash=said.description_hash,
        )

    async def quote(self, target, amount):
        if self.quotes:
            raise self.quotes.popleft()
        if amount % self.steps:
            raise BadRequest(f"{amount} msat are no whole sat, and {self.name} moves whole sats")
        return await super().quote(target, amount)

    async def limits(self):
        return RailLimits(tokens=Bounds(), mints=("https://mint.example",))


def lightning():
    return Reads("lnd", RailCapability.BOLT11, RailCapability.INVOICE, RailCapability.CANCEL, RailCapability.FEE_LIMIT)


def ecash():
    return Reads("cashu", RailCapability.BOLT11, RailCapability.ECASH, RailCapability.FEE_LIMIT, steps=SAT)


def invoice(prefix="lnbcrt20u", at=0, **more):
    """20u is 2,000 sat; 5u is 500, below the threshold."""
    return bolt11.invoice(prefix, payment_hash=f"{at:064x}", made_s=NOW_S, **more)


def told(folder, story, *rails, answers=nothing_there, http=None):
    async def whole():
        clock = StillClock()
        client = http or httpx.AsyncClient(transport=httpx.MockTransport(answers))
        async with client, open_database(folder, clock) as database:
            more = {"realm": "regtest", "http": client}
            house = PayoutHouse(database, clock, list(rails) or [lightning(), ecash()], Cipher(bytes(32)), **more)
            await house.agent()
            await story(house)
            assert (await house.vault.verify()).first_bad is None

    asyncio.run(whole())


async def refused(house, to, error=BadRequest, **more):
    """What is said; nothing is held, and no rail was asked to pay."""
    with pytest.raises(error) as said:
        await house.pay(to, **more)
    assert await house.spent() == (0, 0)
    assert await house.requests.payments() == []
    assert not any(rail.paid for rail in house.rails.all)
    return str(said.value)


# --- which rail ---


@pytest.mark.parametrize(
    ("prefix", "hint", "rail"),
    [
        ("lnbcrt5u", "auto", "cashu"),
        ("lnbcrt9990n", "auto", "cashu"),
        ("lnbcrt10u", "auto", "lnd"),
        ("lnbcrt20u", "auto", "lnd"),
        ("lnbcrt5u", "lnd", "lnd"),
        ("lnbcrt20u", "cashu", "cashu"),
    ],
)
def test_below_the_threshold_ecash_pays_and_from_it_lightning_and_a_hint_overrides(tmp_path, prefix, hint, rail):
    async def story(house):
        paid = await house.pay(invoice(prefix), rail=hint)
        await house.round()
        assert (await house.show(paid["id"]))["state"] == "succeeded"
        assert {each.name: len(each.paid) for each in house.rails.all if each.paid} == {rail: 1}

    told(tmp_path, story)


@pytest.mark.parametrize("hint", ["auto", "cashu"])
def test_the_other_rail_pays_once_the_first_has_failed_and_never_where_one_is_named(tmp_path, hint):
    first, second = ecash(), lightning()

    async def story(house):
        first.pays.append(UNKNOWN)
        paid = await house.pay(invoice("lnbcrt5u"), rail=hint)
        await house.round()
        house.clock.ms += 300_000
        await house.round()
        assert second.paid == [], "while the first is unknown the second gets no call"
        first.looks.append(FAILED)
        house.clock.ms += 300_000
        await house.round()
        await house.round()
        assert (await house.show(paid["id"]))["state"] == ("succeeded" if hint == "auto" else "failed")
        assert len(second.paid) == (hint == "auto")

    told(tmp_path, story, second, first)


def test_a_rail_that_cannot_be_asked_leaves_it_to_the_other(tmp_path):
    first, second = ecash(), lightning()

    async def story(house):
        first.quotes.extend([RailUnavailable("the mint is down")] * 2)
        paid = await house.pay(invoice("lnbcrt5u"))
        await house.round()
        assert (await house.show(paid["id"]))["rail"] == "lnd"
        with pytest.raises(RailUnavailable, match="the mint is down; try again, or name another rail"):
            await house.pay(invoice("lnbcrt5u", at=2), rail="cashu")

    told(tmp_path, story, first, second)


def test_msat_go_over_the_rail_that_moves_them(tmp_path):
    async def story(house):
        odd = invoice("lnbcrt12340p", at=1)
        assert "whole sat" in await refused(house, odd, rail="cashu")
        paid = await house.pay(odd)
        assert (paid["amount_msat"], paid["rail"]) == (1_234, "lnd")

    told(tmp_path, story)


def test_t10_a_rail_that_keeps_no_limit_is_held_for_with_a_reserve(tmp_path):
    careless = Reads("lnd", RailCapability.BOLT11)

    async def story(house):
        quote = await house.flow.quote(house.caller(), Ask(to=invoice()))
        assert quote["fee_limit_msat"] == 10 + 20_000

    told(tmp_path, story, careless)


# --- what is refused ---

BAD_INVOICES = {
    "t6 without an amount": (invoice("lnbcrt"), {}, "names no amount"),
    "t6 below a msat": (invoice("lnbcrt15p"), {}, "no whole Lightning invoice"),
    "t6 more than there is": (invoice("lnbcrt99999999999999999999"), {}, "no whole Lightning invoice"),
    "t6 for nothing": (invoice("lnbcrt0u"), {}, "no whole Lightning invoice"),
    "t7 of mainnet": (invoice("lnbc20u"), {}, "this money is on regtest: ask for one there"),
    "t7 of testnet": (invoice("lntb20u"), {}, "this money is on regtest: ask for one there"),
    "expired": (bolt11.invoice("lnbcrt20u", made_s=NOW_S - 3_600), {}, "expired, or is about to: ask for a new one"),
    "about to expire": (invoice(expiry=20), {}, "expired, or is about to: ask for a new one"),
    "t5 for more than is said": (invoice(), {"amount_msat": 1}, "for 2,000 sat, not 0.001 sat"),
    "t5 for less than is said": (invoice(), {"amount_msat": 2_000_001}, "leave the amount out"),
    "altered": (invoice()[:-1] + "q", {}, "no whole Lightning invoice"),
    "nothing": ("bitcoin:bc1qsomething", {}, ""),
}


def test_t5_t6_t7_bad_invoices_are_refused_before_any_hold(tmp_path):
    """T5, T6, T7: another amount than was said; amounts that are none; another network."""

    async def story(house):
        for name, (text, more, words) in BAD_INVOICES.items():
            said = await refused(house, text, **more)
            assert words in said, (name, said)

    told(tmp_path, story)


def test_t5_no_other_amount_than_the_invoices_is_paid(tmp_path):
    async def story(house):
        for amount in (1, 999, 1_999_000, 1_999_999, 2_000_001, 2_001_000, 2_000_000_000):
            assert "for 2,000 sat" in await refused(house, invoice(), amount_msat=amount)

    told(tmp_path, story)


def test_t8_our_own_invoice_is_paid_from_within_or_not_at_all(tmp_path):
    rail = lightning()
    own = invoice(at=7)
    reference = f"{7:064x}"

    async def ask(house, id, agent, purpose=Purpose.DEPOSIT, rail="lnd", text=own, reference=reference):
        new = NewRequest(
            id=id,
            kind=RequestKind.INVOICE,
            purpose=purpose,
            realm="regtest",
            rail=rail,
            amount_msat=2_000_000,
            agent=agent,
            expires_ms=2_000_000_000_000,
        )
        await house.requests.open(new)
        await house.treasury.answer(id, text=text, reference=reference, expires_ms=2_000_000_000_000)

    async def story(house):
        await house.agent("bob")
        await ask(house, "dep_1", "ag_bob")
        assert "paying it would move nothing" in await refused(house, own, by="bob")
        altered = bolt11.invoice("lnbcrt20u", payment_hash=reference, made_s=NOW_S, description="altered")
        assert "not one that can be paid" in await refused(house, altered)
        quote = await house.flow.quote(house.caller(), Ask(to=own))
        assert (quote["own"], quote["fee_limit_msat"]) == (True, 0)
        paid = await house.pay(own)
        await house.round()
        assert (await house.show(paid["id"]))["state"] == "succeeded"
        assert (rail.paid, rail.taken_back) == ([], [reference])
        assert (await house.spent(), await house.spent("bob")) == ((2_000_000, 0), (-2_000_000, 0))
        with pytest.raises(Conflict, match="paid already"):
            await house.pay(own)
        single = invoice(at=8)
        await ask(house, "dep_2", None, Purpose.CALL, text=single, reference=f"{8:064x}")
        with pytest.raises(BadRequest, match="pay it from another wallet"):
            await house.pay(single)

    told(tmp_path, story, rail)


# --- addresses ---


def address(**said):
    """An address that answers as LNURL-pay does, but for what is `said`."""

    def answers(request):
        if request.url.path == "/cb":
            msat = int(request.url.params["amount"])
            pr = said.get("pr") or bolt11.invoice(
                f"lnbcrt{said.get('msat', msat) * 10}p",
                payment_hash="ab" * 32,
                description=None,
                description_hash=said.get("bound", BOUND),
                made_s=NOW_S,
            )
            return said.get("second") or httpx.Response(200, json={"pr": pr, "routes": []})
        body = {
            "tag": "payRequest",
            "callback": f"https://{request.url.host}/cb?x=1",
            "minSendable": 1_000,
            "maxSendable": 10_000_000,
            "metadata": METADATA,
        }
        return said.get("first") or httpx.Response(200, json=body | said.get("more", {}))

    return answers


@pytest.mark.parametrize("to", ["bob@example.org", "lightning:Bob@Example.org", "lnurlp://example.org/pay", "lnurl"])
def test_an_address_is_paid_the_amount_that_was_said(tmp_path, to):
    to = bolt11.bech32("lnurl", b"https://example.org/pay?id=7") if to == "lnurl" else to

    async def story(house):
        paid = await house.pay(to, amount_msat=5_000, key="k")
        await house.round()
        again = await house.pay(to, amount_msat=5_000, key="k")
        assert (again["id"], again["state"], again["amount_msat"]) == (paid["id"], "succeeded", 5_000)
        assert await house.spent() == (5_001, 0)

    told(tmp_path, story, answers=address())


BAD_ADDRESSES = {
    "redirects": ({"first": httpx.Response(302, headers={"location": "https://127.0.0.1/"})}, "redirect"),
    "redirects later": ({"second": httpx.Response(307, headers={"location": "https://10.0.0.1/"})}, "redirect"),
    "answers nonsense": ({"first": httpx.Response(200, text="<html>")}, "nothing that can be read"),
    "refuses": ({"first": httpx.Response(200, json={"status": "ERROR", "reason": "closed"})}, "refuses: closed"),
    "is for withdrawing": ({"more": {"tag": "withdrawRequest"}}, "offers no payRequest"),
    "takes more": ({"more": {"minSendable": 6_000}}, "takes from 6000 to 10000000 msat"),
    "takes less": ({"more": {"maxSendable": 4_999}}, "not 5000"),
    "gives no invoice": ({"second": httpx.Response(200, json={})}, "gave no invoice"),
    "asks for more": ({"msat": 6_000}, "is not to be trusted"),
    "asks for less": ({"msat": 4_000}, "is not to be trusted"),
    "gives somebody else's invoice": ({"bound": "00" * 32}, "is not bound to it"),
    "gives one of mainnet": ({"pr": bolt11.invoice("lnbc50n", made_s=NOW_S)}, "this money is on regtest"),
    "gives one without an amount": ({"pr": bolt11.invoice("lnbcrt", made_s=NOW_S)}, "names no amount"),
    "says too much": ({"first": httpx.Response(200, content=b" " * 70_000)}, "more than 65536 bytes"),
}


def test_a_bad_address_is_refused_before_any_hold(tmp_path):
    now = {}

    async def story(house):
        for name, (said, words) in BAD_ADDRESSES.items():
            now["answers"] = address(**said)
            message = await refused(house, "bob@example.org", amount_msat=5_000)
            assert words in message, (name, message)

    told(tmp_path, story, answers=lambda request: now["answers"](request))


@pytest.mark.parametrize("host", ["localhost.localdomain", "127.0.0.1.nip.io", "metadata.google.internal"])
def test_t29_an_address_that_leads_home_is_not_asked(tmp_path, host, monkeypatch):
    """T29: whatever a name leads to; here all of them to this machine, or the one beside it."""

    async def leads_home(self, host, port, **more):
        home = "169.254.169.254" if "metadata" in host else "127.0.0.1"
        return [(2, 1, 6, "", (home, port))]

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", leads_home)

    async def story(house):
        message = await refused(house, f"bob@{host}", amount_msat=5_000)
        assert "cannot be paid" in message, message

    told(tmp_path, story, http=control_client(Guard(frozenset())))


def test_an_lnurl_that_leads_to_no_public_https_is_refused(tmp_path):
    async def story(house):
        for url in (b"http://example.org/", b"https://u:p@example.org/", b"ftp://x/", b"\xff"):
            await refused(house, bolt11.bech32("lnurl", url), amount_msat=5_000)

    told(tmp_path, story)


def test_t9_what_may_be_open_at_one_time_counts_payouts(tmp_path):
    """T9: the limit on what is open at one time counts what is on its way, however long it is."""
    rail = lightning()

    async def story(house):

        await house.agent("mallory", limits=msgspec.structs.replace(FREE, concurrent=2))
        rail.pays.extend([UNKNOWN] * 2)
        for at in (11, 12):
            await house.pay(invoice(at=at), by="mallory")
        await house.round()
        with pytest.raises(LimitExceeded, match="open"):
            await house.pay(invoice(at=13), by="mallory")
        await house.pay(invoice(at=14))
        await house.round()
        assert len(rail.paid) == 3
        assert (await house.spent("mallory", FUND))[1] == 2 * 2_000_010

    told(tmp_path, story, rail)
