"""Rails that are broken on purpose: each is caught, by the conformance suite or by the test of the rule it breaks."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from arbstr_wallet_lnd import (
    _deposits,
    _evidence,
    _invoices,
    _journal,
    _lnd_pb2,
    _node,
    _outgoing,
    _payments,
    _pin,
    _rail,
)
from arbstr_wallet_lnd._errors import NodeError
from lightning import world as lightning
from msgspec.structs import replace

from arbstr_core.api import Failed, Msat, Paid, RailBalance, RailState, RailStatus, Unknown
from arbstr_core.testing import LoopClock, WalletSuite, WalletWorld, kit_tools

Patch = pytest.MonkeyPatch
FAILURES = (Exception, pytest.fail.Exception)
"""However a test fails."""


def sibling(name: str) -> ModuleType:
    """Another file of tests of this folder."""
    spec = importlib.util.spec_from_file_location(f"mutated_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Suite(WalletSuite):
    """The kit's suite, for the rail as it is patched."""

    def __init__(self) -> None:
        self.secrets: dict[str, str | bytes] = {}

    def tools(self, **more: Any) -> Any:
        return kit_tools(clock=LoopClock(), secrets=self.secrets, **more)

    def make(self, tools: Any, other: lightning.Lightning) -> Any:
        self.secrets.update(lightning.secrets_for(other.node))
        return lightning.rail_at(other.node, tools)

    def world(self) -> WalletWorld:
        return WalletWorld(other=lightning.other, make=self.make, endings=lightning.ENDINGS)


# --- what the suite catches ---


def forgets_the_fee_limit(patch: Patch) -> None:
    real = _lnd_pb2.SendPaymentRequest
    patch.setattr(_lnd_pb2, "SendPaymentRequest", Spoilt(real, fee_limit_msat=10**9))


class Spoilt:
    """A message that is made with other values than it is asked for."""

    def __init__(self, real: Any, **wrong: Any) -> None:
        self._real, self._wrong = real, wrong

    def __call__(self, **fields: Any) -> Any:
        return self._real(**{**fields, **self._wrong})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def calls_silence_a_failure(patch: Patch) -> None:
    real = _payments.standing

    def standing(*args: Any, **more: Any) -> Any:
        found = real(*args, **more)
        return Failed(reason="no answer", evidence="none") if isinstance(found, Unknown) else found

    patch.setattr(_payments, "standing", standing)


def forgets_the_key(patch: Patch) -> None:
    async def read(self: Any, key: str) -> None:
        return None

    async def holder(self: Any, payment_hash: str) -> None:
        return None

    async def add(self: Any, record: Any, *, holder: Any) -> bool:
        return True

    for name, wrong in (("read", read), ("holder", holder), ("add", add)):
        patch.setattr(_journal.Journal, name, wrong)


def tells_each_deposit_twice(patch: Patch) -> None:
    real = _deposits.Deposits._listen

    async def listen(self: Any, index: int, seconds: float) -> Any:
        async for each in real(self, index, seconds):
            yield each
            yield each

    patch.setattr(_deposits.Deposits, "_listen", listen)


def forgets_the_cursor(patch: Patch) -> None:
    patch.setattr(_pin.Pin, "index", lambda self, cursor: 0)


def stops_where_the_stream_stops(patch: Patch) -> None:
    async def after(self: Any, cursor: str) -> Any:
        async for deposit in self._round(cursor):
            yield deposit

    patch.setattr(_deposits.Deposits, "after", after)


def hides_what_is_in_flight(patch: Patch) -> None:
    real = _rail.LndRail.balance

    async def balance(self: Any) -> RailBalance:
        found = await real(self)
        return RailBalance(spendable_msat=found.spendable_msat)

    patch.setattr(_rail.LndRail, "balance", balance)


def cancels_what_is_paid(patch: Patch) -> None:
    async def cancel(self: Any, reference: str) -> None:
        return None

    patch.setattr(_invoices.Invoices, "cancel", cancel)


def asks_anew_each_time(patch: Patch) -> None:
    real = _invoices.Invoices._new
    count = iter(range(1_000))

    async def of_key(self: Any, key: str) -> None:
        return None

    async def new(self: Any, amount: Msat, memo: str, *, key: str, seconds: int) -> Any:
        return await real(self, amount, memo, key=f"{key}-{next(count)}", seconds=seconds)

    patch.setattr(_invoices.Invoices, "_of_key", of_key)
    patch.setattr(_invoices.Invoices, "_new", new)


def lists_what_failed(patch: Patch) -> None:
    patch.setattr(
        _outgoing, "pb", SimpleNamespace(Payment=SimpleNamespace(FAILED=99, SUCCEEDED=_lnd_pb2.Payment.SUCCEEDED))
    )


def is_always_ready(patch: Patch) -> None:
    async def status(self: Any) -> RailStatus:
        return RailStatus(state=RailState.READY, identity="02")

    patch.setattr(_node.Node, "status", status)


def fails_without_writing_it_down(patch: Patch) -> None:
    async def refuse(self: Any, record: Any) -> bool:
        return False

    async def never(self: Any, *_: Any) -> Failed:
        return Failed(reason="never sent", evidence="none")

    patch.setattr(_journal.Journal, "refuse", refuse)
    patch.setattr(_payments.Payments, "_never_written", never)


def claims_no_fee(patch: Patch) -> None:
    real = _evidence.judge

    def judge(*args: Any, **more: Any) -> Any:
        found = real(*args, **more)
        return replace(found, end=replace(found.end, fee_msat=0)) if isinstance(found.end, Paid) else found

    patch.setattr(_payments, "judge", judge)


def pays_what_the_caller_says(patch: Patch) -> None:
    patch.setattr(_rail, "same_amount", lambda target, amount: None)


@pytest.mark.parametrize(
    ("mutant", "caught_by"),
    [
        (forgets_the_fee_limit, "test_no_fee_allowed_is_no_fee_paid"),
        (calls_silence_a_failure, "test_unknown_ends_by_lookup"),
        (forgets_the_key, "test_one_key_pays_once"),
        (tells_each_deposit_twice, "test_deposits_come_once_and_resume"),
        (forgets_the_cursor, "test_deposits_come_once_and_resume"),
        (stops_where_the_stream_stops, "test_deposits_outlive_a_broken_connection"),
        (hides_what_is_in_flight, "test_unknown_ends_by_lookup"),
        (cancels_what_is_paid, "test_a_paid_invoice_is_not_cancelled"),
        (cancels_what_is_paid, "test_a_cancelled_invoice_takes_no_money"),
        (asks_anew_each_time, "test_an_invoice_asks_for_its_amount_once"),
        (lists_what_failed, "test_what_failed_is_not_on_record"),
        (is_always_ready, "test_deposits_outlive_a_broken_connection"),
        (fails_without_writing_it_down, "test_a_payment_never_asked_for_is_not_paid"),
        (claims_no_fee, "test_a_payment_costs_its_amount_and_fee"),
        (pays_what_the_caller_says, "test_another_amount_is_refused"),
    ],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_the_suite_catches(mutant: Callable[[Patch], None], caught_by: str, monkeypatch: Patch) -> None:
    monkeypatch.setattr("arbstr_core.testing._other_side.DEADLINE", 2.0)
    suite = Suite()
    mutant(monkeypatch)
    with pytest.raises(FAILURES):
        getattr(suite, caught_by)(suite.world())


# --- what the tests of the rules catch ---


def lets_absence_prove(patch: Patch) -> None:
    patch.setattr(_evidence, "_dead", lambda record, now_ms: True)


def believes_any_failure(patch: Patch) -> None:
    patch.setattr(_evidence, "len", lambda sends: 1, raising=False)


def takes_another_key_s_failure(patch: Patch) -> None:
    patch.setattr(_evidence, "_is_before", lambda record, shown: False)


def believes_any_node(patch: Patch) -> None:
    real = _evidence.judge
    patch.setattr(
        _payments,
        "judge",
        lambda record, shown, *, node, whole, now_ms: real(record, shown, node=record.node, whole=whole, now_ms=now_ms),
    )
    patch.setattr(_node.Node, "_wrong_node", lambda self, info, pin: "")


def believes_a_node_that_lost_records(patch: Patch) -> None:
    patch.setattr(_node.Sight, "whole", True)


def overlooks_lower_numbers(patch: Patch) -> None:
    patch.setattr(_node, "_lost", lambda pin, newest: "")


def forgets_what_it_has_seen(patch: Patch) -> None:
    real = _evidence.judge

    def judge(*args: Any, **more: Any) -> Any:
        found = real(*args, **more)
        return found if found.end is not None else replace(found, seen=False, lost=False)

    patch.setattr(_payments, "judge", judge)


def believes_any_preimage(patch: Patch) -> None:
    patch.setattr(_evidence, "_proves", lambda shown, record: True)


def writes_down_afterwards(patch: Patch) -> None:
    real = _payments.Payments._send
    add = _journal.Journal.add

    async def later(self: Any, record: Any, *, holder: Any) -> bool:
        self.waiting = (record, holder)
        return True

    async def send(self: Any, record: Any) -> Any:
        found = await real(self, record)
        waiting, holder = self._journal.waiting
        await add(self._journal, waiting, holder=holder)
        return found

    patch.setattr(_journal.Journal, "add", later)
    patch.setattr(_payments.Payments, "_send", send)


def takes_exists_for_paid(patch: Patch) -> None:
    real = _payments.Payments._send

    async def send(self: Any, record: Any) -> Any:
        try:
            async for _ in self._channel.stream(_payments.calls.SEND_PAYMENT, _lnd_pb2.SendPaymentRequest(), seconds=1):
                pass
        except NodeError as failed:
            if failed.code.name == "ALREADY_EXISTS":
                return Paid(fee_msat=Msat(0), evidence="it exists")
        return await real(self, record)

    patch.setattr(_payments.Payments, "_send", send)


def sends_whatever_the_journal_says(patch: Patch) -> None:
    patch.setattr(_payments, "may_send", lambda record, shown, *, now_ms: record.end is None)


def pays_a_hash_under_every_key(patch: Patch) -> None:
    async def is_open(self: Any, key: str) -> bool:
        return False

    patch.setattr(_payments.Payments, "_is_open", is_open)


def asks_the_node_only(patch: Patch) -> None:
    async def decode(self: Any, target: str) -> Any:
        await self._node.ready()
        raise AssertionError

    patch.setattr(_rail.LndRail, "decode", decode)


def repeats_a_lost_invoice(patch: Patch) -> None:
    real = _invoices.Invoices._asked

    async def asked(self: Any, made: Any) -> Any:
        preimage = self._random(32)
        return await real(self, replace(made, preimage=preimage.hex()))

    patch.setattr(_invoices.Invoices, "_asked", asked)


def misses_the_first(patch: Patch) -> None:
    async def find_first(self: Any) -> bytes:
        return b""

    patch.setattr(_deposits.Deposits, "_find_first", find_first)


def misses_what_counts_from_below(patch: Patch) -> None:
    real = _invoices.Invoices.settled_unnoted

    async def none(self: Any) -> Any:
        return await real(self) if await self._store.get("first/1") is None else []

    patch.setattr(_invoices.Invoices, "settled_unnoted", none)


def trusts_the_order(patch: Patch) -> None:
    async def in_order(self: Any, index: int) -> Any:
        async for each in self._listen(index, 60):
            yield each

    patch.setattr(_deposits.Deposits, "_in_order", in_order)


def counts_what_was_there_before(patch: Patch) -> None:
    async def counts(self: Any, shown: Any, pin: Any) -> bool:
        return True

    patch.setattr(_deposits.Deposits, "_counts", counts)


PAYMENTS = {
    lets_absence_prove: "test_not_found_proves_nothing_before_the_invoice_is_dead_and_everything_after",
    believes_any_failure: "test_a_failure_is_not_final_while_another_request_may_arrive",
    takes_another_key_s_failure: "test_the_failure_of_an_earlier_key_is_not_this_one_s",
    believes_any_node: "test_t31_another_node_fails_nothing_and_pays_nothing",
    believes_a_node_that_lost_records: "test_a_node_that_lost_other_payments_proves_nothing_by_absence",
    overlooks_lower_numbers: "test_a_node_that_lost_other_payments_proves_nothing_by_absence",
    forgets_what_it_has_seen: "test_a_payment_the_node_has_shown_and_lost_is_never_failed",
    believes_any_preimage: "test_a_preimage_of_another_hash_proves_nothing",
    writes_down_afterwards: "test_it_is_written_down_before_it_is_sent",
    takes_exists_for_paid: "test_already_exists_means_look",
    sends_whatever_the_journal_says: "test_t2_a_stream_that_dies_and_a_payment_that_settles_an_hour_later",
    pays_a_hash_under_every_key: "test_one_invoice_is_paid_under_one_key",
    asks_the_node_only: "test_t6_t7_bad_invoices_are_refused_without_the_node",
}
DEPOSITS = {
    repeats_a_lost_invoice: "test_an_answer_that_is_lost_loses_no_invoice",
    misses_the_first: "test_the_very_first_is_seen_live_and_after_a_restart",
    misses_what_counts_from_below: "test_a_node_that_counts_again_from_below_misses_none_of_ours",
    trusts_the_order: "test_what_the_node_repeats_in_another_order_comes_in_its_own",
    counts_what_was_there_before: "test_what_came_in_before_the_node_was_ours_is_not_counted",
}
ARGUMENTS = {asks_the_node_only: ("lnbcrt", "no Lightning"), repeats_a_lost_invoice: ("after",)}


@pytest.mark.parametrize("mutant", [*PAYMENTS, *DEPOSITS], ids=lambda each: each.__name__)
def test_the_rules_catch(mutant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    tests = sibling("test_payments" if mutant in PAYMENTS else "test_deposits")
    monkeypatch.setattr(tests, "PATIENCE", 2.0, raising=False)
    caught_by = getattr(tests, {**PAYMENTS, **DEPOSITS}[mutant])
    mutant(monkeypatch)
    with pytest.raises(FAILURES):
        caught_by(*ARGUMENTS.get(mutant, ()))
