"""Invoices of ours, and what comes in by them: once each, whatever the node, the stream or this process does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from arbstr_wallet_lnd import _lnd_pb2 as pb
from lightning import OTHER_PUBKEY, Fault
from lightning.stage import Stage, play

from arbstr_core.api import BadRequest, Conflict, Deposit, DepositKind, Invoice, Msat, RailUnavailable, read_bolt11

ADD = "/lnrpc.Lightning/AddInvoice"
CANCEL = "/invoicesrpc.Invoices/CancelInvoice"
LOOKUP = "/lnrpc.Lightning/LookupInvoice"
SUBSCRIBE = "/lnrpc.Lightning/SubscribeInvoices"
AMOUNT = Msat(21_000)
PATIENCE = 60
A_YEAR = 365 * 24 * 3600


async def an_invoice(stage: Stage, key: str = "invoice-1", amount: Msat = AMOUNT) -> Invoice:
    """Good for a year: while a node is away, the rail's virtual time runs on as fast as it asks."""
    return await stage.rail.invoice(amount, "kit", key=key, expires_seconds=A_YEAR)


async def a_strangers(stage: Stage, preimage: bytes = b"s" * 32) -> str:
    """An invoice that somebody else made at the same node."""

    made = await stage.node._add_invoice(pb.Invoice(r_preimage=preimage, value_msat=5_000, expiry=3600))
    return made.r_hash.hex()


@asynccontextmanager
async def watched(stage: Stage, since: str = "") -> AsyncIterator[asyncio.Queue[Deposit]]:
    """What comes in after `since`, as it comes."""
    came: asyncio.Queue[Deposit] = asyncio.Queue()

    async def watch() -> None:
        async for deposit in stage.rail.deposits(since):
            came.put_nowait(deposit)

    watching = asyncio.ensure_future(watch())
    try:
        yield came
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def next_of(came: asyncio.Queue[Deposit]) -> Deposit:
    return await asyncio.wait_for(came.get(), PATIENCE)


async def listening(stage: Stage, at_least: int = 1) -> None:
    while len(stage.node.sent(SUBSCRIBE)) < at_least:
        await asyncio.sleep(0.01)


# --- invoices ---


def test_what_is_asked_of_the_node_for_an_invoice() -> None:
    async def scenario(stage: Stage) -> None:
        made = await stage.rail.invoice(Msat(1_234), "a memo", key="invoice-1", expires_seconds=600)
        (request,) = stage.node.sent(ADD)
        assert (request.value_msat, request.memo, request.expiry, request.private) == (1_234, "a memo", 600, True)
        said = read_bolt11(made.text)
        assert (said.payment_hash, said.amount_msat, said.expires_ms) == (made.reference, 1_234, made.expires_ms)
        assert made.expires_ms == stage.clock.now_ms() // 1000 * 1000 + 600_000

    play(scenario, route_hints=True)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_that_is_lost_loses_no_invoice(when: str) -> None:
    """The key goes on with the preimage it began with; an invoice that was made behind the lost answer is that one."""

    async def scenario(stage: Stage) -> None:
        stage.node.faults += [Fault(ADD, when=when), *[Fault(LOOKUP)] * (when == "after")]
        with pytest.raises(RailUnavailable):
            await an_invoice(stage)
        await stage.restart()
        made = await an_invoice(stage)
        assert [*stage.node.book.invoices] == [made.reference]
        assert len({request.r_preimage for request in stage.node.sent(ADD)}) == 1

    play(scenario)


def test_two_processes_with_one_key_make_one_invoice() -> None:
    async def scenario(stage: Stage) -> None:
        other = Stage(stage.node, stage.clock, {})
        other.store = stage.store
        await other.begin()
        made = await asyncio.gather(*(an_invoice(each) for each in (stage, other, stage, other)))
        assert len({each.text for each in made}) == len(stage.node.book.invoices) == 1
        await other.end()

    play(scenario)


@pytest.mark.parametrize(
    ("amount", "memo", "seconds", "says"),
    [
        (0, "", 60, "no amount to ask for"),
        (-1, "", 60, "no amount to ask for"),
        (1, "x" * 640, 60, "more than 639 bytes"),
        (1, "", 0, "payable for 1 to"),
        (1, "", 31_536_001, "payable for 1 to"),
    ],
)
def test_what_no_invoice_can_say_is_refused(amount: int, memo: str, seconds: int, says: str) -> None:
    async def scenario(stage: Stage) -> None:
        with pytest.raises(BadRequest, match=says):
            await stage.rail.invoice(Msat(amount), memo, key="invoice-1", expires_seconds=seconds)
        assert stage.node.calls == []

    play(scenario)


def test_a_key_asks_for_one_amount() -> None:
    async def scenario(stage: Stage) -> None:
        await an_invoice(stage)
        with pytest.raises(BadRequest, match="asked for 21000 msat before, and now for 1"):
            await an_invoice(stage, amount=Msat(1))

    play(scenario)


def test_cancelled_is_cancelled_though_the_answer_is_lost() -> None:
    async def scenario(stage: Stage) -> None:
        made = await an_invoice(stage)
        stage.node.faults.append(Fault(CANCEL, when="after"))
        await stage.rail.cancel(made.reference)
        with pytest.raises(BadRequest):
            await stage.node.pays(made.reference)
        await stage.rail.cancel(made.reference)

    play(scenario)


def test_an_invoice_is_not_cancelled_without_evidence() -> None:
    async def scenario(stage: Stage) -> None:
        made = await an_invoice(stage)
        stage.node.faults += [Fault(CANCEL)]
        with pytest.raises(RailUnavailable):
            await stage.rail.cancel(made.reference)
        stage.node.faults += [Fault(CANCEL), Fault(LOOKUP)]
        with pytest.raises(RailUnavailable):
            await stage.rail.cancel(made.reference)
        stage.node.book.invoices[made.reference].state = pb.Invoice.ACCEPTED
        stage.node.faults += [Fault(CANCEL)]
        with pytest.raises(Conflict):
            await stage.rail.cancel(made.reference)
        stage.node.book.invoices[made.reference].state = pb.Invoice.OPEN
        await stage.node.pays(made.reference)
        with pytest.raises(Conflict):
            await stage.rail.cancel(made.reference)
        with pytest.raises(BadRequest, match="made no invoice"):
            await stage.rail.cancel("ab" * 32)

    play(scenario)


# --- deposits ---


def test_t11_one_invoice_is_one_deposit_however_often_it_is_told() -> None:
    """Two that watch at once, streams that break in between, a restart from each cursor: each tells each once."""

    async def scenario(stage: Stage) -> None:
        made = [await an_invoice(stage, f"invoice-{at}") for at in range(6)]
        async with watched(stage) as one, watched(stage) as two:
            found = []
            for at, each in enumerate(made):
                await stage.node.pays(each.reference)
                found.append(await next_of(one))
                assert await next_of(two) == found[at]
                if at % 2:
                    await stage.node.die()
                    await stage.node.start()
            assert (one.qsize(), two.qsize()) == (0, 0)
        assert [each.reference for each in found] == [each.reference for each in made]
        assert {(each.kind, each.amount_msat) for each in found} == {(DepositKind.INVOICE, AMOUNT)}
        assert [each.key for each in found] == [f"invoice-{at}" for at in range(6)]
        for at in range(len(found) - 1):
            await stage.restart()
            async with watched(stage, found[at].cursor) as rest:
                assert [await next_of(rest) for _ in found[at + 1 :]] == found[at + 1 :]

    play(scenario)


def test_a_stream_that_ends_as_if_that_were_all_goes_on() -> None:
    async def scenario(stage: Stage) -> None:
        made = [await an_invoice(stage, f"invoice-{at}") for at in range(2)]
        await stage.node.pays(made[0].reference)
        async with watched(stage) as came:
            assert (await next_of(came)).reference == made[0].reference
            await listening(stage)
            await stage.node.shut_down()
            await stage.node.start()
            await stage.node.pays(made[1].reference)
            assert (await next_of(came)).reference == made[1].reference

    play(scenario)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED])
@pytest.mark.parametrize("when", ["before", "first"])
def test_a_stream_that_breaks_goes_on(code: grpc.StatusCode, when: str) -> None:
    async def scenario(stage: Stage) -> None:
        made = [await an_invoice(stage, f"invoice-{at}") for at in range(3)]
        await stage.node.pays(made[0].reference)
        stage.node.faults += [Fault(SUBSCRIBE, when=when, code=code, text="lost")] * 2
        async with watched(stage) as came:
            for each in made[1:]:
                await stage.node.pays(each.reference)
            assert [(await next_of(came)).reference for _ in made] == [each.reference for each in made]

    play(scenario)


def test_what_was_paid_is_what_is_told() -> None:
    async def scenario(stage: Stage) -> None:
        made = await an_invoice(stage)
        await stage.node.pays(made.reference, AMOUNT * 2)
        async with watched(stage) as came:
            assert (await next_of(came)).amount_msat == AMOUNT * 2

    play(scenario)


def test_the_very_first_is_seen_live_and_after_a_restart() -> None:
    """LND repeats nothing after index 0, and after 1 nothing of 1."""

    async def scenario(stage: Stage) -> None:
        made = await an_invoice(stage)
        async with watched(stage) as came:
            await listening(stage)
            await stage.node.pays(made.reference)
            found = await next_of(came)
        for _ in range(2):
            await stage.restart()
            async with watched(stage) as came:
                assert await next_of(came) == found

    play(scenario)


def test_what_a_stranger_was_paid_is_nobodys_and_hides_nothing() -> None:
    """The node's first is somebody else's, and the second ours."""

    async def scenario(stage: Stage) -> None:
        made, strangers = await an_invoice(stage), await a_strangers(stage)
        stage.clock.advance(1)
        await stage.node.pays(strangers)
        await stage.node.pays(made.reference)
        async with watched(stage) as came:
            found = await next_of(came)
            assert (found.reference, found.key) == (made.reference, "invoice-1")
            another = await a_strangers(stage, b"t" * 32)
            await stage.node.pays(another)
            found = await next_of(came)
            assert (found.reference, found.key, found.amount_msat) == (another, "", 5_000)

    play(scenario)


def test_the_first_of_a_stranger_is_told_where_somebody_listened() -> None:
    async def scenario(stage: Stage) -> None:
        async with watched(stage) as came:
            await listening(stage)
            stage.clock.advance(1)
            strangers = await a_strangers(stage)
            await stage.node.pays(strangers)
            found = await next_of(came)
            assert (found.reference, found.key) == (strangers, "")

    play(scenario)


def test_what_came_in_before_the_node_was_ours_is_not_counted() -> None:
    async def scenario(stage: Stage) -> None:
        old = [await a_strangers(stage, bytes([at]) * 32) for at in range(3)]
        for each in old:
            await stage.node.pays(each)
        stage.clock.advance(60)
        made = await an_invoice(stage)
        async with watched(stage) as came:
            await stage.node.pays(made.reference)
            assert (await next_of(came)).reference == made.reference

    play(scenario)


def test_keysends_count_and_amp_does_not() -> None:
    async def scenario(stage: Stage) -> None:
        async with watched(stage) as came:
            await listening(stage)
            stage.clock.advance(1)
            made = [await a_strangers(stage, bytes([at]) * 32) for at in range(2)]
            stage.node.book.invoices[made[0]].is_amp = True
            for each in made:
                await stage.node.pays(each)
            assert (await next_of(came)).reference == made[1]

    play(scenario)


def test_a_node_that_counts_again_from_below_misses_none_of_ours() -> None:
    """Its database was rolled back: what is paid now has an index that the cursor is past."""

    async def scenario(stage: Stage) -> None:
        made = [await an_invoice(stage, f"invoice-{at}") for at in range(4)]
        before = stage.node.book.copy()
        for each in made[:3]:
            await stage.node.pays(each.reference)
        async with watched(stage) as came:
            cursor = [await next_of(came) for _ in range(3)][-1].cursor
        await stage.node.roll_back(before)
        await stage.node.pays(made[3].reference)
        async with watched(stage, cursor) as came:
            found = await next_of(came)
            assert (found.reference, found.cursor) == (made[3].reference, cursor)
            await listening(stage, 2)
            assert came.empty()

    play(scenario)


def test_another_node_s_deposits_begin_at_its_beginning() -> None:
    async def scenario(stage: Stage) -> None:
        made = [await an_invoice(stage, f"invoice-{at}") for at in range(3)]
        for each in made:
            await stage.node.pays(each.reference)
        async with watched(stage) as came:
            cursor = [await next_of(came) for _ in range(3)][-1].cursor
        stage.node.pubkey, stage.node.book = OTHER_PUBKEY, type(stage.node.book)()
        async with watched(stage, cursor) as came:
            await asyncio.sleep(0)
            assert came.empty()
        await stage.accept_node()
        fresh = await an_invoice(stage, "invoice-9")
        async with watched(stage, cursor) as came:
            await stage.node.pays(fresh.reference)
            assert (await next_of(came)).reference == fresh.reference

    play(scenario)


def test_what_can_be_paid_no_more_is_no_longer_asked_after() -> None:
    async def scenario(stage: Stage) -> None:
        made = [await an_invoice(stage, f"invoice-{at}") for at in range(4)]
        await stage.rail.cancel(made[0].reference)
        stage.node.book.invoices[made[1].reference].state = pb.Invoice.CANCELED
        await stage.node.pays(made[2].reference)
        async with watched(stage) as came:
            await next_of(came)
            await listening(stage)
            assert [*await stage.store.scan("open/")] == [f"open/{made[3].reference}"]
        stage.clock.advance(A_YEAR + 86_401)
        await stage.restart()
        stage.node.calls.clear()
        async with watched(stage, "1.1"):
            await listening(stage)
            assert await stage.store.scan("open/") == {}

    play(scenario)


@pytest.mark.parametrize("cursor", ["x", "1", "1.", ".1", "1.2.3", "-1.2", "1.-2"])
def test_a_cursor_of_another_rail_is_refused(cursor: str) -> None:
    async def scenario(stage: Stage) -> None:
        with pytest.raises(BadRequest, match="no cursor of this rail"):
            await anext(stage.rail.deposits(cursor))
        with pytest.raises(BadRequest, match="no cursor of this rail"):
            await anext(stage.rail.payments(cursor))

    play(scenario)


def test_what_left_is_listed_in_pages() -> None:
    async def scenario(stage: Stage) -> None:
        for at in range(205):
            sent = stage.node.book.begin(f"{at:064x}", 1_000 + at, 0, stage.clock)
            if at % 3 == 0:
                stage.node.book.end(sent.payment_hash, None, pb.TIMEOUT)
        found = [each async for each in stage.rail.payments("")]
        assert [each.amount_msat for each in found] == [1_000 + at for at in range(205) if at % 3]
        assert {each.key for each in found} == {""}
        rest = [each async for each in stage.rail.payments(found[100].cursor)]
        assert rest == found[101:]
        await stage.node.die()
        with pytest.raises(RailUnavailable):
            await anext(stage.rail.payments(""))

    play(scenario)


def test_a_round_that_ends_in_time_is_no_outage(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """LND ends the stream when its time is up, and calls that cancelled."""
    monkeypatch.setattr("arbstr_wallet_lnd._deposits._ROUND_SECONDS", 0.2)

    async def scenario(stage: Stage) -> None:
        made = [await an_invoice(stage, f"invoice-{at}") for at in range(2)]
        await stage.node.pays(made[0].reference)
        async with watched(stage) as came:
            await next_of(came)
            await listening(stage, 4)
            await stage.node.pays(made[1].reference)
            assert (await next_of(came)).reference == made[1].reference

    play(scenario)
    assert "deposits wait" not in caplog.text


def test_what_the_node_repeats_in_another_order_comes_in_its_own() -> None:
    """Paid 3, 2, 1; repeated as made, 1, 2, 3. Whoever dies after any of them gets the rest, and none twice."""

    async def scenario(stage: Stage) -> None:
        made = [await an_invoice(stage, f"invoice-{at}") for at in range(5)]
        paid = [made[0], *reversed(made[1:])]
        for each in paid:
            await stage.node.pays(each.reference)
        for alive in range(1, len(paid)):
            async with watched(stage) as came:
                first = [await next_of(came) for _ in range(alive)]
            await stage.restart()
            async with watched(stage, first[-1].cursor) as came:
                rest = [await next_of(came) for _ in range(len(paid) - alive)]
            assert [each.reference for each in [*first, *rest]] == [each.reference for each in paid]

    play(scenario)


def test_an_index_that_is_never_shown_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was paid to an AMP invoice takes an index, and is not told by it."""
    monkeypatch.setattr("arbstr_wallet_lnd._deposits._QUIET_SECONDS", 0.2)

    async def scenario(stage: Stage) -> None:
        made = [await an_invoice(stage, f"invoice-{at}") for at in range(3)]
        await stage.node.pays(made[0].reference)
        stage.node.book.settle_index += 1
        async with watched(stage) as came:
            for each in made[1:]:
                await stage.node.pays(each.reference)
            assert [(await next_of(came)).cursor for _ in made] == ["1.1", "1.3", "1.4"]

    play(scenario)
