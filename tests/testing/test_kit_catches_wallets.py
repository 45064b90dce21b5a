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
    Deposit,
    Failed,
    Invoice,
    Msat,
    Network,
    NotSupported,
    Paid,
    PaymentTarget,
    RailCapability,
    RailQuote,
    RailState,
    RailStatus,
    Unit,
    Unknown,
    WalletRail,
)
from arbstr_core.testing import KitTools, WalletSuite, WalletWorld

_TEXT = re.compile(r"toy:(\d+):([a-z0-9-]+):end\Z")
_START = {"balance": 10_000_000, "invoices": {}, "open": {}, "paid": [], "cancelled": [], "payments": {}, "tokens": {}}
_FEE = 7


class ToyRail(WalletRail):
    """A rail that keeps every promise; its whole state is one value in the store."""

    name = "toy"
    network = Network.REGTEST
    unit = Unit.MSAT
    capabilities = frozenset(RailCapability)
    outcome = "paid"

    def __init__(self, tools: KitTools) -> None:
        self._tools = tools
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def state(self) -> AsyncIterator[dict[str, Any]]:
        async with self._lock:
            raw = await self._tools.store.get("state")
            state = msgspec.json.decode(raw or msgspec.json.encode(_START))
            yield state
            await self._tools.store.put({"state": msgspec.json.encode(state)})

    async def decode(self, target: str) -> PaymentTarget:
        found = _TEXT.match(target)
        if found is None:
            raise BadRequest("not a toy invoice")
        amount = Msat(int(found[1]))
        return PaymentTarget(
            text=target, reference=found[2], amount_msat=amount, network=self.network, expires_ms=1 << 50
        )

    async def quote(self, target: PaymentTarget, amount: Msat) -> RailQuote:
        return RailQuote(amount_msat=amount, fee_limit_msat=Msat(_FEE))

    async def invoice(self, amount: Msat, memo: str, *, key: str) -> Invoice:
        async with self.state() as state:
            reference = state["invoices"].setdefault(key, f"ours-{len(state['invoices'])}")
            asked = state["open"].setdefault(reference, amount)
        return Invoice(text=f"toy:{asked}:{reference}:end", reference=reference, amount_msat=asked, expires_ms=1 << 50)

    async def pay(self, target: PaymentTarget, amount: Msat, *, fee_limit: Msat, key: str) -> Any:
        async with self.state() as state:
            if key not in state["payments"]:
                outcome = self.outcome if fee_limit >= _FEE else "failed"
                state["payments"][key] = {"outcome": outcome, "all": amount + _FEE}
                state["balance"] -= 0 if outcome == "failed" else amount + _FEE
            return self.said(state["payments"][key])

    async def lookup(self, key: str) -> Any:
        async with self.state() as state:
            payment = state["payments"].setdefault(key, {"outcome": "failed", "all": 0})
            if payment["outcome"] == "unknown_failed":
                state["balance"] += payment["all"]
            payment["outcome"] = payment["outcome"].removeprefix("unknown_")
            return self.said(payment)

    def said(self, payment: dict[str, Any]) -> Any:
        if payment["outcome"].startswith("unknown"):
            return Unknown(reason="nobody answered")
        return Failed(reason="no route") if payment["outcome"] == "failed" else Paid(fee_msat=Msat(_FEE))

    async def came_in(self, reference: str) -> None:
        async with self.state() as state:
            if reference in state["cancelled"]:
                raise BadRequest("cancelled")
            state["paid"].append(reference)
            state["balance"] += state["open"][reference]

    async def deposits(self, since: str) -> AsyncIterator[Deposit]:
        position = int(since or 0)
        while True:
            async with self.state() as state:
                paid, asked = state["paid"], state["open"]
            for reference in paid[position:]:
                position += 1
                yield Deposit(reference=reference, amount_msat=asked[reference], cursor=str(position))
            await self._tools.clock.sleep(1)

    async def cancel(self, reference: str) -> None:
        async with self.state() as state:
            state["cancelled"].append(reference)

    async def receive(self, token: str, *, key: str) -> Deposit:
        found = re.match(r"token-(\d+)-end\Z", token)
        if found is None:
            raise BadRequest("not a toy token")
        async with self.state() as state:
            taken_by = state["tokens"].get(token)
            if taken_by not in (None, key):
                raise BadRequest("spent")
            state["balance"] += 0 if taken_by else int(found[1])
            state["tokens"][token] = key
        return Deposit(reference=token, amount_msat=Msat(int(found[1])))

    async def balance(self) -> Msat:
        async with self.state() as state:
            return state["balance"]

    async def status(self) -> RailStatus:
        return RailStatus(state=RailState.READY)


class Minimal(ToyRail):
    """Sound too, with fewer capabilities."""

    capabilities = frozenset({RailCapability.BOLT11})

    async def cancel(self, reference: str) -> None:
        raise NotSupported("toy cannot cancel")

    async def receive(self, token: str, *, key: str) -> Deposit:
        raise NotSupported("toy takes no ecash")


class PaysTwice(ToyRail):
    async def pay(self, target, amount, *, fee_limit, key):
        async with self.state() as state:
            state["payments"].pop(key, None)
        return await super().pay(target, amount, fee_limit=fee_limit, key=key)


class ForgetsAtRestart(ToyRail):
    """Keeps its payments in memory."""

    def __init__(self, tools: KitTools) -> None:
        super().__init__(tools)
        self._mine: set[str] = set()

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
        async with self.state() as state:
            state["payments"][key] = {"outcome": "paid", "all": amount + _FEE}
            state["balance"] -= amount + _FEE
        return Paid(fee_msat=Msat(_FEE))


class IgnoresTheFeeLimit(ToyRail):
    async def pay(self, target, amount, *, fee_limit, key):
        return await super().pay(target, amount, fee_limit=Msat(_FEE), key=key)


class QuotesTooLittle(ToyRail):
    async def quote(self, target, amount):
        return RailQuote(amount_msat=amount, fee_limit_msat=Msat(_FEE - 1))

    async def pay(self, target, amount, *, fee_limit, key):
        return await super().pay(target, amount, fee_limit=Msat(_FEE), key=key)


class CallsUnknownFailed(ToyRail):
    """Says failed where nobody answered; the money may still leave."""

    def said(self, payment):
        return Failed(reason="time-out") if payment["outcome"].startswith("unknown") else super().said(payment)


class FailsAndTakes(ToyRail):
    async def pay(self, target, amount, *, fee_limit, key):
        result = await super().pay(target, amount, fee_limit=fee_limit, key=key)
        if isinstance(result, Failed):
            async with self.state() as state:
                state["balance"] -= amount
        return result


class FailsThenPays(ToyRail):
    async def pay(self, target, amount, *, fee_limit, key):
        async with self.state() as state:
            if state["payments"].get(key, {}).get("outcome") == "failed":
                state["payments"][key]["outcome"] = "paid"
        return await super().pay(target, amount, fee_limit=fee_limit, key=key)


class NeverKnows(ToyRail):
    async def lookup(self, key):
        return Unknown(reason="still nobody")


class ChangesItsMind(ToyRail):
    async def lookup(self, key):
        async with self.state() as state:
            payment = state["payments"].setdefault(key, {"outcome": "failed", "all": 0})
            payment["outcome"] = "failed" if payment["outcome"] == "paid" else "paid"
            return self.said(payment)


class PaysWhatFailedForGood(ToyRail):
    """Says failed of a key never used, without writing that down."""

    async def lookup(self, key):
        async with self.state() as state:
            if key not in state["payments"]:
                return Failed(reason="never sent")
        return await super().lookup(key)


class InvoicesTwice(ToyRail):
    async def invoice(self, amount, memo, *, key):
        async with self.state() as state:
            unused = f"{key}-{len(state['invoices'])}"
        return await super().invoice(amount, memo, key=unused)


class ReadsAnything(ToyRail):
    async def decode(self, target):
        text = target if _TEXT.match(target) else "toy:1:x:end"
        return await super().decode(text)


class DepositsTwice(ToyRail):
    async def deposits(self, since):
        async for deposit in super().deposits(since):
            yield deposit
            yield deposit


class IgnoresTheCursor(ToyRail):
    async def deposits(self, since):
        async for deposit in super().deposits(""):
            yield deposit


class StopsWaiting(ToyRail):
    async def deposits(self, since):
        async with self.state() as state:
            ready = len(state["paid"]) - int(since or 0)
        async for deposit in super().deposits(since):
            if ready <= 0:
                return
            ready -= 1
            yield deposit


class TakesMoneyForTheCancelled(ToyRail):
    async def cancel(self, reference):
        return None


class CancelsBySurprise(Minimal):
    async def cancel(self, reference):
        return None


class RedeemsTwice(ToyRail):
    async def receive(self, token, *, key):
        async with self.state() as state:
            state["tokens"].pop(token, None)
        return await super().receive(token, key=key)


class HasFloats(ToyRail):
    async def balance(self):
        return float(await super().balance())


class ClosesOnlyOnce(ToyRail):
    closed = False

    async def aclose(self):
        assert not self.closed
        self.closed = True


def world_of(kind: type[ToyRail]) -> WalletWorld:
    numbers = iter(range(1000))

    def ending(outcome: str):
        return type(kind.__name__, (kind,), {"outcome": outcome})

    async def payable(rail: WalletRail, amount: Msat) -> str:
        return f"toy:{amount}:theirs-{next(numbers)}:end"

    async def settle(rail: WalletRail, invoice: Invoice) -> None:
        assert isinstance(rail, ToyRail)
        await rail.came_in(invoice.reference)

    async def token(rail: WalletRail, amount: Msat) -> str:
        return f"token-{amount}-end"

    return WalletWorld(
        make=kind,
        make_failing=ending("failed"),
        make_unsure=(ending("unknown_paid"), ending("unknown_failed")),
        payable=payable,
        settle=settle,
        token=token,
    )


@pytest.mark.parametrize("sound", [ToyRail, Minimal])
def test_a_sound_rail_passes(failures, sound: type[ToyRail]):
    assert failures(WalletSuite(), world=world_of(sound)) == {}


@pytest.mark.parametrize(
    ("mutant", "caught_by"),
    [
        (PaysTwice, "test_one_key_pays_once"),
        (RacesItself, "test_one_key_pays_once"),
        (ForgetsAtRestart, "test_a_restart_remembers"),
        (IgnoresTheFeeLimit, "test_no_fee_allowed_is_no_fee_paid"),
        (QuotesTooLittle, "test_a_payment_costs_its_amount_and_fee"),
        (CallsUnknownFailed, "test_unknown_ends_by_lookup"),
        (FailsAndTakes, "test_failed_moves_nothing_and_stays"),
        (FailsThenPays, "test_failed_moves_nothing_and_stays"),
        (NeverKnows, "test_unknown_ends_by_lookup"),
        (ChangesItsMind, "test_unknown_ends_by_lookup"),
        (PaysWhatFailedForGood, "test_a_payment_never_asked_for_is_not_paid"),
        (InvoicesTwice, "test_an_invoice_asks_for_its_amount_once"),
        (ReadsAnything, "test_decode_reads_what_it_pays_and_refuses_the_rest"),
        (DepositsTwice, "test_deposits_come_once_and_resume"),
        (IgnoresTheCursor, "test_deposits_come_once_and_resume"),
        (StopsWaiting, "test_deposits_wait_for_what_comes"),
        (TakesMoneyForTheCancelled, "test_a_cancelled_invoice_takes_no_money"),
        (CancelsBySurprise, "test_a_cancelled_invoice_takes_no_money"),
        (RedeemsTwice, "test_a_token_is_redeemed_once"),
        (HasFloats, "test_says_what_it_is"),
        (ClosesOnlyOnce, "test_aclose_is_idempotent"),
    ],
)
def test_a_broken_rail_fails(failures, mutant: type[ToyRail], caught_by: str):
    assert caught_by in failures(WalletSuite(), world=world_of(mutant))
