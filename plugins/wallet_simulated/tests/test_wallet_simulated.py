"""The simulated rail: held to the kit; its script, its refusals, its texts, its commands."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import arbstr_wallet_simulated
import msgspec
import pytest
from arbstr_wallet_simulated._decisions import deposit_at
from arbstr_wallet_simulated._journal import Journal
from arbstr_wallet_simulated._rail import SimulatedRail
from arbstr_wallet_simulated._texts import RequestText, TokenText, _read, _write

from arbstr_core.api import (
    ArbstrError,
    BadRequest,
    Conflict,
    Deposit,
    DepositKind,
    Failed,
    Invoice,
    Msat,
    Network,
    Outgoing,
    Paid,
    Payment,
    PaymentRef,
    PaymentTarget,
    RailBalance,
    RailState,
    TokenTarget,
    Unknown,
    WalletRail,
)
from arbstr_core.testing import (
    Ending,
    FakeClock,
    KitTools,
    MemoryStore,
    OtherSide,
    PluginSuite,
    WalletSuite,
    WalletWorld,
    _other_side,
    configure,
    kit_tools,
)

SAT = 1000


def rail_on(tools: KitTools, **table: Any) -> WalletRail:
    return arbstr_wallet_simulated.arbstr_wallet_rails(configure(arbstr_wallet_simulated, table), tools)[0]


async def run(tools: KitTools, command: str, **given: str) -> Any:
    made = arbstr_wallet_simulated.arbstr_commands(configure(arbstr_wallet_simulated), tools)
    return await {each.name: each for each in made}[command].run(given)


async def outside(amount: int = 21 * SAT, **more: str) -> str:
    """An invoice of somebody else."""
    return (await run(kit_tools(), "make-invoice", amount=f"{amount}msat", **more))["invoice"]


async def pay(rail: WalletRail, text: str, key: str = "pay-1", fee_limit: int = 10**6) -> Any:
    target = await rail.decode(text)
    return await rail.pay(target, target.amount_msat, fee_limit=Msat(fee_limit), key=key)


def failed(reason: str) -> Failed:
    return Failed(reason=reason, evidence=f"journal: {reason}")


def ref(key: str, target: PaymentTarget | None = None) -> PaymentRef:
    return PaymentRef(key=key, target=target or token(), fee_limit_msat=Msat(0), sent_ms=1)


def token(amount: int = 21 * SAT, **more: Any) -> TokenTarget:
    return TokenTarget(reference="order-7", amount_msat=Msat(amount), network=Network.SIM, **more)


async def balance(rail: WalletRail) -> int:
    return (await rail.balance()).spendable_msat


class TestPlugin(PluginSuite):
    @pytest.fixture
    def plugin(self):
        return arbstr_wallet_simulated


class Outside(OtherSide):
    """The simulated network has nobody in it: what happens outside is written into the wallet's own journal."""

    def __init__(self, ending: Ending) -> None:
        self.script = ["unknown_then_paid" if ending is Ending.REPLY_LOST else ending.value]
        self.tools: Any = None

    async def asks(self, amount: Msat) -> str:
        return await outside(amount)

    async def arrived(self, target: PaymentTarget) -> Msat:
        book = await Journal(self.tools.store, 10**12).book()
        key = book.paid_to.get(target.reference)
        sent = None if key is None else book.payments[key]
        return Msat(0 if sent is None or (sent.outcome.unsure and key not in book.known) else sent.amount_msat)

    async def pays(self, invoice: Invoice) -> None:
        await run(self.tools, "settle-invoice", invoice=invoice.text)

    async def token(self, amount: Msat) -> str:
        return (await run(self.tools, "make-token", amount=f"{amount}msat"))["token"]

    async def foreign_token(self, amount: Msat) -> str:
        return _write("simA", TokenText(amount_msat=amount, token_id="f" * 64, mint="elsewhere"))

    async def claims(self, token: str) -> Msat:
        return (await run(self.tools, "claim-token", token=token))["amount_msat"]


def world_of(kind: type[SimulatedRail] = SimulatedRail, **table: Any) -> WalletWorld:
    @asynccontextmanager
    async def other(ending: Ending):
        yield Outside(ending)

    def make(tools: KitTools, other: Outside) -> WalletRail:
        other.tools = tools
        rail = rail_on(tools, fee="1000 ppm", script=other.script, **table)
        rail.__class__ = kind
        return rail

    return WalletWorld(other=other, make=make, endings=tuple(Ending))


class TestRail(WalletSuite):
    @pytest.fixture(params=[{}, {"unit": "sat", "redeem_fee": "1 sat"}], ids=["msat", "sat"])
    def world(self, request):
        return world_of(**request.param)


class ForgetsTheFeeLimit(SimulatedRail):
    async def pay(self, target: PaymentTarget, amount: Msat, *, fee_limit: Msat, key: str) -> Payment:
        return await super().pay(target, amount, fee_limit=amount, key=key)


class CallsSilenceAFailure(SimulatedRail):
    async def pay(self, target: PaymentTarget, amount: Msat, *, fee_limit: Msat, key: str) -> Payment:
        found = await super().pay(target, amount, fee_limit=fee_limit, key=key)
        return failed("no answer") if isinstance(found, Unknown) else found


class GivesUpLooking(SimulatedRail):
    async def lookup(self, ref: PaymentRef) -> Payment:
        book = await self._journal.book()
        return failed("it takes too long") if ref.key not in book.known else await super().lookup(ref)


class ForgetsTheKey(SimulatedRail):
    async def pay(self, target: PaymentTarget, amount: Msat, *, fee_limit: Msat, key: str) -> Payment:
        return await super().pay(target, amount, fee_limit=fee_limit, key=secrets.token_hex(8))


class ForgetsEverything(SimulatedRail):
    async def start(self) -> None:
        self._journal = Journal(MemoryStore(), 10**12)


class DropsChange(SimulatedRail):
    async def balance(self) -> RailBalance:
        found = await super().balance()
        left = len((await self._journal.book()).left)
        return msgspec.structs.replace(found, spendable_msat=Msat(found.spendable_msat - left * SAT))


class ClaimsNoFee(SimulatedRail):
    async def pay(self, target: PaymentTarget, amount: Msat, *, fee_limit: Msat, key: str) -> Payment:
        found = await super().pay(target, amount, fee_limit=fee_limit, key=key)
        return msgspec.structs.replace(found, fee_msat=Msat(0)) if isinstance(found, Paid) else found


class PaysWhatTheCallerSays(SimulatedRail):
    def _payable(self, target: PaymentTarget, amount: Msat) -> None:
        pass


class TellsDepositsTwice(SimulatedRail):
    async def deposits(self, since: str) -> AsyncIterator[Deposit]:
        async for deposit in super().deposits(since):
            yield deposit
            yield deposit


class ForgetsTheCursor(SimulatedRail):
    async def deposits(self, since: str) -> AsyncIterator[Deposit]:
        async for deposit in super().deposits(""):
            yield deposit


class CreditsAnInvoiceForEachKey(SimulatedRail):
    async def invoice(self, amount: Msat, memo: str, *, key: str, expires_seconds: int = 3600) -> Invoice:
        return await super().invoice(amount, memo, key=secrets.token_hex(8), expires_seconds=expires_seconds)


class CancelsWhatIsPaid(SimulatedRail):
    async def cancel(self, reference: str) -> None:
        pass


class TakesATokenForEachKey(SimulatedRail):
    async def receive(self, token: str, *, key: str) -> Deposit:
        first = (await self._journal.book()).deposits
        return (
            msgspec.structs.replace(deposit_at(await self._journal.book(), 0), key=key)
            if first
            else (await super().receive(token, key=key))
        )


class TakesBackWhatWasClaimed(SimulatedRail):
    async def reclaim(self, ref: PaymentRef, *, key: str) -> Deposit:
        try:
            return await super().reclaim(ref, key=key)
        except Conflict:
            kind, amount = DepositKind.RECLAIMED, ref.target.amount_msat
            return Deposit(reference=key, amount_msat=amount, kind=kind, cursor="1", key=key)


class HidesWhatLeft(SimulatedRail):
    async def payments(self, since: str) -> AsyncIterator[Outgoing]:
        return
        yield


@pytest.mark.parametrize(
    ("mutant", "caught_by"),
    [
        (ForgetsTheFeeLimit, "test_no_fee_allowed_is_no_fee_paid"),
        (CallsSilenceAFailure, "test_unknown_ends_by_lookup"),
        (GivesUpLooking, "test_unknown_ends_after_a_restart"),
        (ForgetsTheKey, "test_one_key_pays_once"),
        (ForgetsEverything, "test_a_restart_remembers"),
        (DropsChange, "test_a_payment_costs_its_amount_and_fee"),
        (ClaimsNoFee, "test_a_payment_costs_its_amount_and_fee"),
        (PaysWhatTheCallerSays, "test_another_amount_is_refused"),
        (TellsDepositsTwice, "test_deposits_come_once_and_resume"),
        (ForgetsTheCursor, "test_deposits_come_once_and_resume"),
        (CreditsAnInvoiceForEachKey, "test_an_invoice_asks_for_its_amount_once"),
        (CancelsWhatIsPaid, "test_a_paid_invoice_is_not_cancelled"),
        (CancelsWhatIsPaid, "test_a_cancelled_invoice_takes_no_money"),
        (TakesATokenForEachKey, "test_a_token_is_redeemed_once"),
        (TakesBackWhatWasClaimed, "test_a_token_paid_out_is_worth_its_amount"),
        (HidesWhatLeft, "test_what_left_is_on_record"),
    ],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_a_broken_rail_is_caught(mutant: type[SimulatedRail], caught_by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_other_side, "_LOOKUPS", 10)
    monkeypatch.setattr(_other_side, "DEADLINE", 2.0)
    with pytest.raises((AssertionError, TimeoutError, pytest.fail.Exception)):
        getattr(TestRail(), caught_by)(world_of(mutant))


def test_it_says_that_it_is_no_money():
    rail = rail_on(kit_tools())
    assert rail.network is Network.SIM
    assert asyncio.run(rail.status()).state is RailState.READY
    assert "no real funds" in asyncio.run(rail.status()).detail


def test_the_script_is_taken_in_turn_across_restarts():
    async def scenario() -> list[Any]:
        store, found = MemoryStore(), []
        for at in range(4):
            rail = rail_on(kit_tools(store=store), script=["paid", "unknown_then_failed", "failed"])
            found.append(type(await pay(rail, await outside(), f"pay-{at}")))
        return found

    assert asyncio.run(scenario()) == [Paid, Unknown, Failed, Paid]


def test_the_proof_is_the_preimage():
    async def scenario() -> tuple[PaymentTarget, Any]:
        rail, text = rail_on(kit_tools()), await outside(memo="a memo")
        return await rail.decode(text), await pay(rail, text)

    target, paid = asyncio.run(scenario())
    assert hashlib.sha256(bytes.fromhex(paid.proof)).hexdigest() == target.reference
    assert target.memo == "a memo"


def test_the_fee_is_a_share_rounded_up():
    async def scenario() -> tuple[Any, int]:
        rail = rail_on(kit_tools(), fee="1000 ppm", balance="100 sat")
        return await pay(rail, await outside(1_001)), await balance(rail)

    paid, left = asyncio.run(scenario())
    assert paid.fee_msat == 2
    assert left == 100_000 - 1_003


def test_unknown_money_is_out_until_it_is_known_to_be_back():
    async def scenario() -> list[int]:
        rail, balances = rail_on(kit_tools(), script=["unknown_then_failed"], balance="100 sat"), []
        await pay(rail, await outside(21 * SAT))
        balances.append(await balance(rail))
        assert isinstance(await rail.lookup(ref("pay-1")), Failed)
        return [*balances, await balance(rail)]

    assert asyncio.run(scenario()) == [79 * SAT, 100 * SAT]


@pytest.mark.parametrize(
    ("table", "fee_limit", "says"),
    [
        ({"fee": "1 %"}, 209, "the fee is 210 msat, and its limit 209"),
        ({"balance": "20 sat"}, 1000, "the wallet has 20000 msat"),
        ({"balance": "21 sat", "fee": "1 ppm"}, 1000, "the wallet has 21000 msat"),
    ],
)
def test_what_an_honest_wallet_refuses_fails_without_a_turn(table: dict[str, Any], fee_limit: int, says: str):
    async def scenario() -> Any:
        rail = rail_on(kit_tools(), script=["unknown_then_paid"], **table)
        return await pay(rail, await outside(21 * SAT), fee_limit=fee_limit)

    assert asyncio.run(scenario()) == failed(says)


def test_one_invoice_is_paid_once_whatever_the_key():
    async def scenario() -> Any:
        rail, text = rail_on(kit_tools()), await outside()
        assert isinstance(await pay(rail, text, "pay-1"), Paid)
        return await pay(rail, text, "pay-2")

    assert asyncio.run(scenario()) == failed("the destination was paid before, under another key")


def test_an_invoice_whose_payment_failed_can_be_paid_under_another_key():
    async def scenario() -> Any:
        rail, text = rail_on(kit_tools(), script=["unknown_then_failed", "paid"]), await outside()
        await pay(rail, text, "pay-1")
        assert isinstance(await pay(rail, text, "pay-2"), Failed)
        await rail.lookup(ref("pay-1"))
        return await pay(rail, text, "pay-3")

    assert isinstance(asyncio.run(scenario()), Paid)


def test_its_own_invoice_is_not_paid():
    async def scenario() -> Any:
        rail = rail_on(kit_tools())
        return await pay(rail, (await rail.invoice(Msat(1000), "", key="i")).text)

    assert asyncio.run(scenario()) == failed("the invoice is this wallet's own")


def test_a_key_that_paid_one_destination_does_not_answer_for_another():
    async def scenario() -> None:
        rail = rail_on(kit_tools())
        await pay(rail, await outside())
        await pay(rail, await outside())

    with pytest.raises(BadRequest, match="paid another destination before"):
        asyncio.run(scenario())


def test_another_amount_than_the_invoice_says_is_refused():
    async def scenario() -> None:
        rail = rail_on(kit_tools())
        target = await rail.decode(await outside(1000))
        with pytest.raises(BadRequest, match="is for 1000 msat, not 999"):
            await rail.quote(target, Msat(999))
        await rail.pay(target, Msat(1001), fee_limit=Msat(0), key="pay-1")

    with pytest.raises(BadRequest, match="is for 1000 msat, not 1001"):
        asyncio.run(scenario())


def test_what_has_expired_is_not_decoded_paid_or_settled():
    async def scenario() -> Any:
        clock = FakeClock()
        tools = kit_tools(clock=clock)
        rail = rail_on(tools)
        text = (await run(tools, "make-invoice", amount="1sat"))["invoice"]
        own, target = await rail.invoice(Msat(1000), "", key="i"), await rail.decode(text)
        clock.advance(3600)
        with pytest.raises(BadRequest, match="expired"):
            await rail.decode(text)
        with pytest.raises(BadRequest, match="expired"):
            await run(tools, "settle-invoice", invoice=own.text)
        return await rail.pay(target, target.amount_msat, fee_limit=Msat(0), key="pay-1")

    assert asyncio.run(scenario()) == failed("the invoice has expired")


def test_settling_is_watched_as_a_deposit_by_text_or_reference():
    async def scenario() -> list[str]:
        tools = kit_tools()
        rail = rail_on(tools)
        one, two = [await rail.invoice(Msat(1000), "", key=key) for key in ("one", "two")]
        said = await run(tools, "settle-invoice", invoice=one.text)
        preimage = said.pop("preimage")
        assert hashlib.sha256(bytes.fromhex(preimage)).hexdigest() == one.reference
        assert said == {"reference": one.reference, "state": "paid", "amount_msat": 1000}
        await run(tools, "settle-invoice", invoice=one.reference)
        await run(tools, "settle-invoice", invoice=two.reference)
        async with aclosing(rail.deposits("")) as deposits:
            found = [await anext(deposits), await anext(deposits)]
        assert [each.reference for each in found] == [one.reference, two.reference]
        return [each.cursor for each in found]

    assert asyncio.run(scenario()) == ["1", "2"]


class Slept(FakeClock):
    """Notes how long it is slept."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await super().sleep(seconds)

    async def next(self, count: int = 3) -> set[float]:
        """How long it is slept the next times."""
        self.seconds.clear()
        while len(self.seconds) < count:
            await asyncio.sleep(0)
        return set(self.seconds)


def test_the_journal_is_read_seldom_where_no_invoice_can_be_paid():
    async def scenario() -> None:
        clock = Slept()
        tools = kit_tools(clock=clock)
        rail = rail_on(tools, poll_ms=200, invoice_seconds=60)
        async with aclosing(rail.deposits("")) as deposits:
            first = asyncio.ensure_future(anext(deposits))
            assert await clock.next() == {4.0}
            one = await rail.invoice(Msat(1000), "", key="one")
            assert clock.seconds[-1] == 4.0
            assert await clock.next() == {0.2}, "an invoice made here is known at once"
            await rail.cancel(one.reference)
            assert await clock.next() == {4.0}
            two = await rail.invoice(Msat(1000), "", key="two")
            assert await clock.next() == {0.2}
            clock.advance(60)
            await clock.next()
            assert await clock.next() == {4.0}, "what has expired is paid by nobody"
            three = await rail.invoice(Msat(1000), "", key="three")
            await run(tools, "settle-invoice", invoice=three.reference)
            assert (await first).reference == three.reference
            assert two.reference != one.reference

    asyncio.run(scenario())


def test_a_token_that_is_taken_here_comes_at_once():
    async def scenario() -> None:
        clock = Slept()
        tools = kit_tools(clock=clock)
        rail = rail_on(tools, poll_ms=60_000)
        async with aclosing(rail.deposits("")) as deposits:
            first = asyncio.ensure_future(anext(deposits))
            while not clock.seconds:
                await asyncio.sleep(0)
            before = clock.monotonic()
            text = (await run(tools, "make-token", amount="5sat"))["token"]
            took = await rail.receive(text, key="take")
            assert await first == took
            assert clock.monotonic() - before < 2 * 20 * 60

    asyncio.run(scenario())


def test_a_paid_invoice_cannot_be_cancelled():
    async def scenario() -> None:
        tools = kit_tools()
        rail = rail_on(tools)
        invoice = await rail.invoice(Msat(1000), "", key="i")
        await run(tools, "settle-invoice", invoice=invoice.text)
        await rail.cancel(invoice.reference)

    with pytest.raises(Conflict, match="is paid"):
        asyncio.run(scenario())


def test_two_objects_on_one_store_decide_once():
    async def scenario() -> int:
        store = MemoryStore()
        rails = [rail_on(kit_tools(store=store), balance="100 sat") for _ in range(5)]
        text = await outside(21 * SAT)
        paid = await asyncio.gather(*(pay(rail, text) for rail in rails))
        assert len(set(paid)) == 1
        invoices = await asyncio.gather(*(rail.invoice(Msat(1000), "", key="i") for rail in rails))
        assert len({each.text for each in invoices}) == 1
        await asyncio.gather(*(run(kit_tools(store=store), "settle-invoice", invoice=invoices[0].text) for _ in rails))
        return await balance(rails[0])

    assert asyncio.run(scenario()) == (100 - 21 + 1) * SAT


def test_a_token_is_issued_and_taken_back_once():
    async def scenario() -> list[int]:
        rail, balances = rail_on(kit_tools(), balance="100 sat"), []
        paid = await rail.pay(token(), Msat(21 * SAT), fee_limit=Msat(0), key="pay-1")
        balances.append(await balance(rail))
        back = await rail.reclaim(ref("pay-1"), key="back-1")
        assert await rail.reclaim(ref("pay-1"), key="back-1") == back
        with pytest.raises(BadRequest, match="redeemed before"):
            await rail.receive(paid.token, key="receive-1")
        return [*balances, await balance(rail)]

    assert asyncio.run(scenario()) == [79 * SAT, 100 * SAT]


def test_a_claimed_token_is_not_taken_back():
    async def scenario() -> None:
        rail = rail_on(kit_tools())
        paid = await rail.pay(token(), Msat(21 * SAT), fee_limit=Msat(0), key="pay-1")
        await rail.receive(paid.token, key="receive-1")
        await rail.reclaim(ref("pay-1"), key="back-1")

    with pytest.raises(Conflict, match="redeemed before"):
        asyncio.run(scenario())


def test_a_locked_token_is_not_for_this_wallet():
    async def scenario() -> Any:
        rail = rail_on(kit_tools())
        paid = await rail.pay(token(lock="02" * 33), Msat(21 * SAT), fee_limit=Msat(0), key="pay-1")
        assert (await rail.appraise(paid.token)).locked
        await rail.receive(paid.token, key="receive-1")

    with pytest.raises(BadRequest, match="locked to somebody else"):
        asyncio.run(scenario())


def test_unknown_lasts_as_long_as_it_is_told():
    async def scenario() -> list[Any]:
        clock = FakeClock()
        rail = rail_on(kit_tools(clock=clock), script=["unknown_then_paid"], unknown_seconds=3600)
        await pay(rail, await outside())
        found = []
        for seconds in (0, 3599, 1):
            clock.advance(seconds)
            found.append(type(await rail.lookup(ref("pay-1"))))
        return found

    assert asyncio.run(scenario()) == [Unknown, Unknown, Paid]


def test_a_request_for_a_token_says_how_much():
    text = asyncio.run(rail_on(kit_tools()).ecash_request(Msat(1000), "a call"))
    assert _read("simreq", text, RequestText) == RequestText(amount_msat=1000, memo="a call")


def test_a_token_nobody_issued_is_not_taken_back():
    with pytest.raises(BadRequest, match="no token was issued"):
        asyncio.run(rail_on(kit_tools()).reclaim(ref("pay-1"), key="back-1"))


@pytest.mark.parametrize("text", ["sim1", "simA", "lnbc210n1p"])
def test_what_is_no_destination_is_refused(text: str):
    with pytest.raises(BadRequest):
        asyncio.run(rail_on(kit_tools()).decode(text))


def test_a_changed_letter_is_noticed():
    async def scenario() -> None:
        text = await outside()
        rail = rail_on(kit_tools())
        for at in range(4, len(text)):
            changed = text[:at] + ("b" if text[at] != "b" else "c") + text[at + 1 :]
            with pytest.raises(BadRequest):
                await rail.decode(changed)

    asyncio.run(scenario())


@pytest.mark.parametrize("given", [{"amount": "0"}, {"amount": "much"}])
def test_a_command_with_a_wrong_amount_says_so(given: dict[str, str]):
    with pytest.raises(BadRequest, match="amount"):
        asyncio.run(run(kit_tools(), "make-invoice", **given))


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"script": ["maybe"]}, "unknown_then_paid"),
        ({"fee": "some"}, "is not a share"),
        ({"poll_ms": 0}, "poll_ms is 0"),
        ({"unknown_seconds": -1}, "unknown_seconds is -1"),
        ({"balance": "-1 sat"}, "is not an amount"),
    ],
)
def test_a_wrong_table_is_refused_with_its_remedy(table: dict[str, Any], says: str):
    with pytest.raises(ArbstrError) as refused:
        configure(arbstr_wallet_simulated, table)
    assert says in str(refused.value)
