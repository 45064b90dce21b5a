"""Owns the conformance suite of wallet rails: money moves once, and nothing is called failed without evidence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import msgspec
import pytest

from arbstr_core.api import (
    BadRequest,
    Deposit,
    Failed,
    Invoice,
    Msat,
    Network,
    NotSupported,
    Paid,
    Payment,
    PaymentTarget,
    RailCapability,
    RailStatus,
    Unit,
    Unknown,
    WalletRail,
)
from arbstr_core.testing._store import MemoryStore
from arbstr_core.testing._tools import KitTools, kit_tools

MakeRail = Callable[[KitTools], WalletRail]
AMOUNT = Msat(21_000)
"""What the suite moves at a time: whole sats, so that every rail can."""
_DEADLINE = 10.0
_LOOKUPS = 50


class WalletWorld(msgspec.Struct, frozen=True, kw_only=True):
    """A rail, and the world around it that a test needs.

    `make` returns a rail with at least 1000 sat to spend, whose payments succeed; `make_failing` one whose next
    payment fails; `make_unsure` those whose next payment is first Unknown, one for each way it can end.
    `payable(rail, amount)` returns a destination that somebody else made; `settle(rail, invoice)` lets somebody pay
    the rail's own invoice, and raises BadRequest where it can no longer be paid; `token(rail, amount)` is an ecash
    token of somebody else, for rails with `ecash`.
    """

    make: MakeRail
    make_failing: MakeRail
    make_unsure: tuple[MakeRail, ...]
    payable: Callable[[WalletRail, Msat], Awaitable[str]]
    settle: Callable[[WalletRail, Invoice], Awaitable[None]]
    token: Callable[[WalletRail, Msat], Awaitable[str]] | None = None


class WalletSuite:
    """What every wallet rail promises. Subclass it as `TestAcme`, with one fixture that returns a WalletWorld:

    @pytest.fixture
    def world(self):
        return WalletWorld(make=lambda tools: AcmeRail(..., tools), ...)
    """

    def tools(self, **more: Any) -> KitTools:
        """The tools a rail gets; `more` goes to `kit_tools`."""
        return kit_tools(**more)

    def test_says_what_it_is(self, world: WalletWorld) -> None:
        """Name, network, unit and capabilities are what the contract's types say; its state comes without raising."""

        async def scenario(rail: WalletRail) -> None:
            assert isinstance(rail.name, str), f"a rail's name is text, not {rail.name!r}"
            assert rail.name.strip(), "the rail's name is empty"
            assert isinstance(rail.network, Network), f"network is {rail.network!r}"
            assert isinstance(rail.unit, Unit), f"unit is {rail.unit!r}"
            assert all(isinstance(each, RailCapability) for each in rail.capabilities), f"{rail.capabilities!r}"
            status = await rail.status()
            assert isinstance(status, RailStatus), f"status() returned {status!r}"
            balance = await rail.balance()
            assert type(balance) is int, f"balance() returned {balance!r}, not integer msat"
            assert balance >= 0, f"the balance is {balance}"

        self._run(world.make, scenario)

    def test_an_invoice_asks_for_its_amount_once(self, world: WalletWorld) -> None:
        """The same key is the same invoice; another key another; the text decodes to what was asked."""

        async def scenario(rail: WalletRail) -> None:
            one = await rail.invoice(AMOUNT, "kit", key="invoice-1")
            again = await rail.invoice(AMOUNT, "kit", key="invoice-1")
            other = await rail.invoice(AMOUNT, "kit", key="invoice-2")
            assert one == again, "one key made two invoices"
            assert one.reference != other.reference, "two keys made one invoice"
            assert one.amount_msat == AMOUNT, f"asked for {AMOUNT} msat, and the invoice says {one.amount_msat}"

        self._run(world.make, scenario)

    def test_decode_reads_what_it_pays_and_refuses_the_rest(self, world: WalletWorld) -> None:
        """A target has the amount, a reference and the rail's network; nonsense is BadRequest."""

        async def scenario(rail: WalletRail) -> None:
            target = await self._target(world, rail)
            assert target.amount_msat == AMOUNT, f"the target says {target.amount_msat} msat instead of {AMOUNT}"
            assert target.network is rail.network, f"a target on {target.network} decoded by a rail on {rail.network}"
            assert target.reference, "the target has no reference"
            for text in ("", "no-such-thing", target.text[:-1], "lnbc1" + "q" * 40):
                with pytest.raises(BadRequest):
                    await rail.decode(text)

        self._run(world.make, scenario)

    def test_a_payment_costs_its_amount_and_fee(self, world: WalletWorld) -> None:
        """The quoted limit bounds the fee, and the balance falls by exactly amount and fee."""

        async def scenario(rail: WalletRail) -> None:
            target = await self._target(world, rail)
            quote = await rail.quote(target, AMOUNT)
            assert quote.amount_msat == AMOUNT, f"quoted {quote.amount_msat} msat for {AMOUNT}"
            before = await rail.balance()
            payment = await self._pay(rail, target, quote.fee_limit_msat, "pay-1")
            assert isinstance(payment, Paid), f"the payment should succeed: {payment!r}"
            assert 0 <= payment.fee_msat <= quote.fee_limit_msat, (
                f"the fee is {payment.fee_msat} msat, and its limit {quote.fee_limit_msat}"
            )
            spent = before - await rail.balance()
            assert spent == AMOUNT + payment.fee_msat, f"{spent} msat left for {AMOUNT} and a fee of {payment.fee_msat}"

        self._run(world.make, scenario)

    def test_no_fee_allowed_is_no_fee_paid(self, world: WalletWorld) -> None:
        """A fee limit of 0 is kept by a rail with `fee_limit`: paid without a fee, or failed and nothing gone."""

        async def scenario(rail: WalletRail) -> None:
            if RailCapability.FEE_LIMIT not in rail.capabilities:
                return
            target, before = await self._target(world, rail), await rail.balance()
            payment = await self._pay(rail, target, Msat(0), "pay-1")
            gone = before - await rail.balance()
            expected = AMOUNT if isinstance(payment, Paid) else 0
            assert gone == expected, f"{payment!r} with a fee limit of 0, and {gone} msat are gone"

        self._run(world.make, scenario)

    def test_one_key_pays_once(self, world: WalletWorld) -> None:
        """The same key again, after, at once, or after a restart, is the same payment."""

        async def scenario(rail: WalletRail) -> None:
            target, before = await self._target(world, rail), await rail.balance()
            limit = (await rail.quote(target, AMOUNT)).fee_limit_msat
            both = await asyncio.gather(*(rail.pay(target, AMOUNT, fee_limit=limit, key="pay-1") for _ in range(2)))
            again = await self._pay(rail, target, limit, "pay-1")
            assert all(isinstance(each, Paid) or each == Unknown(reason=_reason(each)) for each in both), f"{both!r}"
            assert isinstance(again, Paid), f"paid, and asked again: {again!r}"
            spent = before - await rail.balance()
            assert spent == AMOUNT + again.fee_msat, f"one key, and {spent} msat left instead of {AMOUNT} and the fee"

        self._run(world.make, scenario)

    def test_a_restart_remembers(self, world: WalletWorld) -> None:
        """A new object on the same store knows the payment: `lookup` finds it, and `pay` does not repeat it."""

        async def main() -> None:
            store = MemoryStore()
            async with self._living(world.make, store) as rail:
                target = await self._target(world, rail)
                limit = (await rail.quote(target, AMOUNT)).fee_limit_msat
                first = await self._pay(rail, target, limit, "pay-1")
                after = await rail.balance()
            async with self._living(world.make, store) as rail:
                assert await rail.lookup("pay-1") == first, "after a restart lookup says something else"
                assert await self._pay(rail, target, limit, "pay-1") == first, "after a restart pay says something else"
                assert await rail.balance() == after, "after a restart the same key moved money again"

        asyncio.run(main())

    def test_a_payment_never_asked_for_is_not_paid(self, world: WalletWorld) -> None:
        """`lookup` of an unknown key is Failed or Unknown; once it said Failed, that key never pays."""

        async def scenario(rail: WalletRail) -> None:
            found = await rail.lookup("never-asked")
            assert isinstance(found, Failed | Unknown), f"lookup of a key never used says {found!r}"
            if isinstance(found, Failed):
                target, before = await self._target(world, rail), await rail.balance()
                limit = (await rail.quote(target, AMOUNT)).fee_limit_msat
                late = await rail.pay(target, AMOUNT, fee_limit=limit, key="never-asked")
                assert isinstance(late, Failed), f"lookup said failed for good, and then pay said {late!r}"
                assert await rail.balance() == before, "lookup said failed for good, and then money left"

        self._run(world.make, scenario)

    def test_failed_moves_nothing_and_stays(self, world: WalletWorld) -> None:
        """A failed payment leaves the balance alone, and neither `lookup` nor the same key changes that."""

        async def scenario(rail: WalletRail) -> None:
            target, before = await self._target(world, rail), await rail.balance()
            limit = (await rail.quote(target, AMOUNT)).fee_limit_msat
            failed = await self._pay(rail, target, limit, "pay-1")
            assert isinstance(failed, Failed), f"the payment should fail: {failed!r}"
            assert failed.reason.strip(), "failed without a reason"
            assert isinstance(await rail.lookup("pay-1"), Failed), "failed, and lookup says otherwise"
            assert isinstance(await self._pay(rail, target, limit, "pay-1"), Failed), "failed, and the key paid later"
            assert await rail.balance() == before, "the payment failed, and money is gone"

        self._run(world.make_failing, scenario)

    def test_unknown_ends_by_lookup(self, world: WalletWorld) -> None:
        """Unknown is not final: `lookup` ends it as Paid or Failed, which stays, and the balance agrees with it."""
        assert world.make_unsure, "give the suite rails whose next payment is Unknown, in make_unsure"
        for make in world.make_unsure:
            self._run(make, lambda rail: self._unknown_ends(world, rail))

    async def _unknown_ends(self, world: WalletWorld, rail: WalletRail) -> None:
        target, before = await self._target(world, rail), await rail.balance()
        limit = (await rail.quote(target, AMOUNT)).fee_limit_msat
        first = await rail.pay(target, AMOUNT, fee_limit=limit, key="pay-1")
        assert isinstance(first, Unknown), f"the payment should be unknown first: {first!r}"
        again = await rail.pay(target, AMOUNT, fee_limit=limit, key="pay-1")
        assert not isinstance(again, Failed) or isinstance(await rail.lookup("pay-1"), Failed), "failed, then not"
        end = await _settled(rail, "pay-1")
        assert not isinstance(end, Unknown), f"{_LOOKUPS} lookups, and the payment is still unknown"
        assert await rail.lookup("pay-1") == end, "the end of a payment changed"
        gone = before - await rail.balance()
        expected = AMOUNT + end.fee_msat if isinstance(end, Paid) else 0
        assert gone == expected, f"the payment ended as {end!r}, and {gone} msat are gone instead of {expected}"

    def test_deposits_come_once_and_resume(self, world: WalletWorld) -> None:
        """Every invoice paid is one deposit; after a restart the rest comes after the cursor, and all from ''."""

        async def main() -> None:
            store = MemoryStore()
            async with self._living(world.make, store) as rail:
                before = await rail.balance()
                invoices = [await rail.invoice(AMOUNT, "kit", key=f"invoice-{at}") for at in range(3)]
                await world.settle(rail, invoices[1])
                await world.settle(rail, invoices[0])
                first = await _deposits(rail, "", 2)
                assert {each.reference for each in first} == {each.reference for each in invoices[:2]}, f"{first!r}"
                assert all(each.amount_msat == AMOUNT for each in first), f"other amounts than asked: {first!r}"
                assert await rail.balance() == before + 2 * AMOUNT, "the balance did not rise by the deposits"
            async with self._living(world.make, store) as rail:
                await world.settle(rail, invoices[2])
                rest = await _deposits(rail, first[0].cursor, 2)
                assert [each.reference for each in rest] == [first[1].reference, invoices[2].reference], f"{rest!r}"
                assert await _deposits(rail, "", 3) == [*first, rest[1]], "from the beginning it is another story"

        asyncio.run(main())

    def test_deposits_wait_for_what_comes(self, world: WalletWorld) -> None:
        """The stream does not end at the last deposit: it yields the next one when it comes in."""

        async def scenario(rail: WalletRail) -> None:
            waiting = asyncio.ensure_future(_deposits(rail, "", 1))
            await asyncio.sleep(0)
            invoice = await rail.invoice(AMOUNT, "kit", key="invoice-1")
            await world.settle(rail, invoice)
            assert [each.reference for each in await waiting] == [invoice.reference], "another deposit came"

        self._run(world.make, scenario)

    def test_a_cancelled_invoice_takes_no_money(self, world: WalletWorld) -> None:
        """With `cancel` an invoice is dead afterwards, cancelled twice or not; without it, NotSupported."""

        async def scenario(rail: WalletRail) -> None:
            invoice, before = await rail.invoice(AMOUNT, "kit", key="invoice-1"), await rail.balance()
            if RailCapability.CANCEL not in rail.capabilities:
                with pytest.raises(NotSupported):
                    await rail.cancel(invoice.reference)
                return
            await rail.cancel(invoice.reference)
            await rail.cancel(invoice.reference)
            with pytest.raises(BadRequest):
                await world.settle(rail, invoice)
            assert await rail.balance() == before, "a cancelled invoice was paid"

        self._run(world.make, scenario)

    def test_a_token_is_redeemed_once(self, world: WalletWorld) -> None:
        """With `ecash` the same key is the same deposit, and another key is refused; without it, NotSupported."""

        async def scenario(rail: WalletRail) -> None:
            if RailCapability.ECASH not in rail.capabilities:
                with pytest.raises(NotSupported):
                    await rail.receive("token", key="receive-1")
                return
            assert world.token is not None, "the rail takes ecash: give the suite a token, in WalletWorld.token"
            before, token = await rail.balance(), await world.token(rail, AMOUNT)
            one = await rail.receive(token, key="receive-1")
            assert await rail.receive(token, key="receive-1") == one, "one key redeemed two deposits"
            with pytest.raises(BadRequest):
                await rail.receive(token, key="receive-2")
            with pytest.raises(BadRequest):
                await rail.receive(token[:-1], key="receive-3")
            rise = await rail.balance() - before
            assert rise == one.amount_msat, f"the deposit is {one.amount_msat} msat, and the balance rose by {rise}"

        self._run(world.make, scenario)

    def test_aclose_is_idempotent(self, world: WalletWorld) -> None:
        """`start`, then `aclose` twice."""

        async def scenario(rail: WalletRail) -> None:
            await rail.aclose()
            await rail.aclose()

        self._run(world.make, scenario)

    async def _target(self, world: WalletWorld, rail: WalletRail) -> PaymentTarget:
        return await rail.decode(await world.payable(rail, AMOUNT))

    async def _pay(self, rail: WalletRail, target: PaymentTarget, fee_limit: Msat, key: str) -> Payment:
        """Pay, and where the rail is not sure at once, look until it is."""
        payment = await rail.pay(target, AMOUNT, fee_limit=fee_limit, key=key)
        return await _settled(rail, key) if isinstance(payment, Unknown) else payment

    def _run(self, make: MakeRail, scenario: Callable[[WalletRail], Awaitable[None]]) -> None:
        async def main() -> None:
            async with self._living(make, MemoryStore()) as rail:
                await scenario(rail)

        asyncio.run(main())

    @asynccontextmanager
    async def _living(self, make: MakeRail, store: MemoryStore) -> AsyncIterator[WalletRail]:
        tools = self.tools(store=store)
        try:
            rail = make(tools)
            await rail.start()
            try:
                yield rail
            finally:
                await rail.aclose()
        finally:
            await tools.aclose()


def _reason(payment: Payment) -> str:
    return payment.reason if isinstance(payment, Unknown) else ""


async def _settled(rail: WalletRail, key: str) -> Payment:
    found: Payment = Unknown(reason="not looked up yet")
    for _ in range(_LOOKUPS):
        found = await rail.lookup(key)
        if not isinstance(found, Unknown):
            break
        await asyncio.sleep(0)
    return found


async def _deposits(rail: WalletRail, since: str, count: int) -> list[Deposit]:
    """The next `count` deposits after `since`; fails where they do not come in time."""
    found: list[Deposit] = []

    async def collect() -> None:
        async with aclosing(rail.deposits(since)) as deposits:  # type: ignore[type-var]
            async for deposit in deposits:
                found.append(deposit)
                if len(found) == count:
                    return

    try:
        await asyncio.wait_for(collect(), _DEADLINE)
    except TimeoutError:
        raise AssertionError(f"waited for {count} deposits after {since!r}, and only {found!r} came") from None
    assert len(found) == count, f"the stream of deposits ended after {len(found)} of {count}"
    assert len({each.reference for each in found}) == len(found), f"a deposit came twice: {found!r}"
    return found
