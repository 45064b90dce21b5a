"""Payments as JSON: for who asked for one, with what is secret of it; for operators without. Amounts are msat."""

from __future__ import annotations

from typing import Any

import msgspec

from arbstr_core.flow._sealed import proof_of, token_of
from arbstr_core.storage import Cipher
from arbstr_core.vault import PaymentRecord

Json = dict[str, Any]


def document(payment: PaymentRecord, cipher: Cipher) -> Json:
    """A payout, as its agent sees it."""
    return {
        "id": payment.id,
        "agent": payment.agent,
        "key": payment.key,
        "state": payment.state.value,
        "to": payment.destination,
        "amount_msat": payment.amount_msat,
        "fee_limit_msat": payment.fee_held_msat,
        "fee_msat": payment.fee_msat,
        "rail": payment.rail,
        "reason": payment.reason or None,
        "created_ms": payment.created_ms,
        "sent_ms": payment.sent_ms,
        "ended_ms": payment.ended_ms,
        "preimage": proof_of(cipher, payment) or None,
        "token": token_of(cipher, payment) or None,
    }


def operators_document(payment: PaymentRecord) -> Json:
    """A payment of any kind, with what each attempt came to."""
    return {
        "id": payment.id,
        "kind": payment.kind.value,
        "realm": payment.realm,
        "owner": payment.owner,
        "agent": payment.agent,
        "key": payment.key,
        "state": payment.state.value,
        "to": payment.destination,
        "reference": payment.reference,
        "amount_msat": payment.amount_msat,
        "fee_held_msat": payment.fee_held_msat,
        "fee_msat": payment.fee_msat,
        "rail": payment.rail,
        "rails": list(payment.rails),
        "attempt": payment.attempt,
        "attempts": msgspec.json.decode(payment.story),
        "tries": payment.tries,
        "reason": payment.reason or None,
        "own_request": payment.own_request,
        "created_ms": payment.created_ms,
        "due_ms": payment.due_ms,
        "sent_ms": payment.sent_ms,
        "ended_ms": payment.ended_ms,
        "handed": payment.handed,
    }
