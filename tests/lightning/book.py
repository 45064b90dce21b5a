"""The records of a Lightning node: invoices it made, payments it sent, what its channels hold. A copy is a backup."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, field

from arbstr_wallet_lnd import _lnd_pb2 as pb
from bolt11 import invoice as write_invoice

from arbstr_core.api import BadRequest, Clock

PREFIXES = {"mainnet": "lnbc", "testnet": "lntb", "signet": "lntbs", "regtest": "lnbcrt"}
OPEN, SETTLED, CANCELED = pb.Invoice.OPEN, pb.Invoice.SETTLED, pb.Invoice.CANCELED
IN_FLIGHT, SUCCEEDED, FAILED = pb.Payment.IN_FLIGHT, pb.Payment.SUCCEEDED, pb.Payment.FAILED


def text_of(network: str, amount_msat: int, payment_hash: str, payee: str, made_s: int, expiry: int, memo: str) -> str:
    """The invoice, as text. Amounts are written in picobitcoin, ten of which are a msat."""
    amount = f"{amount_msat * 10}p" if amount_msat else ""
    return write_invoice(
        PREFIXES[network] + amount,
        payment_hash=payment_hash,
        description=memo,
        payee=payee,
        expiry=expiry,
        made_s=made_s,
    )


@dataclass
class Book:
    """What a node writes down."""

    balance_msat: int = 10_000_000_000
    incoming_msat: int = 0
    invoices: dict[str, pb.Invoice] = field(default_factory=dict)
    payments: dict[str, pb.Payment] = field(default_factory=dict)
    settle_index: int = 0
    begun: int = 0

    def copy(self) -> Book:
        """The records as they are now."""
        return copy.deepcopy(self)

    @property
    def in_flight_msat(self) -> int:
        """What is in payments that have not ended."""
        held = (each for each in self.payments.values() if each.status == IN_FLIGHT)
        return sum(each.value_msat + each.fee_msat for each in held)

    def settle(self, payment_hash: str, clock: Clock, amount_msat: int | None = None) -> pb.Invoice:
        """Somebody pays an invoice; BadRequest where it can no longer be paid."""
        made = self.invoices[payment_hash]
        now_s = clock.now_ms() // 1000
        if made.state != OPEN or now_s >= made.creation_date + made.expiry:
            raise BadRequest(f"the invoice {payment_hash} is {made.state}, or has expired")
        self.settle_index += 1
        made.state, made.settle_index, made.settle_date = SETTLED, self.settle_index, now_s
        made.amt_paid_msat = made.value_msat if amount_msat is None else amount_msat
        self.incoming_msat += made.amt_paid_msat
        return made

    def take_in(self) -> None:
        """What was paid is on our side of the channel now."""
        self.balance_msat, self.incoming_msat = self.balance_msat + self.incoming_msat, 0

    def begin(self, payment_hash: str, amount_msat: int, fee_msat: int, clock: Clock) -> pb.Payment:
        """A payment goes out. One of the same hash that failed gives way to it; the last one's number is free then, as
        on SQLite."""
        self.payments.pop(payment_hash, None)
        self.begun += 1
        index = max((each.payment_index for each in self.payments.values()), default=0) + 1
        made = pb.Payment(
            payment_hash=payment_hash,
            payment_preimage="0" * 64,
            value_msat=amount_msat,
            fee_msat=fee_msat,
            status=IN_FLIGHT,
            creation_time_ns=clock.now_ms() * 1_000_000 + self.begun,
            payment_index=index,
        )
        made.htlcs.add(attempt_id=self.begun)
        self.payments[payment_hash] = made
        return made

    def end(self, payment_hash: str, preimage: str | None, reason: int = 0) -> None:
        """A payment ends: with its preimage, or with the reason why not."""
        made = self.payments[payment_hash]
        assert made.status == IN_FLIGHT, "a payment ended twice"
        if preimage is None:
            made.status, made.failure_reason, made.fee_msat = FAILED, reason, 0
            return
        assert hashlib.sha256(bytes.fromhex(preimage)).hexdigest() == payment_hash
        made.status, made.payment_preimage = SUCCEEDED, preimage
        self.balance_msat -= made.value_msat + made.fee_msat

    def listed(self, request: pb.ListPaymentsRequest) -> list[pb.Payment]:
        """A page of payments, oldest first in it."""
        every = sorted(self.payments.values(), key=lambda each: each.payment_index)
        some = [each for each in every if request.include_incomplete or each.status == SUCCEEDED]
        if request.reversed:
            before = [each for each in some if not request.index_offset or each.payment_index < request.index_offset]
            return before[-request.max_payments :]
        return [each for each in some if each.payment_index > request.index_offset][: request.max_payments]
