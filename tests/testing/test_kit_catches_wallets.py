"""The kit's suite of wallet rails, tested with a sound rail and with broken ones."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from arbstr_core.api import (
    BadRequest,
    Conflict,
    Deposit,
    DepositKind,
    Failed,
    Invoice,
    InvoiceTarget,
    Msat,
    Network,
    Outgoing,
    Paid,
    PaymentRef,
    PaymentTarget,
    RailBalance,
    RailCapability,
    RailQuote,
    RailState,
    RailStatus,
    RailUnavailable,
    TokenFacts,
    Unit,
    Unknown,
    WalletRail,
    same_amount,
)
from arbstr_core.testing import Ending, KitTools, OtherSide, WalletSuite, WalletWorld, _other_side

_TEXT = re.compile(r"toy:(\d+):([a-z0-9-]+):end\Z")
_TOKEN = re.compile(r"token:(\d+):([a-z0-9-]+):(ours|foreign):end\Z")
_FEE = 7


class Toyland(OtherSide):
    """A node of its own: what it knows is the truth, whatever the rail on it says. It outlives the rail."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending
        self.up = True
        self.balance = 10_000_000
        self.reserved: dict[str, int] = {}
        self.open: dict[str, int] = {}
        self.cancelled: set[str] = set()
        self.came: list[Deposit] = []
        self.left: list[Outgoing] = []
        self.at: dict[str, int] = {}
        self.issued: dict[str, int] = {}
        self.spent: dict[str, Deposit] = {}

    async def asks(self, amount: Msat) -> str:
        reference = f"theirs-{len(self.at)}"
        self.at[reference] = 0
        return f"toy:{amount}:{reference}:end"

    async def arrived(self, target: PaymentTarget) -> Msat:
        return Msat(self.at[target.reference])

    async def pays(self, invoice: Invoice) -> None:
        if invoice.reference in self.cancelled:
            raise BadRequest("cancelled")
        self.balance += self.open[invoice.reference]
        self.deposit(invoice.reference, self.open[invoice.reference], DepositKind.INVOICE, "")

    async def token(self, amount: Msat) -> str:
        return f"token:{amount}:theirs-{len(self.spent)}:ours:end"

    async def foreign_token(self, amount: Msat) -> str:
        return f"token:{amount}:theirs:foreign:end"

    async def claims(self, token: str) -> Msat:
        found = _TOKEN.match(token)
        assert found, token
        if found[2] in self.spent:
            raise BadRequest("spent")
        self.spent[found[2]] = Deposit(reference=found[2], amount_msat=Msat(0), kind=DepositKind.TOKEN, cursor="")
        return Msat(int(found[1]))

    async def cut(self) -> bool:
        self.up = False
        return True

    async def mend(self) -> None:
        self.up = True

    def deposit(self, reference: str, amount: int, kind: DepositKind, key: str) -> Deposit:
        cursor = str(len(self.came) + 1)
        self.came.append(Deposit(reference=reference, amount_msat=Msat(amount), kind=kind, cursor=cursor, key=key))
        return self.came[-1]

    def reach(self) -> None:
        if not self.up:
            raise RailUnavailable("toyland is down")

    def send(self, target: PaymentTarget, key: str, amount: int) -> Paid:
        """Money leaves for good."""
        self.balance -= amount + _FEE
        proof, token = "", ""
        if isinstance(target, InvoiceTarget):
            self.at[target.reference] += amount
        else:
            self.issued[target.reference] = amount
            token = f"token:{amount}:{target.reference}:ours:end"
        paid = Paid(fee_msat=Msat(_FEE), evidence="toyland said so", proof=proof, token=token)
        cursor = str(len(self.left) + 1)
        self.left.append(
            Outgoing(reference=target.reference, amount_msat=Msat(amount), payment=paid, cursor=cursor, key=key)
        )
        return paid


class ToyRail(WalletRail):
    """A rail that keeps every promise; its own journal is in the store, and the money in Toyland."""

    name = "toy"
    network = Network.REGTEST
    unit = Unit.SAT
    capabilities = frozenset(RailCapability)

    def __init__(self, tools: KitTools, land: Toyland) -> None:
        self._tools = tools
        self.land = land
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def state(self) -> AsyncIterator[dict[str, Any]]:
        async with self._lock:
            raw = await self._tools.store.get("state")
            state = msgspec.json.decode(raw) if raw else {"invoices": {}, "payments": {}, "received": {}}
            yield state
            await self._tools.store.put({"state": msgspec.json.encode(state)})

    async def decode(self, target: str) -> PaymentTarget:
        found = _TEXT.match(target)
        if found is None:
            raise BadRequest("not a toy invoice")
        amount = Msat(int(found[1]))
        return InvoiceTarget(
            text=target, reference=found[2], amount_msat=amount, network=self.network, expires_ms=1 << 50
        )

    async def quote(self, target: PaymentTarget, amount: Msat) -> RailQuote:
        same_amount(target, amount)
        return RailQuote(amount_msat=amount, fee_limit_msat=Msat(_FEE), expected_fee_msat=Msat(_FEE))

    async def invoice(self, amount: Msat, memo: str, *, key: str, expires_seconds: int = 3600) -> Invoice:
        if amount <= 0 or amount % 1000:
            raise BadRequest("no amount")
        async with self.state() as state:
            reference = state["invoices"].setdefault(key, f"ours-{len(state['invoices'])}")
            asked = self.land.open.setdefault(reference, amount)
        return Invoice(
            text=f"toy:{asked}:{reference}:end", reference=reference, amount_msat=Msat(asked), expires_ms=1 << 50
        )

    async def pay(self, target: PaymentTarget, amount: Msat, *, fee_limit: Msat, key: str) -> Any:
        same_amount(target, amount)
        async with self.state() as state:
            if key not in state["payments"]:
                state["payments"][key] = self.begin(target, amount, fee_limit, key)
            return self.said(state["payments"][key])

    def begin(self, target: PaymentTarget, amount: int, fee_limit: int, key: str) -> dict[str, Any]:
        ending = Ending.FAILED if fee_limit < _FEE else self.land.ending
        if ending is Ending.FAILED:
            return self.failed()
        if ending in (Ending.UNKNOWN_THEN_PAID, Ending.UNKNOWN_THEN_FAILED):
            self.land.balance -= amount + _FEE
            self.land.reserved[key] = amount + _FEE
            return {"tag": "unknown", "reason": "nobody answered"}
        paid = msgspec.to_builtins(self.land.send(target, key, amount))
        return {"tag": "unknown", "reason": "lost"} | {"then": paid} if ending is Ending.REPLY_LOST else paid

    def failed(self) -> dict[str, Any]:
        return {"type": "failed", "reason": "no route", "evidence": "toyland said so"}

    async def lookup(self, ref: PaymentRef) -> Any:
        async with self.state() as state:
            payment = state["payments"].setdefault(ref.key, self.failed())
            if "tag" in payment:
                state["payments"][ref.key] = payment = self.ended(ref, payment)
            return self.said(payment)

    def ended(self, ref: PaymentRef, payment: dict[str, Any]) -> dict[str, Any]:
        self.land.balance += self.land.reserved.pop(ref.key, 0)
        if "then" in payment:
            return payment["then"]
        if self.land.ending is Ending.UNKNOWN_THEN_FAILED:
            return self.failed()
        return msgspec.to_builtins(self.land.send(ref.target, ref.key, ref.target.amount_msat))

    def said(self, payment: dict[str, Any]) -> Any:
        if "tag" in payment:
            return Unknown(reason=payment["reason"])
        return msgspec.convert(payment, type=Paid | Failed)

    async def deposits(self, since: str) -> AsyncIterator[Deposit]:
        position = int(since or 0)
        while True:
            if self.land.up:
                async with self.state() as state:
                    keys = {reference: key for key, reference in state["invoices"].items()}
                for deposit in self.land.came[position:]:
                    position += 1
                    yield msgspec.structs.replace(deposit, key=deposit.key or keys.get(deposit.reference, ""))
            await self._tools.clock.sleep(1)

    async def payments(self, since: str) -> AsyncIterator[Outgoing]:
        for outgoing in self.land.left[int(since or 0) :]:
            yield outgoing

    async def cancel(self, reference: str) -> None:
        if any(deposit.reference == reference for deposit in self.land.came):
            raise Conflict("paid")
        self.land.cancelled.add(reference)

    def read(self, token: str) -> re.Match[str]:
        found = _TOKEN.match(token)
        if found is None or found[3] != "ours":
            raise BadRequest("not a token of this mint")
        return found

    async def appraise(self, token: str) -> TokenFacts:
        found = self.read(token)
        return TokenFacts(reference=found[2], mint="ours", amount_msat=Msat(int(found[1])))

    async def receive(self, token: str, *, key: str) -> Deposit:
        found = self.read(token)
        async with self.state() as state:
            if state["received"].get(found[2]) == key:
                return self.land.spent[found[2]]
            if found[2] in self.land.spent:
                raise BadRequest("spent")
            state["received"][found[2]] = key
            return self.take(found[2], int(found[1]), DepositKind.TOKEN, key)

    def take(self, reference: str, amount: int, kind: DepositKind, key: str) -> Deposit:
        self.land.balance += amount
        self.land.spent[reference] = self.land.deposit(reference, amount, kind, key)
        return self.land.spent[reference]

    async def reclaim(self, ref: PaymentRef, *, key: str) -> Deposit:
        reference = ref.target.reference
        before = self.land.spent.get(reference)
        if before is not None and before.key != key:
            raise Conflict("claimed")
        return before or self.take(reference, self.land.issued[reference], DepositKind.RECLAIMED, key)

    async def ecash_request(self, amount: Msat, memo: str) -> str:
        return f"request:{amount}"

    async def balance(self) -> RailBalance:
        in_flight = Msat(sum(self.land.reserved.values()))
        return RailBalance(spendable_msat=Msat(self.land.balance), in_flight_msat=in_flight)

    async def status(self) -> RailStatus:
        return RailStatus(state=RailState.READY if self.land.up else RailState.DOWN, identity="toyland")


class Minimal(ToyRail):
    """Sound too, with fewer capabilities."""

    capabilities = frozenset({RailCapability.INVOICE, RailCapability.BOLT11})
    cancel = WalletRail.cancel
    appraise = WalletRail.appraise
    receive = WalletRail.receive
    reclaim = WalletRail.reclaim
    ecash_request = WalletRail.ecash_request


class TokensOnly(ToyRail):
    """Sound too: neither asks for nor pays invoices."""

    capabilities = frozenset({RailCapability.ECASH, RailCapability.FEE_LIMIT})
    cancel = WalletRail.cancel
    invoice = WalletRail.invoice


class ForgetsTheKey(ToyRail):
    """Pays whenever it is asked."""

    async def pay(self, target, amount, *, fee_limit, key):
        async with self.state() as state:
            state["payments"].pop(key, None)
        return await super().pay(target, amount, fee_limit=fee_limit, key=key)


class ForgetsAtRestart(ToyRail):
    """Keeps its payments in memory."""

    def __init__(self, tools, land):
        super().__init__(tools, land)
        self._mine = set()

    async def pay(self, target, amount, *, fee_limit, key):
        if key not in self._mine:
            self._mine.add(key)
            async with self.state() as state:
                state["payments"].pop(key, None)
        return await super().pay(target, amount, fee_limit=fee_limit, key=key)


class RacesItself(ToyRail):
    """Looks whether the key was used, and pays later."""

    async def pay(self, target, amount, *, fee_limit, key):
        async with self.state() as state:
            before = state["payments"].get(key)
        if before:
            return self.said(before)
        await asyncio.sleep(0)
        payment = self.begin(target, amount, fee_limit, key)
        async with self.state() as state:
            state["payments"][key] = payment
        return self.said(payment)


class ForgetsTheFeeLimit(ToyRail):
    def begin(self, target, amount, fee_limit, key):
        return super().begin(target, amount, _FEE, key)


class QuotesTooLittle(ForgetsTheFeeLimit):
    async def quote(self, target, amount):
        same_amount(target, amount)
        return RailQuote(amount_msat=amount, fee_limit_msat=Msat(_FEE - 1))


class PaysWhatTheCallerSays(ToyRail):
    """Takes the amount from the caller instead of from the invoice."""

    async def quote(self, target, amount):
        return RailQuote(amount_msat=amount, fee_limit_msat=Msat(_FEE))

    async def pay(self, target, amount, *, fee_limit, key):
        target = msgspec.structs.replace(target, amount_msat=amount)
        return await super().pay(target, amount, fee_limit=fee_limit, key=key)


class DropsTheChange(ToyRail):
    """What it set aside for the fee and did not need is gone."""

    def begin(self, target, amount, fee_limit, key):
        payment = super().begin(target, amount, fee_limit, key)
        self.land.balance -= 0 if payment.get("type") == "failed" else 100
        return payment


class ClaimsAFee(ToyRail):
    """Says a fee that it did not pay."""

    def said(self, payment):
        said = super().said(payment)
        return msgspec.structs.replace(said, fee_msat=Msat(_FEE - 1)) if isinstance(said, Paid) else said


class InventsTheProof(ToyRail):
    def said(self, payment):
        said = super().said(payment)
        return msgspec.structs.replace(said, proof="00" * 32) if isinstance(said, Paid) else said


class HasNoEvidence(ToyRail):
    def failed(self):
        return super().failed() | {"evidence": ""}


class CallsATimeOutAFailure(ToyRail):
    """Says failed where nobody answered; the money may still leave."""

    def said(self, payment):
        said = super().said(payment)
        return Failed(reason="time-out", evidence="time-out") if isinstance(said, Unknown) else said


class CallsALostReplyAFailure(ToyRail):
    def said(self, payment):
        lost = payment.get("reason") == "lost"
        return Failed(reason="cut", evidence="cut") if lost else super().said(payment)


class ForgetsWhatWasUnsure(ToyRail):
    """Keeps what is unknown in memory alone; after a restart it knows nothing of it, and says that it failed."""

    def __init__(self, tools, land):
        super().__init__(tools, land)
        self._mine = set()

    async def pay(self, target, amount, *, fee_limit, key):
        self._mine.add(key)
        return await super().pay(target, amount, fee_limit=fee_limit, key=key)

    async def lookup(self, ref):
        if ref.key not in self._mine:
            return Failed(reason="never sent", evidence="I remember nothing")
        return await super().lookup(ref)


class FailsAndTakes(ToyRail):
    def begin(self, target, amount, fee_limit, key):
        payment = super().begin(target, amount, fee_limit, key)
        self.land.balance -= amount if payment.get("type") == "failed" else 0
        return payment


class FailsThenPays(ToyRail):
    async def pay(self, target, amount, *, fee_limit, key):
        async with self.state() as state:
            if state["payments"].get(key, {}).get("type") == "failed":
                state["payments"][key] = msgspec.to_builtins(self.land.send(target, key, amount))
        return await super().pay(target, amount, fee_limit=fee_limit, key=key)


class NeverKnows(ToyRail):
    async def lookup(self, ref):
        return Unknown(reason="still nobody")


class ChangesItsMind(ToyRail):
    async def lookup(self, ref):
        said = await super().lookup(ref)
        async with self.state() as state:
            state["payments"][ref.key] = self.failed()
        return said


class PaysWhatFailedForGood(ToyRail):
    """Says failed of a key never used, without writing that down."""

    async def lookup(self, ref):
        async with self.state() as state:
            if ref.key not in state["payments"]:
                return Failed(reason="never sent", evidence="none")
        return await super().lookup(ref)


class HidesWhatIsInFlight(ToyRail):
    async def balance(self):
        return RailBalance(spendable_msat=Msat(self.land.balance))


class KeepsNoRecord(ToyRail):
    async def payments(self, since):
        for outgoing in ():
            yield outgoing


class RecordsWithoutTheKey(ToyRail):
    async def payments(self, since):
        async for outgoing in super().payments(since):
            yield msgspec.structs.replace(outgoing, key="")


class InvoicesTwice(ToyRail):
    async def invoice(self, amount, memo, *, key, expires_seconds=3600):
        async with self.state() as state:
            unused = f"{key}-{len(state['invoices'])}"
        return await super().invoice(amount, memo, key=unused)


class RoundsAmounts(ToyRail):
    async def invoice(self, amount, memo, *, key, expires_seconds=3600):
        return await super().invoice(Msat(amount // 1000 * 1000), memo, key=key)


class ReadsAnything(ToyRail):
    async def decode(self, target):
        text = target if _TEXT.match(target) else "toy:1:x:end"
        return await super().decode(text)


class CreditsTwice(ToyRail):
    async def deposits(self, since):
        async for deposit in super().deposits(since):
            yield deposit
            yield deposit


class ForgetsWhose(ToyRail):
    async def deposits(self, since):
        async for deposit in super().deposits(since):
            yield msgspec.structs.replace(deposit, key="")


class IgnoresTheCursor(ToyRail):
    async def deposits(self, since):
        async for deposit in super().deposits(""):
            yield deposit


class StopsWaiting(ToyRail):
    async def deposits(self, since):
        ready = len(self.land.came) - int(since or 0)
        async for deposit in super().deposits(since):
            if ready <= 0:
                return
            ready -= 1
            yield deposit


class GivesUpWhenCut(ToyRail):
    """A broken connection ends its stream of deposits."""

    async def deposits(self, since):
        position = int(since or 0)
        while self.land.up:
            for deposit in self.land.came[position:]:
                position += 1
                yield deposit
            await self._tools.clock.sleep(1)


class ReadyWhenDown(ToyRail):
    async def status(self):
        return RailStatus(state=RailState.READY, identity="toyland")


class TakesMoneyForTheCancelled(ToyRail):
    async def cancel(self, reference):
        return None


class CancelsWhatIsPaid(ToyRail):
    async def cancel(self, reference):
        self.land.cancelled.add(reference)


class CancelsBySurprise(Minimal):
    async def cancel(self, reference):
        return None


class RedeemsTwice(ToyRail):
    async def receive(self, token, *, key):
        async with self.state() as state:
            state["received"].pop(self.read(token)[2], None)
        self.land.spent.pop(self.read(token)[2], None)
        return await super().receive(token, key=key)


class TakesForeignTokens(ToyRail):
    def read(self, token):
        found = _TOKEN.match(token)
        if found is None:
            raise BadRequest("no token")
        return found


class RedeemsToAppraise(ToyRail):
    async def appraise(self, token):
        found = self.read(token)
        deposit = self.take(found[2], int(found[1]), DepositKind.TOKEN, "appraised")
        return TokenFacts(reference=deposit.reference, mint="ours", amount_msat=deposit.amount_msat)


class SaysNothingOfTokens(ToyRail):
    """Its deposits are invoices alone."""

    async def deposits(self, since):
        async for deposit in super().deposits(since):
            if deposit.kind is DepositKind.INVOICE:
                yield deposit


class IssuesLess(ToyRail):
    """Takes the fee of an issued token out of the token too."""

    def said(self, payment):
        said = super().said(payment)
        if isinstance(said, Paid) and said.token:
            return msgspec.structs.replace(said, token=said.token.replace("token:21000", "token:20000"))
        return said


class ReclaimsTheClaimed(ToyRail):
    async def reclaim(self, ref, *, key):
        self.land.spent.pop(ref.target.reference, None)
        return await super().reclaim(ref, key=key)


class ReclaimsOnPaper(ToyRail):
    """Books an unclaimed token as its own without taking it from whoever has it."""

    async def reclaim(self, ref, *, key):
        deposit = await super().reclaim(ref, key=key)
        self.land.spent = {}
        return deposit


class HasFloats(ToyRail):
    async def balance(self):
        return RailBalance(spendable_msat=float(self.land.balance))


class IsNobody(ToyRail):
    async def status(self):
        return RailStatus(state=RailState.READY)


class ClosesOnlyOnce(ToyRail):
    closed = False

    async def aclose(self):
        assert not self.closed
        self.closed = True


def world_of(kind: type[ToyRail]) -> WalletWorld:
    @asynccontextmanager
    async def other(ending: Ending):
        yield Toyland(ending)

    return WalletWorld(other=other, make=kind, endings=tuple(Ending))


@pytest.mark.parametrize("sound", [ToyRail, Minimal, TokensOnly])
def test_a_sound_rail_passes(failures, sound: type[ToyRail]):
    assert failures(WalletSuite(), world=world_of(sound)) == {}


@pytest.mark.parametrize(
    ("mutant", "caught_by"),
    [
        (ForgetsTheKey, "test_one_key_pays_once"),
        (RacesItself, "test_one_key_pays_once"),
        (ForgetsAtRestart, "test_a_restart_remembers"),
        (ForgetsTheFeeLimit, "test_no_fee_allowed_is_no_fee_paid"),
        (QuotesTooLittle, "test_a_payment_costs_its_amount_and_fee"),
        (PaysWhatTheCallerSays, "test_another_amount_is_refused"),
        (DropsTheChange, "test_a_payment_costs_its_amount_and_fee"),
        (ClaimsAFee, "test_a_payment_costs_its_amount_and_fee"),
        (InventsTheProof, "test_a_payment_costs_its_amount_and_fee"),
        (HasNoEvidence, "test_failed_moves_nothing_and_stays"),
        (CallsATimeOutAFailure, "test_unknown_ends_by_lookup"),
        (CallsALostReplyAFailure, "test_unknown_ends_by_lookup"),
        (ForgetsWhatWasUnsure, "test_unknown_ends_after_a_restart"),
        (FailsAndTakes, "test_failed_moves_nothing_and_stays"),
        (FailsThenPays, "test_failed_moves_nothing_and_stays"),
        (NeverKnows, "test_unknown_ends_by_lookup"),
        (ChangesItsMind, "test_unknown_ends_by_lookup"),
        (PaysWhatFailedForGood, "test_a_payment_never_asked_for_is_not_paid"),
        (HidesWhatIsInFlight, "test_unknown_ends_by_lookup"),
        (KeepsNoRecord, "test_what_left_is_on_record"),
        (RecordsWithoutTheKey, "test_what_left_is_on_record"),
        (InvoicesTwice, "test_an_invoice_asks_for_its_amount_once"),
        (RoundsAmounts, "test_an_amount_finer_than_the_unit_is_refused"),
        (ReadsAnything, "test_decode_reads_what_it_pays_and_refuses_the_rest"),
        (CreditsTwice, "test_deposits_come_once_and_resume"),
        (ForgetsWhose, "test_deposits_come_once_and_resume"),
        (IgnoresTheCursor, "test_deposits_come_once_and_resume"),
        (StopsWaiting, "test_deposits_wait_for_what_comes"),
        (GivesUpWhenCut, "test_deposits_outlive_a_broken_connection"),
        (ReadyWhenDown, "test_deposits_outlive_a_broken_connection"),
        (TakesMoneyForTheCancelled, "test_a_cancelled_invoice_takes_no_money"),
        (CancelsWhatIsPaid, "test_a_paid_invoice_is_not_cancelled"),
        (CancelsBySurprise, "test_a_cancelled_invoice_takes_no_money"),
        (RedeemsTwice, "test_a_token_is_redeemed_once"),
        (TakesForeignTokens, "test_a_bad_token_is_refused"),
        (RedeemsToAppraise, "test_a_token_is_redeemed_once"),
        (SaysNothingOfTokens, "test_a_redeemed_token_is_among_the_deposits"),
        (IssuesLess, "test_a_token_paid_out_is_worth_its_amount"),
        (ReclaimsTheClaimed, "test_a_token_paid_out_is_worth_its_amount"),
        (ReclaimsOnPaper, "test_an_unclaimed_token_is_taken_back_once"),
        (HasFloats, "test_says_what_it_is"),
        (IsNobody, "test_says_what_it_is"),
        (ClosesOnlyOnce, "test_aclose_is_idempotent"),
    ],
)
def test_a_broken_rail_fails(failures, mutant: type[ToyRail], caught_by: str, monkeypatch):
    monkeypatch.setattr(_other_side, "DEADLINE", 0.2)
    assert caught_by in failures(WalletSuite(), world=world_of(mutant))
