"""What is secret of a payment (the proof that it was paid, the token that carries it) as the vault keeps it: sealed."""

from __future__ import annotations

from arbstr_core.api import Paid
from arbstr_core.storage import Cipher
from arbstr_core.vault import PaidEnd, PaymentRecord


def paid_end(cipher: Cipher, payment_id: str, paid: Paid, *, distrust: str = "") -> PaidEnd:
    """The end of a payment that was paid, as the vault takes it."""
    return PaidEnd(
        fee_msat=paid.fee_msat,
        evidence=paid.evidence,
        proof=cipher.seal(paid.proof.encode(), _proof(payment_id)) if paid.proof else None,
        token=cipher.seal(paid.token.encode(), _token(payment_id)) if paid.token else None,
        distrust=distrust,
    )


def proof_of(cipher: Cipher, payment: PaymentRecord) -> str:
    """The preimage, hex; empty where there is none."""
    return "" if payment.proof is None else cipher.open(payment.proof, _proof(payment.id)).decode()


def token_of(cipher: Cipher, payment: PaymentRecord) -> str:
    """The token; empty where there is none."""
    return "" if payment.token is None else cipher.open(payment.token, _token(payment.id)).decode()


def _proof(payment_id: str) -> str:
    return f"payment:{payment_id}:proof"


def _token(payment_id: str) -> str:
    return f"payment:{payment_id}:token"
