"""The rail keeps what every wallet rail promises, on real mints; and rails that break a promise are caught."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import arbstr_wallet_cashu
import pytest
from arbstr_wallet_cashu._nutshell import Nutshell, Options
from arbstr_wallet_cashu._rail import CashuRail, _deposit
from arbstr_wallet_cashu._records import DepositLine
from arbstr_wallet_cashu._tokens import Token, read, write
from mints import Lossy, Mints, asked
from msgspec import structs
from purses import SAT, Wallet, table, tools_on, wallet

from arbstr_core.api import (
    Conflict,
    Deposit,
    DepositKind,
    Failed,
    Invoice,
    Msat,
    Outgoing,
    Paid,
    Payment,
    PaymentRef,
    PaymentTarget,
    RailBalance,
    RailState,
    RailStatus,
    Unknown,
)
from arbstr_core.testing import (
    Ending,
    KitTools,
    MemoryStore,
    OtherSide,
    PluginSuite,
    WalletSuite,
    WalletWorld,
    _other_side,
    configure,
)

AMOUNT = 21_000
PURSES = (2_048, 1_024, 1_024)
"""One coin each: what is paid with them always has change."""
OFFLINE = {"mints": {"home": {"url": "http://127.0.0.1:3338"}}}


class Bank:
    """Somebody with money at a mint, whose purse outlives the tests' loops."""

    def __init__(self, mint: Nutshell) -> None:
        self.mint = mint
        self.store = MemoryStore()

    @asynccontextmanager
    async def open(self, via: Nutshell | Lossy) -> AsyncIterator[Wallet]:
        """Its wallet, over the mint itself or a proxy before it."""
        async with wallet(via, store=self.store) as hers:
            await hers.purse.open()
            yield hers

    async def fill(self) -> None:
        """Have a lot, once: the mint is told that an invoice was paid."""
        async with self.open(self.mint) as hers:
            if await hers.held() == 0:
                invoice = await hers.rail.invoice(Msat(5_000_000 * SAT), "", key="fill")
                if not self.mint.options.pays_itself:
                    [(quote,)] = asked(self.mint, "SELECT quote FROM mint_quotes WHERE request = ?", invoice.text)
                    self.mint.manage("update", "mint-quote", str(quote), "PAID")
                await hers.collect()


class Everybody(OtherSide):
    """A mint behind a proxy, a bank that pays and claims there, and another mint for whom money leaves."""

    def __init__(self, bank: Bank, direct: Wallet, through: Wallet, proxy: Lossy, elsewhere: Nutshell) -> None:
        self.bank = bank
        self.direct = direct
        self.through = through
        self.proxy = proxy
        self.elsewhere = elsewhere
        self.tokens: list[str] = []

    async def asks(self, amount: Msat) -> str:
        return (await self.direct.invoice_of(self.elsewhere, amount // SAT)).text

    async def arrived(self, target: PaymentTarget) -> Msat:
        paid = asked(self.bank.mint, "SELECT amount FROM melt_quotes WHERE request = ? AND state = 'PAID'", target.text)
        return Msat(sum(int(str(amount)) for (amount,) in paid) * SAT)

    async def pays(self, invoice: Invoice) -> None:
        key = secrets.token_hex(16)
        found = await self.direct.pay(await self.direct.rail.decode(invoice.text), key)
        assert isinstance(found, Paid), f"the bank should pay: {found!r}"

    async def token(self, amount: Msat) -> str:
        return await self.through.token(amount // SAT, key=secrets.token_hex(16))

    async def foreign_token(self, amount: Msat) -> str:
        ours = read(await self.token(amount))
        return write(Token(mint="https://mint.example", coins=ours.coins))

    async def claims(self, token: str) -> Msat:
        took = await self.through.rail.receive(token, key=secrets.token_hex(16))
        return Msat(took.amount_msat + took.fee_msat)

    async def cut(self) -> bool:
        self.proxy.cut()
        return True

    async def mend(self) -> None:
        self.proxy.mend()


class Funded(CashuRail):
    """A rail that had money before."""

    def __init__(self, config: Any, tools: KitTools, tokens: list[str]) -> None:
        super().__init__(config, tools)
        self._tokens = tokens

    async def start(self) -> None:
        await self.purse.open()
        place = self.purse.places.all[0]
        await place.ready()
        if not await self.purse.book.coins(place.name):
            for text in self._tokens:
                coins = await self._judging.whole(place, read(text).coins)
                await self.purse.book.change(lambda draft, coins=coins: self._keep(draft, place, coins))
        await super().start()

    async def _keep(self, draft: Any, place: Any, coins: Any) -> None:
        self.purse.keep(draft, place, coins)


@pytest.fixture(scope="module")
def banks(mints: Mints, free: Nutshell) -> dict[Ending, Bank]:
    """Who has money where payments end so."""
    told, late, lost = mints.start(
        told=Options(pays_itself=False),
        late=Options(payment="PENDING", then="SETTLED"),
        lost=Options(payment="PENDING", then="FAILED"),
    )
    plain = Bank(told)
    return {
        Ending.PAID: plain,
        Ending.REPLY_LOST: plain,
        Ending.UNKNOWN_THEN_PAID: Bank(late),
        Ending.FAILED: (failing := Bank(lost)),
        Ending.UNKNOWN_THEN_FAILED: failing,
    }


def world_of(banks: dict[Ending, Bank], elsewhere: Nutshell, rail: type[Funded] = Funded) -> WalletWorld:
    @asynccontextmanager
    async def other(ending: Ending) -> AsyncIterator[Everybody]:
        bank = banks[ending]
        await bank.fill()
        async with AsyncExitStack() as stack:
            proxy = stack.enter_context(Lossy(bank.mint))
            direct = await stack.enter_async_context(bank.open(bank.mint))
            through = await stack.enter_async_context(bank.open(proxy))
            everybody = Everybody(bank, direct, through, proxy, elsewhere)
            everybody.tokens = [await everybody.token(Msat(sat * SAT)) for sat in PURSES]
            if ending is Ending.REPLY_LOST:
                proxy.loses = lambda method, path: path == "/v1/melt/bolt11"
            yield everybody

    def make(tools: KitTools, other: Everybody) -> CashuRail:
        return rail(configure(arbstr_wallet_cashu, table(other.proxy)), tools, other.tokens)

    endings = (
        Ending.PAID,
        Ending.FAILED,
        Ending.UNKNOWN_THEN_PAID,
        Ending.UNKNOWN_THEN_FAILED,
        Ending.REPLY_LOST,
    )
    return WalletWorld(other=other, make=make, endings=endings)


class TestPlugin(PluginSuite):
    @pytest.fixture
    def plugin(self):
        return arbstr_wallet_cashu

    def table(self) -> dict[str, Any]:
        return OFFLINE


class TestRail(WalletSuite):
    @pytest.fixture
    def world(self, banks: dict[Ending, Bank], free: Nutshell) -> WalletWorld:
        return world_of(banks, free)

    def tools(self, **more: Any) -> KitTools:
        return tools_on(**more)


class ForgetsTheFeeLimit(Funded):
    async def pay(self, target: PaymentTarget, amount: Msat, *, fee_limit: Msat, key: str) -> Payment:
        return await super().pay(target, amount, fee_limit=amount, key=key)


class CallsSilenceAFailure(Funded):
    async def pay(self, target: PaymentTarget, amount: Msat, *, fee_limit: Msat, key: str) -> Payment:
        found = await super().pay(target, amount, fee_limit=fee_limit, key=key)
        return Failed(reason=found.reason, evidence="none") if isinstance(found, Unknown) else found


class GivesUpLooking(Funded):
    async def lookup(self, ref: PaymentRef) -> Payment:
        job = await self.purse.book.job(f"pay:{ref.key}")
        if job is not None and not job.state.ended:
            return Failed(reason="it takes too long", evidence="none")
        return await super().lookup(ref)


class ForgetsTheKey(Funded):
    async def pay(self, target: PaymentTarget, amount: Msat, *, fee_limit: Msat, key: str) -> Payment:
        return await super().pay(target, amount, fee_limit=fee_limit, key=secrets.token_hex(8))


class ForgetsEverything(Funded):
    def __init__(self, config: Any, tools: KitTools, tokens: list[str]) -> None:
        tools.store = MemoryStore()
        super().__init__(config, tools, tokens)


class DropsChange(Funded):
    async def start(self) -> None:
        await super().start()

        async def nothing(*given: Any) -> list[Any]:
            return []

        self.purse.exchange.change = nothing  # type: ignore[method-assign]


class KeepsWhatFailed(Funded):
    async def start(self) -> None:
        await super().start()

        async def nothing(*given: Any, **more: Any) -> None:
            return None

        self.purse.release = nothing  # type: ignore[method-assign]


class TellsDepositsTwice(Funded):
    async def deposits(self, since: str) -> AsyncIterator[Deposit]:
        async for deposit in super().deposits(since):
            yield deposit
            yield deposit


class CountsWhatItGaveAway(Funded):
    async def balance(self) -> RailBalance:
        tokens = len(await self.purse.book.store.scan("issued/"))
        found = await super().balance()
        return structs.replace(found, spendable_msat=Msat(found.spendable_msat + tokens * AMOUNT))


class TakesAnyToken(Funded):
    def __init__(self, config: Any, tools: KitTools, tokens: list[str]) -> None:
        super().__init__(config, tools, tokens)
        self._judging._place = lambda token: self.purse.places.all[0]  # type: ignore[method-assign]


class TakesATokenForEachKey(Funded):
    async def receive(self, token: str, *, key: str) -> Deposit:
        first = [each async for each in _now(self)]
        if first:
            return structs.replace(first[0], key=key)
        return await super().receive(token, key=key)


class TakesBackWhatWasClaimed(Funded):
    async def reclaim(self, ref: PaymentRef, *, key: str) -> Deposit:
        try:
            return await super().reclaim(ref, key=key)
        except Conflict:
            return Deposit(
                reference=key, amount_msat=ref.target.amount_msat, kind=DepositKind.RECLAIMED, cursor="1", key=key
            )


class IsAlwaysReady(Funded):
    async def status(self) -> RailStatus:
        return RailStatus(state=RailState.READY, identity="me")


class HidesWhatLeft(Funded):
    async def payments(self, since: str) -> AsyncIterator[Outgoing]:
        return
        yield


async def _now(rail: CashuRail) -> AsyncIterator[Deposit]:
    for number, line in await rail.purse.book.lines("deposit", DepositLine, 0):
        yield _deposit(number, line)


MUTANTS: list[tuple[type[Funded], str]] = [
    (ForgetsTheFeeLimit, "test_no_fee_allowed_is_no_fee_paid"),
    (CallsSilenceAFailure, "test_unknown_ends_by_lookup"),
    (GivesUpLooking, "test_unknown_ends_after_a_restart"),
    (ForgetsTheKey, "test_one_key_pays_once"),
    (ForgetsEverything, "test_a_restart_remembers"),
    (DropsChange, "test_a_payment_costs_its_amount_and_fee"),
    (KeepsWhatFailed, "test_failed_moves_nothing_and_stays"),
    (TellsDepositsTwice, "test_deposits_come_once_and_resume"),
    (CountsWhatItGaveAway, "test_a_token_paid_out_is_worth_its_amount"),
    (TakesAnyToken, "test_a_bad_token_is_refused"),
    (TakesATokenForEachKey, "test_a_token_is_redeemed_once"),
    (TakesBackWhatWasClaimed, "test_a_token_paid_out_is_worth_its_amount"),
    (IsAlwaysReady, "test_deposits_outlive_a_broken_connection"),
    (HidesWhatLeft, "test_what_left_is_on_record"),
]


@pytest.mark.parametrize(("mutant", "test"), MUTANTS, ids=lambda value: getattr(value, "__name__", value))
def test_a_broken_rail_is_caught(
    banks: dict[Ending, Bank], free: Nutshell, monkeypatch: pytest.MonkeyPatch, mutant: type[Funded], test: str
) -> None:
    monkeypatch.setattr(_other_side, "_LOOKUPS", 10)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(TestRail(), test)(world_of(banks, free, mutant))
