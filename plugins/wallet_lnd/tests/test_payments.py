"""Payments through LND: one a key, within the fee limit, and ended by nothing but what the node shows."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import Any

import grpc
import pytest
from arbstr_wallet_lnd import _lnd_pb2 as pb
from lightning import OTHER_PUBKEY, PUBKEY, Fault, Way
from lightning.book import text_of
from lightning.stage import AMOUNT, FEE_LIMIT, Stage, play
from lightning.world import SEND

from arbstr_core.api import (
    BadRequest,
    Failed,
    InvoiceTarget,
    Msat,
    Paid,
    RailState,
    RailUnavailable,
    TokenTarget,
    Unknown,
)

TRACK = "/routerrpc.Router/TrackPaymentV2"
DECODE = "/lnrpc.Lightning/DecodePayReq"
HOUR = 3_600
HELD = Way(end="held")
HASH = "ab" * 32
CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


def an_invoice(network: str = "regtest", amount: int = AMOUNT, **more: Any) -> str:
    said = {"payee": PUBKEY, "made_s": 1_750_000_000, "expiry": HOUR, "memo": "kit", **more}
    return text_of(network, amount, HASH, **said)


# --- what is refused before anything is held: nobody is asked ---


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (an_invoice(amount=0), "names no amount"),
        (an_invoice(made_s=1_750_000_000 - HOUR), "has expired"),
        (an_invoice(network="mainnet"), "on mainnet, and this rail pays on regtest"),
        (an_invoice(network="testnet"), "on testnet"),
        (an_invoice(network="signet"), "on signet"),
        (an_invoice()[:-1] + "q", "checksum"),
        ("lnbcrt", "no Lightning invoice"),
        ("", "no Lightning invoice"),
        ("cashuBo2F0", "no Lightning invoice"),
    ],
)
def test_t6_t7_bad_invoices_are_refused_without_the_node(text: str, says: str) -> None:
    async def scenario(stage: Stage) -> None:
        with pytest.raises(BadRequest, match=says):
            await stage.rail.decode(text)
        assert stage.node.calls == []

    play(scenario)


@pytest.mark.parametrize("pico", ["1p", "15p", "99999999999999999999", "22000000"])
def test_t6_amounts_no_node_can_pay_are_refused_without_the_node(pico: str) -> None:
    from bolt11 import invoice

    async def scenario(stage: Stage) -> None:
        with pytest.raises(BadRequest):
            await stage.rail.decode(invoice(f"lnbcrt{pico}"))
        assert stage.node.calls == []

    play(scenario)


@pytest.mark.parametrize("amount", [AMOUNT - 1, AMOUNT + 1, 1, 0, -AMOUNT])
def test_t5_another_amount_than_the_invoice_s_is_refused_without_the_node(amount: int) -> None:
    async def scenario(stage: Stage) -> None:
        target = await stage.target()
        with pytest.raises(BadRequest, match=f"is for {AMOUNT} msat"):
            await stage.rail.pay(target, Msat(amount), fee_limit=FEE_LIMIT, key="pay-1")
        assert stage.node.calls == []

    play(scenario)


def test_a_token_is_not_this_rails_business() -> None:
    async def scenario(stage: Stage) -> None:
        token = TokenTarget(reference="t", amount_msat=Msat(AMOUNT), network=stage.rail.network)
        with pytest.raises(BadRequest, match="issues no ecash"):
            await stage.rail.pay(token, Msat(AMOUNT), fee_limit=FEE_LIMIT, key="pay-1")
        with pytest.raises(BadRequest, match="below 0"):
            await stage.pay(await stage.target(), fee_limit=-1)
        assert stage.node.calls == []

    play(scenario)


# --- what goes out ---


def test_what_is_asked_of_the_node() -> None:
    async def scenario(stage: Stage) -> None:
        target = await stage.target()
        paid = await stage.pay(target, fee_limit=1_234)
        assert isinstance(paid, Paid)
        assert (paid.fee_msat, paid.evidence) == (1_000, "LND: SUCCEEDED, its payment 1")
        assert hashlib.sha256(bytes.fromhex(paid.proof)).hexdigest() == target.reference
        (request,) = stage.node.sent(SEND)
        assert request.payment_request == target.text
        assert request.fee_limit_msat == 1_234
        assert (request.timeout_seconds, request.max_parts, request.cltv_limit) == (60, 16, 432)
        assert not request.cancelable
        assert not request.allow_self_payment

    play(scenario)


@pytest.mark.parametrize("given", ["lightning:{}", "LIGHTNING:{}", " {}\n"])
def test_an_invoice_is_taken_as_it_is_passed_on(given: str) -> None:
    async def scenario(stage: Stage) -> None:
        text = stage.node.asks(AMOUNT)
        target = await stage.rail.decode(given.format(text.upper() if given.isupper() else text))
        assert isinstance(target, InvoiceTarget)
        assert isinstance(await stage.pay(target), Paid)
        assert stage.node.sent(SEND)[0].payment_request.lower() == text

    play(scenario)


def test_it_is_written_down_before_it_is_sent() -> None:
    async def scenario(stage: Stage) -> None:
        written: list[dict[str, bytes]] = []

        async def hook(path: str, when: str, number: int) -> None:
            if (path, when) == (SEND, "before"):
                written.append(await stage.store.scan("pay/"))

        stage.node.hook = hook
        target = await stage.target()
        await stage.pay(target)
        assert [list(each) for each in written] == [["pay/pay-1"]]
        assert target.reference.encode() in written[0]["pay/pay-1"]

    play(scenario)


def test_a_fee_limit_of_0_pays_no_fee() -> None:
    async def scenario(stage: Stage) -> None:
        assert isinstance(await stage.pay(await stage.target(), "pay-1", 0), Failed)
        stage.node.ways.append(Way(fee_msat=0))
        paid = await stage.pay(await stage.target(), "pay-2", 0)
        assert isinstance(paid, Paid)
        assert paid.fee_msat == 0

    play(scenario)


def test_t10_a_fee_above_the_limit_is_told_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.ways.append(Way(fee_msat=50_000, overcharges=True))
        paid = await stage.pay(await stage.target())
        assert isinstance(paid, Paid)
        assert paid.fee_msat == 50_000

    with caplog.at_level(logging.ERROR):
        play(scenario)
    assert "cost a fee of 50000 msat, and its limit was 2000" in caplog.text


@pytest.mark.parametrize(
    ("amount", "limit"), [(1, 2_000), (200_000, 2_000), (200_001, 2_001), (1_000_000, 10_000), (10**15, 10**13)]
)
def test_the_fee_limit_is_a_share_with_a_least_rounded_up(amount: int, limit: int) -> None:
    async def scenario(stage: Stage) -> None:
        target = await stage.rail.decode(stage.node.asks(amount))
        quote = await stage.rail.quote(target, Msat(amount))
        assert (quote.amount_msat, quote.fee_limit_msat) == (amount, limit)
        assert stage.node.calls == []

    play(scenario)


# --- what is no evidence ---


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
@pytest.mark.parametrize("when", ["before", "first"])
def test_no_error_code_is_a_failure(code: grpc.StatusCode, when: str) -> None:
    """Whatever the call is answered with, and whether the payment goes on behind it or never began."""

    async def scenario(stage: Stage) -> None:
        stage.node.ways.append(HELD)
        stage.node.faults.append(Fault(SEND, when=when, code=code, text="payment failed"))
        target = await stage.target()
        assert isinstance(await stage.pay(target), Unknown)
        assert isinstance(await stage.look(target), Unknown)
        if when == "first":
            await stage.node.resolve(target.reference)
            assert isinstance(await stage.look(target), Paid)

    play(scenario)


@pytest.mark.parametrize("fault", [Fault(SEND, when="first", eof=True), Fault(SEND, silent=True)], ids=["eof", "mute"])
def test_no_silence_is_a_failure(fault: Fault) -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.ways.append(HELD)
        stage.node.faults.append(fault)
        assert isinstance(await stage.pay(await stage.target()), Unknown)

    play(scenario, wait_seconds=0.3)


def test_t2_a_stream_that_dies_and_a_payment_that_settles_an_hour_later() -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.ways.append(HELD)
        stage.node.faults.append(Fault(SEND, when="first", code=grpc.StatusCode.UNAVAILABLE, text="Stream removed"))
        target = await stage.target(expiry=60)
        assert isinstance(await stage.pay(target), Unknown)
        for _ in range(12):
            stage.clock.advance(300)
            assert await stage.look(target) == Unknown(reason="it is on its way")
            assert isinstance(await stage.pay(target), Unknown)
        await stage.node.resolve(target.reference)
        assert isinstance(await stage.look(target), Paid)
        assert (stage.sends(), stage.arrived(target)) == (1, AMOUNT)

    play(scenario)


def test_t2_a_node_that_dies_with_a_payment_on_its_way() -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.ways.append(HELD)
        target = await stage.target()
        paying = asyncio.ensure_future(stage.pay(target))
        while target.reference not in stage.node.book.payments:
            await asyncio.sleep(0.01)
        await stage.node.die()
        assert isinstance(await paying, Unknown)
        assert isinstance(await stage.look(target), Unknown)
        await stage.node.start()
        assert await stage.found_on_its_way(target)
        await stage.node.resolve(target.reference)
        assert isinstance(await stage.found(target), Paid)
        assert stage.sends() == 1

    play(scenario)


def test_already_exists_means_look() -> None:
    async def scenario(stage: Stage) -> None:
        fault = Fault(SEND, when="before", code=grpc.StatusCode.ALREADY_EXISTS, text="payment is in transition")
        stage.node.faults.append(fault)
        target = await stage.target()
        assert await stage.pay(target) == Unknown(reason="the node knows nothing of it yet")
        stage.node.book.begin(target.reference, AMOUNT, 1_000, stage.clock)
        assert await stage.look(target) == Unknown(reason="it is on its way")
        await stage.node.resolve(target.reference)
        assert isinstance(await stage.look(target), Paid)

    play(scenario)


def test_a_preimage_of_another_hash_proves_nothing() -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.ways.append(HELD)
        target = await stage.target()
        assert isinstance(await stage.pay(target), Unknown)
        sent = stage.node.book.payments[target.reference]
        for preimage in ("00" * 32, "no hex", ""):
            sent.status, sent.payment_preimage = pb.Payment.SUCCEEDED, preimage
            found = await stage.look(target)
            assert isinstance(found, Unknown)
            assert "not the invoice's" in found.reason

    play(scenario, wait_seconds=0.3)


def test_a_payment_that_was_noted_and_never_began_is_unknown_and_says_so() -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.ways.append(HELD)
        target = await stage.target(expiry=60)
        await stage.pay(target)
        sent = stage.node.book.payments[target.reference]
        sent.status = pb.Payment.INITIATED
        del sent.htlcs[:]
        assert await stage.look(target) == Unknown(reason="it is on its way")
        stage.clock.advance(24 * HOUR)
        found = await stage.look(target)
        assert isinstance(found, Unknown)
        assert "lncli trackpayment" in found.reason

    play(scenario, wait_seconds=0.3)


# --- what is evidence ---


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        (pb.TIMEOUT, "in time"),
        (pb.NO_ROUTE, "no way to the payee"),
        (pb.ERROR, "error"),
        (pb.INCORRECT_PAYMENT_DETAILS, "does not know the invoice"),
        (pb.INSUFFICIENT_BALANCE, "channels do not have"),
        (pb.CANCELED_BY_NODE, "cancelled"),
        (0, "it failed"),
    ],
)
def test_the_node_s_failure_is_final(reason: int, says: str) -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.ways.append(Way(end="failed", reason=reason))
        target = await stage.target()
        failed = await stage.pay(target)
        assert isinstance(failed, Failed)
        assert says in failed.reason
        assert failed.evidence.startswith("LND: FAILED")
        assert await stage.look(target) == failed
        assert await stage.pay(target) == failed
        assert stage.sends() == 1

    play(scenario)


def test_not_found_proves_nothing_before_the_invoice_is_dead_and_everything_after() -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.faults.append(Fault(SEND))
        target = await stage.target()
        assert isinstance(await stage.pay(target), Unknown)
        stage.clock.advance(HOUR)
        assert isinstance(await stage.look(target), Unknown)
        stage.clock.advance(600)
        assert isinstance(await stage.look(target), Unknown)
        stage.clock.advance(1)
        failed = await stage.look(target)
        assert isinstance(failed, Failed)
        assert "NOT_FOUND, after the invoice had expired" in failed.evidence
        assert await stage.pay(target) == failed
        assert stage.sends() == 1

    play(scenario)


def test_the_same_key_sends_again_what_never_arrived() -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.faults.append(Fault(SEND))
        target = await stage.target()
        assert isinstance(await stage.pay(target), Unknown)
        assert isinstance(await stage.pay(target), Paid)
        assert (stage.sends(), stage.paid()) == (2, 1)

    play(scenario)


def test_a_failure_is_not_final_while_another_request_may_arrive() -> None:
    """The first request is held up somewhere; the second fails. Then the first arrives, and pays."""

    async def scenario(stage: Stage) -> None:
        stage.node.faults.append(Fault(SEND))
        stage.node.ways.append(Way(end="failed"))
        target = await stage.target()
        await stage.pay(target)
        found = await stage.pay(target)
        assert isinstance(found, Unknown)
        assert "second request may still arrive" in found.reason
        late = stage.node.book.begin(target.reference, AMOUNT, 0, stage.clock)
        stage.node.book.end(late.payment_hash, stage.node.preimages[target.reference])
        assert isinstance(await stage.look(target), Paid)

    play(scenario)


def test_a_failure_of_several_requests_is_final_once_the_invoice_is_dead() -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.faults.append(Fault(SEND))
        stage.node.ways.append(Way(end="failed"))
        target = await stage.target()
        await stage.pay(target)
        assert isinstance(await stage.pay(target), Unknown)
        stage.clock.advance(HOUR + 601)
        assert isinstance(await stage.look(target), Failed)

    play(scenario)


def test_the_failure_of_an_earlier_key_is_not_this_one_s() -> None:
    """LND shows the last payment of a hash: what failed before this key's own request arrives is another's."""

    async def scenario(stage: Stage) -> None:
        stage.node.ways.append(Way(end="failed"))
        target = await stage.target()
        assert isinstance(await stage.pay(target, "pay-1"), Failed)
        stage.node.faults.append(Fault(SEND))
        assert await stage.pay(target, "pay-2") == Unknown(reason="the node knows nothing of it yet")
        assert await stage.look(target, "pay-2") == Unknown(reason="the node knows nothing of it yet")
        assert isinstance(await stage.pay(target, "pay-2"), Paid)
        assert isinstance(await stage.look(target, "pay-1"), Failed)
        assert stage.paid() == 1

    play(scenario)


# --- keys ---


def test_a_key_that_was_never_used_is_failed_and_never_pays() -> None:
    async def scenario(stage: Stage) -> None:
        target = await stage.target()
        failed = await stage.look(target)
        assert isinstance(failed, Failed)
        assert await stage.pay(target) == failed
        assert stage.sends() == 0
        assert isinstance(await stage.pay(target, "pay-2"), Paid)

    play(scenario)


def test_one_invoice_is_paid_under_one_key() -> None:
    async def scenario(stage: Stage) -> None:
        target = await stage.target()
        assert isinstance(await stage.pay(target, "pay-1"), Paid)
        failed = await stage.pay(target, "pay-2")
        assert isinstance(failed, Failed)
        assert failed.evidence == "journal: by pay-1"
        assert await stage.look(target, "pay-2") == failed
        assert isinstance(await stage.look(target, "pay-3"), Failed)
        assert stage.sends() == 1

    play(scenario)


def test_an_invoice_on_its_way_is_not_paid_under_another_key() -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.ways.append(HELD)
        target = await stage.target()
        assert isinstance(await stage.pay(target, "pay-1"), Unknown)
        assert isinstance(await stage.pay(target, "pay-2"), Failed)
        assert isinstance(await stage.look(target, "pay-3"), Failed)
        await stage.node.resolve(target.reference)
        assert isinstance(await stage.look(target, "pay-1"), Paid)
        assert stage.sends() == 1

    play(scenario, wait_seconds=0.3)


def test_a_key_pays_one_invoice() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.pay(await stage.target())
        with pytest.raises(BadRequest, match="paid another invoice before"):
            await stage.pay(await stage.target())
        assert stage.sends() == 1

    play(scenario)


def test_t16_two_senders_of_one_payment_pay_once() -> None:
    async def scenario(stage: Stage) -> None:
        other = Stage(stage.node, stage.clock, {})
        other.store = stage.store
        await other.begin()
        for at in range(10):
            target = await stage.target()
            both = await asyncio.gather(*(each.pay(target, f"pay-{at}") for each in (stage, other, stage, other)))
            assert not any(isinstance(each, Failed) for each in both)
            assert isinstance(await stage.found(target, f"pay-{at}"), Paid)
        assert stage.paid() == 10
        await other.end()

    play(scenario)


def test_a_journal_that_was_lost_takes_the_payment_as_it_is_found() -> None:
    """After a backup was restored, the kernel asks for payments of which the journal knows nothing."""

    async def scenario(stage: Stage) -> None:
        stage.node.ways += [Way(), HELD, Way(end="failed")]
        targets = [await stage.target() for _ in range(3)]
        for at, target in enumerate(targets):
            await stage.pay(target, f"pay-{at}")
        stage.store._values.clear()
        found = [await stage.look(target, f"pay-{at}") for at, target in enumerate(targets)]
        assert [type(each) for each in found] == [Paid, Unknown, Failed]
        assert [type(await stage.pay(each, f"pay-{at}")) for at, each in enumerate(targets)] == [Paid, Unknown, Failed]
        assert stage.sends() == 3

    play(scenario, wait_seconds=0.3)


def test_a_lost_journal_does_not_pay_again_what_the_node_has_paid() -> None:
    async def scenario(stage: Stage) -> None:
        target = await stage.target()
        await stage.pay(target)
        stage.store._values.clear()
        assert isinstance(await stage.pay(target), Paid)
        assert stage.sends() == 1

    play(scenario)


# --- what the node says of an invoice before it is sent ---


def test_t8_its_own_invoice_is_not_paid() -> None:
    async def scenario(stage: Stage) -> None:
        own = await stage.rail.invoice(Msat(AMOUNT), "own", key="invoice-1")
        target = await stage.rail.decode(own.text)
        assert isinstance(target, InvoiceTarget)
        failed = await stage.pay(target)
        assert isinstance(failed, Failed)
        assert failed.reason == "the invoice is this node's own"
        assert stage.sends() == 0

    play(scenario)


def test_what_the_node_does_not_take_is_not_sent() -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.faults.append(Fault(DECODE, code=grpc.StatusCode.UNKNOWN, text="invalid signature"))
        failed = await stage.pay(await stage.target())
        assert isinstance(failed, Failed)
        assert "invalid signature" in failed.reason
        assert stage.sends() == 0

    play(scenario)


def test_what_the_node_refuses_because_it_stops_may_be_sent_later() -> None:
    async def scenario(stage: Stage) -> None:
        async def hook(path: str, when: str, number: int) -> None:
            if path == DECODE:
                stage.node.state = pb.WALLET_RPC_ACTIVE

        stage.node.hook = hook
        target = await stage.target()
        with pytest.raises(RailUnavailable, match="starting"):
            await stage.pay(target)
        stage.node.hook, stage.node.state = None, pb.WALLET_SERVER_ACTIVE
        assert isinstance(await stage.pay(target), Paid)

    play(scenario)


def test_what_the_node_reads_differently_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(stage: Stage) -> None:
        async def lies(request: Any) -> Any:
            return pb.PayReq(payment_hash=target.reference, num_msat=AMOUNT * 10)

        target = await stage.target()
        monkeypatch.setattr(stage.node, "_decode", lies)
        await stage.node.die()
        await stage.node.start()
        failed = await stage.pay(target)
        assert isinstance(failed, Failed)
        assert failed.evidence == f"LND: {AMOUNT * 10} msat for {target.reference}"
        assert stage.sends() == 0

    play(scenario)


def test_an_invoice_that_expires_meanwhile_is_not_sent() -> None:
    async def scenario(stage: Stage) -> None:
        target = await stage.target()
        stage.clock.advance(HOUR)
        failed = await stage.pay(target)
        assert isinstance(failed, Failed)
        assert "expired" in failed.reason
        assert stage.sends() == 0

    play(scenario)


# --- a node that cannot be asked, or is another, or lost its records ---


def test_a_node_that_is_not_ready_gets_nothing_and_nothing_is_written_down() -> None:
    async def scenario(stage: Stage) -> None:
        target = await stage.target()
        stage.node.state = pb.WALLET_LOCKED
        with pytest.raises(RailUnavailable, match="locked"):
            await stage.pay(target)
        stage.node.state, stage.node.synced = pb.WALLET_SERVER_ACTIVE, False
        with pytest.raises(RailUnavailable, match="not synced"):
            await stage.pay(target)
        stage.node.synced = True
        stage.node.faults.append(Fault(DECODE))
        with pytest.raises(RailUnavailable, match="UNAVAILABLE"):
            await stage.pay(target)
        stage.node.faults.append(Fault(TRACK))
        with pytest.raises(RailUnavailable, match="UNAVAILABLE"):
            await stage.pay(target)
        assert await stage.store.scan("pay/") == {}
        assert isinstance(await stage.pay(target), Paid)

    play(scenario)


def test_a_locked_wallet_leaves_what_was_sent_unknown() -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.ways.append(HELD)
        target = await stage.target()
        await stage.pay(target)
        stage.node.state = pb.WALLET_LOCKED
        stage.clock.advance(48 * HOUR)
        for _ in range(2):
            assert isinstance(await stage.look(target), Unknown)
            assert isinstance(await stage.pay(target), Unknown)
        stage.node.state = pb.WALLET_SERVER_ACTIVE
        await stage.node.resolve(target.reference)
        assert isinstance(await stage.look(target), Paid)

    play(scenario, wait_seconds=0.3)


def test_a_node_that_is_syncing_is_asked_what_became_of_it() -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.ways.append(HELD)
        target = await stage.target()
        await stage.pay(target)
        stage.node.synced = False
        await stage.node.resolve(target.reference)
        assert isinstance(await stage.look(target), Paid)

    play(scenario, wait_seconds=0.3)


def test_t31_another_node_fails_nothing_and_pays_nothing() -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.faults.append(Fault(SEND))
        sent, fresh = await stage.target(), await stage.target()
        await stage.pay(sent)
        stage.node.pubkey = OTHER_PUBKEY
        stage.clock.advance(48 * HOUR)
        assert (await stage.rail.status()).state is RailState.WRONG_NODE
        assert isinstance(await stage.look(sent), Unknown)
        assert isinstance(await stage.look(fresh, "pay-2"), Unknown)
        assert isinstance(await stage.pay(sent), Unknown)
        with pytest.raises(RailUnavailable, match="wrong_node"):
            await stage.pay(await stage.target(), "pay-3")
        assert stage.sends() == 1
        stage.node.pubkey = PUBKEY
        assert isinstance(await stage.look(sent), Failed)

    play(scenario)


def test_what_was_sent_from_another_node_stays_unknown_though_this_one_is_accepted() -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.faults.append(Fault(SEND))
        target = await stage.target()
        await stage.pay(target)
        stage.node.pubkey = OTHER_PUBKEY
        await stage.accept_node()
        stage.clock.advance(48 * HOUR)
        found = await stage.look(target)
        assert isinstance(found, Unknown)
        assert f"sent from the node {PUBKEY}" in found.reason

    play(scenario)


def test_a_payment_the_node_has_shown_and_lost_is_never_failed() -> None:
    """Its database was rolled back to before the payment: NOT_FOUND is not evidence then, however late it is."""

    async def scenario(stage: Stage) -> None:
        before = stage.node.book.copy()
        stage.node.ways.append(HELD)
        target = await stage.target()
        await stage.pay(target)
        await stage.node.roll_back(before)
        stage.clock.advance(48 * HOUR)
        for _ in range(2):
            found = await stage.look(target)
            assert isinstance(found, Unknown)
            assert "rolled back" in found.reason
            assert isinstance(await stage.pay(target), Unknown)
        assert (await stage.rail.status()).state is RailState.ROLLED_BACK
        assert stage.sends() == 1

    play(scenario, wait_seconds=0.3)


def test_a_node_that_lost_other_payments_proves_nothing_by_absence() -> None:
    async def scenario(stage: Stage) -> None:
        before = stage.node.book.copy()
        await stage.pay(await stage.target(), "pay-0")
        stage.node.faults.append(Fault(SEND))
        sent, fresh = await stage.target(), await stage.target()
        await stage.pay(sent, "pay-1")
        await stage.node.roll_back(before)
        stage.clock.advance(48 * HOUR)
        status = await stage.rail.status()
        assert status.state is RailState.ROLLED_BACK
        assert "accept-node" in status.detail
        assert isinstance(await stage.look(sent, "pay-1"), Unknown)
        assert isinstance(await stage.look(fresh, "pay-2"), Unknown)
        with pytest.raises(RailUnavailable, match="rolled_back"):
            await stage.pay(await stage.target(), "pay-3")
        await stage.accept_node()
        assert isinstance(await stage.look(sent, "pay-1"), Failed)
        assert isinstance(await stage.pay(await stage.target(), "pay-4"), Paid)

    play(scenario)


def test_failed_payments_that_the_operator_cleared_away_are_no_roll_back() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.pay(await stage.target(), "pay-0")
        stage.node.ways.append(Way(end="failed"))
        target = await stage.target()
        await stage.pay(target, "pay-1")
        del stage.node.book.payments[target.reference]
        assert (await stage.rail.status()).state is RailState.READY
        assert isinstance(await stage.look(target, "pay-1"), Failed)

    play(scenario)


# --- griefing ---


def test_t9_payments_that_are_held_do_not_stop_others() -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.ways += [HELD] * 5
        before = (await stage.rail.balance()).spendable_msat
        held = [await stage.target() for _ in range(5)]
        unknown = await asyncio.gather(*(stage.pay(each, f"held-{at}") for at, each in enumerate(held)))
        assert all(isinstance(each, Unknown) for each in unknown)
        assert isinstance(await stage.pay(await stage.target(), "pay-1"), Paid)
        balance = await stage.rail.balance()
        assert balance.in_flight_msat == 5 * (AMOUNT + 1_000)
        assert balance.spendable_msat == before - balance.in_flight_msat - AMOUNT - 1_000
        assert all(each.cltv_limit == 432 for each in stage.node.sent(SEND))

    play(scenario, wait_seconds=0.5)


def test_a_cancelled_pay_goes_on_at_the_node() -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.ways.append(HELD)
        target = await stage.target()
        paying = asyncio.ensure_future(stage.pay(target))
        while target.reference not in stage.node.book.payments:
            await asyncio.sleep(0.01)
        paying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await paying
        await stage.node.resolve(target.reference)
        assert isinstance(await stage.look(target), Paid)
        assert stage.sends() == 1

    play(scenario)


def test_a_rail_that_is_closed_leaves_the_payment_to_the_next_one() -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.ways.append(HELD)
        target = await stage.target()
        paying = asyncio.ensure_future(stage.pay(target))
        while target.reference not in stage.node.book.payments:
            await asyncio.sleep(0.01)
        await stage.rail.aclose()
        assert isinstance(await paying, Unknown)
        await stage.restart()
        await stage.node.resolve(target.reference)
        assert isinstance(await stage.look(target), Paid)

    play(scenario)
